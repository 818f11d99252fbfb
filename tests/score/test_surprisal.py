"""Each token as it stands in the text, with the nats that evaluation counts."""

import math
from typing import Any

import numpy as np
import pytest
from test_scoring import DOCUMENTS, SEEN, SENTENCES, STREAM, TEXTS, model_of, split_of, unigram

from rnncli.lm.network import Network
from rnncli.score.scoring import score_texts
from rnncli.score.surprisal import split_units, surprisals, text_tokens, text_units
from rnncli.text.pretokenizer import Pretokenizer
from rnncli.text.tokenizer import Tokenizer

CHARS = Tokenizer.train(SEEN, level="char", unit="stream")
BYTES = Tokenizer.train(SEEN, level="byte")
ODD = [
    "  It isn't\tthe  CAT’s mat…\u00a0é",
    "İstanbul and e\u0301t ΑΣ",
    "我爱吃苹果 — 3.5%!",
    "e\u0301",
]


@pytest.mark.parametrize("level", ["word", "char", "byte"])
@pytest.mark.parametrize("lower", [True, False])
@pytest.mark.parametrize("text", [*TEXTS, *ODD])
def test_the_pieces_are_the_text_and_as_many_as_its_tokens(
    level: str, lower: bool, text: str
) -> None:
    rule = Pretokenizer(level, "document", lower)
    found = rule.pieces(text)
    assert len(found) == len(rule.tokens(text))
    joined = "".join(space + piece for space, piece in found)
    if level == "byte":
        joined = joined.encode().decode("unicode_escape").encode("latin-1").decode()
        assert joined == rule.normal(text)
    elif level == "word" and all(len(rule.normal(word)) == len(word) for word in text.split()):
        assert joined == text.rstrip()
    assert rule.normal(joined).split() == rule.normal(text).split()
    assert all(not space.strip() for space, _ in found)


def test_capitals_and_white_space_stay() -> None:
    assert Pretokenizer().pieces(" It isn't\n(SO)") == [
        (" ", "It"), (" ", "is"), ("", "n't"), ("\n", "("), ("", "SO"), ("", ")"),
    ]  # fmt: skip


@pytest.mark.parametrize("tokenizer", [DOCUMENTS, SENTENCES, STREAM, CHARS, BYTES])
@pytest.mark.parametrize("carried", [True, False])
def test_the_nats_are_those_that_evaluation_counts(tokenizer: Tokenizer, carried: bool) -> None:
    model = model_of(tokenizer)
    units = [unit for text in TEXTS for unit in text_units(tokenizer, text)]
    told = [t for unit in surprisals(Network(model, carried), tokenizer, units) for t in unit]
    nats = [token.nats for token in told if not math.isnan(token.nats)]
    expected = list(score_texts(Network(model, carried), tokenizer, TEXTS))
    assert len(nats) == sum(score.tokens for score in expected)
    assert math.fsum(nats) == pytest.approx(sum(score.nats for score in expected), rel=1e-5)
    assert sum(not token.known for token in told) == sum(score.oov for score in expected) + sum(
        not token.known for token in told if math.isnan(token.nats)
    )


def test_what_it_would_rather_have_read_is_in_order_and_never_the_start() -> None:
    model = unigram(DOCUMENTS, {"the": 0.4, "<s>": 0.3, "cat": 0.2, "</s>": 0.05})
    (unit,) = surprisals(Network(model), DOCUMENTS, text_units(DOCUMENTS, "A zebra"), best=3)
    assert [(token.text, token.known) for token in unit] == [
        ("A", True), ("zebra", False), ("</s>", True),
    ]  # fmt: skip
    for token in unit:
        assert [name for name, _ in token.best] == ["the", "cat", "</s>"]
        assert [p for _, p in token.best] == pytest.approx([0.4, 0.2, 0.05], rel=1e-5)
    assert unit[2].nats == pytest.approx(-math.log(0.05), rel=1e-5)
    assert unit[2].bits == pytest.approx(-math.log2(0.05), rel=1e-5)
    all_of_it = next(surprisals(Network(model), DOCUMENTS, text_units(DOCUMENTS, "A"), best=1000))
    assert len(all_of_it[0].best) == len(DOCUMENTS) - 1
    assert sum(p for _, p in all_of_it[0].best) == pytest.approx(0.7, rel=1e-5)


def test_windows_change_rounding_only(monkeypatch: pytest.MonkeyPatch) -> None:
    model, units = model_of(STREAM), text_units(STREAM, " ".join(TEXTS))
    whole = next(surprisals(Network(model), STREAM, units))
    monkeypatch.setattr("rnncli.score.surprisal.LOGITS", 2 * len(STREAM))
    parts = next(surprisals(Network(model), STREAM, units))
    assert [t.text for t in whole] == [t.text for t in parts]
    np.testing.assert_allclose([t.nats for t in whole], [t.nats for t in parts], rtol=1e-5)


def test_blank_units_stay_blank() -> None:
    blank = text_units(DOCUMENTS, "the cat")[0]._replace(ids=np.empty(0, np.uint32), pieces=[])
    units = [*text_units(DOCUMENTS, "the cat"), blank, *text_units(DOCUMENTS, "the cat")]
    first, middle, last = surprisals(Network(model_of(DOCUMENTS)), DOCUMENTS, units)
    assert middle == []
    assert first == last


@pytest.mark.parametrize("tokenizer", [DOCUMENTS, SENTENCES, STREAM, CHARS, BYTES])
def test_the_units_of_a_split_have_a_text_again(tokenizer: Tokenizer, monkeypatch: Any) -> None:
    monkeypatch.setattr("rnncli.score.surprisal.BLOCK", 5)
    split = split_of(tokenizer, TEXTS)
    units = list(split_units(tokenizer, split))
    assert np.concatenate([unit.ids for unit in units]).tolist() == split.ids.tolist()
    assert all(len(unit.ids) == len(unit.pieces) for unit in units)
    joined = "".join(space + text for unit in units for space, text in unit.pieces)
    assert "he cat sat on" in joined
    ends = len(split.starts) - 1 if tokenizer.bos is not None else 0
    assert (joined.count("<s>"), joined.count(" </s>")) == (ends, ends)
    if tokenizer.bos is None:
        assert [len(unit.ids) for unit in units[:-1]] == [5] * (len(units) - 1)


@pytest.mark.parametrize("tokenizer", [DOCUMENTS, SENTENCES, STREAM, CHARS, BYTES])
def test_the_tokens_of_a_text_are_as_many_as_its_ids(tokenizer: Tokenizer) -> None:
    for text in (*TEXTS, *ODD, "", "  \n"):
        names = text_tokens(tokenizer, text)
        ids = [i for unit in text_units(tokenizer, text) for i in unit.ids.tolist()]
        known = tokenizer.vocabulary.index
        assert [known.get(name, tokenizer.unk) for name in names] == ids
