"""This package writes text with a model.

It knows nothing of files, nor of how the model was trained.
"""
