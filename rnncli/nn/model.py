"""A whole network: `rnncli.config.network.Config` says what it is, `Model` holds its parameters.

input (ids, one-hot or embedded; or values) -> stack of recurrent layers -> head (tokens, tags or
values). Knows no files, no tokeniser and no training loop: arrays in, arrays out.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from rnncli.config.network import Config
from rnncli.errors import ConfigError
from rnncli.nn.cells import CELLS
from rnncli.nn.head import logits, loss_and_gradients, token_nats
from rnncli.nn.ops import add_gather_backward, dropout_mask, gather_forward, squared_error
from rnncli.nn.optim import Matrix
from rnncli.nn.packed import Batch, Steps
from rnncli.nn.params import Params, orthogonal
from rnncli.nn.stack import DIRECTIONS, Source, State, dropped, stack_backward, stack_forward
from rnncli.seeds import Purpose, rng

Array = NDArray[Any]


def shapes(config: Config) -> dict[str, tuple[int, ...]]:
    """Every parameter's name and shape, in the order of the flat vector."""
    out: dict[str, tuple[int, ...]] = {}
    if config.embed:
        out["embed.W"] = (config.inputs, config.embed)
    for layer in range(config.layers):
        H = config.units(layer)
        P, GH = config.proj or H, config.gates * H
        below = config.proj or config.units(layer - 1)
        D = config.directions * below if layer else config.embed or config.inputs
        one_hot = layer == 0 and config.head != "values" and not config.embed
        for s in range(config.directions):
            name = f"rnn.{layer}.{DIRECTIONS[s]}."
            out[name + "Wx"] = (D, GH) if one_hot else (GH, D)
            out[name + "Wh"] = (GH, P)
            if config.layer_norm and config.cell == "rnn":  # the bias follows the norm
                out[name + "bh"] = (GH,)
            else:
                out[name + "b"] = (GH,)
            if config.cell == "gru":
                out[name + "bn"] = (H,)
            if config.proj:
                out[name + "Wp"] = (P, H)
            if config.layer_norm:
                out[name + "gh"] = (GH,)
                if config.cell != "rnn":
                    out[name + "gx"] = (GH,)
                if config.cell == "lstm":
                    out[name + "gc"] = out[name + "bc"] = (H,)
    if not config.tied:
        out["head.W"] = (config.classes, config.width)
    out["head.b"] = (config.classes,)
    return out


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
        _initialise(params, config, rng(seed, Purpose.INIT))
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
        config, out, start = self.config, list[Matrix](), 0
        one_hot = not config.embed and config.head != "values"
        for name, values in self.params.items():
            last = name.rsplit(".", 1)[1]
            weights = last in ("Wh", "Wx", "Wp") and not (
                one_hot and last == "Wx" and name.startswith("rnn.0.")
            )
            if weights or (name == "head.W" and values.shape[0] <= values.shape[1]):
                rows = (
                    config.units(int(name.split(".")[1])) if last in ("Wh", "Wx") else len(values)
                )
                shape = rows, values.shape[1]
                for row in range(0, len(values), rows):
                    at = start + row * shape[1]
                    out.append(Matrix(slice(at, at + rows * shape[1]), shape))
            start += values.size
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
        if config.head != "values" and not config.embed:
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


def _initialise(params: Params, config: Config, rng: np.random.Generator) -> None:
    """Fill float64 parameters as `config.init` says.

    default: uniform embedding of +-0.1; input weights uniform by fan (Glorot and Bengio 2010);
        recurrent weights orthogonal, gate by gate (Saxe et al. 2014); output U(+-1/sqrt(width)).
    fan: every weight U(+-1/sqrt(hidden)), embeddings N(0, 1), as the common framework has it.
    uniform, normal: every weight U(+-init_scale) or N(0, init_scale); biases zero.
    glorot: every weight U(+-sqrt(6 / (rows + columns))); biases zero.
    All: gains are 1, the forget gate's bias is `forget_bias` (Jozefowicz et al. 2015).
    """
    one_hot = not config.embed and config.head != "values"
    first_inputs = [f"rnn.0.{direction}.Wx" for direction in DIRECTIONS]
    for name, values in params.items():
        last = name.rsplit(".", 1)[1]
        if last in ("gh", "gx", "gc"):
            values[:] = 1
            continue
        layer = int(name.split(".")[1]) if name.startswith("rnn.") else config.layers - 1
        H = config.units(layer)
        if values.ndim == 1:
            if config.init == "fan" and not name.startswith("head"):
                values[:] = rng.uniform(-1, 1, values.shape) / math.sqrt(H)
            if config.cell == "lstm" and last == "b" and name != "head.b":
                values[H : 2 * H] = config.forget_bias
            continue
        rows, columns = values.shape
        glorot = math.sqrt(6 / (rows + columns))
        if config.init == "normal":
            values[:] = rng.standard_normal(values.shape) * config.init_scale
        elif config.init == "fan" and name == "embed.W" and not config.tied:
            values[:] = rng.standard_normal(values.shape)
        elif config.init == "default" and last == "Wh":
            for start in range(0, rows, H):
                values[start : start + H] = orthogonal(rng, H, columns)
        else:
            half = {
                "uniform": config.init_scale,
                "glorot": glorot,
                "fan": 1 / math.sqrt(H),
                "default": glorot,
            }[config.init]
            if config.init == "default" and name == "embed.W":
                half = 0.1
            elif config.init == "default" and name == "head.W":
                half = 1 / math.sqrt(columns)
            elif config.init == "default" and one_hot and name in first_inputs:
                half = 1 / math.sqrt(H)  # a one-hot row is an embedding: its fan is not V
            values[:] = rng.uniform(-half, half, values.shape)
