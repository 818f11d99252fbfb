"""This package measures how well a model predicts a text.

It changes no model and prints nothing.
"""
