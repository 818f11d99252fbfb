"""Event files for TensorBoard, which need not be installed: scalars by step.

A file is a row of TFRecords (length, masked CRC32C of it, data, masked CRC32C of that), and each
record one protocol buffer `Event` (tensorflow/core/util/event.proto, framework/summary.proto).
"""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from rnncli.errors import ConfigError

WALL_TIME, STEP, VERSION, SUMMARY, SESSION = 1, 2, 3, 5, 7  # fields of Event
VALUE, TAG, SIMPLE_VALUE = 1, 1, 2  # of Summary, and of its values
STATUS, START = 1, 1  # of SessionLog


class Events:
    """Writes a new event file in a folder, which it makes if there is none.

    A run that goes on from a step writes a file of its own, and a mark at its start: what an older
    file has from this step on (a crash came before it was saved) TensorBoard leaves out.
    """

    def __init__(self, folder: str | Path, step: int = 0) -> None:
        try:
            Path(folder).mkdir(parents=True, exist_ok=True)
            now = time.time()  # TensorBoard reads the files of a folder in the order of their names
            name = f"{now:017.6f}.{socket.gethostname()}.{os.getpid()}"
            self._file = open(Path(folder) / f"events.out.tfevents.{name}", "xb")  # noqa: SIM115
        except OSError as error:
            raise ConfigError(f"{folder}: cannot write there: {error.strerror}.") from None
        self._put(event(now, 0, [(VERSION, b"brain.Event:2")]))
        if step:
            self._put(event(now, step + 1, [(SESSION, varint(STATUS << 3) + varint(START))]))

    def add(self, step: int, scalars: Mapping[str, float]) -> None:
        """Write the scalars of a step, by their tags."""
        self._put(event(time.time(), step, [(SUMMARY, summary(scalars))]))

    def _put(self, data: bytes) -> None:
        self._file.write(record(data))
        self._file.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self._file.close()


def event(seconds: float, step: int, parts: list[tuple[int, bytes]]) -> bytes:
    """An Event with a wall time, a step and submessages or texts by field."""
    head = varint(WALL_TIME << 3 | 1) + struct.pack("<d", seconds)
    return head + varint(STEP << 3) + varint(step) + b"".join(field(n, data) for n, data in parts)


def summary(scalars: Mapping[str, float]) -> bytes:
    """A Summary of single-precision values."""
    values = (
        field(TAG, tag.encode()) + varint(SIMPLE_VALUE << 3 | 5) + struct.pack("<f", value)
        for tag, value in scalars.items()
    )
    return b"".join(field(VALUE, value) for value in values)


def field(number: int, data: bytes) -> bytes:
    """A field that is a text or a message: its key, length and bytes."""
    return varint(number << 3 | 2) + varint(len(data)) + data


def varint(value: int) -> bytes:
    """A number from 0 on, seven bits a byte, the least first."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def record(data: bytes) -> bytes:
    """A TFRecord."""
    length = struct.pack("<Q", len(data))
    return length + masked(length) + data + masked(data)


def masked(data: bytes) -> bytes:
    """The CRC32C, rotated by 15 bits and shifted so that a CRC of CRCs is no CRC."""
    crc = crc32c(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def crc32c(data: bytes) -> int:
    """The cyclic redundancy check of Castagnoli (RFC 3720, appendix B.4)."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def _entry(value: int) -> int:
    for _ in range(8):
        value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    return value


TABLE = [_entry(byte) for byte in range(256)]
