"""Reads and writes .safetensors files (huggingface/safetensors, format 0.x).

Eight bytes hold the length of a JSON header, little-endian; the header gives each tensor's dtype,
shape and place, and `__metadata__` texts by name; the data follows without a gap. There is no
checksum: the reader finds a file that is cut, padded or self-contradictory, not a flipped bit.
Nothing here knows what the tensors mean.
"""

import json
import math
import os
import stat
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnncli.errors import ArtefactError, shown
from rnncli.files.atomic import replacing, telling
from rnncli.files.canonical import bounded

Array = NDArray[Any]

DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}  # in the order of the data
MAX_HEADER = 16 << 20  # bytes; its metadata may hold a vocabulary, unlike those of artefacts
MAX_VALUES = 2_000_000  # in it


def write(
    path: str | os.PathLike[str], tensors: Mapping[str, Array], metadata: Mapping[str, str]
) -> None:
    """Write float32 and float64 tensors whole or not at all, in the layout of the official writer.

    A header that could not be read again is an ArtefactError; the file that was there stays.
    """
    path = os.fspath(path)
    kinds = {np.dtype(code): name for name, code in list(DTYPES.items())[:2]}
    order = sorted(tensors, key=lambda name: (-tensors[name].dtype.itemsize, name))
    entries: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    places, end = [], 0
    for name in order:
        tensor = tensors[name]
        start, end = end, end + tensor.nbytes
        places.append(start)
        entries[name] = {
            "dtype": kinds[tensor.dtype.newbyteorder("<")],
            "shape": list(tensor.shape),
            "data_offsets": [start, end],
        }
    head = json.dumps(entries, ensure_ascii=False, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    _header(head, path)
    with replacing(path) as put:
        put(len(head).to_bytes(8, "little") + head, 0)
        for name, start in zip(order, places, strict=True):
            tensor = np.ascontiguousarray(tensors[name], tensors[name].dtype.newbyteorder("<"))
            put(tensor.reshape(-1).view(np.uint8).data, 8 + len(head) + start)


def read(path: str | os.PathLike[str]) -> tuple[dict[str, Array], dict[str, str]]:
    """Return the tensors of a file, half precision as float32, and its metadata.

    ArtefactError, which names the file, for anything that is not a sound file of float tensors.
    """
    path = os.fspath(path)
    with telling(path, "read"):
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise _error(path, "not a regular file")
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            start = file.read(9)
            length = int.from_bytes(start[:8], "little")
            if start[8:] != b"{" and (start[:4] == b"PK\3\4" or start[:1] == b"\x80"):
                raise _error(path, "a pickle of PyTorch, which may hold code. In PyTorch, "
                             "safetensors.torch.save_file(model.state_dict(), ...) writes what can "
                             "be read here")  # fmt: skip
            if start[8:] != b"{" or length > size - 8:
                raise _error(path, "not a safetensors file, or cut short")
            if length > MAX_HEADER:
                raise _error(path, f"its header has {length:,} bytes, at most {MAX_HEADER:,}")
            file.seek(8)
            entries, metadata = _header(file.read(length), path)
            data = file.read()
    tensors = {}
    spans = []
    for name, (kind, shape, first, last) in entries.items():
        dtype = np.dtype(DTYPES[kind])
        count = math.prod(shape)
        if min((0, *shape)) < 0 or not 0 <= first <= last <= len(data):
            raise _error(path, f'damaged: the place of "{shown(name)}" is not in the file')
        if last - first != count * dtype.itemsize:
            raise _error(path, f'damaged: the place of "{shown(name)}" does not fit its shape')
        spans.append((first, last))
        tensor = np.frombuffer(memoryview(data)[first:last], dtype).reshape(shape)
        if kind == "BF16":  # the upper half of a float32
            tensor = (tensor.astype(np.uint32) << 16).view(np.float32)
        tensors[name] = tensor.astype(np.float64 if kind == "F64" else np.float32)
    spans.sort()
    if any(a[1] != b[0] for a, b in pairwise([(0, 0), *spans, (len(data), len(data))])):
        raise _error(path, "damaged: its tensors overlap, or something lies between them")
    return tensors, metadata


_Entry = tuple[str, tuple[int, ...], int, int]  # dtype, shape, first byte, one past the last


def _header(text: bytes, path: str) -> tuple[dict[str, _Entry], dict[str, str]]:
    """Return the entries and the metadata of a header; ArtefactError if it is not sound."""
    try:
        table = bounded(text, MAX_HEADER, MAX_VALUES, _once)
    except ValueError as error:
        raise _error(path, f"damaged: {error}") from None
    metadata = table.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(type(v) is str for v in metadata.values()):
        raise _error(path, "damaged: its metadata are not texts by name")
    entries: dict[str, _Entry] = {}
    for name, entry in table.items():
        if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
            raise _error(path, f'damaged: the entry of "{shown(name)}" is not of the format')
        kind, shape, place = entry["dtype"], entry["shape"], entry["data_offsets"]
        lists = isinstance(shape, list) and isinstance(place, list)
        if not lists or len(place) != 2 or {*map(type, shape + place)} != {int} or len(shape) > 8:
            raise _error(path, f'damaged: the entry of "{shown(name)}" is not of the format')
        if type(kind) is not str or kind not in DTYPES:
            known = ", ".join(DTYPES)
            raise _error(path, f'"{shown(name)}" holds {shown(kind)}, not one of {known}')
        entries[name] = kind, tuple(shape), place[0], place[1]
    return entries, metadata


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the dictionary of a JSON object; ValueError if a name comes twice."""
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ValueError("a name comes twice in its header")
    return values


def _error(path: str, text: str) -> ArtefactError:
    return ArtefactError(f"{shown(path, 300)}: {text}.")
