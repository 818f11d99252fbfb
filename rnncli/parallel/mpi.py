"""Connects the ranks of a training: the processes that `mpiexec` starts, on one machine or many.

All ranks go through a run in step. Each computes the gradient of its sequences of a batch; an
*allreduce* adds the gradients of all ranks and gives every rank the sum, so that all take the same
update. What depends on a clock, a file or a signal could differ between ranks: it is added up over
all of them, or rank 0 sends its value to all, a *broadcast* (bcast). Rank 0 alone writes files.
mpi4py is imported only where there are ranks.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
import traceback
from array import array
from collections.abc import Iterator
from typing import Any, TypeVar

from rnncli.errors import MissingExtra, RnncliError

T = TypeVar("T")

SIZES = (
    "PMI_SIZE",
    "OMPI_COMM_WORLD_SIZE",
)  # where MPICH and Open MPI say how many ranks there are
TURN = 1.0  # seconds that other ranks leave to rank 0 to say what is wrong
SAID = 0.2  # seconds in which what was said goes through mpiexec, before the job ends


class Comm:
    """Stands for the `size` ranks of a run, of which this process is number `rank`.

    This class is a process by itself, where every operation is trivial; `Ranks` is the real thing.
    Every rank has to call the same operations in the same order, or all wait for ever.
    """

    rank = 0
    size = 1

    def allreduce(self, vector: Any) -> None:
        """Replace an array by its sum over all ranks, in place; every rank gets the same bits."""

    def bcast(self, value: T) -> T:
        """Broadcast: return the value that rank 0 passed, on every rank."""
        return value

    def total(self, value: float) -> float:
        """Return the sum of a number over all ranks."""
        sums = array("d", [value])
        self.allreduce(sums)
        return sums[0]

    def any(self, *flags: bool) -> list[bool]:
        """Return for each flag whether it is set on some rank."""
        sums = array("d", flags)
        self.allreduce(sums)
        return [value > 0 for value in sums]


class Ranks(Comm):
    """Stands for the ranks of an MPI job."""

    def __init__(self, MPI: Any) -> None:
        self.MPI, self.world = MPI, MPI.COMM_WORLD
        self.rank, self.size = self.world.rank, self.world.size

    def allreduce(self, vector: Any) -> None:
        with self._reaching():
            self.world.Allreduce(self.MPI.IN_PLACE, vector)

    def bcast(self, value: T) -> T:
        with self._reaching():
            value_of_0: T = self.world.bcast(value)
        return value_of_0

    @contextlib.contextmanager
    def _reaching(self) -> Iterator[None]:
        """Turn a failure of MPI into one line."""
        try:
            yield
        except self.MPI.Exception as error:
            lines = str(error).splitlines()
            raise RnncliError(f"another rank cannot be reached ({lines[0]}).") from None


def started() -> bool:
    """Return whether this process is a rank; nothing is imported to find out."""
    if "mpi4py.run" in sys.modules or "mpi4py.MPI" in sys.modules:
        return True
    return any(os.environ.get(name, "1") != "1" for name in SIZES)


def world() -> Comm:
    """Return the ranks of this job, or this process by itself."""
    if not started():
        return Comm()
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError):  # RuntimeError: there is no MPI library
        raise MissingExtra(
            "the ranks of mpiexec need mpi4py and an MPI library: pip install 'rnncli[mpi]'."
        ) from None
    return Ranks(MPI)


def turn() -> None:
    """Wait before an error is printed, unless this is rank 0: it prints first and ends the job."""
    with contextlib.suppress(MissingExtra):
        if world().rank > 0:
            time.sleep(TURN)


@contextlib.contextmanager
def together() -> Iterator[None]:
    """End the job of all ranks if this one fails: the others would wait for it for ever."""
    try:
        yield
    except BaseException as error:
        code = (error.code or 0) if isinstance(error, SystemExit) else 1
        if code and started():
            if not isinstance(error, SystemExit):
                turn()
                sys.stderr.write(traceback.format_exc())  # in one piece
            _abort(code if isinstance(code, int) else 1)
        raise


def _abort(code: int) -> None:
    """End all ranks with an exit code."""
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    with contextlib.suppress(MissingExtra):
        comm = world()
        if isinstance(comm, Ranks) and comm.size > 1:
            time.sleep(SAID)
            comm.world.Abort(code)
