"""Options by the names of other tools: they are refused, and the refusal has the name of ours."""

import re

import pytest
from click import Context
from commands import ROOT, refused, run

from rnncli.cli import main
from rnncli.cli.aliases import HABITS

NAMES = [(command, *pair) for command, names in HABITS.items() for pair in names.items()]
NEEDED = {"train": ("d.npz", "-o", "m.npz"), "sample": ("m.npz",)}


def flag(name):
    return "--" + name.replace("_", "-")


@pytest.mark.parametrize(("command", "their", "ours"), NAMES)
def test_each_name_is_refused_with_the_name_of_ours(command, their, ours):
    found = main.get_command(Context(main), command)
    options = {name for option in found.params for name in option.opts}
    assert flag(ours) in options
    assert flag(their) not in options
    for written in (f"--{their}", flag(their), f"-{their}"):
        for words in ((written, 5), (f"{written}=5",)):
            done = run(command, *NEEDED[command], *words)
            assert done.code == 2
            assert f"Error: No such option {written}. Is {flag(ours)} meant?\n" in done.err


def test_a_name_of_ours_in_their_style_has_a_hint_too():
    for written, ours in (("-temperature", "--temperature"), ("--top_k", "--top-k")):
        done = run("sample", "m.npz", written, 1)
        assert f"Error: No such option {written}. Is {ours} meant?\n" in done.err
    done = run("train", "d.npz", "-o", "m.npz", "--hidden", 5, "-rnn_size", 5)
    assert "No such option -rnn_size. Is --hidden meant?" in done.err


def test_a_name_that_nobody_knows_is_refused_as_ever():
    done = run("sample", "m.npz", "--zeppelin", 1)
    assert done.code == 2
    assert "zeppelin" in done.err
    assert "meant" not in done.err


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("sample", "m.npz", "--temp", 1), "No such option --temp. Is --temperature meant?"),
        (("sample", "m.npz", "--prompt", "a"), "No such option --prompt. Is --prefix meant?"),
        (("sample", "m.npz", "--max-tokens=9"), "No such option --max-tokens. Is --length meant?"),
        (("train", "d.npz", "-o", "m", "--hiden", 9), "No such option --hiden. Is --hidden meant?"),
        (("smaple", "m.npz"), 'No such command "smaple". Is "sample" meant?'),
        (("generate", "m.npz"), 'No such command "generate". Is "sample" meant?'),
        (("zeppelin",), 'No such command "zeppelin". See --help'),
        (("sample", "m.npz", "--top-p", "0,8"), "'0,8' is not a number: write 0.8."),
        (("sample", "m.npz", "--num", "many"), "'many' is not a whole number."),
    ],
)
def test_a_wrong_word_has_a_hint(words, hint):
    done = run(*words)
    assert done.code == 2
    assert hint in done.err


def test_text_where_a_data_file_belongs_has_a_hint(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.csv").write_text("a\n")
    assert "First: rnncli tokenize x.csv -o x.npz" in refused("train", "x.csv", "-o", "m.npz")
    assert "Score it with --text s.txt." in refused("eval", "m.npz", "s.txt")


def test_in_a_file_they_are_refused_with_the_name_of_ours(tmp_path):
    config = tmp_path / "c.yaml"
    for key, ours in (("rnn_size", "hidden"), ("lr_decay_every", "every")):
        config.write_text(f"{key}: 5\n")
        line = refused("train", "d.npz", "-o", "m.npz", "--config", config)
        assert line.endswith(f'c.yaml: there is no option "{key}". Is "{ours}" meant?')


def test_the_guide_has_every_name():
    table = (ROOT / "rnncli" / "guide" / "coming-from.md").read_text("utf-8")
    for their in {name for names in HABITS.values() for name in names}:
        assert re.search(rf"`-?{their}`", table), their
