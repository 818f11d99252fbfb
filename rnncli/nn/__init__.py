"""The engine: arrays in, arrays out. Needs numpy and the standard library only.

Shape letters, the same everywhere:
    T steps, B sequences, N columns (N = T*B when dense), V vocabulary, E embedding,
    D input of a layer, H hidden, P projected hidden (H without a projection), G gates (1, 3, 4),
    L layers, S directions, F width of the top output (S*P), K outputs, M parameters.
Arrays between layers are feature-major, (features, N); step t owns the columns `Steps.columns[t]`.
Weights are (outputs, inputs), as in the equations; a table of token rows is (V, width).
Names: Wx input weights, Wh recurrent weights, Wp projection, b bias, h hidden state, c cell state;
a gradient is d + the name. Losses are in nats.
A backward puts gradients of parameters: it overwrites the views that it is given, so that nobody
has to zero them between two steps. A function that adds to what is there is named add_..., and its
caller has put the first value.

What a network can be made of is in tables, a row each: `cells.table`, `inputs.table` and
`heads.table` (a file a row, and a name in the settings), `optim.RULES` and `schedules.SCHEDULES`.
What is known of each parameter is in `layout`.

The names below are imported when they are first used: `rnncli.nn.threads` needs no numpy.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rnncli.config.network import Config
    from rnncli.nn.lag import gradient_by_lag
    from rnncli.nn.layout import shapes
    from rnncli.nn.model import Gradient, Model
    from rnncli.nn.packed import Batch, Packed, Steps, pack, pad, unpack
    from rnncli.nn.params import Params
    from rnncli.nn.stack import State

_PLACES = {
    "Batch": "nn.packed", "Config": "config.network", "Gradient": "nn.model", "Model": "nn.model",
    "Packed": "nn.packed", "Params": "nn.params", "State": "nn.stack", "Steps": "nn.packed",
    "gradient_by_lag": "nn.lag", "pack": "nn.packed", "pad": "nn.packed", "shapes": "nn.layout",
    "unpack": "nn.packed",
}  # fmt: skip

__all__ = [
    "Batch",
    "Config",
    "Gradient",
    "Model",
    "Packed",
    "Params",
    "State",
    "Steps",
    "gradient_by_lag",
    "pack",
    "pad",
    "shapes",
    "unpack",
]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'rnncli.nn' has no attribute {name!r}")
    return getattr(import_module(f"rnncli.{_PLACES[name]}"), name)
