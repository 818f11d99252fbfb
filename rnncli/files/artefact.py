"""Reads and writes the .npz files of rnncli: a crash cannot break one, and damage is always found.

A file is an uncompressed zip of .npy members; `np.load` opens it. The last member, `meta.npy`, is
text: the sha256 of a JSON object, a newline, the object (format, version, kind, arrays, header).
The bytes are canonical: the reader works out what the writer would have written and compares.
A later format keeps the place and the form of `meta.npy`, so that its version can be read.
This module does not know what the arrays or the header mean.
"""

import hashlib
import math
import mmap
import os
import re
import stat
import weakref
import zlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from rnncli.errors import ArtefactError, ChangedError, shown
from rnncli.files.atomic import Put, replacing, telling
from rnncli.files.canonical import JSON, dumps, loads
from rnncli.files.container import ALIGN, CENTRAL, END, END64, FULL, LOCATOR, MARK, Member, tail

FORMAT = "rnncli"
VERSION = 1
KINDS = {  # kind: the command that makes it
    "data": "rnncli tokenize",
    "model": "rnncli train",
}
DTYPES = ("|b1", "|u1", "<u2", "<u4", "<i2", "<i4", "<i8", "<f4", "<f8")
MAX_MEMBERS = 1024
MAX_META = 8 << 20  # bytes
MAX_VALUES = 500_000  # in it

_NAME = re.compile(r"(?!meta$)[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}(?<!\.npy)")
_BLOCK = 1 << 20


class ArrayBlocks(NamedTuple):
    """An array that is written block by block; together they hold exactly `shape`, in C order."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    blocks: Iterable[np.ndarray]


def _as_it_was() -> None:
    """Do nothing: arrays in memory do not change with their file."""


class Artefact(NamedTuple):
    """A file that was read and checked; the arrays are in the order of the file.

    `still` raises a ChangedError once a mapped file is no longer what it was. Whoever reads mapped
    arrays calls it before and after.
    """

    path: str
    kind: str
    header: dict[str, JSON]
    arrays: dict[str, np.ndarray]
    size: int  # bytes of the file
    sha256: dict[str, str]  # of each array's bytes (hex)
    still: Callable[[], None] = _as_it_was


def _octets(array: np.ndarray) -> memoryview:
    """Return the bytes of a C-ordered array, which may be empty (unlike for `memoryview.cast`)."""
    return array.reshape(-1).view(np.uint8).data


# --- writing ---


def write(
    path: str | os.PathLike[str],
    kind: str,
    header: Mapping[str, JSON],
    arrays: Mapping[str, np.ndarray | ArrayBlocks],
) -> None:
    """Write a file whole or not at all; it replaces an older one only when it is on the disk.

    The same input gives the same bytes. The header is read after the last block, so that making the
    blocks may still change it. A name, dtype or number of elements that does not fit is a
    ValueError, a failure of the file system an ArtefactError; the older file then stays.
    """
    if kind not in KINDS:
        raise ValueError(f"no kind of file: {kind!r}")
    if len(arrays) >= MAX_MEMBERS:
        raise ValueError(f"{len(arrays)} arrays, at most {MAX_MEMBERS - 1}")
    streams = {name: _stream(name, array) for name, array in arrays.items()}
    with replacing(os.fspath(path)) as put:
        members: list[Member] = []
        table = {}
        for name, stream in streams.items():
            member, sha256 = _put_member(put, name, stream, members[-1].end if members else 0)
            members.append(member)
            table[name] = {"dtype": member.dtype, "shape": member.shape, "sha256": sha256}
        meta = {"format": FORMAT, "version": VERSION, "kind": kind, "arrays": table}
        text = dumps({**meta, "header": dict(header)})
        loads(text, MAX_META, MAX_VALUES)  # what could not be read again is not written
        text = hashlib.sha256(text).hexdigest().encode() + b"\n" + text
        letters = np.frombuffer(text, np.uint8)
        stream = ArrayBlocks(letters.dtype, letters.shape, [letters])
        members.append(_put_member(put, "meta", stream, members[-1].end if members else 0)[0])
        put(tail(members), members[-1].end)


def _stream(name: str, array: np.ndarray | ArrayBlocks) -> ArrayBlocks:
    """Return an array as little-endian blocks; ValueError for a name or form that cannot be."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"no name for an array: {name!r}")
    if isinstance(array, np.ndarray):
        array = ArrayBlocks(array.dtype, array.shape, [array])
    dtype = np.dtype(array.dtype).newbyteorder("<")
    shape = tuple(int(n) for n in array.shape)
    if not _fits(dtype.str, list(shape)):
        raise ValueError(f"array {name!r}: dtype {dtype} or shape {shape} is not in the format")
    return ArrayBlocks(dtype, shape, array.blocks)


def _fits(dtype: JSON, shape: JSON) -> bool:
    """Return whether the format has such arrays."""
    return (
        type(dtype) is str
        and dtype in DTYPES
        and type(shape) is list
        and len(shape) <= 32
        and all(type(n) is int and n >= 0 for n in shape)
        and math.prod(max(n, 1) for n in shape) < 2**59  # so that NumPy can count its bytes
    )


def _put_member(put: Put, name: str, stream: ArrayBlocks, offset: int) -> tuple[Member, str]:
    """Write one member at `offset`; return it and the sha256 (hex) of its data."""
    member = Member(name, stream.dtype.str, stream.shape, offset)
    put(member.head, offset)
    at, end, crc, digest = member.start, member.end, zlib.crc32(member.npy), hashlib.sha256()
    for block in stream.blocks:
        if block.dtype.newbyteorder("<") != stream.dtype:
            raise ValueError(f"array {name!r}: a block of {block.dtype}, not {stream.dtype}")
        data = _octets(np.asarray(block, stream.dtype, order="C"))
        if at + len(data) > end:
            raise ValueError(f"array {name!r}: more elements than its shape {stream.shape} holds")
        for i in range(0, len(data), _BLOCK):  # small enough to stay in the cache for all three
            piece = data[i : i + _BLOCK]
            digest.update(piece)
            crc = zlib.crc32(piece, crc)
            put(piece, at + i)
        at += len(data)
    if at != end:
        raise ValueError(f"array {name!r}: fewer elements than its shape {stream.shape} holds")
    member = member._replace(crc=crc)
    put(member.head, offset)  # now with the CRC
    return member, digest.hexdigest()


# --- reading ---


class _File(NamedTuple):
    """An open file of known size; every read goes through its one descriptor."""

    path: str
    descriptor: int
    size: int

    def bytes(self, start: int, end: int) -> bytes:
        """Return the bytes from `start` to `end`; ArtefactError unless they lie in the file."""
        if not 0 <= start <= end <= self.size:
            raise self.damaged("its parts do not fit its size")
        out = bytearray(end - start)
        self.fill(memoryview(out), start)
        return bytes(out)

    def fill(self, out: memoryview, start: int) -> None:
        """Read the bytes from `start` on into `out`."""
        with telling(self.path, "read"):
            while out:
                done = os.preadv(self.descriptor, [out], start)
                if not done:
                    raise self.damaged("it was cut short while it was read")
                out, start = out[done:], start + done

    def error(self, text: str) -> ArtefactError:
        """Return an error that names the file."""
        return ArtefactError(f"{shown(self.path, 300)}: {text}.")

    def damaged(self, what: str) -> ArtefactError:
        """Return the error of a file that `write` did not write."""
        return self.error(f"damaged: {what}. Restore it or make it again")


def read(
    path: str | os.PathLike[str], kind: str | None = None, *, mapped: bool = False
) -> Artefact:
    """Read a file and check every byte of it; ArtefactError for what `write` did not write.

    A file of another kind than `kind` is refused. `mapped` arrays are read-only views of the file
    on the disk, and stay what they are when another file takes its name.
    """
    path = os.fspath(path)
    with telling(path, "read"):
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a pipe must not wait
    try:
        with telling(path, "read"):
            status = os.fstat(descriptor)
        file = _File(path, descriptor, status.st_size)
        if not stat.S_ISREG(status.st_mode):
            raise file.error("not a regular file")
        members, meta = _parse(file, kind)
        view, still = None, _as_it_was
        if mapped:
            try:
                with telling(path, "map"):
                    view = mmap.mmap(descriptor, file.size, access=mmap.ACCESS_READ)
            except ValueError:
                raise file.damaged("it was cut short while it was read") from None
            still = _Unchanged(file, status, members, meta)
        sha256 = {member.name: meta["arrays"][member.name]["sha256"] for member in members}
        arrays = {one.name: _array(file, one, sha256[one.name], view) for one in members}
        return Artefact(path, meta["kind"], meta["header"], arrays, file.size, sha256, still)
    finally:
        os.close(descriptor)


class _Unchanged:
    """Raises a ChangedError once a mapped file is no longer what it was when it was read.

    Another size says so at once; where only the time of change differs, the checksums decide.
    (A process that touches a page which a mapped file has lost is ended by a signal, SIGBUS.)
    """

    def __init__(
        self, file: _File, status: os.stat_result, members: list[Member], meta: dict[str, JSON]
    ) -> None:
        with telling(file.path, "read"):
            self.file = file._replace(descriptor=os.dup(file.descriptor))
        self.members, self.meta, self.time = members, meta, status.st_mtime_ns
        weakref.finalize(self, os.close, self.file.descriptor)

    def __call__(self) -> None:
        with telling(self.file.path, "read"):
            status = os.fstat(self.file.descriptor)
        if (status.st_size, status.st_mtime_ns) == (self.file.size, self.time):
            return
        changed = ChangedError(str(self.file.damaged("it was changed while it was in use")))
        if status.st_size != self.file.size:
            raise changed
        try:
            members, meta = _parse(self.file, None)
            for member in members:
                _array(self.file, member, meta["arrays"][member.name]["sha256"], None)
        except ArtefactError:
            raise changed from None
        if meta != self.meta:
            raise changed
        self.time = status.st_mtime_ns


def _parse(file: _File, kind: str | None) -> tuple[list[Member], dict[str, JSON]]:
    """Return the members and the meta object; only the data of the file is not checked yet."""
    if not file.size:
        raise file.error("an empty file")
    head = file.bytes(0, min(file.size, 256))
    if not head.startswith(b"PK"):
        raise file.error("not an rnncli file (plain text?)")
    foreign = file.error("an .npz file, but not written by rnncli")
    if MARK not in head:
        raise foreign
    start, found, size = _directory(file)
    size -= 2 * ALIGN  # of its .npy header
    if not found or found[-1][0] != "meta" or not 0 <= size <= min(start, 65 + MAX_META):
        raise foreign
    letters = file.bytes(start - size, start)
    text = letters[65:]
    if letters[:65] != hashlib.sha256(text).hexdigest().encode() + b"\n":
        raise file.damaged("its header has another checksum")
    try:
        meta = loads(text, MAX_META, MAX_VALUES)
    except ValueError as error:
        raise file.damaged(str(error)) from None
    if not isinstance(meta, dict) or meta.get("format") != FORMAT:
        raise foreign
    _check_meta(file, meta, kind)
    if sorted(name for name, _ in found[:-1]) != sorted(meta["arrays"]):
        raise file.damaged("its members are not those that its header lists")
    members: list[Member] = []
    table = {**meta["arrays"], "meta": {"dtype": "|u1", "shape": [len(letters)]}}
    offset = 0
    for name, crc in found:
        shape = tuple(table[name]["shape"])
        member = Member(name, table[name]["dtype"], shape, offset, crc)
        if file.bytes(offset, member.start) != member.head:
            raise file.damaged(f'member "{name}" is not where and what it should be')
        members.append(member)
        offset = member.end
    if offset != start or file.bytes(start, file.size) != tail(members):
        raise file.damaged("its directory is not what it should be")
    return members[:-1], meta


def _directory(file: _File) -> tuple[int, list[tuple[str, int]], int]:
    """Return where the directory begins, its names and CRCs, and the size of the last member."""
    torn = file.damaged("its end is missing, or something was added")
    end = file.size - END.size
    magic, *_, length, start, _ = END.unpack(file.bytes(end, file.size))
    if start == FULL:
        end -= END64.size + LOCATOR.size
        start = END64.unpack(file.bytes(end, end + END64.size))[-1]
    if magic != b"PK\5\6" or start + length != end or length > MAX_MEMBERS * 256:
        raise torn
    entries = file.bytes(start, end)
    found, size, at = [], 0, 0
    while at < len(entries):
        if len(entries) - at < CENTRAL.size:
            raise torn
        fields = CENTRAL.unpack_from(entries, at)
        crc, size, name_length, extra_length = fields[7], *fields[9:12]
        extra = at + CENTRAL.size + name_length
        name = entries[at + CENTRAL.size : extra].decode("ascii", "replace")
        if size == FULL:
            size = int.from_bytes(entries[extra + 4 : extra + 12], "little")
        found.append((name.removesuffix(".npy"), crc))
        at = extra + extra_length
    if len(found) > MAX_MEMBERS:
        raise torn
    return start, found, size


def _check_meta(file: _File, meta: dict[str, JSON], kind: str | None) -> None:
    """Refuse another version, another kind, and a table of arrays that the format does not have."""
    version = meta.get("version")
    if type(version) is int and version > VERSION:
        newer = f"format {shown(version)}, this one reads {VERSION}"
        raise file.error(f"written by a newer rnncli ({newer}). Upgrade")
    good = (
        type(version) is int
        and version == VERSION
        and set(meta) == {"format", "version", "kind", "arrays", "header"}
        and isinstance(meta["kind"], str)
        and meta["kind"] in KINDS
        and isinstance(meta["header"], dict)
        and isinstance(meta["arrays"], dict)
        and all(
            _NAME.fullmatch(name)
            and isinstance(spec, dict)
            and set(spec) == {"dtype", "shape", "sha256"}
            and _fits(spec["dtype"], spec["shape"])
            for name, spec in meta["arrays"].items()
        )
    )
    if not good:
        raise file.damaged("its header is not one that rnncli writes")
    if kind not in (None, meta["kind"]):
        wanted = f"a {kind} file is needed here (the output of {KINDS[kind]})"
        raise file.error(f"a {meta['kind']} file, but {wanted}")


def _array(file: _File, member: Member, sha256: JSON, mapped: mmap.mmap | None) -> np.ndarray:
    """Return the data of one member, checked by reading the file even where it is mapped."""
    out = None
    if mapped is None or not member.nbytes:
        array = np.empty(member.shape, member.dtype)
        out = _octets(array)
    else:
        count = math.prod(member.shape)
        array = np.frombuffer(mapped, member.dtype, count, member.start).reshape(member.shape)
    spare = memoryview(bytearray(_BLOCK if out is None else 0))
    digest = hashlib.sha256()
    for at in range(0, member.nbytes, _BLOCK):
        n = min(_BLOCK, member.nbytes - at)
        block = spare[:n] if out is None else out[at : at + n]
        file.fill(block, member.start + at)
        digest.update(block)
    if digest.hexdigest() != sha256:
        raise file.damaged(f'member "{member.name}" has another checksum')
    if mapped is not None:
        array.flags.writeable = False
    return array
