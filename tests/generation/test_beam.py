"""Beam search against all texts there are."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import good, run

from rnncli.config.writing import Filters
from rnncli.errors import ConfigError
from rnncli.generation.beam import beam
from rnncli.generation.sampling import generate
from rnncli.generation.text import read_prefix
from rnncli.lm import language_model, network
from rnncli.lm.network import Network
from rnncli.nn import Config, Model
from rnncli.nn.threads import Threads
from rnncli.text.tokenizer import Tokenizer

TOKENIZER = Tokenizer.train(["abba cab", "bac"], "char")


def model_of(tokenizer: Tokenizer, seed: int = 0) -> Model:
    model = Model.initial(Config(len(tokenizer), hidden=9, embed=4), seed)
    model.params["head.W"][:] *= 6
    return model


def every_text(
    model: Model, prefix: str, length: int, tokenizer: Tokenizer = TOKENIZER, ban: Any = ()
) -> list[tuple[list[int], list[float]]]:
    """All texts of at most `length` tokens with their log-probabilities, token by token."""
    found = []

    def go_on(ids: list[int], logprobs: list[float]) -> None:
        if ids and (ids[-1] == tokenizer.eos or len(ids) == length):
            found.append((ids, logprobs))
            return
        state = model.zero_state(1)
        for token in [*read_prefix(tokenizer, prefix).ids, *ids]:
            z, state = model.step(np.array([token]), state)
        p = [math.exp(v) for v in z[:, 0].tolist()]
        for token in range(len(tokenizer)):
            if token not in (tokenizer.unk, tokenizer.bos) and tokenizer.token(token) not in ban:
                go_on([*ids, token], [*logprobs, math.log(p[token] / sum(p))])

    go_on([], [])
    return found


@pytest.mark.parametrize("length_penalty", [0.0, 0.7, 1.0])
@pytest.mark.parametrize("prefix", ["", "ab"])
def test_a_wide_beam_finds_the_best_of_all_texts(length_penalty: float, prefix: str) -> None:
    model = model_of(TOKENIZER)
    texts = every_text(model, prefix, 4)
    texts.sort(key=lambda text: -sum(text[1]) / len(text[0]) ** length_penalty)
    found = beam(
        Network(model), TOKENIZER, prefix, width=300, length=4, length_penalty=length_penalty
    )
    assert [sample.ids for sample in found[:40]] == [ids for ids, _ in texts[:40]]
    for sample, (_, logprobs) in zip(found[:40], texts, strict=False):
        assert sample.token_logprobs == pytest.approx(logprobs, abs=1e-5)
        assert sample.logprob == pytest.approx(sum(logprobs), abs=1e-5)


def plainly(model: Model, width: int, length: int, length_penalty: float) -> list[list[int]]:
    """Beam search that never stops early, and reads every beginning from its start."""
    paths: list[tuple[float, list[int]]] = [(0.0, [])]
    done: list[tuple[float, list[int]]] = []
    for count in range(1, length + 1):
        ahead = []
        for logprob, ids in paths:
            state = model.zero_state(1)
            for token in [1, *ids]:
                z, state = model.step(np.array([token]), state)
            p = np.exp(z[:, 0].astype(float))
            ahead += [(logprob + math.log(p[t] / p.sum()), [*ids, t]) for t in range(2, len(p))]
        ahead = sorted(ahead, reverse=True)[:width]
        paths = [path for path in ahead if path[1][-1] != TOKENIZER.eos and count < length]
        done += [path for path in ahead if path not in paths]
    done.sort(key=lambda path: -path[0] / len(path[1]) ** length_penalty)
    return [ids for _, ids in done[:width]]


@pytest.mark.parametrize("length_penalty", [0.0, 0.5, 1.0])
def test_a_narrow_beam_is_the_plain_one(length_penalty: float) -> None:
    for seed in range(12):
        model, width = model_of(TOKENIZER, seed), 1 + seed % 4
        found = beam(
            Network(model), TOKENIZER, width=width, length=12, length_penalty=length_penalty
        )
        assert [sample.ids for sample in found] == plainly(model, width, 12, length_penalty)


def test_a_beam_of_one_takes_the_most_probable_token() -> None:
    for seed in range(5):
        model = model_of(TOKENIZER, seed)
        (found,) = beam(Network(model), TOKENIZER, "c", width=1, length=12)
        greedy = next(
            generate(Network(model), TOKENIZER, "c", length=12, filters=Filters(temperature=0))
        )
        assert (found.ids, found.text, found.stopped) == (greedy.ids, greedy.text, greedy.stopped)


@pytest.mark.parametrize("width", [2, 3, 8])
def test_samples_come_best_first_and_each_once(width: int) -> None:
    found = beam(Network(model_of(TOKENIZER, 3)), TOKENIZER, width=width, length=10)
    assert [s.logprob for s in found] == sorted((s.logprob for s in found), reverse=True)
    assert len({tuple(s.ids) for s in found}) == len(found) == width
    assert {s.stopped for s in found} <= {"end", "length"}


def test_a_beam_never_loses_what_it_can_no_longer_beat() -> None:
    """Stopping early gives the same texts as going on to the last token."""
    model = model_of(TOKENIZER, 1)
    model.params["head.b"][TOKENIZER.eos] = 3
    short = beam(Network(model), TOKENIZER, width=4, length=12)
    long = beam(Network(model), TOKENIZER, width=4, length=500)
    assert all(s.stopped == "end" for s in short)
    assert [s.ids for s in short] == [s.ids for s in long]


def test_words_join_to_the_prefix() -> None:
    words = Tokenizer.train(["the cat sat , and so on ."])
    model = model_of(words)
    for sample in beam(Network(model), words, "the cat", width=5, length=4):
        ids = [*words.encode("the cat"), *sample.ids]
        assert words.decode(ids) == "the cat" + sample.text


@pytest.mark.parametrize("wrong", [{"width": 0}, {"length_penalty": -1.0}, {"length": 0}])
def test_senseless_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        beam(Network(model_of(TOKENIZER)), TOKENIZER, **wrong)


@pytest.mark.parametrize("length_penalty", [0.0, 1.0])
def test_no_two_texts_of_bytes_are_the_same_string(length_penalty: float) -> None:
    """Every string once, with the best of the paths that spell it, against all paths there are."""
    tokenizer = Tokenizer.train(["\u00e9 \u4e2d"], "byte")
    model = model_of(tokenizer, 2)
    ban = [chr(byte) for byte in range(256) if byte not in "\u00e9 \u4e2d".encode()]
    wanted: dict[str, float] = {}
    paths = every_text(model, "", 4, tokenizer, ban)
    for ids, logprobs in paths:
        text, score = tokenizer.decode(ids), sum(logprobs) / len(ids) ** length_penalty
        wanted[text] = max(score, wanted.get(text, score))
    assert len(wanted) < len(paths) / 2  # most are no UTF-8
    options: dict[str, Any] = {"length_penalty": length_penalty, "ban": ban}
    found = beam(Network(model), tokenizer, width=len(paths), length=4, **options)
    scores = {s.text: s.logprob / len(s.ids) ** length_penalty for s in found}
    assert len(scores) == len(found)
    assert scores == pytest.approx(wanted, abs=1e-5)
    assert list(scores.values()) == sorted(scores.values(), reverse=True)
    narrow = beam(Network(model), tokenizer, width=50, length=12, **options)
    assert len({s.text for s in narrow}) == len(narrow) > 1


# --- the command ---


def rows(*words: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in good("sample", *words, "--json").out.splitlines()]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("beam") / "m.npz"
    language_model.save(path, language_model.LanguageModel(model_of(TOKENIZER), TOKENIZER))
    return path


@pytest.mark.parametrize("words", [(), ("--length-penalty", 0.7), ("--length-penalty", 1)])
def test_the_command_prints_the_best_of_all_texts(path: Path, words: tuple[Any, ...]) -> None:
    alpha = float(words[1]) if words else 0.0
    texts = every_text(model_of(TOKENIZER), "ab", 4)
    texts.sort(key=lambda text: -sum(text[1]) / len(text[0]) ** alpha)
    search = (path, "--prefix", "ab", "--length", 4, "--beam", 300)
    found = rows(*search, "--num", 20, *words)
    assert [row["text"] for row in found] == ["ab" + TOKENIZER.decode(ids) for ids, _ in texts[:20]]
    assert rows(*search, *words) == found[:1]


def test_one_search_prints_as_many_texts_as_asked_for(path: Path) -> None:
    search = ("sample", path, "--length", 1, "--beam", 9)
    assert len(good(*search, "--num", 3).out.splitlines()) == 3
    done = good(*search, "--num", 9, "--prefix", "a", "--prefix", "")
    assert len(done.out.splitlines()) == 2 * 5  # a, b, c, a blank or </s>
    assert done.err.splitlines() == [
        f"5 of 9 texts found{after}: a wider --beam or a greater --length may find more."
        for after in (' after "a"', "")
    ]
    assert good(*search, "--num", 9, "-q").err == ""
    for words, message in (
        (("--num", 10), "a search of --beam 9 finds 9 texts at most, not 10."),
        (("--length-penalty", 1.5), "it must be 1 at most, not 1.5"),
    ):
        ended = run(*search, *words)
        assert (ended.code, ended.out) == (2, "")
        assert message in ended.err
    ended = run("sample", path, "--length-penalty", 0.5)
    assert (ended.code, ended.out) == (2, "")
    assert "--length-penalty goes with --beam." in ended.err


def test_a_search_computes_with_the_threads_that_were_given(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []

    class Counted(Threads):
        def __init__(self, size: int = 1) -> None:
            super().__init__(size)
            sizes.append(size)

    monkeypatch.setattr(network, "Threads", Counted)
    good("sample", path, "--beam", 2, "--threads", 3, "--length", 3)
    assert 3 in sizes
