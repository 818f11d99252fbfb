"""This package trains a model, foretells what that will take, and checks it beforehand.

It knows nothing of the terminal.
"""
