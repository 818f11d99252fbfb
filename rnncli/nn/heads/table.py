"""The table of heads by name, each from its own file."""

from importlib import import_module

from rnncli.config.network import HEADS as NAMES
from rnncli.nn.heads.head import Head

HEADS: dict[str, Head] = {
    name: import_module(f"rnncli.nn.heads.{name.replace('-', '_')}").HEAD for name in NAMES
}
