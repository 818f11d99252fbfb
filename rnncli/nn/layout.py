"""The parameters of a network by name, and what each of them is.

A parameter's name is for people and files. What a program wants to know of a parameter, its `Spec`
says: the initialiser, the rule `muon`, `nn.cost`, `nn.transfer` and the reports read that, and
nobody takes a name apart.
"""

from __future__ import annotations

import math
from typing import Any

from numpy.typing import NDArray

from rnncli.config.network import Config
from rnncli.nn.cells.table import CELLS
from rnncli.nn.heads.table import HEADS
from rnncli.nn.inputs.table import INPUTS
from rnncli.nn.params import Matrix, Params, Spec

Array = NDArray[Any]
DIRECTIONS = ("fwd", "bwd")


def layout(config: Config) -> dict[str, Spec]:
    """Return the name and the `Spec` of every parameter, in the order of the flat vector."""
    cell, source = CELLS[config.cell], INPUTS[config.input]
    out = source.parameters(config)
    for layer in range(config.layers):
        H = config.units(layer)
        P, GH = config.proj or H, len(cell.gates) * H
        below = config.proj or config.units(layer - 1)
        D = config.directions * below if layer else source.width(config)
        if config.one_hot and layer == 0:
            Wx = Spec((D, GH), "input", "weights", tokens=True)
        else:
            Wx = Spec((GH, D), "input", "weights", len(cell.gates))
        specs = {"Wx": Wx, **cell.parameters(H, P, config)}
        for s in range(config.directions):
            for name, spec in specs.items():
                out[f"{_prefix(layer, s)}.{name}"] = spec._replace(layer=layer)
    return out | HEADS[config.head].parameters(config)


def shapes(config: Config) -> dict[str, tuple[int, ...]]:
    """Return every parameter's name and shape, in the order of the flat vector."""
    return {name: spec.shape for name, spec in layout(config).items()}


def matrices(config: Config) -> list[Matrix]:
    """List the weights between layers, gate by gate, which the rule `muon` turns.

    Not what has a row for each token: embeddings, one-hot inputs, and an output layer of more
    tokens than it has inputs.
    """
    out, start = list[Matrix](), 0
    for spec in layout(config).values():
        rows, size = spec.shape[0] // spec.blocks, math.prod(spec.shape)
        turned = spec.role in ("weights", "projection") and not spec.looked_up
        if turned and (spec.part != "output" or rows <= spec.shape[1]):
            for at in range(start, start + size, size // spec.blocks):
                place = slice(at, at + size // spec.blocks)
                out.append(Matrix(place, (rows, spec.shape[1])))
        start += size
    return out


def cell_weights(params: Params, layer: int, direction: int = 0) -> dict[str, Array]:
    """Return the views of one layer and direction (0 forward, 1 backward) by their short names.

    Example: layer 0 -> {"Wx": ..., "Wh": ..., "b": ...}
    """
    return params.under(_prefix(layer, direction))


def _prefix(layer: int, direction: int) -> str:
    return f"rnn.{layer}.{DIRECTIONS[direction]}"
