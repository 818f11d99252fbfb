"""Runs tasks in worker processes that are forked from this one and share its memory.

Training, validation and tokenizing use a `WorkerPool`; which of its processes does a task changes
no bit of the outcome. These are processes, not threads: a step of a small recurrent network is a
thousand short array operations, and threads would spend it waiting for the interpreter's lock.
For several machines there is `mpi`.
"""

from __future__ import annotations

import contextlib
import mmap
import multiprocessing
import os
import signal
import sys
import weakref
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import connection
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnncli.errors import RnncliError

Array = NDArray[Any]

SIGNALS = [  # that stop a command; workers leave them to the first process
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGXCPU")
    if hasattr(signal, name)
]  # fmt: skip


def shared_zeros(like: Array) -> Array:
    """Return zeros like an array, in memory that this process and its workers read and write."""
    memory = mmap.mmap(-1, max(1, like.nbytes))
    return np.frombuffer(memory, like.dtype, like.size).reshape(like.shape)


def shared(array: Array) -> Array:
    """Return a copy of an array in such memory."""
    copy = shared_zeros(array)
    copy[...] = array
    return copy


class WorkerPool:
    """Runs `task(job)` for many jobs in `size` processes: this one and workers forked from it.

    A worker sees the memory of this process as it was when the pool was made; what changes later is
    seen only in `shared` arrays. Jobs and results are copied through pipes, so `task` should
    leave large results in `shared` arrays.

    Example: WorkerPool(lambda n: n * n, 2).map([1, 2, 3]) -> [1, 4, 9]
    """

    def __init__(self, task: Callable[[Any], Any], size: int = 1) -> None:
        self.task = task
        self._workers: list[tuple[Any, Connection]] = []
        self._end = weakref.finalize(self, _end, self._workers)
        if not sys.platform.startswith("linux"):
            return  # elsewhere a fork and the system's matrix library do not agree
        context = multiprocessing.get_context("fork")
        # Signals wait until a new process ignores them (`_serve`): none meets one half made.
        held = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            for _ in range(size - 1):
                here, there = context.Pipe()
                inherited = [*(pipe for _, pipe in self._workers), here]
                worker = context.Process(target=_serve, args=(task, there, inherited), daemon=True)
                worker.start()
                there.close()
                self._workers.append((worker, here))
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, held)

    @property
    def size(self) -> int:
        """The number of processes, this one included."""
        return 1 + len(self._workers)

    def map(self, jobs: Sequence[Any]) -> list[Any]:
        """Return [task(job) for job in jobs]; this process does the first of every `size` jobs.

        The error of a job is raised here.
        """
        out: list[Any] = [None] * len(jobs)
        for first in range(0, len(jobs), self.size):
            helped = list(zip(jobs[first + 1 : first + self.size], self._workers, strict=False))
            try:
                for job, (_, pipe) in helped:
                    pipe.send(job)
                out[first] = self.task(jobs[first])
                for k, (_, (_, pipe)) in enumerate(helped, first + 1):
                    out[k] = pipe.recv()
            except (EOFError, BrokenPipeError, ConnectionResetError):
                raise RnncliError("a worker process was killed. Go on with --resume.") from None
        for value in out:
            if isinstance(value, BaseException):
                raise value
        return out

    def side_by_side(self, jobs: Sequence[Any]) -> Iterator[Any]:
        """Yield task((k, job)) for each job, in order; k is the number of the process that did it.

        A worker takes the next job as soon as it is free. This process, number 0, does none, unless
        it is alone: then it does them all. The error of a job is raised in its turn.
        """
        if not self._workers:
            yield from (self.task((0, job)) for job in jobs)
            return
        left = list(enumerate(jobs))[::-1]
        done: dict[int, Any] = {}
        doing: list[tuple[int, int, Connection]] = []  # process, job, pipe
        free = [(k, pipe) for k, (_, pipe) in enumerate(self._workers, 1)]
        for wanted in range(len(jobs)):
            while wanted not in done:
                try:
                    while free and left:
                        (k, pipe), (number, job) = free.pop(), left.pop()
                        pipe.send((k, job))
                        doing.append((k, number, pipe))
                    ready = connection.wait([pipe for _, _, pipe in doing])
                    for k, number, pipe in [one for one in doing if one[2] in ready]:
                        done[number] = pipe.recv()
                        doing.remove((k, number, pipe))
                        free.append((k, pipe))
                except (EOFError, BrokenPipeError, ConnectionResetError):
                    raise RnncliError("a worker process was killed. Start again.") from None
            value = done.pop(wanted)
            if isinstance(value, BaseException):
                raise value
            yield value

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        if kind is not None:  # nobody waits for their results any more
            for worker, _ in self._workers:
                worker.kill()
        self.close()

    def close(self) -> None:
        """End the workers; at the end of the program this happens in any case."""
        self._end()


def _end(workers: list[tuple[Any, Connection]]) -> None:
    """End workers and wait for them."""
    for worker, pipe in workers:
        with contextlib.suppress(OSError):  # its end of the pipe went with a killed worker
            pipe.send(None)
        worker.join()
        pipe.close()
    workers.clear()


def _serve(task: Callable[[Any], Any], pipe: Connection, inherited: list[Connection]) -> None:
    """Do the jobs that come through a pipe until None does: all that a worker ever does.

    Signals are left to the first process.
    """
    for end in inherited:  # a pipe ends only when nobody else holds its other end
        end.close()
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    while True:
        try:
            job = pipe.recv()
        except (EOFError, ConnectionResetError):  # the first process is gone
            job = None
        if job is None:
            os._exit(0)
        try:
            answer = task(job)
        except BaseException as error:
            answer = error
        try:
            pipe.send(answer)
        except OSError:  # the first process is gone
            os._exit(0)
