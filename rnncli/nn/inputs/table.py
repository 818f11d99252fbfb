"""The table of inputs by name, each from its own file."""

from importlib import import_module

from rnncli.config.network import INPUTS as NAMES
from rnncli.nn.inputs.input import Input

INPUTS: dict[str, Input] = {
    name: import_module(f"rnncli.nn.inputs.{name.replace('-', '_')}").INPUT for name in NAMES
}
