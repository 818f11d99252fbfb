"""A whole network: `rnncli.config.settings.Config` says what it is, `Model` holds its parameters.

input (ids, one-hot or embedded; or values) -> stack of recurrent layers -> head (tokens, tags or
values). Knows no files, no tokeniser and no training loop: arrays in, arrays out.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from rnncli.config.settings import Config
from rnncli.errors import ConfigError
from rnncli.nn.cells.table import CELLS
from rnncli.nn.head import logits, loss_and_gradients, token_nats
from rnncli.nn.init import initialise
from rnncli.nn.layout import layout, shapes
from rnncli.nn.ops import add_gather_backward, dropout_mask, gather_forward, squared_error
from rnncli.nn.optim import Matrix
from rnncli.nn.packed import Batch, Steps
from rnncli.nn.params import Params
from rnncli.nn.stack import Source, State, dropped, stack_backward, stack_forward
from rnncli.seeds import Purpose, rng

Array = NDArray[Any]


class Gradient(NamedTuple):
    """What `Model.gradients` hands back beside the parameter gradients."""

    nats: Array  # (N,) or (B,): the loss of each target
    penalty: float  # AR and TAR, in units of the mean loss
    state: State  # after the last step
    dstate: State  # gradient of the state before the first
    dx: Array | None  # (D, N) gradient of a real input, None for ids


class _Trace(NamedTuple):
    """What the backward pass needs of the forward pass outside the stack."""

    source: Source
    mask_in: Array | None
    mask_rows: Array | None
    stack: Any
    top: Array  # (S*P, N) before dropout
    mask_out: Array | None


class Model:
    """A configuration and its parameters."""

    def __init__(self, config: Config, params: Params) -> None:
        if params.shapes != shapes(config):
            raise ConfigError("the parameters are not those of this configuration")
        self.config = config
        self.params = params

    @classmethod
    def initial(cls, config: Config, seed: int = 0, dtype: DTypeLike = np.float32) -> Model:
        """A network with freshly drawn parameters: the same for the same seed, in any precision."""
        params = Params(shapes(config), np.float64)
        initialise(params, config, rng(seed, Purpose.INIT))
        return cls(config, Params(params.shapes, dtype, params.flat))

    @property
    def dtype(self) -> np.dtype[Any]:
        """The precision of the parameters, and of all that is computed with them."""
        return self.params.flat.dtype

    @property
    def head(self) -> tuple[Array, Array]:
        """The output layer's weights (K, S*P) and bias (K,)."""
        return self.params["embed.W" if self.config.tied else "head.W"], self.params["head.b"]

    def matrices(self) -> list[Matrix]:
        """The weights between layers, gate by gate, which the rule `muon` turns.

        Not what has a row for each token: embeddings, one-hot inputs, and an output layer of more
        tokens than it has inputs.
        """
        out, start = list[Matrix](), 0
        for spec in layout(self.config).values():
            rows, size = spec.shape[0] // spec.blocks, math.prod(spec.shape)
            turned = spec.role in ("weights", "projection") and not spec.looked_up
            if turned and (spec.part != "output" or rows <= spec.shape[1]):
                for at in range(start, start + size, size // spec.blocks):
                    place = slice(at, at + size // spec.blocks)
                    out.append(Matrix(place, (rows, spec.shape[1])))
            start += size
        return out

    def zero_state(self, B: int) -> State:
        """The state of B sequences that have not begun."""
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
        """The state of B sequences: the first `carried` go on from `before`, the others begin."""
        state = self.zero_state(B)
        if before is not None:
            state.h[..., :carried] = before.h[..., :carried]
            if state.c is not None and before.c is not None:
                state.c[..., :carried] = before.c[..., :carried]
        return state

    def features(self, x: Array, state: State, steps: Steps) -> tuple[Array, State]:
        """The top output that the head reads, (S*P, N) or (S*P, B), and the last state."""
        out, state, _ = self._forward(x, state, steps, None)
        return self._read(out, steps), state

    def predict(self, x: Array, state: State, steps: Steps) -> tuple[Array, State]:
        """The head's outputs, logits or values, (K, N) or with `last_only` (K, B)."""
        read, state = self.features(x, state, steps)
        return logits(read, *self.head), state

    def nats(self, batch: Batch, state: State) -> tuple[Array, State]:
        """-log p of each target, or half its squared error, without dropout: (N,) or (B,)."""
        read, state = self.features(batch.x, state, batch.steps)
        if self.config.head == "values":
            return squared_error(logits(read, *self.head), batch.y)[0], state
        return token_nats(read, *self.head, batch.y), state

    def step(self, ids: Array, state: State) -> tuple[Array, State]:
        """One token of each of B sequences: the logits of the next (V, B), and the new state."""
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
        config, steps = self.config, batch.steps
        out, after, trace = self._forward(batch.x, state, steps, rng)
        read = self._read(out, steps)
        scale = 1 / read.shape[1] if scale is None else scale
        share = scale * read.shape[1]
        W, b = self.head
        dW, db = grads["embed.W" if config.tied else "head.W"], grads["head.b"]
        if config.head == "values":
            nats, error = squared_error(logits(read, W, b), batch.y)
            error *= self.dtype.type(scale)
            dread = W.T @ error
            np.matmul(error, read.T, out=dW)
            np.sum(error, axis=1, out=db)
        else:
            weight = np.full(read.shape[1], scale, self.dtype)
            nats, dread = loss_and_gradients(read, W, b, batch.y, weight, dW, db, block)
        dout = dread
        if config.last_only:
            dout = np.zeros_like(out)
            dout[:, steps.last] = dread
        penalty = 0.0
        if config.activation_reg:
            penalty += config.activation_reg * float(np.mean(out * out))
            dout += self.dtype.type(2 * config.activation_reg * share / out.size) * out
        dtop = dout if trace.mask_out is None else dout * trace.mask_out
        if config.temporal_reg and steps.T > 1:
            value, slope = _temporal(trace.top, steps)
            penalty += config.temporal_reg * value
            dtop = dtop + self.dtype.type(config.temporal_reg * share) * slope
        if config.embed and not config.tied:
            grads["embed.W"][:] = 0  # the rest adds to it; tied, the head has put its part
        dx, dstate = stack_backward(dtop, after.zeros(), config, trace.stack, grads)
        if dx is not None:
            dx = self._embed_backward(dx, batch.x, trace, grads)
        return Gradient(nats, penalty, after, dstate, dx)

    def _read(self, out: Array, steps: Steps) -> Array:
        return np.ascontiguousarray(out[:, steps.last]) if self.config.last_only else out

    def _forward(
        self, x: Array, state: State, steps: Steps, rng: np.random.Generator | None
    ) -> tuple[Array, State, _Trace]:
        config = self.config
        rate_in = config.dropout if config.dropout_in is None else config.dropout_in
        rate_out = config.dropout if config.dropout_out is None else config.dropout_out
        mask_in = mask_rows = None
        if config.one_hot:
            source = Source(ids=x)
        elif (
            config.embed
            and config.inputs < steps.N
            and (rng is None or not (rate_in or config.dropout_embed))
        ):
            source = Source(ids=x, embed=self.params["embed.W"])
        else:
            values = x
            if config.embed:
                embed = self.params["embed.W"]
                if rng is not None and config.dropout_embed:  # Gal and Ghahramani 2016, section 4
                    shape = (config.inputs, 1)
                    mask_rows = dropout_mask(rng, config.dropout_embed, shape, self.dtype)
                    embed = embed * mask_rows
                values = gather_forward(embed, x)
            values, mask_in = dropped(values, rate_in, steps, rng, config.variational)
            source = Source(values)
        top, after, cache = stack_forward(self.params, config, source, state, steps, rng)
        out, mask_out = dropped(top, rate_out, steps, rng, config.variational)
        return out, after, _Trace(source, mask_in, mask_rows, cache, top, mask_out)

    def _embed_backward(self, dx: Array, x: Array, trace: _Trace, grads: Params) -> Array | None:
        """Take dx through the input dropout; add it to the embedding's gradient, or return it."""
        if trace.mask_in is not None:
            dx = dx * trace.mask_in
        if not self.config.embed:
            return dx
        if trace.mask_rows is None:
            add_gather_backward(dx, x, grads["embed.W"])
        else:
            dembed = np.zeros_like(grads["embed.W"])
            add_gather_backward(dx, x, dembed)
            grads["embed.W"][:] += dembed * trace.mask_rows
        return None


def _temporal(top: Array, steps: Steps) -> tuple[float, Array]:
    """The mean square of the change of the top output between steps, and its gradient."""
    slope = np.zeros_like(top)
    count, total = len(top) * (steps.N - steps.B), 0.0
    for before, now in zip(steps.columns, steps.columns[1:], strict=False):
        n = now.stop - now.start
        before = slice(before.start, before.start + n)
        change = top[:, now] - top[:, before]
        total += float(np.sum(change * change))
        slope[:, now] += change
        slope[:, before] -= change
    return total / count, slope * top.dtype.type(2 / count)
