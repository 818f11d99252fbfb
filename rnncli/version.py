"""The version of rnncli."""

__version__ = "0.1.0"
