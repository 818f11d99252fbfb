"""The kinds of input: a file each, with its parameters, forward and backward.

A new kind is a file here that ends in its row `INPUT`, and its name in `config.settings.INPUTS`,
where `Config.input` says which networks have it.
"""
