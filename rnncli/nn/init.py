"""How the parameters of a network start."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnncli.config.network import Config
from rnncli.nn.cells.table import CELLS
from rnncli.nn.layout import layout
from rnncli.nn.params import Params, Spec

Array = NDArray[Any]


def initialise(params: Params, config: Config, rng: np.random.Generator) -> None:
    """Fill float64 parameters as `config.init` says.

    default: uniform embedding of +-0.1; input weights uniform by fan (Glorot and Bengio 2010);
        recurrent weights orthogonal, gate by gate (Saxe et al. 2014); output U(+-1/sqrt(width)).
    fan: every weight U(+-1/sqrt(hidden)), embeddings N(0, 1), as the common framework has it.
    uniform, normal: every weight U(+-init_scale) or N(0, init_scale); biases zero.
    glorot: every weight U(+-sqrt(6 / (rows + columns))); biases zero.
    All: gains are 1, the forget gate's bias is `forget_bias` (Jozefowicz et al. 2015).
    """
    for name, spec in layout(config).items():
        H = config.units(config.layers - 1 if spec.layer is None else spec.layer)
        if spec.role == "gain":
            params[name][:] = 1
        elif spec.role == "bias":
            _bias(params[name], spec, config, rng, H)
        else:
            params[name][:] = _weights(spec, config, rng, H)


def orthogonal(rng: np.random.Generator, rows: int, columns: int) -> Array:
    """Return a random matrix with orthonormal rows or columns, whichever are fewer (Saxe 2014)."""
    q, r = np.linalg.qr(rng.standard_normal((max(rows, columns), min(rows, columns))))
    q = q * np.sign(np.diagonal(r))
    return np.asarray(q if rows >= columns else q.T)


def _bias(values: Array, spec: Spec, config: Config, rng: np.random.Generator, H: int) -> None:
    if config.init == "fan" and spec.part != "output":
        values[:] = rng.uniform(-1, 1, spec.shape) / math.sqrt(H)
    forget = CELLS[config.cell].gates.find("f")
    if spec.part == "input" and forget >= 0:
        values[forget * H : (forget + 1) * H] = config.forget_bias


def _weights(spec: Spec, config: Config, rng: np.random.Generator, H: int) -> Array:
    rows, columns = spec.shape
    half = math.sqrt(6 / (rows + columns))  # Glorot and Bengio's
    if config.init == "normal":
        return rng.standard_normal(spec.shape) * config.init_scale
    if config.init == "uniform":
        half = config.init_scale
    elif config.init == "fan":
        if spec.part == "embedding" and not config.tied:
            return rng.standard_normal(spec.shape)
        half = 1 / math.sqrt(H)
    elif config.init == "default":
        if spec.part == "recurrence" and spec.role == "weights":
            gates = [orthogonal(rng, rows // spec.blocks, columns) for _ in range(spec.blocks)]
            return np.concatenate(gates)
        if spec.part == "embedding":
            half = 0.1
        elif spec.part == "output":
            half = 1 / math.sqrt(columns)
        elif spec.looked_up:
            half = 1 / math.sqrt(H)  # a one-hot row is an embedding: its fan is not V
    return rng.uniform(-half, half, spec.shape)
