"""Work is done once: what a command reads, hashes and plans, counted while it runs."""

import hashlib
import sys
from collections import Counter
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from commands import TINY, good, sentences

from rnncli.data import batches, dataset
from rnncli.lm import language_model, network
from rnncli.text import tokenizer

opened = Counter()  # how often each file was opened for reading since the counter was cleared


def _count(event, details):
    if event == "open" and isinstance(details[0], str) and details[0].endswith(".npz"):
        opened[details[0]] += 1


sys.addaudithook(_count)  # it stays until the process ends


def _counting(calls):
    """`hashlib.sha256` that notes each call."""

    def sha256(data):
        calls.append(data)
        return hashlib.sha256(data)

    return sha256


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A data file and two models of it."""
    folder = tmp_path_factory.mktemp("flow")
    (folder / "t.txt").write_text(sentences(80))
    good("tokenize", folder / "t.txt", "-o", folder / "d.npz")
    for name in ("a", "b"):
        good("train", folder / "d.npz", "-o", folder / f"{name}.npz", *TINY, "--epochs", 1)
    return folder


@pytest.mark.parametrize("batching", ["sentences", "consecutive", "random"])
def test_a_training_hashes_its_text_once_and_plans_each_epoch_once(
    batching, files, tmp_path, monkeypatch
):
    hashed, planned = [], Counter()

    def sha256(data):
        hashed.append(1)
        return hashlib.sha256(data)

    counting = SimpleNamespace(sha256=sha256)
    monkeypatch.setattr(dataset, "hashlib", counting)
    kind: Any = {"sentences": batches.Sentences, "consecutive": batches.Consecutive,
            "random": batches.Random}[batching]  # fmt: skip
    length, plans = vars(kind)["length"], []

    def counted(self, epoch):
        if not any(plan is self for plan in plans):
            plans.append(self)
        planned[[plan is self for plan in plans].index(True), epoch] += 1
        return length(self, epoch)

    monkeypatch.setattr(kind, "length", counted)
    words = ("train", files / "d.npz", "-o", tmp_path / "m.npz", *TINY, "--batching", batching)
    for epochs in (2, 4):
        for seen in (hashed, planned, plans, opened):
            seen.clear()
        good(*words, "--epochs", epochs, "--resume")
        assert len(hashed) == 1
        assert set(planned.values()) == {1}
        assert {epoch for _, epoch in planned} <= set(range(epochs))
        assert opened[str(files / "d.npz")] == 1


@pytest.mark.parametrize(
    "words",
    [
        ("inspect", "a.npz"),
        ("inspect", "d.npz"),
        ("inspect", "a.npz", "b.npz"),
        ("report", "a.npz", "b.npz", "--data", "d.npz", "-o", "page.html"),
        ("sample", "a.npz", "--num", 3),
        ("sample", "a.npz", "--mix", "b.npz:0.5", "--against", "d.npz", "--json"),
        ("eval", "a.npz", "b.npz", "d.npz"),
        ("eval", "a.npz", "d.npz", "--baselines"),
    ],
)
def test_a_command_reads_each_file_once(words, files, monkeypatch):
    monkeypatch.chdir(files)
    opened.clear()
    good(*words)
    named = {word.split(":")[0] for word in map(str, words) if ".npz" in word}
    assert {name: opened[name] for name in named} == dict.fromkeys(named, 1)


def test_a_sample_loads_each_model_once(files, monkeypatch):
    loaded, load = [], language_model.load

    def counted(path):
        loaded.append(path)
        return load(path)

    monkeypatch.setattr(language_model, "load", counted)
    good("sample", files / "a.npz", "--prefix", "the", "--prefix", "a", "--num", 2, "--beam", 3)
    assert loaded == [str(files / "a.npz")]


@pytest.mark.parametrize("more", [(), ("--json", "--alternatives", 2), ("--beam", 3), ("--mix",)])
def test_a_sample_builds_each_predictor_once_and_cuts_each_prefix_once(more, files, monkeypatch):
    built, cut = [], Counter()
    begin, encode = network.Network.__init__, tokenizer.Tokenizer.encode

    def counted_start(self, *given, **named):
        built.append(self)
        begin(self, *given, **named)

    def counted_cut(self, text):
        cut[text] += 1
        return encode(self, text)

    monkeypatch.setattr(network.Network, "__init__", counted_start)
    monkeypatch.setattr(tokenizer.Tokenizer, "encode", counted_cut)
    others = [f"{files / 'b.npz'}:0.5"] if more == ("--mix",) else []
    good("sample", files / "a.npz", *more, *others, "--prefix", "the", "--prefix", "a", "--num", 2)
    doubled = sum(one.model.dtype == np.float64 for one in built)  # the precise twins
    assert len(built) - doubled == 1 + len(others)
    assert cut == {"the": 1, "a": 1}
