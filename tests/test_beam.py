"""Beam search against all texts there are."""

import math
from typing import Any

import numpy as np
import pytest

from rnncli.beam import beam
from rnncli.errors import ConfigError
from rnncli.nn import Config, Model
from rnncli.sampling import Filters, generate, prefix_ids
from rnncli.tokenizer import Tokenizer

TOKENIZER = Tokenizer.train(["abba cab", "bac"], "char")


def model_of(tokenizer: Tokenizer, seed: int = 0) -> Model:
    model = Model.initial(Config(len(tokenizer), hidden=9, embed=4), seed)
    model.params["head.W"][:] *= 6
    return model


def every_text(model: Model, prefix: str, length: int) -> list[tuple[list[int], list[float]]]:
    """All texts of at most `length` tokens with their log-probabilities, token by token."""
    assert TOKENIZER.eos is not None
    found = []

    def go_on(ids: list[int], logprobs: list[float]) -> None:
        if ids and (ids[-1] == TOKENIZER.eos or len(ids) == length):
            found.append((ids, logprobs))
            return
        state = model.zero_state(1)
        for token in [*prefix_ids(TOKENIZER, prefix)[0], *ids]:
            z, state = model.step(np.array([token]), state)
        p = [math.exp(v) for v in z[:, 0].tolist()]
        for token in range(len(TOKENIZER)):
            if token not in (TOKENIZER.unk, TOKENIZER.bos):
                go_on([*ids, token], [*logprobs, math.log(p[token] / sum(p))])

    go_on([], [])
    return found


@pytest.mark.parametrize("normalise", [0.0, 0.7, 1.0])
@pytest.mark.parametrize("prefix", ["", "ab"])
def test_a_wide_beam_finds_the_best_of_all_texts(normalise: float, prefix: str) -> None:
    model = model_of(TOKENIZER)
    texts = every_text(model, prefix, 4)
    texts.sort(key=lambda text: -sum(text[1]) / len(text[0]) ** normalise)
    found = beam(model, TOKENIZER, prefix, width=300, length=4, normalise=normalise)
    assert [sample.ids for sample in found[:40]] == [ids for ids, _ in texts[:40]]
    for sample, (_, logprobs) in zip(found[:40], texts, strict=False):
        assert sample.token_logprobs == pytest.approx(logprobs, abs=1e-5)
        assert sample.logprob == pytest.approx(sum(logprobs), abs=1e-5)


def plainly(model: Model, width: int, length: int, normalise: float) -> list[list[int]]:
    """Beam search that never stops early, and reads every beginning anew."""
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
    done.sort(key=lambda path: -path[0] / len(path[1]) ** normalise)
    return [ids for _, ids in done[:width]]


@pytest.mark.parametrize("normalise", [0.0, 0.5, 1.0])
def test_a_narrow_beam_is_the_plain_one(normalise: float) -> None:
    for seed in range(12):
        model, width = model_of(TOKENIZER, seed), 1 + seed % 4
        found = beam(model, TOKENIZER, width=width, length=12, normalise=normalise)
        assert [sample.ids for sample in found] == plainly(model, width, 12, normalise)


def test_a_beam_of_one_takes_the_most_probable_token() -> None:
    for seed in range(5):
        model = model_of(TOKENIZER, seed)
        (found,) = beam(model, TOKENIZER, "c", width=1, length=12)
        greedy = next(generate(model, TOKENIZER, "c", length=12, filters=Filters(temperature=0)))
        assert (found.ids, found.text, found.stopped) == (greedy.ids, greedy.text, greedy.stopped)


@pytest.mark.parametrize("width", [2, 3, 8])
def test_samples_come_best_first_and_each_once(width: int) -> None:
    found = beam(model_of(TOKENIZER, 3), TOKENIZER, width=width, length=10)
    assert [s.logprob for s in found] == sorted((s.logprob for s in found), reverse=True)
    assert len({tuple(s.ids) for s in found}) == len(found) == width
    assert {s.stopped for s in found} <= {"end", "length"}


def test_a_beam_never_loses_what_it_can_no_longer_beat() -> None:
    """Stopping early gives the same texts as going on to the last token."""
    model = model_of(TOKENIZER, 1)
    model.params["head.b"][TOKENIZER.eos] = 3
    short = beam(model, TOKENIZER, width=4, length=12)
    long = beam(model, TOKENIZER, width=4, length=500)
    assert all(s.stopped == "end" for s in short)
    assert [s.ids for s in short] == [s.ids for s in long]


def test_words_join_to_the_prefix() -> None:
    words = Tokenizer.train(["the cat sat , and so on ."])
    model = model_of(words)
    for sample in beam(model, words, "the cat", width=5, length=4):
        ids = [*words.encode("the cat"), *sample.ids]
        assert words.decode(ids) == "the cat" + sample.text


@pytest.mark.parametrize("wrong", [{"width": 0}, {"normalise": -1.0}, {"length": 0}])
def test_senseless_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        beam(model_of(TOKENIZER), TOKENIZER, **wrong)
