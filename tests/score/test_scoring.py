"""Scores against sums done token by token, in plain loops."""

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rnncli.data.batches import Consecutive, Lanes, Sentences
from rnncli.errors import DataError
from rnncli.lm import network
from rnncli.lm.mixture import Mixture
from rnncli.lm.network import Network
from rnncli.nn import Config, Model
from rnncli.score import scoring
from rnncli.score.score import Score, signature
from rnncli.score.scoring import (
    score,
    score_plan,
    score_split,
    score_texts,
    whole_split,
)
from rnncli.text.tokenizer import Tokenizer

TEXTS = [
    "The cat sat on the mat. The dog sat too!",
    "A dog ran.",
    "Cats and dogs sat, ran and sat. Where is the mat? On the dog.",
    "Too.",
]
SEEN = ["the cat sat on a mat .", "the dog ran , and sat !", "where is it ?"]


@dataclass
class Units:
    """What a split of a data file looks like."""

    ids: NDArray[Any]
    starts: NDArray[Any]
    chars: int
    bytes: int


def split_of(tokenizer: Tokenizer, texts: Iterable[str]) -> Units:
    units = [unit for text in texts for unit in tokenizer.pretokenizer.units(text)]
    ids = [tokenizer.encode(unit).tolist() for unit in units]
    if tokenizer.bos is not None:
        ids = [[tokenizer.bos, *unit, tokenizer.eos] for unit in ids]
    flat = np.array([i for unit in ids for i in unit], np.uint16)
    starts = np.cumsum([0, *map(len, ids)])
    text = "".join(texts)
    return Units(flat, starts, len(text), len(text.encode()))


def model_of(tokenizer: Tokenizer, cell: str = "lstm", **options: Any) -> Model:
    config = Config(len(tokenizer), cell, **{"hidden": 7, "embed": 5, **options})
    model = Model.initial(config, 1)
    model.params["head.W"][:] *= 5
    return model


class Plainly:
    """A plain tanh network in float64, one token at a time: the definition of a score."""

    def __init__(self, model: Model, tokenizer: Tokenizer) -> None:
        self.p = {name: values.astype(np.float64) for name, values in model.params.items()}
        self.tokenizer = tokenizer
        self.fresh()

    def fresh(self) -> None:
        self.h = np.zeros(len(self.p["rnn.0.fwd.b"]))

    def score(self, ids: list[int]) -> Score:
        nats, tokens, oov, oov_nats = 0.0, 0, 0, 0.0
        eos, ends, expected = self.tokenizer.eos, 0, 0.0
        for x, y in pairwise(ids):
            a = self.p["rnn.0.fwd.Wx"] @ self.p["embed.W"][x] + self.p["rnn.0.fwd.b"]
            self.h = np.tanh(a + self.p["rnn.0.fwd.Wh"] @ self.h)
            z = self.p["head.W"] @ self.h + self.p["head.b"]
            total = sum(math.exp(v) for v in z)
            surprise = math.log(total) - z[y]
            if y == self.tokenizer.bos:
                continue
            nats, tokens = nats + surprise, tokens + 1
            if eos is not None:
                ends, expected = ends + (y == eos), expected + math.exp(z[eos]) / total
            if y == self.tokenizer.unk:
                oov, oov_nats = oov + 1, oov_nats + surprise
        if eos is None:
            return Score(nats, tokens, oov, oov_nats)
        return Score(nats, tokens, oov, oov_nats, ends=ends, ends_expected=expected)


def same(a: Score, b: Score) -> None:
    assert (a.tokens, a.oov) == (b.tokens, b.oov)
    if None not in (a.ends, b.ends):
        assert (a.ends, a.ends_expected) == (b.ends, pytest.approx(b.ends_expected, 1e-5))
    assert (a.nats, a.oov_nats) == (pytest.approx(b.nats, 1e-5), pytest.approx(b.oov_nats, 1e-5))


DOCUMENTS = Tokenizer.train(SEEN)
SENTENCES = Tokenizer.train(SEEN, unit="sentence")
STREAM = Tokenizer.train(SEEN, unit="stream")


@pytest.mark.parametrize("tokenizer", [DOCUMENTS, SENTENCES], ids=["documents", "sentences"])
def test_each_unit_of_a_split_is_read_from_a_fresh_state(tokenizer: Tokenizer) -> None:
    model, split = model_of(tokenizer, "rnn"), split_of(tokenizer, TEXTS)
    plain, expected = Plainly(model, tokenizer), Score()
    for a, b in pairwise(split.starts):
        plain.fresh()
        expected += plain.score(split.ids[a:b].tolist())
    score = score_split(Network(model, False), tokenizer, split)
    same(score, expected)
    assert score.oov > 3
    assert (score.chars, score.units) == (split.chars, len(split.starts) - 1)


@pytest.mark.parametrize("tokenizer", [DOCUMENTS, SENTENCES, STREAM], ids=["d", "s", "stream"])
def test_a_carried_state_goes_through_the_split_in_one_pass(tokenizer: Tokenizer) -> None:
    model, split = model_of(tokenizer, "rnn"), split_of(tokenizer, TEXTS)
    expected = Plainly(model, tokenizer).score(split.ids.tolist())
    same(score_split(Network(model, True), tokenizer, split), expected)
    carried = sum(score_texts(Network(model, True), tokenizer, TEXTS), Score())
    same(carried, expected)
    if tokenizer is STREAM:
        same(score_split(Network(model, False), tokenizer, split), expected)


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize(("group", "window"), [(1, 1), (3, 2), (64, 1000)])
def test_the_size_of_batches_changes_rounding_only(
    cell: str, group: int, window: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, split = model_of(SENTENCES, cell, layers=2), split_of(SENTENCES, TEXTS)
    expected = [score_split(Network(model, c), SENTENCES, split) for c in (False, True)]
    texts = list(score_texts(Network(model), SENTENCES, TEXTS))
    for module, name, value in (
        (network, "GROUP", group), (network, "STEPS", window), (network, "ALONE", window),
        (scoring, "ALONE", window), (scoring, "POOL", group),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, value)
    for carried in (False, True):
        same(score_split(Network(model, carried), SENTENCES, split), expected[carried])
    for one, other in zip(score_texts(Network(model), SENTENCES, TEXTS), texts, strict=True):
        same(one, other)


def test_lanes_differ_only_where_they_join() -> None:
    model, split = model_of(STREAM, "rnn"), split_of(STREAM, TEXTS * 5)
    n, plain = len(split.ids) - 1, Plainly(model, STREAM)
    for lanes in (1, 2, 3, 7):
        ends = np.cumsum([0, *(len(part) for part in np.array_split(np.arange(n), lanes))])
        expected = Score()
        for a, b in pairwise(ends):
            plain.fresh()
            expected += plain.score(split.ids[a : b + 1].tolist())
        found = score_plan(Network(model), STREAM, Lanes(split.ids, lanes))
        same(found, expected)
        assert found.tokens == n


def test_more_lanes_than_tokens_are_no_harm() -> None:
    ids = np.array([3, 4, 5])
    works = list(Lanes(ids, 10).batches(0))
    assert [(w.x.tolist(), w.y.tolist()) for w in works] == [([3, 4], [4, 5])]
    with pytest.raises(DataError, match="two tokens or more"):
        Lanes(ids[:1], 1).length(0)


def test_any_plan_can_be_scored_and_start_tokens_never_count() -> None:
    model, split = model_of(DOCUMENTS, "rnn"), split_of(DOCUMENTS, TEXTS)
    flat = split.ids.tolist()
    plan = Consecutive(split.ids, 1, 4, seed=0, offset=False)
    assert DOCUMENTS.bos in [y for work in plan.batches(0) for y in work.y]
    found = score_plan(Network(model), DOCUMENTS, plan)
    same(found, Plainly(model, DOCUMENTS).score(flat))
    assert found.tokens == sum(i != DOCUMENTS.bos for i in flat)
    shuffled = Sentences(split.ids, split.starts, 2, 3, seed=0)
    same(score_plan(Network(model), DOCUMENTS, shuffled),
         score_split(Network(model, False), DOCUMENTS, split))  # fmt: skip


def test_each_text_has_its_score_in_order_and_empty_ones_too() -> None:
    model, texts = model_of(SENTENCES, "rnn"), ["", *TEXTS, "  \n", TEXTS[0], ""]
    scores = list(score_texts(Network(model), SENTENCES, iter(texts)))
    plain = Plainly(model, SENTENCES)
    for text, found in zip(texts, scores, strict=True):
        expected = Score()
        for unit in SENTENCES.pretokenizer.units(text):
            plain.fresh()
            ids = SENTENCES.encode(unit).tolist()
            expected += plain.score([1, *ids, 2])
        same(found, expected)
        assert (found.chars, found.bytes) == (len(text), len(text.encode()))
        assert found.units == len(SENTENCES.pretokenizer.units(text))
    assert (scores[0].tokens, scores[0].nats, scores[0].ends) == (0, 0, 0)
    assert scores[1].nats == pytest.approx(scores[6].nats, 1e-6)


def test_the_first_token_of_a_stream_is_not_predicted() -> None:
    model = model_of(STREAM)
    scores = list(score_texts(Network(model), STREAM, ["the", "the cat", ""]))
    assert [score.tokens for score in scores] == [0, 1, 0]
    carried = list(score_texts(Network(model, True), STREAM, ["", "the", "the cat", ""]))
    assert [score.tokens for score in carried] == [0, 0, 2, 0]


def test_texts_are_read_as_they_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "POOL", 3)
    taken = []

    def source() -> Iterable[str]:
        for k in range(100):
            taken.append(k)
            yield "the cat"

    scores = score_texts(Network(model_of(DOCUMENTS)), DOCUMENTS, source())
    next(iter(scores))
    assert len(taken) == 3


def unigram(tokenizer: Tokenizer, p: dict[str, float]) -> Model:
    """A network that says the same at every step: p of the tokens named, the rest share alike."""
    model = Model.initial(Config(len(tokenizer), "rnn", hidden=2))
    for values in model.params.values():
        values[:] = 0
    rest = (1 - sum(p.values())) / (len(tokenizer) - len(p))
    q = [p.get(token, rest) for token in tokenizer.vocabulary.tokens]
    model.params["head.b"][:] = np.log(q)
    return model


def test_figures_worked_by_hand() -> None:
    """the 1/4, cat 1/8, <unk> 1/2, </s> 1/16: "the zebra the cat" costs 2+1+2+3+4 bits."""
    model = unigram(DOCUMENTS, {"the": 1 / 4, "cat": 1 / 8, "<unk>": 1 / 2, "</s>": 1 / 16})
    (score,) = score_texts(Network(model), DOCUMENTS, ["the zébra the cat"])
    assert (score.tokens, score.oov, score.chars, score.bytes) == (5, 1, 17, 18)
    assert score.nats == pytest.approx(12 * math.log(2), 1e-6)
    assert score.oov_nats == pytest.approx(math.log(2), 1e-6)
    assert score.perplexity == pytest.approx(2 ** (12 / 5), 1e-6)
    assert score.perplexity_excluding_oov == pytest.approx(2 ** (11 / 4), 1e-6)
    assert score.bits_per_char == pytest.approx(12 / 17, 1e-6)
    assert score.bits_per_byte == pytest.approx(12 / 18, 1e-6)
    assert score.kenlm().splitlines() == [
        "Perplexity including OOVs:\t5.27803",
        "Perplexity excluding OOVs:\t6.72717",
        "OOVs:\t1",
        "Tokens:\t5",
    ]


def test_scores_add_up() -> None:
    a, b = Score(1.5, 2, 1, 0.5, 10, 11, 1), Score(2.5, 3, 0, 0.0, 20, 22, 2)
    assert a + b == Score(4.0, 5, 1, 0.5, 30, 33, 3)


def test_what_is_undefined_is_null_in_json_and_nan_in_numbers() -> None:
    figures = json.loads(json.dumps(Score().to_json(), allow_nan=False))
    undefined = ("nats_per_token", "bits_per_token", "perplexity", "perplexity_excluding_oov",
                 "bits_per_char", "bits_per_byte")  # fmt: skip
    assert {name for name, value in figures.items() if value is None} == set(undefined)
    assert figures["tokens"] == 0
    assert math.isnan(Score().perplexity)
    assert math.isnan(Score(1.0, 1, 1, 1.0).perplexity_excluding_oov)
    assert Score(1e6, 10).perplexity == math.inf
    assert Score(1e6, 10).to_json()["perplexity"] is None
    assert Score().kenlm().startswith("Perplexity including OOVs:\tnan\n")


def test_the_signature_tells_vocabularies_apart() -> None:
    line = signature(DOCUMENTS)
    other = Tokenizer.train([*SEEN, "zebra"])
    assert line.split("|")[:2] == ["ppl", "tok:word+lower+nfc:document:v1"]
    assert line.split("|")[2].startswith(f"vocab:{len(DOCUMENTS)}:")
    assert len({line, signature(SENTENCES), signature(other)}) == 3


def test_sums_stay_exact_where_float32_would_not() -> None:
    model = unigram(DOCUMENTS, {"the": 1 / 4})
    texts = ["the " * 50_000] * 10
    total = sum(score_texts(Network(model), DOCUMENTS, texts), Score())
    each = next(iter(score_texts(Network(model), DOCUMENTS, ["the the"]))).nats
    end = next(iter(score_texts(Network(model), DOCUMENTS, ["the"])))
    token = each - end.nats
    assert total.tokens == 500_010
    assert total.nats == pytest.approx(500_000 * token + 10 * (end.nats - token), 1e-9)


@pytest.mark.parametrize("tokenizer", [DOCUMENTS, SENTENCES, STREAM], ids=["d", "s", "stream"])
@pytest.mark.parametrize("carried", [True, False])
def test_the_nats_of_each_id_sum_to_the_score(tokenizer: Tokenizer, carried: bool) -> None:
    model, split = model_of(tokenizer, "rnn"), split_of(tokenizer, TEXTS)
    whole = whole_split(Network(model, carried), tokenizer, split)
    found = score_split(Network(model, carried), tokenizer, split)
    assert score(tokenizer, whole) == found
    nats = whole.nats
    plain = Plainly(model, tokenizer)
    assert nats[1] == pytest.approx(plain.score(split.ids[:2].tolist()).nats, 1e-5)
    assert np.isnan(nats).sum() == len(split.ids) - found.tokens


def test_a_model_that_breaks_down_has_told_nothing() -> None:
    model, split = model_of(DOCUMENTS), split_of(DOCUMENTS, TEXTS)
    model.params["head.b"][4] = np.nan
    score = score_split(Network(model, False), DOCUMENTS, split)
    assert score.tokens == score_split(Network(model_of(DOCUMENTS), False), DOCUMENTS, split).tokens
    assert score.perplexity == math.inf


def test_the_open_perplexity_shares_the_mass_of_unknown_words() -> None:
    score = Score(nats=10.0, tokens=4, oov=2, oov_nats=1.0)
    assert score.perplexity_open(1) == score.perplexity
    assert score.perplexity_open(100) == pytest.approx(math.exp((10 + 2 * math.log(100)) / 4))


def test_a_mixture_of_a_carried_and_a_fresh_network_is_that_of_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    split = split_of(DOCUMENTS, TEXTS)
    parts = [Network(model_of(DOCUMENTS), carried) for carried in (True, False)]
    each = [whole_split(part, DOCUMENTS, split).nats for part in parts]
    expected = -np.log(0.3 * np.exp(-each[0]) + 0.7 * np.exp(-each[1]))
    for alone in (2048, 5, 2):
        monkeypatch.setattr(scoring, "ALONE", alone)
        found = whole_split(Mixture(parts, [0.3, 0.7]), DOCUMENTS, split).nats
        np.testing.assert_allclose(found, expected, rtol=1e-5)
