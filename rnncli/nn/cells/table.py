"""The table of cells by name, each from its own file."""

from importlib import import_module

from rnncli.config.network import CELLS as NAMES
from rnncli.nn.cells.cell import Cell

CELLS: dict[str, Cell] = {
    name: import_module(f"rnncli.nn.cells.{name.replace('-', '_')}").CELL for name in NAMES
}
