"""This package exchanges models with other programs.

It knows their names and layouts, so that no other part has to.
"""
