"""This package reads and writes files: whole, checked, one writer at a time.

It does not know what the arrays and the lines in them mean.
"""
