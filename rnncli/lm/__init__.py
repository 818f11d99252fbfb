"""This package holds what predicts the next token, and how it is kept in a model file.

It does not know how text is written or scored with it.
"""
