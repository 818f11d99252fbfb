"""Update rules on flat vectors, and gradient clipping.

A rule is a pure description; what it remembers (its slots) are vectors with the parameters' layout,
held by the caller, so that a checkpoint is one array a slot. Knows nothing of layers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rnncli.config.recipe import Recipe
from rnncli.nn.params import Matrix

Array = NDArray[Any]
Slots = Mapping[str, Array]

PIECE = 1 << 16  # elements: vectors are walked in pieces, so that temporaries stay in the cache


class UpdateRule(NamedTuple):
    """One row of the table of update rules.

    slots: the names of what the rule remembers, a vector each.
    step: takes one step of a piece, (p, g, slots, rate, step from 1, recipe), in place.
    decoupled: weight decay shrinks the weights at each step; else it is added to the gradient.
    matrix: takes one step of a whole matrix, (p, g, mean, rate, recipe), in place; with it `step`
        is for all other parameters: biases, gains and token tables.
    averaged: the result is the mean of the parameters once validation no longer improves.
    """

    slots: tuple[str, ...]
    step: Callable[[Array, Array, tuple[Array, ...], float, int, Recipe], None]
    decoupled: bool = False
    matrix: Callable[[Array, Array, Array, float, Recipe], None] | None = None
    averaged: bool = False


def _sgd(p: Array, g: Array, s: tuple[Array, ...], lr: float, t: int, k: Recipe) -> None:
    p -= lr * g


def _momentum(p: Array, g: Array, s: tuple[Array, ...], lr: float, t: int, k: Recipe) -> None:
    """Keep a velocity, in units of the gradient: v = kept v + g,  p -= rate v (Polyak 1964)."""
    (v,) = s
    v *= k.kept
    v += g
    p -= lr * v


def _nesterov(p: Array, g: Array, s: tuple[Array, ...], lr: float, t: int, k: Recipe) -> None:
    """Look ahead along the velocity (Nesterov 1983, in the form of Sutskever et al. 2013)."""
    (v,) = s
    v *= k.kept
    v += g
    p -= lr * (g + k.kept * v)


def _adagrad(p: Array, g: Array, s: tuple[Array, ...], lr: float, t: int, k: Recipe) -> None:
    """Divide by the root of the sum of squares so far (Duchi et al. 2011)."""
    (v,) = s
    v += g * g
    p -= lr * g / (np.sqrt(v) + 1e-10)


def _adadelta(p: Array, g: Array, s: tuple[Array, ...], lr: float, t: int, k: Recipe) -> None:
    """Scale by the root mean squares of past changes and gradients (Zeiler 2012, algorithm 1)."""
    v, d = s
    v *= k.rho
    v += (1 - k.rho) * g * g
    change = np.sqrt((d + 1e-6) / (v + 1e-6)) * g
    d *= k.rho
    d += (1 - k.rho) * change * change
    p -= lr * change


def _rmsprop(p: Array, g: Array, s: tuple[Array, ...], lr: float, t: int, k: Recipe) -> None:
    """Divide by the root of the running mean square (Tieleman and Hinton 2012)."""
    (v,) = s
    v *= k.decay
    v += (1 - k.decay) * g * g
    p -= lr * g / (np.sqrt(v) + k.epsilon)


def _adam(p: Array, g: Array, s: tuple[Array, ...], lr: float, t: int, k: Recipe) -> None:
    """Divide the running mean by the root of the mean square (Kingma and Ba 2015, algorithm 1)."""
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
    """Shrink the weights, then step as adam (Loshchilov and Hutter 2019, algorithm 2)."""
    p *= 1 - lr * k.weight_decay
    _adam(p, g, s, lr, t, k)


def orthogonalised(g: Array) -> Array:
    """Return nearly U V' of g = U S V': singular values above 1/300 of the norm come to 0.7 to 1.2.

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
    """Take a step of one matrix (rows, columns), in place: Nesterov's momentum, made orthogonal.

    The length of the step is that of adam (Liu et al. 2025, "Muon is scalable", equation 4).
    """
    mean *= k.kept
    mean += (1 - k.kept) * g
    ahead = (1 - k.kept) * g + k.kept * mean
    p *= 1 - lr * k.weight_decay
    p -= p.dtype.type(lr * 0.2 * math.sqrt(max(p.shape))) * orthogonalised(ahead)


RULES = {
    "sgd": UpdateRule((), _sgd),
    "momentum": UpdateRule(("velocity",), _momentum),
    "nesterov": UpdateRule(("velocity",), _nesterov),
    "adagrad": UpdateRule(("square",), _adagrad),
    "adadelta": UpdateRule(("square", "change"), _adadelta),
    "rmsprop": UpdateRule(("square",), _rmsprop),
    "adam": UpdateRule(("mean", "square"), _adam),
    "adamw": UpdateRule(("mean", "square"), _adamw, decoupled=True),
    "muon": UpdateRule(("mean", "square"), _adamw, decoupled=True, matrix=muon),
    "asgd": UpdateRule((), _sgd, averaged=True),
}


def new_slots(recipe: Recipe, params: Array) -> dict[str, Array]:
    """Return what the recipe's rule remembers before its first step: zeros like `params` (M,).

    Example: adam -> {"mean": zeros, "square": zeros}
    """
    return {name: np.zeros_like(params) for name in RULES[recipe.optimizer].slots}


class UpdatePart(NamedTuple):
    """Some of the parameters: runs of the vector, and matrices that a rule updates as such."""

    runs: Sequence[slice] = (slice(None),)
    matrices: Sequence[Matrix] = ()


def update_parts(size: int, matrices: Sequence[Matrix], count: int) -> list[UpdatePart]:
    """Cut all of `size` parameters into `count` parts of like work."""
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


class UpdateStep(NamedTuple):
    """What is known of a step beside the recipe.

    The gradient is first multiplied by `factor`, and its elements cut to [-limit, limit].
    """

    number: int  # from 1
    rate: float
    factor: float = 1.0
    limit: float = 0.0  # 0: none


def update(
    recipe: Recipe, params: Array, grads: Array, slots: Slots, step: UpdateStep,
    part: UpdatePart | None = None,
) -> None:  # fmt: skip
    """Take one step of the recipe's rule on flat vectors (M,), in place; `grads` may change, too.

    `part` says which of the parameters, in place of all.
    """
    rule, part = RULES[recipe.optimizer], part or UpdatePart()
    number, rate, factor, limit = step
    decay = 0.0 if rule.decoupled else recipe.weight_decay

    def cut(g: Array) -> Array:
        if factor != 1:
            g *= g.dtype.type(factor)
        if limit:
            np.clip(g, -limit, limit, out=g)
        return g

    for run in part.runs:
        values, slopes = params[run], grads[run]
        kept = [slots[name][run] for name in rule.slots]
        for piece in _pieces(len(values)):
            p, g = values[piece], cut(slopes[piece])
            if decay:
                g += decay * p
            rule.step(p, g, tuple(slot[piece] for slot in kept), rate, number, recipe)
    for place, shape in part.matrices:
        assert rule.matrix is not None  # the caller gives matrices to rules that take them
        p, g, mean = (flat[place].reshape(shape) for flat in (params, grads, slots["mean"]))
        rule.matrix(p, cut(g), mean, rate, recipe)


def _pieces(size: int) -> Iterator[slice]:
    return (slice(start, start + PIECE) for start in range(0, size, PIECE))


def add_and_norm(vector: Array, others: Sequence[Array] = ()) -> list[float]:
    """Add the others to a vector, in place; return the sum of squares of each piece of the result.

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
    """Return the Euclidean norm; not finite when an element is not."""
    return math.sqrt(sum(add_and_norm(vector)))


def clip_norm(grads: Array, limit: float) -> float:
    """Scale the gradient to at most this norm, in place (Pascanu et al. 2013, algorithm 1).

    Returns the norm before. 0 means no limit.
    """
    size = norm(grads)
    if limit and size > limit:
        grads *= grads.dtype.type(limit / size)
    return size
