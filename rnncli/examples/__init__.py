"""Lessons that use `rnncli.nn` as a library: `python -m rnncli.examples.cosine`, and so on.

memory_cell: a network small enough to follow by hand. cosine: forecasting a curve. tagging: ragged
sentences, and what reading in both directions is good for. vanishing: how far back a gradient
reaches.
"""
