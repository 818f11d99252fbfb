"""Update rules on flat vectors, gradient clipping, and learning-rate schedules.

A rule is a pure description; what it remembers (its slots) are vectors with the parameters' layout,
held by the caller, so that a checkpoint is one array a slot. Knows nothing of layers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rnncli.config.recipe import Recipe

Array = NDArray[Any]
Slots = Mapping[str, Array]

PIECE = 1 << 16  # elements: vectors are walked in pieces, so that temporaries stay in the cache


@dataclass(frozen=True)
class UpdateRule:
    """One step of one piece: p and the slots are changed in place."""

    slots: tuple[str, ...]
    step: Callable[[Array, Array, tuple[Array, ...], float, int, Recipe], None]


def _sgd(p: Array, g: Array, s: tuple[Array, ...], lr: float, t: int, k: Recipe) -> None:
    p -= lr * g


def _momentum(p: Array, g: Array, s: tuple[Array, ...], lr: float, t: int, k: Recipe) -> None:
    """Polyak 1964, with the velocity in units of the gradient."""
    (v,) = s
    v *= k.kept
    v += g
    p -= lr * v


def _nesterov(p: Array, g: Array, s: tuple[Array, ...], lr: float, t: int, k: Recipe) -> None:
    """Nesterov 1983, in the form of Sutskever et al. 2013."""
    (v,) = s
    v *= k.kept
    v += g
    p -= lr * (g + k.kept * v)


def _adagrad(p: Array, g: Array, s: tuple[Array, ...], lr: float, t: int, k: Recipe) -> None:
    """Duchi et al. 2011."""
    (v,) = s
    v += g * g
    p -= lr * g / (np.sqrt(v) + 1e-10)


def _adadelta(p: Array, g: Array, s: tuple[Array, ...], lr: float, t: int, k: Recipe) -> None:
    """Zeiler 2012, algorithm 1."""
    v, d = s
    v *= k.rho
    v += (1 - k.rho) * g * g
    change = np.sqrt((d + 1e-6) / (v + 1e-6)) * g
    d *= k.rho
    d += (1 - k.rho) * change * change
    p -= lr * change


def _rmsprop(p: Array, g: Array, s: tuple[Array, ...], lr: float, t: int, k: Recipe) -> None:
    """Tieleman and Hinton 2012."""
    (v,) = s
    v *= k.decay
    v += (1 - k.decay) * g * g
    p -= lr * g / (np.sqrt(v) + k.epsilon)


def _adam(p: Array, g: Array, s: tuple[Array, ...], lr: float, t: int, k: Recipe) -> None:
    """Kingma and Ba 2015, algorithm 1."""
    m, v = s
    m *= k.beta1
    m += (1 - k.beta1) * g
    g = g * g
    g *= 1 - k.beta2
    v *= k.beta2
    v += g
    np.sqrt(v, out=g)
    g *= 1 / math.sqrt(1 - k.beta2**t)
    g += k.epsilon
    np.divide(m, g, out=g)
    g *= lr / (1 - k.beta1**t)
    p -= g


def _adamw(p: Array, g: Array, s: tuple[Array, ...], lr: float, t: int, k: Recipe) -> None:
    """Loshchilov and Hutter 2019, algorithm 2."""
    p *= 1 - lr * k.weight_decay
    _adam(p, g, s, lr, t, k)


RULES = {
    "sgd": UpdateRule((), _sgd),
    "momentum": UpdateRule(("velocity",), _momentum),
    "nesterov": UpdateRule(("velocity",), _nesterov),
    "adagrad": UpdateRule(("square",), _adagrad),
    "adadelta": UpdateRule(("square", "change"), _adadelta),
    "rmsprop": UpdateRule(("square",), _rmsprop),
    "adam": UpdateRule(("mean", "square"), _adam),
    "adamw": UpdateRule(("mean", "square"), _adamw),
    # Biases, gains and token tables use adamw; matrices use `muon`.
    "muon": UpdateRule(("mean", "square"), _adamw),
}


def orthogonalised(g: Array) -> Array:
    """U V' of g = U S V', nearly: singular values from 1/300 of the norm on come to 0.7 to 1.2.

    Five Newton-Schulz steps, x <- a x + b (x x') x + c (x x')^2 x, with the coefficients of Jordan
    et al. 2024, "Muon: an optimizer for hidden layers in neural networks". g (rows, columns).
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    wide = len(g) <= g.shape[1]
    x = np.array(g if wide else g.T, order="C")
    x /= max(float(np.linalg.norm(x)), 1e-7)
    for _ in range(5):
        gram = x @ x.T
        factor = gram @ gram.T  # symmetric, which halves the work
        factor *= c
        gram *= b
        factor += gram
        change = factor @ x
        x *= a
        x += change
    return x if wide else x.T


def muon(p: Array, g: Array, mean: Array, lr: float, k: Recipe) -> None:
    """A step of one matrix (rows, columns), in place: Nesterov's momentum, made orthogonal.

    The length of the step is that of adam (Liu et al. 2025, "Muon is scalable", equation 4).
    """
    mean *= k.kept
    mean += (1 - k.kept) * g
    ahead = (1 - k.kept) * g + k.kept * mean
    p *= 1 - lr * k.weight_decay
    p -= p.dtype.type(lr * 0.2 * math.sqrt(max(p.shape))) * orthogonalised(ahead)


class Matrix(NamedTuple):
    """A run of the flat vector that is a matrix."""

    place: slice
    shape: tuple[int, int]


class UpdatePart(NamedTuple):
    """Some of the parameters: runs of the vector, and matrices that a rule updates as such."""

    runs: Sequence[slice] = (slice(None),)
    matrices: Sequence[Matrix] = ()


def update_parts(size: int, matrices: Sequence[Matrix], count: int) -> list[UpdatePart]:
    """All of `size` parameters in `count` shares of like work."""
    pieces = -(-size // PIECE)
    ends = [min(size, PIECE * (pieces * k // count)) for k in range(count + 1)]
    out: list[tuple[list[slice], list[Matrix]]] = [([], []) for _ in range(count)]
    for k in range(count):
        start = ends[k]
        for place, _ in [*matrices, Matrix(slice(ends[k + 1], size), (0, 0))]:
            if start < min(place.start, ends[k + 1]):
                out[k][0].append(slice(start, min(place.start, ends[k + 1])))
            start = max(start, place.stop)
    work = [0] * count
    for matrix in sorted(matrices, key=lambda m: -math.prod(m.shape) * min(m.shape)):
        k = work.index(min(work))
        out[k][1].append(matrix)
        work[k] += math.prod(matrix.shape) * min(matrix.shape)
    return [UpdatePart(*one) for one in out]


def update(
    rule: str, params: Array, grads: Array, slots: Slots, lr: float, t: int, recipe: Recipe,
    factor: float = 1.0, limit: float = 0.0, share: UpdatePart | None = None,
) -> None:  # fmt: skip
    """Step t (from 1) of a rule on flat vectors (M,), in place; `grads` may be overwritten.

    The gradient is first multiplied by `factor`, and its elements cut to [-limit, limit].
    """
    names, step = RULES[rule].slots, RULES[rule].step
    decay = 0.0 if rule in ("adamw", "muon") else recipe.weight_decay

    def cut(g: Array) -> Array:
        if factor != 1:
            g *= g.dtype.type(factor)
        if limit:
            np.clip(g, -limit, limit, out=g)
        return g

    share = share or UpdatePart()
    for run in share.runs:
        values, slopes = params[run], grads[run]
        kept = [slots[name][run] for name in names]
        for part in _pieces(len(values)):
            p, g = values[part], cut(slopes[part])
            if decay:
                g += decay * p
            step(p, g, tuple(slot[part] for slot in kept), lr, t, recipe)
    for place, shape in share.matrices:
        p, g, mean = (flat[place].reshape(shape) for flat in (params, grads, slots["mean"]))
        muon(p, cut(g), mean, lr, recipe)


def _pieces(size: int) -> Iterator[slice]:
    return (slice(start, start + PIECE) for start in range(0, size, PIECE))


def add_and_norm(vector: Array, others: Sequence[Array] = ()) -> list[float]:
    """Add the others to a vector, in place; the sum of squares of each piece of what it is then.

    Not finite when an element is not.
    """
    sums = []
    with np.errstate(over="ignore", invalid="ignore"):
        for part in _pieces(len(vector)):
            piece = vector[part]
            for other in others:
                piece += other[part]
            sums.append(float(np.dot(piece, piece)))
    return sums


def norm(vector: Array) -> float:
    """The Euclidean norm; not finite when an element is not."""
    return math.sqrt(sum(add_and_norm(vector)))


def clip_norm(grads: Array, limit: float) -> float:
    """Scale the gradient to at most this norm, in place (Pascanu et al. 2013, algorithm 1).

    Returns the norm before. 0 means no limit.
    """
    size = norm(grads)
    if limit and size > limit:
        grads *= grads.dtype.type(limit / size)
    return size


def schedule(recipe: Recipe, progress: float, epoch: int) -> float:
    """What the learning rate is multiplied by: a pure function of where the run is.

    progress in [0, 1], epoch from 0. linear and cosine fall from 1 to `floor` after a linear rise
    over the share `warmup`. Past the first `after` epochs, step multiplies by `factor` every
    `every` of them, exponential at each. The two that watch the loss are constant here: the
    training loop keeps their factor.
    """
    name, warmup, floor = recipe.schedule, recipe.warmup, recipe.floor
    rise = min(1.0, progress / warmup) if warmup else 1.0
    if name in ("linear", "cosine"):
        left = min(1.0, max(0.0, (progress - warmup) / max(1e-12, 1 - warmup)))
        fall = 1 - left if name == "linear" else 0.5 * (1 + math.cos(math.pi * left))
        return rise * (floor + (1 - floor) * fall)
    if name in ("step", "exponential"):
        past = max(0, epoch - recipe.after)
        try:
            return rise * recipe.factor ** (past // recipe.every if name == "step" else past)
        except OverflowError:  # the training loop finds out
            return math.inf
    return rise
