"""What goes on inside: every gate, h and c of every layer while a text is read, step by step.

The engine's cells keep no more than a backward needs, in the layout that is fastest. Each has the
same forward in the plain form of its equations, to look at; the tests hold one to the other.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnncli.errors import ConfigError
from rnncli.nn.cells.table import CELLS
from rnncli.nn.inputs.table import INPUTS
from rnncli.nn.layout import cell_weights
from rnncli.nn.model import Model
from rnncli.nn.ops import layer_norm_forward

Array = NDArray[Any]

# The series between 0 and 1; the other gates and (but for relu) h are in -1 to 1.
SIGMOIDS = frozenset(gate for cell in CELLS.values() for gate in cell.gates[: cell.sigmoids])


def trace(model: Model, ids: Array) -> list[dict[str, Array]]:
    """Return each layer's series by name over ids (T,), from a fresh state: (H, T), h (P, T).

    The names are those of `Cell.series`. With `residual`, h is what the cell hands to its next
    step, before the layer's input is added. Raises ConfigError for another head than tokens.
    """
    config, params = model.config, model.params
    if not config.is_language_model:
        raise ConfigError(f"a trace is for language models, not for head {config.head}.")
    cell = CELLS[config.cell]
    x = INPUTS[config.input].vectors(params, ids)  # (D, T)
    layers = []
    for layer in range(config.layers):
        w = cell_weights(params, layer)
        a = w["Wx"][ids].T if x is None else w["Wx"] @ x  # (G*H, T); one-hot Wx is (V, G*H)
        if "gx" in w:
            a = layer_norm_forward(a, w["gx"])[0]
        if "b" in w:
            a = a + w["b"][:, None]
        columns = zip(*cell.plain(a, w, config), strict=True)
        series = {
            name: np.stack(values, axis=1)
            for name, values in zip(cell.series, columns, strict=True)
        }
        layers.append(series)
        x = series["h"] + x if config.residual and layer and x is not None else series["h"]
    return layers
