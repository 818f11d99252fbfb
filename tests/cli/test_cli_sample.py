"""`rnncli sample` with prefixes, files, other models and figures for programs."""

import json

import numpy as np
import pytest
from commands import TINY, ended, good, process, refused, run, sentences

from rnncli.data.dataset import Dataset


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A data file, two models of it, and one of characters."""
    folder = tmp_path_factory.mktemp("files")
    (folder / "t.txt").write_text(sentences(120))
    good("tokenize", folder / "t.txt", "-o", folder / "d.npz")
    short = (*TINY, "--max-steps", 60, "--lr", 0.02)
    good("train", folder / "d.npz", "-o", folder / "m.npz", *short)
    good("train", folder / "d.npz", "-o", folder / "n.npz", *short, "--seed", 1, "--cell", "gru")
    good("tokenize", folder / "t.txt", "-o", folder / "c.npz", "--whole-file", "--level", "char")
    good("train", folder / "c.npz", "-o", folder / "cm.npz", *TINY, "--max-steps", 10)
    return folder


def wrong_use(*words, text=""):
    """What a command says that is used wrongly."""
    ended = run(*words, text=text)
    assert (ended.code, ended.out) == (2, "")
    return ended.err.splitlines()[-1]


def rows(*words, **options):
    return [json.loads(line) for line in good(*words, "--json", **options).out.splitlines()]


def test_prefixes_come_from_options_a_file_or_standard_input(files, tmp_path):
    words = ("sample", files / "m.npz", "-n", 2, "--length", 8)
    alone = {
        prefix: good(*words, "--prefix", prefix).out for prefix in ("the cat", "a dog", "my aunt")
    }
    lines = "the cat\na dog\r\nmy aunt"
    (tmp_path / "p.txt").write_text("\ufeff" + lines)
    for given in (
        [*words, "--prefix", "the cat", "--prefix", "a dog", "--prefix", "my aunt"],
        [*words, "--prefix-file", tmp_path / "p.txt"],
        [*words, "--prefix-file", "-"],
        [*words, "--prefix", "the cat", "--prefix-file", tmp_path / "rest.txt"],
    ):
        (tmp_path / "rest.txt").write_text("a dog\nmy aunt\n")
        assert good(*given, text=lines).out == "".join(alone.values())
    assert good(*words, "--prefix", "-", text="a dog\n").out == alone["a dog"]
    both = good("sample", files / "cm.npz", "--prefix", "-", "--length", 3, text="a dog\nsees\n")
    assert both.out.startswith("a dog\nsees")
    blank = good(*words, "--prefix-file", "-", text="a dog\n\nmy aunt\n").out.splitlines()
    assert len(blank) == 6


def test_a_prefix_file_that_cannot_be_used_is_one_clear_line(files, tmp_path):
    words, path = ("sample", files / "m.npz", "--prefix-file"), tmp_path / "p.txt"
    path.write_bytes(b"fine\nb\xe4d\n")
    assert refused(*words, path).endswith("p.txt, line 2: byte 0xe4 at offset 6 is not utf-8.")
    path.write_bytes(b"")
    assert refused(*words, path).endswith("p.txt: no line, so no prefix.")
    path.write_bytes(b"x" * (1 << 21))
    assert refused(*words, path).endswith("p.txt, line 1: the line is longer than 1 MiB.")
    assert "none.txt" in refused(*words, tmp_path / "none.txt")
    message = wrong_use(*words, "-", "--prefix", "-", text="a")
    assert "standard input can be read once" in message


def test_a_prefix_of_the_environment_is_one_prefix(files):
    started = process(
        "sample", files / "m.npz", "--length", 4, env={"RNNCLI_SAMPLE_PREFIX": "the cat"}
    )
    assert ended(started).out.startswith("the cat ")


def test_texts_end_with_what_is_asked_for(files):
    words = ("sample", files / "m.npz", "-n", 3, "--length", 5)
    lines = good(*words).out.splitlines()
    assert good(*words, "--separator", r"\n--\n").out == "".join(f"{x}\n--\n" for x in lines)
    assert good(*words, "--separator", r"\0").out == "".join(f"{x}\0" for x in lines)
    assert good(*words, "--separator", r"\\n").out == "".join(f"{x}\\n" for x in lines)
    one = good("sample", files / "m.npz", "--length", 5, "--separator", "|").out
    assert one == lines[0] + "|"


def test_json_has_every_token_with_its_rank_and_what_else_it_could_be(files):
    words = ("sample", files / "m.npz", "--prefix", "the cat", "-n", 4, "--length", 9)
    for row in rows(*words, "--alternatives", 3):
        each = row["logprobs"]
        assert len(each) == row["tokens"]
        assert row["logprob"] == pytest.approx(sum(token["logprob"] for token in each))
        assert row["logprob_per_token"] == pytest.approx(row["logprob"] / row["tokens"])
        assert each[0]["token"] == (row["text"].replace(".", " . ") + " </s>").split()[2]
        for token in each:
            best = token["alternatives"]
            assert len(best) == 3
            assert best == sorted(best, key=lambda other: -other["logprob"])
            if token["rank"] <= 3:
                same = best[token["rank"] - 1]
                assert (same["token"], same["logprob"]) == (token["token"], token["logprob"])
    few = rows(*words[:-4], "-n", 2, "--length", 9, "--alternatives", 3)
    assert few == rows(*words, "--alternatives", 3)[:2]
    assert "alternatives" not in rows(*words)[0]["logprobs"][0]


def test_what_is_copied_is_shown_with_the_document_that_it_comes_from(files):
    lines = (files / "t.txt").read_text().splitlines()
    split = Dataset.open(files / "d.npz").splits["train"]
    words = ("sample", files / "m.npz", "-n", 10, "--against", files / "d.npz")
    for row in rows(*words):
        copy = row["copied"]
        written = row["text"].removeprefix(row["prefix"])
        assert copy["text"] in written
        assert copy["text"] in lines[copy["document"] - 1].lower()
        ids = split.ids[copy["position"] : copy["position"] + copy["tokens"]]
        tokens = Dataset.open(files / "d.npz").tokenizer.decode(ids)
        assert tokens == copy["text"]
    notes = good(*words).err.splitlines()
    assert len(notes) == 10
    first = rows(*words)[0]["copied"]
    assert notes[0] == (
        f"text 1: copies {first['tokens']} tokens in a row from document {first['document']}: "
        f'"{first["text"]}"'
    )
    assert good(*words, "-q").err == ""
    (note,) = good("sample", files / "cm.npz", "--against", files / "c.npz").err.splitlines()
    assert "from token" in note


def test_nothing_longer_is_copied_than_allowed(files):
    """By a program of its own, that reads the data file's arrays and looks for every run."""
    with np.load(files / "d.npz") as data:
        training = data["train.ids"].tolist()
    copied = {tuple(training[k : k + 4]) for k in range(len(training))}
    tokenizer = Dataset.open(files / "d.npz").tokenizer

    def worst(*more):
        texts = good("sample", files / "m.npz", "-n", 60, "--length", 12, *more).out.splitlines()
        ids = [tokenizer.encode(text).tolist() for text in texts]
        return max(sum(tuple(i[k : k + 4]) in copied for k in range(len(i) - 3)) for i in ids)

    assert worst() > 0
    assert worst("--against", files / "d.npz", "--max-copy", 3) == 0


def test_another_model_takes_its_share(files):
    words = ("sample", files / "m.npz", "-n", 3, "--length", 9)
    plain = good(*words).out
    mixed = good(*words, "--mix", f"{files / 'n.npz'}:0.5").out
    assert mixed != plain
    assert good(*words, "--mix", f"{files / 'n.npz'}:1e-9").out == plain
    line = refused(*words, "--mix", f"{files / 'cm.npz'}:0.5")
    hashes = [Dataset.open(files / name).tokenizer.fingerprint[:12] for name in ("c.npz", "d.npz")]
    assert f"({hashes[0]}) is not the model's ({hashes[1]})" in line
    for wrong in ("n.npz", "n.npz:2", "n.npz:0", ":0.3", "n.npz:x"):
        assert "is not a file and a share" in wrong_use(*words, "--mix", wrong)
    assert "shares" in refused(*words, *["--mix", f"{files / 'n.npz'}:0.5"] * 2)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--min-length", 9, "--length", 5], "min_length must be 5 at most, the length, not 9."),
        (["--max-copy", 3], "--max-copy needs --against DATA."),
        (["--alternatives", 3], "--alternatives goes with --json."),
        (["--json", "--separator", "x"], "--json does not go with --separator."),
        (["--beam", 2, "--must-include", "a"], "--beam does not go with --must-include."),
        (["--beam", 2, "--max-copy", 2, "--against", "d"], "--beam does not go with --max-copy."),
    ],
)
def test_contradictions_are_refused_before_anything_is_read(words, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert message in wrong_use("sample", "none.npz", *words)
    assert list(tmp_path.iterdir()) == []


def test_what_is_banned_or_must_be_there(files):
    words = ("sample", files / "m.npz", "-n", 30, "--length", 12)
    assert any("cat" in text.split() for text in good(*words).out.splitlines())
    held = good(*words, "--ban", "cat", "--ban", "zebra")
    assert not any("cat" in text.split() for text in held.out.splitlines())
    assert held.err == "not in the vocabulary, never written anyway: zebra\n"
    texts = good(*words, "--must-include", "dog", "--must-include", "the").out.splitlines()
    assert all({"dog", "the"} <= set(text.replace(".", " ").split()) for text in texts)
    assert 'no text can include "zebra"' in refused(*words, "--must-include", "zebra")
    line = refused(*words, "--must-include", "cat", "--ban", "cat", "--tries", 9)
    assert 'no text of 9 includes "cat"' in line
