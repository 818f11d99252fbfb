"""Is this the gradient? A numeric check of any scalar function of float64 arrays.

`check` nudges arrays in place and compares the change of the function with the gradient claimed:
entry by entry, and along random directions that cover a whole array at once, so that one wrong
entry of a large array shows. It knows nothing of layers, models or losses.
"""

from collections.abc import Callable, Iterator, Mapping
from types import EllipsisType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rnncli.errors import ConfigError

Array = NDArray[np.float64]
Place = tuple[Any, ...] | EllipsisType

STEPS = (4e-3, 4e-4, 4e-5)  # the first that can be trusted is used: rounding grows as steps shrink
TRUSTED = 1e-7  # stencils of two orders that differ by more, relatively, straddle a corner


class Comparison(NamedTuple):
    """One derivative, claimed and measured."""

    error: float  # |claimed - measured| / max(|claimed|, |measured|, floor)
    claimed: float
    measured: float
    where: str  # an index such as "[2, 0]", or "along a random direction"


def check(
    f: Callable[[], float],
    arrays: Mapping[str, Array],
    gradients: Mapping[str, Array],
    *,
    seed: int = 0,
    every: int = 60,
    entries: int = 20,
    directions: int = 2,
) -> dict[str, Comparison]:
    """Compare `gradients` with numeric derivatives of `f` and return the worst of each array.

    `f` takes no argument, reads `arrays` (float64, changed in place and put back) and gives the
    same number for the same contents. An array of at most `every` elements is checked entry by
    entry, a larger one at `entries` random ones; both along `directions` random vectors of
    signs and length 1.

    A derivative so small that the rounding of `f` hides it is compared with a floor instead, at
    which that rounding counts as an error of about 1e-7.

    Raises ConfigError when names or shapes differ, an array is not float64, or `f` does not
    repeat itself (dropout without a fixed seed).
    """
    _same_names(arrays, gradients)
    value = float(f())
    if float(f()) != value:
        raise ConfigError("gradient check: two calls of f differ. Fix the seed of its dropout.")
    rng = np.random.default_rng(seed)
    worst = {}
    for name, array in arrays.items():
        places = _places(array, rng, every, entries, directions)
        found = [_compare(f, array, gradients[name], *place) for place in places]
        worst[name] = max(found, key=lambda comparison: comparison.error)
    return worst


def _same_names(arrays: Mapping[str, Array], gradients: Mapping[str, Array]) -> None:
    if arrays.keys() != gradients.keys():
        odd = ", ".join(sorted(arrays.keys() ^ gradients.keys()))
        raise ConfigError(f"gradient check: arrays and gradients do not have the same names: {odd}")
    for name, array in arrays.items():
        if array.dtype != np.float64:
            raise ConfigError(f"gradient check: {name} is {array.dtype}. Use float64.")
        if array.size == 0:
            raise ConfigError(f"gradient check: {name} is empty. Leave it out.")
        if array.shape != gradients[name].shape:
            raise ConfigError(
                f"gradient check: {name} is {array.shape}, its gradient {gradients[name].shape}"
            )


def _places(
    array: Array, rng: np.random.Generator, every: int, entries: int, directions: int
) -> Iterator[tuple[Place, Array, str]]:
    """Yield what to nudge, along which vector, and how to name it in a message."""
    count = array.size if array.size <= every else min(entries, array.size)
    for i in rng.permutation(array.size)[:count]:
        index = tuple(int(k) for k in np.unravel_index(i, array.shape))
        yield index, np.ones(()), str(list(index))
    for _ in range(directions):
        signs = rng.choice((-1.0, 1.0), array.shape)  # so that no entry weighs less than another
        yield ..., signs / np.sqrt(array.size), "along a random direction"


def _compare(
    f: Callable[[], float],
    array: Array,
    gradient: Array,
    place: Place,
    direction: Array,
    where: str,
) -> Comparison:
    claimed = float(np.sum(gradient[place] * direction))
    measured, floor = _derivative(f, array, place, direction)
    if not np.isfinite(claimed - measured):
        return Comparison(np.inf, claimed, measured, where)
    error = abs(claimed - measured) / max(abs(claimed), abs(measured), floor)
    return Comparison(error, claimed, measured, where)


def _derivative(
    f: Callable[[], float], array: Array, place: Place, direction: Array
) -> tuple[float, float]:
    """Measure the derivative of `f` along `direction`, and the size below which rounding hides one.

    Central differences over h, 2h and 3h combine into stencils of fourth and sixth order. Where
    the two disagree (the corner of a relu lies in between) a smaller h follows.
    """
    saved = array[place].copy()
    best = (np.inf, np.nan, np.inf)

    def at(t: float) -> float:
        array[place] = saved + t * direction
        return float(f())

    try:
        for h in STEPS:
            values = np.array([(at(k * h), at(-k * h)) for k in (1, 2, 3)])
            rounding = np.finfo(np.float64).eps * np.abs(values).max() / h
            floor = max(1e7 * rounding, np.finfo(np.float64).tiny)
            with np.errstate(invalid="ignore"):  # inf - inf is nan, and no nan is trusted
                d1, d2, d3 = (values[:, 0] - values[:, 1]) / (np.array([2, 4, 6]) * h)
                fourth, sixth = (4 * d1 - d2) / 3, 1.5 * d1 - 0.6 * d2 + 0.1 * d3
                doubt = abs(sixth - fourth) / max(abs(sixth), floor)
            if doubt < best[0]:
                best = (doubt, sixth, floor)
            if doubt <= TRUSTED:
                break
    finally:
        array[place] = saved
    return float(best[1]), float(best[2])
