"""The head of a language model: a softmax over the vocabulary says what comes next."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from rnncli.config.network import Config
from rnncli.nn import products
from rnncli.nn.heads import linear, softmax
from rnncli.nn.heads.head import Array, Head
from rnncli.nn.params import Params
from rnncli.nn.threads import Threads


def decoder(params: Params, config: Config, threads: Threads) -> Callable[[Array], Array]:
    """Return a function from x (B, F), or (F,), to the logits of the next token."""
    W, b = linear.weights(params, config)
    turned = np.ascontiguousarray(W.T)  # read through once for one text: twice as fast
    return lambda x: products.right(x, turned, b, threads)


HEAD = Head(
    linear.parameters, linear.logits, softmax.nats, softmax.loss_and_gradients, decoder,
    softmax.nats_and_logprob,
)  # fmt: skip
