"""What is in a data or model file, as plain values to print; in a damaged one, what is damaged.

`describe` reads a file once, and trusts the checked reader. `members` walks the bytes of a zip on
its own, past damage, and says of each member where it lies and whether its checksum holds.
"""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rnncli.data.dataset import Dataset
from rnncli.files import artefact as artefacts
from rnncli.files.artefact import Artefact
from rnncli.files.atomic import telling
from rnncli.lm import language_model
from rnncli.lm.language_model import LanguageModel
from rnncli.nn.model import Model
from rnncli.text.tokenizer import Tokenizer
from rnncli.training import checkpoint

Array = NDArray[Any]

_BLOCK = 1 << 20
_CUT = "the file ends before it does"


def describe(path: str | Path, kind: str | None = None, *, tokens: int = 10) -> dict[str, Any]:
    """Read a sound file of the wanted kind, once; return what it says of itself, as JSON has it.

    ArtefactError for any other file; `described` says what the keys are.
    """
    return described(artefacts.read(path, kind, mapped=True), tokens=tokens)


def described(
    artefact: Artefact, language: LanguageModel | None = None, *, tokens: int = 10
) -> dict[str, Any]:
    """Return what a file that was read says of itself, as JSON has it.

    Keys of every file: file, bytes, kind, members (name, dtype, shape, bytes, sha256); of those
    that have one: tokenizer, vocabulary. Of a data file: inputs, split, seed, splits. Of a model:
    writer, config, carried, data (what it was trained on), history, parameters (count; arrays:
    name, shape, mean, std, norm), and where it holds its run: recipe, run. The vocabulary shows
    `tokens` from each end. `language` is the model in the file, where it was made already.
    """
    header = artefact.header
    out: dict[str, Any] = {"file": artefact.path, "bytes": artefact.size, "kind": artefact.kind}
    tokenizer: Tokenizer | None = None
    if artefact.kind == "data":
        data = Dataset.of(artefact)
        tokenizer = data.tokenizer
        out |= {"inputs": _names(header), "split": header.get("split"), "seed": header.get("seed")}
        out["splits"] = {name: header["splits"][name] for name in data.splits}
    elif artefact.kind == "model":
        language = language or language_model.language_of(artefact)
        tokenizer = language.tokenizer
        out |= {key: header.get(key) for key in ("writer", "config", "carried", "history")}
        out["data"] = {"hash": str(language.data.get("hash")), "inputs": _names(language.data)}
        out["parameters"] = _parameters(language.model)
        if "run" in header:
            out["recipe"] = checkpoint.run_of(artefact, language).recipe.to_json()
            out["run"] = {name: header["run"].get(name) for name in checkpoint.COUNTERS}
    if tokenizer is not None:
        out["tokenizer"] = {**tokenizer.to_header(), "signature": tokenizer.signature}
        out["vocabulary"] = _vocabulary(tokenizer, tokens)
    out["members"] = [
        {"name": name, "dtype": str(array.dtype), "shape": list(array.shape),
         "bytes": array.nbytes, "sha256": artefact.sha256[name]}
        for name, array in artefact.arrays.items()
    ]  # fmt: skip
    return out


def _names(header: dict[str, Any]) -> list[str]:
    """Pick the names of the input files; none where the header has something else there."""
    inputs = header.get("inputs")
    return [name for name in inputs if isinstance(name, str)] if isinstance(inputs, list) else []


def _parameters(model: Model) -> dict[str, Any]:
    rows = []
    for name, values in model.params.items():
        exact = np.asarray(values, np.float64)
        rows.append({
            "name": name, "shape": list(exact.shape), "mean": float(exact.mean()),
            "std": float(exact.std()), "norm": float(np.linalg.norm(exact)),
        })  # fmt: skip
    return {"count": model.params.flat.size, "arrays": rows}


def _vocabulary(tokenizer: Tokenizer, shown: int) -> dict[str, Any]:
    """List the most and the least frequent tokens with their counts in training; specials apart."""
    tokens, counts = tokenizer.vocabulary.tokens, tokenizer.vocabulary.counts.tolist()
    special = len(tokenizer.pretokenizer.specials)
    pairs = [[token, count] for token, count in zip(tokens, counts, strict=True)]
    plain = sorted(pairs[special:], key=lambda pair: -pair[1])
    return {
        "special": pairs[:special],
        "most": plain[:shown],
        "least": plain[shown:][-shown:] if shown else [],
        "once": sum(count == 1 for _, count in plain),
    }


class Member(NamedTuple):
    """A stretch of a file as its bytes have it, whatever the header says."""

    name: str
    start: int
    end: int  # where it ends, or should
    state: str  # "ok", or what is wrong


def members(path: str | Path) -> list[Member]:
    """Yield each member from the beginning of a file on, past damage, and the directory behind.

    What cannot be followed is a member "?" that reaches to the next one. Where nothing looks like a
    member the list is empty. ArtefactError where the file cannot be read.
    """
    found: list[Member] = []
    if not os.path.isfile(path):  # a pipe would wait
        return []
    with telling(os.fspath(path), "read"):
        size = os.path.getsize(path)
        with open(path, "rb") as file:
            at, end = _next(file, 0, size), 0
            while at < size and len(found) <= artefacts.MAX_MEMBERS:
                if at > end:
                    found.append(Member("?", end, at, "no header: what it was is not known"))
                found.append(_member(file, at, size))
                end = min(size, found[-1].end) if found[-1].state != _CUT else at + 4
                at = _next(file, end, size)
            if not found:
                return []
            cut = found[-1].state == _CUT
            return [*found, _directory(file, size if cut else end, size)]


def _directory(file: Any, start: int, size: int) -> Member:
    """Describe what follows the last member: the zip's directory, and the record that ends it."""
    file.seek(start)
    first = file.read(4)
    file.seek(max(start, size - 22))
    whole = first == b"PK\1\2" and file.read(4) == b"PK\5\6"
    return Member("(directory)", start, size, "ok" if whole else "missing or damaged")


def _next(file: Any, at: int, size: int) -> int:
    """Find where the next local header begins; the size of the file where there is none."""
    while at < size:
        file.seek(at)
        block = file.read(_BLOCK)
        place = block.find(b"PK\3\4")
        if place >= 0:
            return int(at + place)
        at += max(1, len(block) - 3)  # one may lie across two blocks
    return size


def _member(file: Any, at: int, size: int) -> Member:
    file.seek(at)
    head = file.read(30)
    if len(head) < 30:
        return Member("?", at, size, _CUT)
    crc, stored, _, name_length, extra_length = struct.unpack("<3L2H", head[14:])
    name = file.read(name_length).decode("utf-8", "replace").removesuffix(".npy")
    extra = file.read(extra_length)
    if stored == 0xFFFFFFFF and len(extra) >= 12:  # zip64: the size is in the first extra field
        (stored,) = struct.unpack("<Q", extra[4:12])
    start = at + 30 + name_length + extra_length
    end = start + stored
    if end > size:
        return Member(name, at, end, _CUT)
    found, left = 0, stored
    file.seek(start)
    while left:
        block = file.read(min(left, _BLOCK))
        found, left = zlib.crc32(block, found), left - len(block)
    return Member(name, at, end, "ok" if found == crc else "its bytes have another checksum")
