"""`python -m rnncli`."""

from rnncli.cli import run

run()
