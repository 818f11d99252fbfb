"""Options by the names of other tools: they reach ours, and never contradict them in silence."""

import re

import pytest
from click import Context
from commands import ROOT, good, refused, run, sentences

from rnncli import checkpoint
from rnncli.cli import main
from rnncli.cli.habits import HABITS


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A small data file."""
    folder = tmp_path_factory.mktemp("habits")
    (folder / "t.txt").write_text(sentences(40))
    good("tokenize", folder / "t.txt", "-o", folder / "d.npz", "--whole-file", "--level", "char")
    return folder / "d.npz"


def settings(path):
    language, run = checkpoint.resume(path)
    return {**language.model.config.to_json(), **run.recipe.to_json()}


def test_the_command_line_of_char_rnn_trains_and_samples(data, tmp_path):
    model = tmp_path / "m.npz"
    good("train", data, "-o", model, "--model", "gru", "--rnn_size", 7, "--num_layers", 2,
         "--batch-size", 3, "--seq_length", 9, "--learning-rate", 0.01, "--grad_clip", 4,
         "--max-steps", 2)  # fmt: skip
    found = settings(model)
    names = ("cell", "hidden", "layers", "batch", "bptt", "lr", "clip")
    assert [found[name] for name in names] == ["gru", 7, 2, 3, 9, 0.01, 4.0]
    text = good("sample", model, "--primetext", "the ", "--max-gen-length", 5, "--seed", 1).out
    assert text == good("sample", model, "--prefix", "the ", "--length", 5, "--seed", 1).out
    assert text.startswith("the ")


@pytest.mark.parametrize("command", HABITS)
def test_each_name_stands_for_an_option_of_ours_and_only_in_its_own_list(command):
    shown = good(command, "--help").out
    options, theirs = shown.split("By the names of")
    listed = {}
    for line in theirs.splitlines()[1:]:
        our, *names = line.replace(",", "").split() or [""]
        listed |= dict.fromkeys(names, our)
    pairs = [f"--{t} --{o}".replace("_", "-").split() for t, o in HABITS[command].items()]
    assert listed == dict(pairs)
    assert not [name for name in listed if f"  {name} " in options]
    found = main.get_command(Context(main), command)
    assert len(found.habits) == len(HABITS[command])


def test_the_readme_has_every_name():
    table = (ROOT / "README.md").read_text("utf-8").split("**Old habits.**")[1]
    for their in {name for names in HABITS.values() for name in names}:
        assert re.search(rf"`-?{their}`", table), their


def test_two_values_are_refused_and_one_value_twice_is_noted(data, tmp_path):
    words = ("train", data, "-o", tmp_path / "m.npz", "--max-steps", 1, "--rnn-size", 5)
    for more in (("--hidden", 6), ("--hidden", 6, "--rnn_size", 5)):
        done = run(*words, *more)
        assert done.code == 2
        assert "--rnn-size and --hidden are the same option with two values" in done.err
    assert run(*words[:-2], "--max-epochs", 1, "--num-epochs", 2).code == 2
    assert not (tmp_path / "m.npz").exists()
    assert "are the same option." in good(*words, "--hidden", 5).err


def test_values_are_checked_as_those_of_ours(data, tmp_path):
    words = ("train", data, "-o", tmp_path / "m.npz")
    done = run(*words, "--rnn-size", "big")
    assert done.code == 2
    assert "'--rnn-size'" in done.err
    assert "hidden must be" in refused(*words, "--rnn-size", 0)
    assert run(*words, "--model", "transformer").code == 2


def test_the_command_line_wins_over_the_environment_and_that_over_a_file(
    data, tmp_path, monkeypatch
):
    model, config = tmp_path / "m.npz", tmp_path / "c.yaml"
    words = ("train", data, "-o", model, "--overwrite", "--max-steps", 1)
    config.write_text("rnn_size: 5\nbatch: 2\n")
    assert settings_after(model, *words, "--config", config) == [5, 2]
    assert settings_after(model, *words, "--config", config, "--hidden", 6) == [6, 2]
    assert settings_after(model, *words, "--config", config, "--batch-size", 3) == [5, 3]
    monkeypatch.setenv("RNNCLI_TRAIN_HIDDEN", "7")
    assert settings_after(model, *words, "--config", config) == [7, 2]
    assert settings_after(model, *words, "--rnn-size", 8, "--batch", 2) == [8, 2]


def settings_after(model, *words):
    good(*words)
    found = settings(model)
    return [found["hidden"], found["batch"]]
