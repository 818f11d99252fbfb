"""`rnncli inspect A B ...`: runs beside one another."""

import json
import math

import pytest
from commands import TINY, good, refused, run, sentences

from rnncli.lm import language_model
from rnncli.training import checkpoint


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    (folder / "t.txt").write_text(sentences(100))
    (folder / "u.txt").write_text(sentences(100, seed=1))
    good("tokenize", folder / "t.txt", "-o", folder / "d.npz", "-q")
    good(
        "tokenize", folder / "u.txt", "-o", folder / "other.npz", "--vocab", folder / "d.npz", "-q"
    )
    good("tokenize", folder / "t.txt", "-o", folder / "few.npz", "--vocab-size", 9, "-q")
    good("tokenize", folder / "t.txt", "-o", folder / "c.npz", "--level", "char", "-q")
    for name, data, more in (
        ("a", "d", ()), ("b", "d", ("--cell", "rnn", "--lr", 0.01)), ("other", "other", ()),
        ("few", "few", ()), ("char", "c", ("--embed", 0)), ("tied", "d", ("--tied",)),
    ):  # fmt: skip
        good("train", folder / f"{data}.npz", "-o", folder / f"{name}-m.npz", *TINY, "--max-steps",
             12, "--valid-every", 6, "-q", *more)  # fmt: skip
    return folder


def compared(files, *names):
    ended = good("inspect", *(files / f"{name}-m.npz" for name in names), "--json")
    return json.loads(ended.out)


def test_the_settings_that_differ_and_no_others(files):
    found = compared(files, "a", "b")
    assert set(found["settings"]) == {"cell", "lr"}
    assert found["settings"]["cell"] == ["gru", "rnn"]
    assert found["settings"]["lr"][1] == 0.01
    assert found["warnings"] == []
    assert compared(files, "a", "a")["settings"] == {}


@pytest.mark.parametrize("name", ["a", "char", "tied"])
def test_the_figures_are_those_of_the_run(files, name):
    (figures, _) = compared(files, name, "b")["figures"]
    language, run_ = checkpoint.resume(files / f"{name}-m.npz")
    assert figures["parameters"] == language.model.params.flat.size
    assert (figures["steps"], figures["tokens"]) == (12, run_.tokens)
    assert figures["best"] == min(row["valid"] for row in language.history)
    assert figures["perplexity"] == pytest.approx(math.exp(figures["best"]))
    rows = {"a": "embed.W", "char": "rnn.0.fwd.Wx"}.get(name)  # looked up, not multiplied
    matrices = {key: value for key, value in language.model.params.items() if value.ndim == 2}
    work = sum(value.size for key, value in matrices.items() if key != rows)
    assert figures["flops"] == 6 * work * run_.tokens


def test_figures_that_cannot_be_compared_have_a_warning(files):
    for name, words in (("other", "trained on different text"), ("few", "different vocabularies"),
                        ("char", "cut text differently")):  # fmt: skip
        (warning,) = compared(files, "a", name)["warnings"]
        assert words in warning
        ended = good("inspect", files / "a-m.npz", files / f"{name}-m.npz")
        assert f"warning: {warning}" in ended.err
        assert words not in ended.out


def test_the_table_and_models_without_a_run(files, tmp_path):
    language_model.save(tmp_path / "plain.npz", language_model.load(files / "a-m.npz"))
    lines = good("inspect", files / "b-m.npz", tmp_path / "plain.npz").out.splitlines()
    rows = {line[:25].strip(): line[25:].split() for line in lines[1:]}
    assert rows["cell"] == ["rnn", "gru"]
    assert rows["tokens trained on"][1] == "-"
    assert rows["steps"] == ["12", "12"]
    assert len({len(line) for line in lines}) == 1


def test_what_cannot_be_compared(files):
    assert "a data file, but a model" in refused("inspect", files / "a-m.npz", files / "d.npz")
    wrong = run("inspect", files / "a-m.npz", files / "b-m.npz", "--tokens", 3)
    assert wrong.code == 2
    assert "--tokens is for one file." in wrong.err
