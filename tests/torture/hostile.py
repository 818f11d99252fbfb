"""Files made to do harm: claims that are not so, bombs, forged parts; each has to be refused.

    python tests/torture hostile     with the time and the memory that each refusal takes

`files` has them all by name. Knows the format from the inside: their checksums are right.
"""

import functools
import hashlib
import io
import pickle
import struct
import time
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from commands import TINY, good, sentences
from damage import small_model
from tally import Tally

from rnncli.data.dataset import Dataset
from rnncli.errors import ArtefactError
from rnncli.files import artefact, canonical, container
from rnncli.training import checkpoint

SECONDS, BYTES = 0.05, 8 << 20  # what a refusal may take


def resealed(meta: Any, members: list[container.Member], data: list[bytes]) -> bytes:
    """A file whose checksums are right, whatever it holds; `meta` is an object or JSON text."""
    text = meta if isinstance(meta, bytes) else canonical.dumps(meta)
    letters = hashlib.sha256(text).hexdigest().encode() + b"\n" + text
    out, placed = b"", []
    last = container.Member("meta", "|u1", (len(letters),), 0)
    for member, octets in zip([*members, last], [*data, letters], strict=True):
        crc = zlib.crc32(octets, zlib.crc32(member.npy))
        placed.append(member._replace(offset=len(out), crc=crc))
        out += placed[-1].head + octets
    if placed[-1].end == len(out):
        return out + container.tail(placed)
    directory = b"".join(member.entry for member in placed)  # sizes that are not the data's
    end = (b"PK\5\6", 0, 0, len(placed), len(placed), len(directory), len(out), 0)
    return out + directory + struct.pack("<4s4H2LH", *end)


def meta_of(name: str, dtype: Any, shape: Any, data: bytes, **changed: Any) -> dict[str, Any]:
    spec = {"dtype": dtype, "shape": shape, "sha256": hashlib.sha256(data).hexdigest()}
    meta = {"format": "rnncli", "version": 1, "kind": "data", "header": {}, "arrays": {name: spec}}
    return {**meta, **changed}


CLAIMS: list[tuple[str, str, tuple[Any, ...]]] = [
    ("a", "<f8", (10**12,)),
    ("a", "<f8", (10**20,)),
    ("a", "<f8", (65536,) * 4),
    ("a", "<f8", (2**61, 8)),
    ("a", "<f8", (0, 2**62, 2**62)),
    ("a", "<f8", (-1,)),
    ("a", "<f8", (-1, -3)),
    ("a", "<f8", (True,)),
    ("a", "<f8", (3.0,)),
    ("a", "<f8", ("3",)),
    ("a", "<f8", (None,)),
    ("a", "<f8", (1,) * 70 + (3,)),
    ("a", "<f8", (2,)),
    ("a", "<f8", (4,)),
    ("a", "<f4", (3,)),
    ("a", ">f8", (3,)),
    ("a", "|O", (3,)),
    ("a", "<U2", (3,)),
    ("a", "<c16", (1,)),
    ("a", "|V8", (3,)),
    ("a", "<f8\x1b[2J", (3,)),
    ("../../x", "<f8", (3,)),
    ("/etc/passwd", "<f8", (3,)),
    ("a.npy", "<f8", (3,)),
    ("meta", "<f8", (3,)),
    ("a\x1b[2J", "<f8", (3,)),
    ("a" * 200, "<f8", (3,)),
]


def claiming(name: str, dtype: str, shape: tuple[Any, ...]) -> list[bytes]:
    """Files whose header claims this of three float64."""
    data = np.arange(3.0).tobytes()
    plain = container.Member(name, "<f8", (3,), 0)
    meta = meta_of(name, dtype, list(shape), data)
    # Once with zip structures that fit the data, once, where they can, that fit the claim.
    files = [resealed(meta, [plain], [data])]
    try:
        files.append(resealed(meta, [plain._replace(dtype=dtype, shape=shape)], [data]))
    except (TypeError, ValueError, struct.error):
        assert dtype.startswith("<f8") or "\x1b" in dtype
    return files


GOOD = meta_of("a", "|u1", [2], b"hi")


HEADERS = [
    b"",
    b"null",
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b"1" * 5000,
    b"\xff\xfe",
    canonical.dumps({**GOOD, "version": True}),
    canonical.dumps({**GOOD, "version": 0}),
    canonical.dumps({**GOOD, "version": 1.0}),
    canonical.dumps({**GOOD, "version": None}),
    canonical.dumps({**GOOD, "kind": "toy"}),
    canonical.dumps({**GOOD, "kind": ["data"]}),
    canonical.dumps({**GOOD, "header": []}),
    canonical.dumps({**GOOD, "arrays": []}),
    canonical.dumps({**GOOD, "arrays": {}}),
    canonical.dumps({**GOOD, "arrays": {"a": None}}),
    canonical.dumps({**GOOD, "arrays": {"a": {**GOOD["arrays"]["a"], "sha256": []}}}),
    canonical.dumps({**GOOD, "arrays": {"a": {**GOOD["arrays"]["a"], "shape": 2}}}),
    canonical.dumps({**GOOD, "arrays": {"a": {**GOOD["arrays"]["a"], "dtype": []}}}),
    canonical.dumps({**GOOD, "arrays": {**GOOD["arrays"], "b": GOOD["arrays"]["a"]}}),
    canonical.dumps({**GOOD, "more": 1}),
    canonical.dumps({**GOOD, "format": "rnn"}),
    canonical.dumps(GOOD) + b" ",
    canonical.dumps(GOOD).replace(b'"header":{}', b'"header":{"x":NaN}'),
    canonical.dumps(GOOD).replace(b'"header":{}', b'"header":{"x":1e999}'),
    canonical.dumps(GOOD).replace(b'"header":{}', b'"header":{"x":"\\ud800"}'),
    canonical.dumps(GOOD).replace(b'"header":{}', b'"header":{"x":1,"x":2}'),
    canonical.dumps({**GOOD, "header": {"x": [0] * 500_000}}),
]


def headed(text: bytes) -> bytes:
    """A file with this text as its header, and the array that GOOD has."""
    return resealed(text, [container.Member("a", "|u1", (2,), 0)], [b"hi"])


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


def npy(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


def npz(**arrays: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.savez(out, allow_pickle=True, **arrays)
    return out.getvalue()


@functools.cache
def bomb(method: int) -> bytes:
    """16 MiB of zeros, small in the file, with the mark of the format at its head."""
    zeros = npy(np.zeros(16 << 20, np.uint8))
    return zipped({"rnncli.npy": zeros, "meta.npy": zeros}, method)


def header_bomb() -> bytes:
    """A .npy header, format 2, that claims 512 MiB."""
    claim = b"\x93NUMPY\x02\x00" + struct.pack("<I", 512 << 20) + b" " * 1000
    return zipped({"rnncli.npy": claim, "meta.npy": claim})


def good_file(folder: Path) -> bytes:
    small_model(folder / "good.npz")
    return (folder / "good.npz").read_bytes()


def retouched(good: bytes, entry: int, place: str, value: int) -> bytes:
    """`good` with one field of one entry of the central directory set."""
    at = -1
    for _ in range(entry + 1):
        at = good.index(b"PK\1\2", at + 1)
    offset, form = {"flags": (8, "<H"), "method": (10, "<H"), "csize": (20, "<L"),
                    "size": (24, "<L"), "offset": (42, "<L")}[place]  # fmt: skip
    out = bytearray(good)
    struct.pack_into(form, out, at + offset, value)
    return bytes(out)


def doubled(good: bytes) -> bytes:
    """`good` with the name of its first member on the second one too, in both places."""
    return good.replace(b"best.npy", b"Wx.npy\0\0")


FOREIGN: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda good: b"",
    "text": lambda good: b"Dear diary, \x1b[2J\n",
    "letters PK": lambda good: b"PK",
    "pickle": lambda good: pickle.dumps({"a": 1}),
    "npy": lambda good: npy(np.zeros(3)),
    "zip without members": lambda good: zipped({}),
    "other npz": lambda good: npz(a=np.zeros(3)),
    "other npz with a meta": lambda good: npz(rnncli=np.zeros(3), meta=np.zeros(300, np.uint8)),
    "object array": lambda good: npz(rnncli=np.array([{}], object)),
    "deflate bomb": lambda good: bomb(zipfile.ZIP_DEFLATED),
    "bzip2 bomb": lambda good: bomb(zipfile.ZIP_BZIP2),
    "lzma bomb": lambda good: bomb(zipfile.ZIP_LZMA),
    "header bomb": lambda good: header_bomb(),
    "junk before": lambda good: b"junk" + good,
    "a zip before": lambda good: zipped({"a": b"b"}) + good,
    "junk after": lambda good: good + b"junk",
    "zip after": lambda good: good + good,
    "comment": lambda good: good[:-2] + b"\x04\x00junk",
    "encrypted": lambda good: retouched(good, 0, "flags", 1),
    "deflated": lambda good: retouched(good, 0, "method", 8),
    "size of 4 GiB": lambda good: retouched(good, 0, "size", 0xFFFFFFFE),
    "meta size of 4 GiB": lambda good: retouched(good, 3, "size", 0xFFFFFFFE),
    "64-bit size without one": lambda good: retouched(good, 3, "size", 0xFFFFFFFF),
    "packed size": lambda good: retouched(good, 0, "csize", 1),
    "overlap": lambda good: retouched(good, 1, "offset", 0),
    "twice the same name": doubled,
    "fortran": lambda good: good.replace(b"'fortran_order': False", b"'fortran_order': True "),
    "end that points at itself": lambda good: good[:-6] + b"\xff\xff\xff\xff\0\0",
    "many members": lambda good: zipped({f"rnncli{i}": b"" for i in range(5000)}),
}


def senseless(folder: Path) -> Iterator[tuple[str, bytes, Callable[[Path], object]]]:
    """Data and model files that are whole, and hold what cannot be: name, bytes, who refuses."""
    (folder / "t.txt").write_text(sentences(60))
    data, model = folder / "d.npz", folder / "m.npz"
    good("tokenize", folder / "t.txt", "-o", data)
    good("train", data, "-o", model, *TINY, "--max-steps", 2, "--threads", 1)
    found: dict[str, Any] = {"data": artefact.read(data), "model": artefact.read(model)}
    loaders = {"data": Dataset.open, "model": checkpoint.resume}

    def with_(kind: str, **changed: Any) -> tuple[str, bytes, Callable[[Path], object]]:
        arrays = {**found[kind].arrays}
        for name, change in changed.items():
            key = name.replace("__", ".")
            arrays[key] = arrays[key].copy()
            arrays[key][...] = change(arrays[key])
        artefact.write(folder / "new.npz", kind, found[kind].header, arrays)
        what = f"{kind} with another {', '.join(changed)}"
        return what, (folder / "new.npz").read_bytes(), loaders[kind]

    def last(array: np.ndarray, value: Any) -> np.ndarray:
        array.reshape(-1)[-2] = value
        return array

    yield with_("data", train__ids=lambda a: last(a, 65535))
    yield with_("data", valid__ids=lambda a: last(a, int(a.max()) + 1000))
    yield with_("data", train__starts=lambda a: last(a, -5))
    yield with_("data", train__starts=lambda a: last(a, 10**15))
    yield with_("data", train__rows=lambda a: last(a, 10**15))
    for name in ("head.W", "rnn.0.fwd.Wx", "embed.W"):
        for value in (np.nan, np.inf):
            if name in found["model"].arrays:
                key = name.replace(".", "__")
                yield with_("model", **{key: lambda a, v=value: last(a, v)})


def files(folder: Path) -> Iterator[tuple[str, bytes, Callable[[Path], object]]]:
    """All of them: name, bytes, and the loader that has to refuse them."""
    small_model(folder / "good.npz")
    whole = (folder / "good.npz").read_bytes()
    yield from ((name, make(whole), artefact.read) for name, make in FOREIGN.items())
    yield from senseless(folder)
    for number, text in enumerate(HEADERS):
        yield f"header {number}", headed(text), artefact.read
    for claim in CLAIMS:
        yield from ((f"claim {claim}"[:60], file, artefact.read) for file in claiming(*claim))


def torture(count: int, folder: Path) -> Tally:
    """At least `count` of them if there are: refused, and within time and memory."""
    tally = Tally()
    for name, content, load in files(folder):
        path = folder / "x.npz"
        path.write_bytes(content)
        took, peak = [], 0
        for attempt in range(4):  # the last one counts memory, which is slow
            if attempt == 3:
                tracemalloc.start()
            begun = time.perf_counter()
            try:
                load(path)
                tally.failed(f"{name}: loaded")
            except ArtefactError as error:
                if not (str(error).startswith(f"{path}: ") and str(error).isprintable()):
                    tally.failed(f"{name}: {error}")
            except Exception as error:
                tally.failed(f"{name}: {error!r}")
            if attempt < 3:
                took.append(time.perf_counter() - begun)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        if min(took) > SECONDS or peak > BYTES + len(content):
            tally.failed(f"{name}: {min(took) * 1000:.0f} ms, {peak / 2**20:.1f} MiB")
        tally.reached += 1
        if tally.reached == count:
            break
    return tally
