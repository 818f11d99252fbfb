"""The page `rnncli guide format` is enough: a reader written from it alone reads frozen files."""

import ast
import hashlib
import json
import math
import struct
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import rnncli

FROZEN = Path(__file__).parents[1] / "frozen"
MODELS = ("lstm", "gru", "asgd", "from")
DATA = ("word-document", "word-sentence", "char-stream", "byte-document")


# --- the reader ---


def entries(path):
    """Every array of a file by name, from the local headers alone."""
    data, at, found = path.read_bytes(), 0, {}
    while data[at : at + 4] == b"PK\3\4":
        size, _, n, m = struct.unpack_from("<LLHH", data, at + 18)
        name = data[at + 30 : at + 30 + n].decode().removesuffix(".npy")
        start = at + 30 + n + m
        assert data[start : start + 8] == b"\x93NUMPY\x01\x00"
        (length,) = struct.unpack_from("<H", data, start + 8)
        form = ast.literal_eval(data[start + 10 : start + 10 + length].decode())
        found[name] = form["descr"], form["shape"], data[start + 10 + length : start + size]
        at = start + size
    return found


def numbers(descr, octets):
    """[1.0, 2.0, ...] of the elements' bytes."""
    letter = {"b1": "?", "u1": "B", "u2": "H", "u4": "I", "i2": "h", "i4": "i", "i8": "q",
              "f4": "f", "f8": "d"}[descr[1:]]  # fmt: skip
    return [value for (value,) in struct.iter_unpack("<" + letter, octets)]


def read(path):
    """The meta object of a file and its arrays, checked as the page asks."""
    found = entries(path)
    digits, text = bytes(found.pop("meta")[2]).split(b"\n", 1)
    assert hashlib.sha256(text).hexdigest().encode() == digits
    meta, arrays = json.loads(text), {}
    assert (meta["format"], meta["version"], set(meta["arrays"])) == ("rnncli", 1, set(found))
    for name, (descr, shape, octets) in found.items():
        listed = meta["arrays"][name]
        assert (listed["dtype"], tuple(listed["shape"])) == (descr, shape)
        assert listed["sha256"] == hashlib.sha256(octets).hexdigest()
        arrays[name] = np.array(numbers(descr, octets), float).reshape(shape)
    return meta, arrays, {name: octets for name, (_, _, octets) in found.items()}


def vocabulary(meta, arrays, octets):
    """The tokens by id; the hash of the header is theirs."""
    ends = [0, *map(int, arrays["vocab.ends"])]
    tokens = [octets["vocab.text"][a:b].decode() for a, b in pairwise(ends)]
    part = meta["header"]["tokenizer"]
    lower = "+lower" if part["lower"] else ""
    rule = f"{part['level']}{lower}+nfc:{part['unit']}:v{part['version']}"
    F = hashlib.sha256(octets["vocab.ends"] + octets["vocab.text"]).hexdigest()
    assert part["hash"] == hashlib.sha256(f"{rule} {F}".encode()).hexdigest()
    assert part["size"] == len(tokens)
    return tokens


def nats(meta, arrays, ids):
    """The cost of ids after the first, in the equations of the page."""
    config, total = meta["header"]["config"], 0.0
    head = arrays["embed.W" if config["tied"] else "head.W"]
    layers = [
        {name.split(".")[-1]: a for name, a in arrays.items() if name.startswith(f"rnn.{k}.")}
        for k in range(config["layers"])
    ]
    states = [(np.zeros(w["Wh"].shape[1]), np.zeros(len(w["Wh"]) // 4)) for w in layers]
    for token, following in pairwise(ids):
        x = arrays["embed.W"][token] if config["embed"] else None
        for k, w in enumerate(layers):
            Wx = w["Wx"][token] if x is None else w["Wx"] @ x
            Wx = (w["gx"] * norm(Wx) if "gx" in w else Wx) + w["b"]
            states[k] = step(config["cell"], w, Wx, *states[k])
            x = states[k][0] + x if config["residual"] and k else states[k][0]
        logits = head @ x + arrays["head.b"]
        total += math.log(np.exp(logits - logits[following]).sum())
    return total


def norm(v):
    return (v - v.mean()) / np.sqrt(v.var() + 1e-5)


def step(cell, w, Wx, h, c):
    """One step of an lstm or a gru: h', c'."""
    H, Uh = len(w["Wh"]) // (4 if cell == "lstm" else 3), w["Wh"] @ h
    if cell == "lstm":
        Uh = w["gh"] * norm(Uh) if "gh" in w else Uh
        i, f, o = (1 / (1 + np.exp(-(Wx + Uh)[: 3 * H]))).reshape(3, H)
        c = f * c + i * np.tanh((Wx + Uh)[3 * H :])
        h = o * np.tanh(w["gc"] * norm(c) + w["bc"] if "gc" in w else c)
        return (w["Wp"] @ h if "Wp" in w else h), c
    r, z = (1 / (1 + np.exp(-(Wx + Uh)[: 2 * H]))).reshape(2, H)
    n = np.tanh(Wx[2 * H :] + r * (Uh[2 * H :] + w["bn"]))
    return (1 - z) * n + z * h, c


# --- what it reads is what rnncli reads ---


@pytest.mark.parametrize("name", DATA)
def test_a_data_file_is_read_by_the_page_alone(name):
    meta, arrays, octets = read(FROZEN / f"{name}.npz")
    dataset = rnncli.Dataset.open(FROZEN / f"{name}.npz")
    assert meta["kind"] == "data"
    assert vocabulary(meta, arrays, octets) == list(dataset.tokenizer.vocabulary.tokens)
    for split, part in dataset.splits.items():
        for member in ("ids", "starts", "rows"):
            assert arrays[f"{split}.{member}"].tolist() == getattr(part, member).tolist()
        figures = meta["header"]["splits"][split]
        assert figures["tokens"] == len(part.ids)
        assert figures["unknown"] == np.count_nonzero(part.ids == 0)
        assert figures["units"] == len(arrays[f"{split}.starts"]) - 1


@pytest.mark.parametrize("name", MODELS)
def test_a_model_file_is_read_and_run_by_the_page_alone(name):
    meta, arrays, octets = read(FROZEN / f"{name}.npz")
    language = rnncli.load(FROZEN / f"{name}.npz")
    tokens = vocabulary(meta, arrays, octets)
    level, unit = (meta["header"]["tokenizer"][key] for key in ("level", "unit"))
    text = "the old dog sees a cat"
    pieces = text.split() if level == "word" else list(text)
    ids = [tokens.index(piece) if piece in tokens else 0 for piece in pieces]
    ids = ids if unit == "stream" else [1, *ids, 2]
    assert sum(map(bool, ids)) > len(ids) / 2
    score = rnncli.evaluate(language, [text])
    assert score.tokens == len(ids) - 1
    assert nats(meta, arrays, ids) == pytest.approx(score.nats, rel=1e-5)


def test_the_arrays_and_cells_of_the_page_are_those_of_the_files():
    page = (Path(rnncli.__file__).parent / "guide" / "format.md").read_text("utf-8")
    seen = set()
    for name in (*MODELS, *DATA):
        meta, arrays, _ = read(FROZEN / f"{name}.npz")
        seen |= {part for entry in arrays for part in entry.split(".")[-1:]}
        assert all(f"`{key}`" in page for key in meta["header"] if key != "tokenizer")
    assert {"params", "mean", "h", "c"} < seen  # of the run, which the page leaves unread
    unread = {"params", "mean", "square", "average", "velocity", "h", "c", "good"}
    assert all(f"{name}`" in page for name in seen - unread)
