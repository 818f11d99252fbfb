"""Options made of settings: help by sections, what is usual in brackets, values as objects."""

import math
import re
from dataclasses import dataclass, fields

import click
import pytest
from click.testing import CliRunner
from commands import good

from rnncli.cli.options import KINDS, Command, given_options, meant, options
from rnncli.config.network import Config
from rnncli.config.reading import LEVELS, UNITS, ReadOptions, Tokenizing
from rnncli.config.recipe import Recipe, Running
from rnncli.config.samples import Samples
from rnncli.config.scoring import Scoring
from rnncli.config.settings import Settings, seconds, setting
from rnncli.config.writing import Constraints, Filters, Writing
from rnncli.errors import ConfigError
from rnncli.text import levels, pretokenizer
from rnncli.training import recipes

CLASSES = (Config, Recipe, Running, Samples, Filters, Constraints, Writing, ReadOptions, Tokenizing,
           Scoring)  # fmt: skip


@dataclass(frozen=True)
class Example(Settings):
    """One field of each kind."""

    size: int = setting("numbers", 3, "How many.", least=1)
    share: float = setting("numbers", 0.5, "How much.", above=0, most=1)
    limit: float | None = setting("numbers", None, "How long.", kind="time", above=0)
    way: str = setting("words", "a", "Which way.", choices=("a", "b"))
    name: str | None = setting("words", None, "A name [none].", flag="-m --nick")
    bans: tuple[str, ...] = setting("words", (), "Never.", kind="text")
    tall: bool = setting("switches", False, "Off.")
    wide: bool = setting("switches", True, "On.")
    deep: bool | None = setting("switches", None, "Open.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.tall and not self.wide:
            raise ConfigError("tall needs wide.")


def run(*words, decorator=None):
    """What a command with these options gets, or the error it says."""
    found = []

    @click.command(cls=Command)
    @(decorator or options(Example, "example"))
    def command(example):
        found.append(example)

    done = CliRunner().invoke(command, [*map(str, words)], standalone_mode=True)
    return found[0] if found else (done.exit_code, done.output)


def test_a_command_gets_the_object():
    assert run() == Example()
    words = ("--size", 7, "--share", 1, "--limit", "1h2m", "--way", "b", "-m", "x y", "--bans",
             "p q", "--bans", "r", "--tall", "--wide", "--no-deep")  # fmt: skip
    assert run(*words) == Example(7, 1.0, 3720.0, "b", "x y", ("p q", "r"), True, True, False)


def test_a_command_may_get_what_was_given_alone():
    partial = given_options(Example, into="example", leave_out=("way",))
    assert run(decorator=partial) == {}
    found = run("--size", 3, "--no-wide", "--no-tall", "--bans", "a", decorator=partial)
    assert found == {"size": 3, "wide": False, "tall": False, "bans": ("a",)}
    assert run("--way", "a", decorator=partial)[0] == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--size", 0), "'--size': it must be 1 or more, not 0."),
        (("--size", 1.5), "'1.5' is not a whole number."),
        (("--share", 0), "'--share': it must be above 0, not 0.0."),
        (("--share", 1.1), "it must be 1 at most, not 1.1."),
        (("--share", "nan"), "it must be a number, not nan."),
        (("--share", "0,8"), "'0,8' is not a number: write 0.8."),
        (("--share", "x,y"), "'x,y' is not a number."),
        (("--limit", "soon"), '"soon" is not a time'),
        (("--limit", 0), "it must be above 0"),
        (("--way", "c"), "'c' is not one of 'a', 'b'."),
        (("--tall", "--no-wide"), "Error: tall needs wide."),
        (("--siz", 3), "No such option --siz. Is --size meant?"),
        (("--zzz", 3), "No such option --zzz. See --help"),
    ],
)
def test_what_cannot_be_is_wrong_use(words, message):
    code, text = run(*words)
    assert code == 2
    assert message in text


def test_help_has_sections_and_what_is_usual_in_brackets():
    code, text = run("--help")
    assert code == 0
    heads = re.findall(r"^(\w+):$", text, re.MULTILINE)
    assert heads == ["Numbers", "Words", "Switches", "Output"]
    for line in (
        "How many [3].",
        "How much [0.5].",
        "How long.",
        "Which way [a].",
        "A name [none].",
        "--wide / --no-wide  On [wide].",
        "--tall              Off.",
    ):
        assert line in text
    assert text.index("Output:") < text.index("--help")


@pytest.mark.parametrize(
    ("text", "found"),
    [("90", 90), (90, 90), ("90s", 90), ("10m", 600), ("5min", 300), ("1h30m", 5400), ("1.5s", 1.5),
     ("2 min", 120), ("1h 1m 1s", 3661)],
)  # fmt: skip
def test_a_time_is_read(text, found):
    assert seconds(text) == found


@pytest.mark.parametrize("text", ["", "m", "soon", "1d", "-3", "3m2h", True])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(ConfigError, match="is not a time such as 90s, 10m or 1h30m"):
        seconds(text)


def test_the_nearest_option_is_meant():
    here = ["--temperature", "--tries", "--top-k", "-n", "--num", "--prefix"]
    for written, found in (("--temp", "--temperature"), ("--top_k", "--top-k"),
                           ("--prefx", "--prefix"), ("--prompt", "--prefix"),
                           ("--zeppelin", ""), ("-t", "")):  # fmt: skip
        assert meant("sample", written, here) == found


@pytest.mark.parametrize("cls", CLASSES)
def test_every_field_has_a_section_and_a_sentence(cls):
    for entry in fields(cls):
        if "group" in entry.metadata:
            assert re.fullmatch(r"[a-z ]+", entry.metadata["group"])
            assert entry.metadata["help"].endswith(".")
            assert entry.metadata["kind"] in {"", "time", *KINDS}
    if cls is not Config:
        assert type(cls()) is cls  # the defaults keep their limits


def test_the_levels_and_units_are_those_of_the_pretokenizer():
    assert set(LEVELS) == set(levels.LEVELS)
    assert set(UNITS) == set(pretokenizer.UNITS)


@pytest.mark.parametrize("name", ["words", "characters"])
def test_help_reads_a_preset_as_training_does(name):
    plain, read = recipes.spelled(name), recipes.load(name).settings
    assert {key: plain[key] for key in read} == {key: _text(value) for key, value in read.items()}
    assert set(plain) - {"about"} == set(read)


def _text(value):
    return f"{value:g}" if isinstance(value, float) and math.modf(value)[0] else str(value)


def test_help_of_train_says_what_a_run_uses():
    text = " ".join(good("train", "--help").out.split())
    words, characters = (recipes.load(name).settings for name in ("words", "characters"))
    assert (
        f"Units of each layer [words {words['hidden']}, characters {characters['hidden']}]." in text
    )
    assert f"Kind of cell; gru resets after the recurrent matmul, gru-before before it " \
           f"[{words['cell']}]." in text  # fmt: skip
    assert f"Recurrent layers above one another [{Config(1).layers}]." in text
