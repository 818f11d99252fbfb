"""The heads: from the top output (F, N) to what is predicted, a file each.

A new head is a file here that ends in its row `HEAD`, and its line in `config.settings.HEADS`.
`linear.py` and `softmax.py` are what heads share.
"""
