"""Update rules on flat vectors, gradient clipping, and learning-rate schedules.

A rule is a pure description; what it remembers (its slots) are vectors with the parameters' layout,
held by the caller, so that a checkpoint is one array a slot. Knows nothing of layers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnncli.config import Recipe

Array = NDArray[Any]
Slots = Mapping[str, Array]

PIECE = 1 << 16  # elements: vectors are walked in pieces, so that temporaries stay in the cache


@dataclass(frozen=True)
class Rule:
    """One step of one piece: p and the slots are changed in place."""

    slots: tuple[str, ...]
    step: Callable[[Array, Array, tuple[Array, ...], float, int, Recipe], None]


def _sgd(p: Array, g: Array, s: tuple[Array, ...], lr: float, t: int, k: Recipe) -> None:
    p -= lr * g


def _momentum(p: Array, g: Array, s: tuple[Array, ...], lr: float, t: int, k: Recipe) -> None:
    """Polyak 1964, with the velocity in units of the gradient."""
    (v,) = s
    v *= k.momentum
    v += g
    p -= lr * v


def _nesterov(p: Array, g: Array, s: tuple[Array, ...], lr: float, t: int, k: Recipe) -> None:
    """Nesterov 1983, in the form of Sutskever et al. 2013."""
    (v,) = s
    v *= k.momentum
    v += g
    p -= lr * (g + k.momentum * v)


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
    "sgd": Rule((), _sgd),
    "momentum": Rule(("velocity",), _momentum),
    "nesterov": Rule(("velocity",), _nesterov),
    "adagrad": Rule(("square",), _adagrad),
    "adadelta": Rule(("square", "change"), _adadelta),
    "rmsprop": Rule(("square",), _rmsprop),
    "adam": Rule(("mean", "square"), _adam),
    "adamw": Rule(("mean", "square"), _adamw),
}


def update(
    rule: str, params: Array, grads: Array, slots: Slots, lr: float, t: int, recipe: Recipe,
    factor: float = 1.0, limit: float = 0.0,
) -> None:  # fmt: skip
    """Step t (from 1) of a rule on flat vectors (M,), in place; `grads` may be overwritten.

    The gradient is first multiplied by `factor`, and its elements cut to [-limit, limit].
    """
    names, step = RULES[rule].slots, RULES[rule].step
    decay = 0.0 if rule == "adamw" else recipe.weight_decay
    for part in _pieces(len(params)):
        p, g = params[part], grads[part]
        if factor != 1:
            g *= g.dtype.type(factor)
        if limit:
            np.clip(g, -limit, limit, out=g)
        if decay:
            g += decay * p
        step(p, g, tuple(slots[name][part] for name in names), lr, t, recipe)


def _pieces(size: int) -> Iterator[slice]:
    return (slice(start, start + PIECE) for start in range(0, size, PIECE))


def gather(vector: Array, others: Sequence[Array] = ()) -> list[float]:
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
    return math.sqrt(sum(gather(vector)))


def clip_norm(grads: Array, limit: float) -> float:
    """Scale the gradient to at most this norm, in place (Pascanu et al. 2013, algorithm 1).

    Returns the norm before. 0 means no limit.
    """
    size = norm(grads)
    if limit and size > limit:
        grads *= grads.dtype.type(limit / size)
    return size


def clip_elements(grads: Array, limit: float) -> float:
    """Cut every element to [-limit, limit], in place; returns the norm before."""
    size = norm(grads)
    if limit:
        np.clip(grads, -limit, limit, out=grads)
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
