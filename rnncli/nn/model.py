"""A whole network: `rnncli.config.network.Config` says what it is, `Model` holds its parameters.

    input (one-hot, embedding or values) -> stack of recurrent layers -> head (tokens, tags, values)

The three are looked up in their tables. Ids are (N,) and real inputs (D, N); the stack's output is
(F, N), the head's (K, N). A model knows no files, no tokenizer and no training loop.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from rnncli.config.network import Config
from rnncli.errors import ConfigError
from rnncli.nn.cells.table import CELLS
from rnncli.nn.heads.table import HEADS
from rnncli.nn.init import initialise
from rnncli.nn.inputs.input import dropped
from rnncli.nn.inputs.table import INPUTS
from rnncli.nn.layout import shapes
from rnncli.nn.ops import mean_square_change
from rnncli.nn.packed import Batch, Steps
from rnncli.nn.params import Params
from rnncli.nn.stack import State, stack_backward, stack_forward
from rnncli.seeds import Purpose, rng

Array = NDArray[Any]


class Gradient(NamedTuple):
    """What `Model.gradients` returns, while it puts the parameters' gradients in their place."""

    nats: Array  # (N,) or (B,): the loss of each target
    penalty: float  # AR and TAR, in units of the mean loss
    state: State  # after the last step
    dstate: State  # gradient of the state before the first
    dx: Array | None  # (D, N) gradient of a real input, None for ids


class _Trace(NamedTuple):
    """What the backward pass needs of the forward pass."""

    source: Any  # the cache of the input
    stack: Any
    top: Array  # (F, N) before dropout
    mask: Array | None  # of the dropout after it


class Model:
    """A configuration and its parameters."""

    def __init__(self, config: Config, params: Params) -> None:
        if params.shapes != shapes(config):
            raise ConfigError("the parameters are not those of this configuration")
        self.config = config
        self.params = params

    @classmethod
    def initial(cls, config: Config, seed: int = 0, dtype: DTypeLike = np.float32) -> Model:
        """Draw a network's first parameters: the same for the same seed, in any precision."""
        params = Params(shapes(config), np.float64)
        initialise(params, config, rng(seed, Purpose.INIT))
        return cls(config, Params(params.shapes, dtype, params.flat))

    @property
    def dtype(self) -> np.dtype[Any]:
        """The precision of the parameters, and of all that is computed with them."""
        return self.params.flat.dtype

    def zero_state(self, B: int) -> State:
        """Return the state of B sequences that have not begun."""
        config = self.config
        k = config.layers * config.directions
        h = np.zeros((k, config.state_width, B), self.dtype)
        c = (
            np.zeros((k, max(config.hidden, config.top), B), self.dtype)
            if CELLS[config.cell].n_states == 2
            else None
        )
        return State(h, c)

    def state_from(self, before: State | None, carried: int, B: int) -> State:
        """Return the state of B sequences, of which the first `carried` continue `before`."""
        state = self.zero_state(B)
        if before is not None:
            state.h[..., :carried] = before.h[..., :carried]
            if state.c is not None and before.c is not None:
                state.c[..., :carried] = before.c[..., :carried]
        return state

    def features(self, x: Array, state: State, steps: Steps) -> tuple[Array, State]:
        """Return the top output that the head reads, (F, N) or (F, B), and the last state."""
        out, state, _ = self._forward(x, state, steps, None)
        return self._read(out, steps), state

    def logits(self, features: Array) -> Array:
        """Return the head's outputs, logits or values, from the features (F, N): (K, N)."""
        return HEADS[self.config.head].logits(self.params, self.config, features)

    def predict(self, x: Array, state: State, steps: Steps) -> tuple[Array, State]:
        """Return the head's outputs, (K, N) or with `last_only` (K, B), and the last state."""
        read, state = self.features(x, state, steps)
        return self.logits(read), state

    def nats_and_logprob(
        self, batch: Batch, token: int, state: State
    ) -> tuple[Array, Array, State]:
        """Return -log p of each target and log p of one `token` in its place: (N,) each."""
        score = HEADS[self.config.head].nats_and_logprob
        if score is None:
            raise ConfigError(f"head {self.config.head} has no probabilities of tokens.")
        read, state = self.features(batch.x, state, batch.steps)
        return *score(self.params, self.config, read, batch.y, token), state

    def nats(self, batch: Batch, state: State) -> tuple[Array, State]:
        """Return each target's loss, -log p or half a square, without dropout: (N,) or (B,)."""
        read, state = self.features(batch.x, state, batch.steps)
        return HEADS[self.config.head].nats(self.params, self.config, read, batch.y), state

    def step(self, ids: Array, state: State) -> tuple[Array, State]:
        """Read one token of each of B sequences: logits of the next (V, B), and the new state."""
        return self.predict(ids, state, Steps((len(ids),)))

    def gradients(
        self,
        batch: Batch,
        state: State,
        grads: Params,
        *,
        rng: np.random.Generator | None = None,
        scale: float | None = None,
        block: int | None = None,
    ) -> Gradient:
        """Put the gradient of `scale` times the summed loss of a batch into `grads`.

        `scale` is 1 / (number of targets) unless given: the mean loss. AR and TAR are means, and
        count as the batch's share of the whole (scale * number of targets). `rng` None means no
        dropout. `block`, rows of the vocabulary at a time, changes rounding only.
        """
        config, steps, head = self.config, batch.steps, HEADS[self.config.head]
        out, after, trace = self._forward(batch.x, state, steps, rng)
        read = self._read(out, steps)
        scale = 1 / read.shape[1] if scale is None else scale
        share = scale * read.shape[1]
        nats, dread = head.loss_and_gradients(
            self.params, config, read, batch.y, scale, grads, block
        )
        dout = dread
        if config.last_only:
            dout = np.zeros_like(out)
            dout[:, steps.last] = dread
        penalty = 0.0
        if config.activation_reg:
            penalty += config.activation_reg * float(np.mean(out * out))
            dout += self.dtype.type(2 * config.activation_reg * share / out.size) * out
        dtop = dout if trace.mask is None else dout * trace.mask
        if config.temporal_reg and steps.T > 1:
            value, slope = mean_square_change(trace.top, steps)
            penalty += config.temporal_reg * value
            dtop = dtop + self.dtype.type(config.temporal_reg * share) * slope
        source = INPUTS[config.input]
        source.clear(config, grads)
        dx, dstate = stack_backward(dtop, after.zeros(), config, trace.stack, grads)
        if dx is not None:
            dx = source.add_backward(dx, batch.x, trace.source, grads)
        return Gradient(nats, penalty, after, dstate, dx)

    def _read(self, out: Array, steps: Steps) -> Array:
        return np.ascontiguousarray(out[:, steps.last]) if self.config.last_only else out

    def _forward(
        self, x: Array, state: State, steps: Steps, rng: np.random.Generator | None
    ) -> tuple[Array, State, _Trace]:
        config = self.config
        source, kept = INPUTS[config.input].forward(self.params, config, x, steps, rng)
        top, after, cache = stack_forward(self.params, config, source, state, steps, rng)
        out, mask = dropped(top, config.output_dropout, steps, rng, config.variational)
        return out, after, _Trace(kept, cache, top, mask)
