"""Texts that are held to a pattern, and patterns that are no use."""

import re
from typing import Any

import numpy as np
import pytest

from rnncli.config.writing import Filters
from rnncli.errors import ConfigError
from rnncli.generation.novelty import Guard
from rnncli.generation.pattern import Pattern
from rnncli.generation.sampling import generate, stream_one
from rnncli.generation.text import read_prefix
from rnncli.lm.network import Network
from rnncli.nn import Config, Model, Params
from rnncli.text.tokenizer import Tokenizer

TEXTS = ["call 12 or 345, then 6.", "the 7 cats and the 89 dogs (or 10)"]


def model_of(tokenizer: Tokenizer) -> Model:
    model = Model.initial(Config(len(tokenizer), hidden=12, embed=6), 2)
    model.params["head.W"][:] *= 4
    return model


@pytest.mark.parametrize("level", ["word", "char"])
@pytest.mark.parametrize("unit", ["document", "stream"])
def test_every_text_matches_its_pattern(level: str, unit: str) -> None:
    tokenizer = Tokenizer.train(TEXTS, level, unit=unit)
    pattern = {"word": r"(the|or|call)( (cats|dogs|12|345))+"}.get(level, r"[a-z]{2,4} \d+(, \d)?")
    samples = list(
        generate(Network(model_of(tokenizer)), tokenizer, "the", num=30, length=12, match=pattern)
    )
    assert len(samples) == 30
    assert all(re.fullmatch(pattern, s.text.removeprefix(" ")) for s in samples)
    assert len({s.text for s in samples}) > 5


def test_a_pattern_chooses_among_tokens_as_the_model_does() -> None:
    """Held to one character of two, texts are as frequent as the model's own of these two."""
    tokenizer = Tokenizer.train(TEXTS, "char", unit="stream")
    model = model_of(tokenizer)
    free = [s.text for s in generate(Network(model), tokenizer, num=6000, length=1)]
    held = [s.text for s in generate(Network(model), tokenizer, num=6000, length=1, match="[ae]")]
    share = free.count("a") / (free.count("a") + free.count("e"))
    assert set(held) == {"a", "e"}
    n = free.count("a") + free.count("e")
    assert abs(held.count("a") / 6000 - share) < 5 * (0.25 / n + 0.25 / 6000) ** 0.5


@pytest.mark.parametrize("level", ["word", "char"])
def test_held_texts_do_not_depend_on_how_many_are_written(level: str) -> None:
    tokenizer = Tokenizer.train(TEXTS, level)
    network = Network(model_of(tokenizer))
    options: dict[str, Any] = {"match": r"[a-z ]+\d*", "length": 8, "num": 20}
    texts = [[s.text for s in generate(network, tokenizer, batch=b, **options)] for b in (1, 20)]
    assert texts[0] == texts[1]
    assert "".join(stream_one(network, tokenizer, match=r"[a-z ]+\d*", length=8)) == texts[0][0]


def test_a_text_stops_before_the_first_match() -> None:
    tokenizer = Tokenizer.train(TEXTS, "char", unit="stream")
    model = model_of(tokenizer)
    whole = next(generate(Network(model), tokenizer, length=80, seed=1)).text
    match = re.search(r"[0-9].", whole)
    assert match is not None
    cut = next(generate(Network(model), tokenizer, length=80, seed=1, stop_regex=r"[0-9]."))
    assert (cut.text, cut.stopped) == (whole[: match.start()], "stop")
    pieces = stream_one(Network(model), tokenizer, length=80, seed=1, stop_regex=r"[0-9].")
    assert "".join(pieces) == cut.text


def test_an_impossible_pattern_is_one_clear_error() -> None:
    tokenizer = Tokenizer.train(TEXTS, "char")
    model = model_of(tokenizer)
    with pytest.raises(ConfigError, match=r'^pattern "b\?Z": no token goes on after ""\.$'):
        list(generate(Network(model), tokenizer, num=1, match="b?Z", ban=["b"]))
    with pytest.raises(ConfigError, match=r'^no text of 7 matches pattern "ab\?Z" within'):
        list(generate(Network(model), tokenizer, num=1, match="ab?Z", tries=7))


def test_a_byte_model_that_is_held_to_a_pattern_writes_ascii() -> None:
    """Of other characters it would write the first byte before the pattern could refuse them."""
    tokenizer = Tokenizer.train([*TEXTS, "é" * 400], "byte")
    model = model_of(tokenizer)
    free = "".join(s.text for s in generate(Network(model), tokenizer, num=20, length=20))
    assert not free.isascii()
    for sample in generate(Network(model), tokenizer, num=20, length=20, match=r"\w+( \w+)*"):
        assert sample.text.isascii()
        assert re.fullmatch(r"\w+( \w+)*", sample.text)


@pytest.mark.parametrize("filters", [Filters(temperature=0), Filters(top_k=2)])
def test_filters_apply_to_what_the_pattern_leaves(filters: Filters) -> None:
    """The most probable tokens may all be refused: then the next ones are the most probable."""
    tokenizer = Tokenizer.train(TEXTS, "char", unit="stream")
    model = model_of(tokenizer)
    start = read_prefix(tokenizer, "the ").ids
    state = model.zero_state(1)
    for token in start:
        z, state = model.step(np.array([token]), state)
    digits = [
        tokenizer.vocabulary.index[digit] for digit in "0123456789" if digit in "".join(TEXTS)
    ]
    best = sorted(digits, key=lambda token: -float(z[token, 0]))
    options = {"num": 200, "length": 1, "match": r"\d+", "filters": filters}
    seen = {s.ids[0] for s in generate(Network(model), tokenizer, "the ", **options)}
    assert best[0] in seen
    assert seen <= set(digits)


@pytest.mark.parametrize("filters", [Filters(), Filters(top_k=3), Filters(typical=0.3)])
def test_what_is_drawn_again_is_that_of_the_model_in_float64(
    filters: Filters, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often a text is read again; the guard and the refusals hold there too."""
    tokenizer = Tokenizer.train(TEXTS, "char", unit="stream")
    model = model_of(tokenizer)
    precise = Model(model.config, Params(model.params.shapes, np.float64, model.params.flat))
    options: dict[str, Any] = {
        "num": 8, "length": 10, "match": r"[a-e ]+[0-9]?[a-z ]*", "filters": filters,
        "guard": Guard(tokenizer.encode(" ".join(TEXTS)), 2),
    }  # fmt: skip
    monkeypatch.setattr("rnncli.lm.network.SLACK", 0.0)
    expected = [s.ids for s in generate(Network(precise), tokenizer, **options)]
    assert len(set(map(tuple, expected))) > 2
    for slack in (0.01, 1e9):
        monkeypatch.setattr("rnncli.lm.network.SLACK", slack)
        assert [s.ids for s in generate(Network(model), tokenizer, **options)] == expected


def test_a_text_that_finds_no_end_in_time_is_drawn_again() -> None:
    """Those that match by themselves stay what they are; the others would have been cut short."""
    tokenizer = Tokenizer.train(TEXTS, "char", unit="stream")
    model, pattern = model_of(tokenizer), r"[a-z ]+\d"
    options: dict[str, Any] = {"num": 40, "length": 8}
    held = list(generate(Network(model), tokenizer, match=pattern, **options))
    assert all(re.fullmatch(pattern, sample.text) for sample in held)
    for batch in (1, 9):
        again = generate(Network(model), tokenizer, match=pattern, batch=batch, **options)
        assert [sample.ids for sample in again] == [sample.ids for sample in held]
    with pytest.raises(ConfigError, match=r"^no text of 5 matches pattern .* within 3 tokens\. "):
        list(generate(Network(model), tokenizer, match=r"[a-z ]{4,}", num=1, length=3, tries=5))


def test_a_hostile_pattern_ends_in_an_error_not_in_a_wait() -> None:
    pattern = Pattern(r"(a|aa)+$b?", limit=0.05)
    with pytest.raises(ConfigError, match=r"takes more than 0.05 s on 61 characters"):
        pattern.matches("a" * 60 + "!")


@pytest.mark.parametrize("option", ["match", "stop_regex"])
def test_a_broken_pattern_is_shown_safely(option: str) -> None:
    tokenizer = Tokenizer.train(TEXTS)
    wrong: dict[str, Any] = {option: "(\x1b[31m"}
    with pytest.raises(ConfigError, match=r'^pattern "\(\\x1b\[31m" is not a pattern'):
        next(generate(Network(model_of(tokenizer)), tokenizer, **wrong))


def test_begins_and_matches_tell_a_part_from_the_whole() -> None:
    pattern = Pattern(r"\d{3}-\d")
    assert [pattern.begins(t) for t in ("", "12", "123-", "123-4", "1234", "a")] == [
        True, True, True, True, False, False,
    ]  # fmt: skip
    assert [pattern.matches(t) for t in ("123-", "123-4")] == [False, True]
    assert [pattern.find(t) for t in ("x", "tel 123-4567", "")] == [None, 4, None]
    assert [Pattern("x*").find(t) for t in ("", "abc", "abxxc")] == [None, None, 2]


def test_every_kind_of_search_has_its_limit() -> None:
    pattern = Pattern(r"(a|aa)+$b", limit=0.05)
    for search in (pattern.begins, pattern.matches, pattern.find):
        with pytest.raises(ConfigError, match="backtracks less"):
            search("a" * 60 + "!")
