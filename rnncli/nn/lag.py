"""How far back a loss reaches: the vanishing gradient, measured."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnncli.errors import ConfigError
from rnncli.nn.heads.table import HEADS
from rnncli.nn.inputs.input import Source
from rnncli.nn.inputs.table import INPUTS
from rnncli.nn.model import Model
from rnncli.nn.packed import Steps
from rnncli.nn.stack import stack_backward, stack_forward

Array = NDArray[Any]


def gradient_by_lag(model: Model, ids: Array) -> Array:
    """Measure the norm of d loss_T / d h_{T-k} for the lags k = 0, 1, ...: the reach of the loss.

    ids (T+1,) or (T+1, B): the inputs, and after the last of them the target; the loss is the mean
    of the last step's nats. h holds all layers; in an lstm, c stays as it is. Returns (T,).
    Where the norms fall by a factor a step, the gradient vanishes and what lies further back is
    not learnt (Bengio et al. 1994; Pascanu et al. 2013, section 2).
    Raises ConfigError for another head than tokens.
    """
    config, params = model.config, model.params
    if not config.is_language_model:
        raise ConfigError(f"gradient by lag is for language models, not for head {config.head}.")
    ids = ids.reshape(len(ids), -1)
    T, B = len(ids) - 1, ids.shape[1]
    if T < 1:
        raise ConfigError("gradient by lag needs two ids or more.")
    steps, state, caches = Steps.dense(1, B), model.zero_state(B), []
    top = state.h[-1]
    for x in ids[:-1]:
        vectors = INPUTS[config.input].vectors(params, x)
        source = Source(ids=x) if vectors is None else Source(np.ascontiguousarray(vectors))
        top, state, cache = stack_forward(params, config, source, state, steps)
        caches.append(cache)
    spare, head = params.like(), HEADS[config.head]
    _, dtop = head.loss_and_gradients(params, config, top, ids[-1], 1 / B, spare, None)
    norms, dstate = [np.linalg.norm(dtop)], state.zeros()
    for cache in caches[:0:-1]:
        _, dstate = stack_backward(dtop, dstate, config, cache, spare)
        dtop = np.zeros_like(dtop)
        norms.append(np.linalg.norm(dstate.h))
    return np.array(norms)
