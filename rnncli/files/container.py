"""Makes the bytes of an .npz file that are not data: an uncompressed zip whose arrays are aligned.

They follow from names, dtypes, shapes and checksums alone, so that a reader can work out what the
writer would have written. Nothing here reads a file or knows what the arrays mean.
"""

import math
import struct
from typing import NamedTuple

import numpy as np

ALIGN = 64
FULL = 0xFFFFFFFF  # in a 32-bit zip field: the value is in the 64-bit one
_ZIP64 = 0xFFFFFFFF  # values from here on need the 64-bit field
_DATE = 1 << 5 | 1  # 1980-01-01
_PADDING = 0x6E72  # id of the extra field that aligns the data, and carries the mark
MARK = b"rnncli"
_LOCAL = struct.Struct("<4s5H3L2H")
CENTRAL = struct.Struct("<4s6H3L5H2L")
END = struct.Struct("<4s4H2LH")
END64 = struct.Struct("<4sQ2H2L4Q")
LOCATOR = struct.Struct("<4sLQL")


class Member(NamedTuple):
    """An array in the file: its name, form and place, and all bytes around its data."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int  # of its local header
    crc: int = 0  # of the .npy header and the data

    @property
    def nbytes(self) -> int:
        """Bytes of its data."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize

    @property
    def npy(self) -> bytes:
        """The .npy header, format 1.0."""
        fields = f"{{'descr': {self.dtype!r}, 'fortran_order': False, 'shape': {self.shape!r}, }}"
        fields += " " * (-(10 + len(fields) + 1) % ALIGN) + "\n"
        return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(fields)) + fields.encode()

    @property
    def head(self) -> bytes:
        """All that comes before the data: local header and .npy header."""
        name, npy = f"{self.name}.npy".encode(), self.npy
        size = len(npy) + self.nbytes
        wide = size >= _ZIP64
        extra = struct.pack("<2H2Q", 1, 16, size, size) if wide else b""
        used = self.offset + _LOCAL.size + len(name) + len(extra) + 4 + len(MARK)
        mark = MARK + bytes(-used % ALIGN)
        extra += struct.pack("<2H", _PADDING, len(mark)) + mark
        size = FULL if wide else size
        fixed = (45 if wide else 20, 0, 0, 0, _DATE, self.crc, size, size, len(name), len(extra))
        return _LOCAL.pack(b"PK\3\4", *fixed) + name + extra + npy

    @property
    def start(self) -> int:
        """Where its data begins."""
        return self.offset + len(self.head)

    @property
    def end(self) -> int:
        """Where its data ends, and the next member begins."""
        return self.start + self.nbytes

    @property
    def entry(self) -> bytes:
        """Its entry in the central directory."""
        name, size, offset = f"{self.name}.npy".encode(), len(self.npy) + self.nbytes, self.offset
        wide = []
        if size >= _ZIP64:
            wide, size = [size, size], FULL
        if offset >= _ZIP64:
            wide, offset = [*wide, offset], FULL
        extra = struct.pack(f"<2H{len(wide)}Q", 1, 8 * len(wide), *wide) if wide else b""
        needs = 45 if wide else 20
        fixed = (needs, needs, 0, 0, 0, _DATE, self.crc, size, size, len(name), len(extra))
        return CENTRAL.pack(b"PK\1\2", *fixed, 0, 0, 0, 0, offset) + name + extra


def tail(members: list[Member]) -> bytes:
    """Return the central directory and the end records."""
    directory = b"".join(member.entry for member in members)
    count, size, start = len(members), len(directory), members[-1].end
    end64 = b""
    if start >= _ZIP64:
        end64 = END64.pack(b"PK\6\6", 44, 45, 45, 0, 0, count, count, size, start)
        end64 += LOCATOR.pack(b"PK\6\7", 0, start + size, 1)
        start = FULL
    return directory + end64 + END.pack(b"PK\5\6", 0, 0, count, count, size, start, 0)
