"""The linear layer that today's heads have: W x + b, with W (K, F) and b (K,)."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from rnncli.config.network import Config
from rnncli.nn.inputs import embedding
from rnncli.nn.params import Params, Spec

Array = NDArray[Any]


def parameters(config: Config) -> dict[str, Spec]:
    """List weights and bias; tied, the weights are the embedding's table."""
    tokens, out = config.is_language_model, dict[str, Spec]()
    if not config.tied:
        out["head.W"] = Spec((config.classes, config.width), "output", "weights", tokens=tokens)
    return out | {"head.b": Spec((config.classes,), "output", "bias", tokens=tokens)}


def weights(params: Params, config: Config) -> tuple[Array, Array]:
    """Pick W (K, F) and b (K,), of parameters or of gradients."""
    return params[embedding.NAME if config.tied else "head.W"], params["head.b"]


def logits(params: Params, config: Config, x: Array) -> Array:
    """Compute W x + b of x (F, N): (K, N)."""
    W, b = weights(params, config)
    z = W @ x
    z += b[:, None]
    return z
