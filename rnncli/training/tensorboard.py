"""Event files for TensorBoard: scalars by step, written by tensorboardX (an extra)."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rnncli.errors import MissingExtra
from rnncli.files.atomic import telling


class Events:
    """Write a new event file in a folder, which is made if there is none.

    A run that goes on from a step writes a file of its own, with a mark at its start: what an older
    file has from this step on (a crash came before it was saved) TensorBoard leaves out.

    This is the plain writer below tensorboardX's SummaryWriter. That one has a thread, which must
    not be forked with a training's processes and waits for ever when the disk is full.
    """

    def __init__(self, folder: str | Path, step: int = 0) -> None:
        try:
            from tensorboardX.event_file_writer import EventsWriter
            from tensorboardX.proto import event_pb2, summary_pb2
        except ImportError:
            raise MissingExtra(
                "--tensorboard needs tensorboardX: pip install 'rnncli[tensorboard]'."
            ) from None
        self._folder, self._event, self._summary = str(folder), event_pb2, summary_pb2
        with telling(self._folder, "write"):
            Path(folder).mkdir(parents=True, exist_ok=True)
            # TensorBoard reads the files of a folder in the order of their names: seconds first.
            suffix = f".{time.time_ns() % 10**9:09}.{os.getpid()}"
            self._writer = EventsWriter(str(Path(folder).absolute() / "events"), suffix)
        if step:
            start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
            self._put(step=step + 1, session_log=start)

    def add(self, step: int, scalars: Mapping[str, float]) -> None:
        """Write the scalars of a step, by their tags."""
        value = self._summary.Summary.Value
        values = [value(tag=tag, simple_value=number) for tag, number in scalars.items()]
        self._put(step=step, summary=self._summary.Summary(value=values))

    def _put(self, **fields: Any) -> None:
        with telling(self._folder, "write"):
            self._writer.write_event(self._event.Event(wall_time=time.time(), **fields))
            self._writer.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        with telling(self._folder, "write"):
            self._writer.close()
