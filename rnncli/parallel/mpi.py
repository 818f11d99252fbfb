"""Several machines: the ranks that `mpiexec` starts, one process each, and how they agree.

Ranks walk through a run in step: each computes its sequences of a batch, the gradients are added,
and every rank takes the same update. What depends on a clock, a file or a signal is asked of all or
broadcast by rank 0, which alone writes. mpi4py is imported only where there are ranks.
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
    """The ranks of a run, of which this is number `rank`: here, a process by itself."""

    rank = 0
    size = 1

    def allreduce(self, vector: Any) -> None:
        """Replace an array by the sum over all ranks, in place: the same bits on every rank."""

    def bcast(self, value: T) -> T:
        """Rank 0's value."""
        return value

    def total(self, value: float) -> float:
        """The sum of a number over all ranks."""
        sums = array("d", [value])
        self.allreduce(sums)
        return sums[0]

    def any(self, *flags: bool) -> list[bool]:
        """Whether each of the flags is set on some rank."""
        sums = array("d", flags)
        self.allreduce(sums)
        return [value > 0 for value in sums]


class Ranks(Comm):
    """The ranks of an MPI job."""

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
        try:
            yield
        except self.MPI.Exception as error:
            lines = str(error).splitlines()
            raise RnncliError(f"another rank cannot be reached ({lines[0]}).") from None


def started() -> bool:
    """Whether this process is a rank; nothing is imported to find out."""
    if "mpi4py.run" in sys.modules or "mpi4py.MPI" in sys.modules:
        return True
    return any(os.environ.get(name, "1") != "1" for name in SIZES)


def world() -> Comm:
    """All ranks of this job, or this process by itself."""
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
    """Before an error is said: what every rank has found, rank 0 says, and ends the job."""
    with contextlib.suppress(MissingExtra):
        if world().rank > 0:
            time.sleep(TURN)


@contextlib.contextmanager
def together() -> Iterator[None]:
    """A rank that fails ends the job: the others would wait for it for ever."""
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
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    with contextlib.suppress(MissingExtra):
        comm = world()
        if isinstance(comm, Ranks) and comm.size > 1:
            time.sleep(SAID)
            comm.world.Abort(code)
