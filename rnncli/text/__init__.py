"""This package turns text into token ids and back.

It knows nothing of files, batches or models.
"""
