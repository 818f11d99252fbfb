"""What a head is: what comes after the recurrent layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from numpy.typing import NDArray

from rnncli.config.network import Config
from rnncli.nn.params import Params, Spec
from rnncli.nn.threads import Threads

Array = NDArray[Any]


class Head(NamedTuple):
    """One row of the table of heads. F is the width of the top output, K that of the prediction.

    parameters: config -> the specs of its own parameters.
    logits: (params, config, x) -> what is predicted from x (F, N): logits or values, (K, N).
    nats: (params, config, x, y) -> the loss of each target of y, (N,).
    loss_and_gradients: (params, config, x, y, scale, grads, block) -> the loss of each target (N,),
        and d (scale * sum of losses) / dx (F, N); the gradients of its parameters are put into
        `grads`. `block`, rows of the prediction at a time, changes rounding only.
    decoder: (params, config, threads) -> a function from x (B, F), or (F,), to logits (B, K) or
        (K,), for generating; None where there is no quicker way than `logits`.
    nats_and_logprob: (params, config, x, y, token) -> the loss of each target (N,), and log p of
        one token in its place (N,); None for what is no distribution over tokens.
    """

    parameters: Callable[[Config], dict[str, Spec]]
    logits: Callable[[Params, Config, Array], Array]
    nats: Callable[[Params, Config, Array, Array], Array]
    loss_and_gradients: Callable[
        [Params, Config, Array, Array, float, Params, int | None], tuple[Array, Array]
    ]
    decoder: Callable[[Params, Config, Threads], Callable[[Array], Array]] | None = None
    nats_and_logprob: Callable[[Params, Config, Array, Array, int], tuple[Array, Array]] | None = (
        None
    )
