"""This package says which settings there are, and what each may be.

It needs neither numpy nor any other part of rnncli but the errors.
"""
