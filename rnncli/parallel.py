"""Who takes part in a training run. One process is the case in which nobody else does.

The loop calls a `Comm` at the two places where several processes must agree: the gradient of a step
and the numbers that are reported.
"""

from __future__ import annotations

from typing import Any, Protocol

from numpy.typing import NDArray

Array = NDArray[Any]


class Comm(Protocol):
    """`size` processes, of which this is number `rank`."""

    rank: int
    size: int

    def add(self, vector: Array) -> None:
        """Replace `vector` by the sum over all processes, in place."""

    def total(self, value: float) -> float:
        """The sum of a number over all processes."""


class Serial:
    """One process."""

    rank = 0
    size = 1

    def add(self, vector: Array) -> None:
        """The sum over one."""

    def total(self, value: float) -> float:
        """The sum over one."""
        return value
