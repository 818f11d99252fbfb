"""This package turns files of text into a data file, and a data file into batches.

It knows no model: of the engine it uses only the layout of a ragged batch.
"""
