"""This package shares work among processes, on one machine or on several.

It does not know the network whose batches and gradients it passes on.
"""
