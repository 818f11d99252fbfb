"""This package shows what finished files and models hold.

It changes none of them.
"""
