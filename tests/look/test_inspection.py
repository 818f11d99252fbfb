"""`rnncli inspect`: what is in a file, and what is damaged in it."""

import hashlib
import json
import os
import zipfile
from collections import Counter

import numpy as np
import pytest
from commands import TINY, good, run, sentences

from rnncli.data.dataset import Dataset
from rnncli.lm import language_model
from rnncli.look import inspection


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inspect")
    (folder / "t.txt").write_text(sentences(100))
    good("tokenize", folder / "t.txt", "-o", folder / "d.npz", "-q")
    good("train", folder / "d.npz", "-o", folder / "m.npz", *TINY, "--max-steps", 30,
         "--valid-every", 10, "--seed", 4, "-q")  # fmt: skip
    language_model.save(folder / "plain.npz", language_model.load(folder / "m.npz"))
    return folder


def found(path, *words):
    return json.loads(good("inspect", path, "--json", *words).out)


def test_a_data_file(files):
    told, data = found(files / "d.npz"), Dataset.open(files / "d.npz")
    assert (told["kind"], told["inputs"], told["seed"]) == ("data", ["t.txt"], 0)
    assert told["bytes"] == (files / "d.npz").stat().st_size
    assert list(told["splits"]) == ["train", "valid", "test"]
    for name, split in data.splits.items():
        assert told["splits"][name]["tokens"] == len(split.ids)
    counts = dict(zip(data.tokenizer.vocabulary.tokens, data.tokenizer.vocabulary.counts.tolist(),
                      strict=True))  # fmt: skip
    vocabulary = told["vocabulary"]
    assert [token for token, _ in vocabulary["special"]] == ["<unk>", "<s>", "</s>"]
    plain = [pair for pair in counts.items() if pair[0] not in ("<unk>", "<s>", "</s>")]
    assert vocabulary["most"][0][1] == max(count for _, count in plain)
    assert vocabulary["least"][-1][1] == min(count for _, count in plain)
    for token, count in vocabulary["most"] + vocabulary["least"]:
        assert counts[token] == count


def test_a_model_file_and_its_run(files):
    told, language = found(files / "m.npz"), language_model.load(files / "m.npz")
    assert told["config"] == language.model.config.to_json()
    assert told["recipe"]["seed"] == 4
    assert told["run"]["step"] == 30
    assert told["data"]["inputs"] == ["t.txt"]
    assert [row["step"] for row in told["history"]] == [10, 20, 30]
    assert told["parameters"]["count"] == language.model.params.flat.size
    for row in told["parameters"]["arrays"]:
        values = language.model.params[row["name"]].astype(float)
        assert row["shape"] == list(values.shape)
        assert row["mean"] == pytest.approx(values.sum() / values.size)
        assert row["norm"] == pytest.approx(np.sqrt((values**2).sum()))
        spread = np.sqrt(((values - values.mean()) ** 2).sum() / values.size)
        assert row["std"] == pytest.approx(spread)


def test_the_members_are_those_that_numpy_reads(files):
    for name in ("d.npz", "m.npz"):
        with np.load(files / name) as arrays:
            rows = found(files / name)["members"]
            assert {row["name"] for row in rows} == set(arrays) - {"meta"}
            for row in rows:
                array = arrays[row["name"]]
                assert (row["dtype"], row["shape"]) == (str(array.dtype), list(array.shape))
                assert row["sha256"] == hashlib.sha256(array.tobytes()).hexdigest()


def test_what_people_read_has_it_all(files):
    out = good("inspect", files / "m.npz").out
    for words in ("a model file", "trained on  t.txt", "hidden", "best_nats", "validation",
                  "parameters", "rnn.0.fwd.Wh", "most", "run.params", "sha256"):  # fmt: skip
        assert words in out, words
    assert "recipe" not in good("inspect", files / "plain.npz").out
    out = good("inspect", files / "d.npz", "--tokens", 2).out
    assert out.split("most")[1].splitlines()[0].split()[0::2] == ["the", "."]
    assert "made from  t.txt" in out
    assert found(files / "d.npz", "--tokens", 0)["vocabulary"]["least"] == []


SOUND = {  # options of tokenize, and of train
    "words, documents": ((), ("--cell", "lstm", "--hidden", 8, "--tied")),
    "words, sentences": (("--unit", "sentence"), ("--optimizer", "asgd", "--trigger", 0)),
    "characters, stream": (("--whole-file", "--level", "char"), ("--optimizer", "muon")),
    "bytes, stream": (("--whole-file", "--level", "byte"), ("--cell", "rnn", "--layer-norm")),
    "no validation": (("--split", "1"), ("--batching", "consecutive")),
}


@pytest.mark.parametrize("name", SOUND)
def test_every_sound_file_is_described(files, tmp_path, name):
    how, what = SOUND[name]
    data, model, other = (tmp_path / f"{k}.npz" for k in ("d", "m", "o"))
    good("tokenize", files / "t.txt", "-o", data, *how)
    good("train", data, "-o", model, *TINY, *what, "--max-steps", 4, "--valid-every", 2)
    good("train", data, "-o", other, "--from", model, "--batch", 4, "--max-steps", 1)
    for path, kind in ((data, "data"), (model, "model"), (other, "model")):
        assert f"a {kind} file" in good("inspect", path).out
        assert found(path)["kind"] == kind
        with np.load(path) as arrays:
            assert [row["name"] for row in found(path)["members"]] == list(arrays)[:-1]


def test_a_file_is_read_once(files, tmp_path, monkeypatch):
    reads = Counter()
    right = os.open

    def counted(path, *words, **named):
        reads[os.fspath(path)] += 1
        return right(path, *words, **named)

    monkeypatch.setattr(os, "open", counted)
    data, model, plain = (str(files / name) for name in ("d.npz", "m.npz", "plain.npz"))
    for words in (
        ("inspect", data), ("inspect", model), ("inspect", plain, "--json"),
        ("report", model, plain, "--data", data, "--tokens", 20, "-o", tmp_path / "page.html"),
    ):  # fmt: skip
        reads.clear()
        good(*words)
        assert {path: reads[path] for path in (data, model, plain) if reads[path]} == {
            word: 1 for word in words if word in (data, model, plain)
        }


# --- damage ---


def places(path):
    with zipfile.ZipFile(path) as archive:
        return {entry.filename.removesuffix(".npy"): entry for entry in archive.infolist()}


def damaged(path):
    """The exit code is 1, and the table on standard output is that of --json."""
    ended = run("inspect", path, "--json")
    assert ended.code == 1
    told = json.loads(ended.out)
    assert told["damaged"] in ended.err
    table = run("inspect", path).out
    for row in told["members"]:
        assert any(
            line.startswith(row["name"]) and row["state"] in line and f"{row['start']:,}" in line
            for line in table.splitlines()
        ), row
    return {row["name"]: row for row in told["members"]}


@pytest.mark.parametrize("block", [100, 1 << 20])
def test_a_sound_file_has_members_without_fault(files, monkeypatch, block):
    monkeypatch.setattr(inspection, "_BLOCK", block)
    found = inspection.members(files / "m.npz")
    assert [part.state for part in found] == ["ok"] * len(found)
    assert {part.name: part.start for part in found[:-1]} == {
        name: entry.header_offset for name, entry in places(files / "m.npz").items()
    }
    assert [part.end for part in found[:-1]] == [part.start for part in found[1:]]


@pytest.mark.parametrize("name", ["vocab.text", "rnn.0.fwd.Wh", "run.params", "meta"])
def test_the_member_with_a_changed_bit_is_named(files, tmp_path, name):
    data = bytearray((files / "m.npz").read_bytes())
    entry = places(files / "m.npz")[name]
    data[entry.header_offset + 200 + entry.file_size // 2 - 100] ^= 1
    (tmp_path / "m.npz").write_bytes(data)
    rows = damaged(tmp_path / "m.npz")
    assert [key for key, row in rows.items() if row["state"] != "ok"] == [name]
    assert rows[name]["state"] == "its bytes have another checksum"


def test_a_file_that_was_cut_short(files, tmp_path):
    data = (files / "m.npz").read_bytes()
    entry = places(files / "m.npz")["run.params"]
    for cut in (entry.header_offset + 10, entry.header_offset + 300):
        (tmp_path / "m.npz").write_bytes(data[:cut])
        rows = damaged(tmp_path / "m.npz")
        *whole, last, directory = rows.values()
        assert {row["state"] for row in whole} == {"ok"}
        assert last["state"] == "the file ends before it does"
        assert last["start"] == entry.header_offset
        assert directory["state"] == "missing or damaged"
    (tmp_path / "m.npz").write_bytes(data[:-5])
    rows = damaged(tmp_path / "m.npz")
    assert [key for key, row in rows.items() if row["state"] != "ok"] == ["(directory)"]


def test_a_member_without_its_header(files, tmp_path):
    data = bytearray((files / "m.npz").read_bytes())
    entries = places(files / "m.npz")
    start = entries["rnn.0.fwd.Wh"].header_offset
    data[start] = 0
    (tmp_path / "m.npz").write_bytes(data)
    rows = damaged(tmp_path / "m.npz")
    assert rows["?"]["start"] == start
    assert rows["?"]["end"] == entries["rnn.0.fwd.b"].header_offset
    assert "no header" in rows["?"]["state"]


def test_what_is_no_file_of_ours_has_no_members(files, tmp_path):
    (tmp_path / "t.txt").write_text("plain text\n")
    (tmp_path / "empty").write_bytes(b"")
    for name, words in (("t.txt", "not an rnncli file"), ("empty", "an empty file"),
                        ("nowhere", "No such file"), (".", "not a regular file")):  # fmt: skip
        ended = run("inspect", tmp_path / name)
        assert (ended.code, ended.out) == (1, "")
        assert words in ended.err
        assert len(ended.err.splitlines()) == 1


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    ended = run("inspect", tmp_path / "pipe")
    assert (ended.code, ended.out) == (1, "")
    assert "not a regular file" in ended.err


def test_control_characters_in_a_damaged_name_do_not_reach_the_terminal(files, tmp_path):
    data = bytearray((files / "m.npz").read_bytes())
    start = places(files / "m.npz")["run.params"].header_offset
    data[start + 30 : start + 34] = b"\x1b[2J"
    (tmp_path / "m.npz").write_bytes(data)
    table = run("inspect", tmp_path / "m.npz").out
    assert "\x1b" not in table
    assert "\\x1b[2Jparams" in table
