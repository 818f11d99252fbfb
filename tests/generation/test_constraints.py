"""What a text is held to: bans, strings it must include, and prefixes side by side."""

from collections import Counter
from itertools import pairwise
from typing import Any

import pytest

from rnncli.config.writing import Constraints, Filters
from rnncli.errors import ConfigError
from rnncli.generation.beam import beam
from rnncli.generation.sampling import generate, stream_one
from rnncli.lm.network import Network
from rnncli.nn import Config, Model
from rnncli.text.tokenizer import Tokenizer

TEXTS = ["The cat sat on the mat.", "A dog ran; the cat didn't. The dog sat.", "a cat ran"]
WORDS, CHARS = Tokenizer.train(TEXTS), Tokenizer.train(TEXTS, "char")


def model_of(tokenizer: Tokenizer, seed: int = 1) -> Model:
    model = Model.initial(Config(len(tokenizer), hidden=14, embed=6), seed)
    model.params["head.W"][:] *= 5
    return model


def test_a_banned_token_is_never_written_and_the_others_keep_their_shares() -> None:
    model, index = model_of(WORDS), WORDS.vocabulary.index
    options: dict[str, Any] = {"num": 6000, "length": 1, "batch": 6000}
    free, held = (
        Counter(s.ids[0] for s in generate(Network(model), WORDS, "the", ban=ban, **options))
        for ban in ((), ("Cat", "."))
    )
    gone = {index["cat"], index["."]}
    assert gone <= set(free)
    assert not gone & set(held)
    rest = sum(free[token] for token in free if token not in gone)
    for token in set(free) - gone:
        share = free[token] / rest
        assert abs(held[token] / 6000 - share) < 5 * (0.25 / rest + 0.25 / 6000) ** 0.5
    assert all(
        not gone & set(s.ids) for s in beam(Network(model), WORDS, "the", 4, 6, ban=["cat", "."])
    )


def test_special_tokens_can_be_banned_and_strange_ones_do_no_harm() -> None:
    model = model_of(WORDS)
    (text,) = generate(Network(model), WORDS, length=40, ban=["</s>", "zebra"])
    assert (text.stopped, len(text.ids)) == ("length", 40)
    with pytest.raises(ConfigError, match=r'^"the cat" is 2 tokens \("the", "cat"\), not one'):
        next(generate(Network(model), WORDS, ban=["the cat"]))
    with pytest.raises(ConfigError, match="ban leaves no token"):
        next(generate(Network(model), CHARS, ban=CHARS.vocabulary.tokens))


def test_a_text_that_must_include_something_is_the_first_attempt_that_does() -> None:
    """The share of such texts among all is what the rejection rests on: both are compared."""
    model, words = model_of(WORDS), ("dog", "the cat")
    options: dict[str, Any] = {"length": 12}
    held = list(generate(Network(model), WORDS, num=40, must_include=words, **options))
    a, the, cat = (WORDS.vocabulary.index[word] for word in ("dog", "the", "cat"))

    def has(ids: list[int]) -> bool:
        return a in ids and any(pair == (the, cat) for pair in pairwise(ids))

    assert all(has(sample.body) for sample in held)
    free = list(generate(Network(model), WORDS, num=40, **options))
    fine = [k for k, sample in enumerate(free) if has(sample.body)]
    assert 0 < len(fine) < 40
    for k in fine:
        assert held[k].ids == free[k].ids
    for batch in (1, 13):
        again = generate(Network(model), WORDS, num=40, must_include=words, batch=batch, **options)
        assert [s.text for s in again] == [s.text for s in held]
    assert "".join(stream_one(Network(model), WORDS, must_include=words, **options)) == held[0].text


def test_what_a_stop_string_cuts_off_is_not_included() -> None:
    model = model_of(CHARS)
    options: dict[str, Any] = {"num": 20, "length": 30, "must_include": ["a"], "stop": ["at"]}
    for sample in generate(Network(model), CHARS, **options):
        assert "a" in sample.text
        assert CHARS.decode(sample.body) == sample.text


def test_what_cannot_be_included_is_said_at_once_or_after_so_many_tries() -> None:
    model = model_of(WORDS)
    with pytest.raises(ConfigError, match=r'^no text can include "zebra": it is not in the voc'):
        next(generate(Network(model), WORDS, must_include=["zebra"]))
    model.params["head.b"][WORDS.vocabulary.index["mat"]] = -60
    with pytest.raises(ConfigError, match=r'^no text of 30 includes "mat"\. Allow more tries or'):
        next(generate(Network(model), WORDS, must_include=["mat"], tries=30, length=5))
    with pytest.raises(ConfigError, match="no text of 1 includes"):
        next(generate(Network(model), WORDS, must_include=["mat"], filters=Filters(temperature=0)))


@pytest.mark.parametrize("tokenizer", [WORDS, CHARS], ids=["words", "chars"])
def test_a_text_after_a_prefix_does_not_depend_on_other_prefixes(tokenizer: Tokenizer) -> None:
    model = model_of(tokenizer)
    options: dict[str, Any] = {"num": 5, "length": 20, "seed": 2}
    prefixes = ["The cat", "", "a dog", "The cat ", "The"]
    many = [
        [s.text for s in generate(Network(model), tokenizer, prefixes, batch=batch, **options)]
        for batch in (1, 4, 64)
    ]
    assert many[0] == many[1] == many[2]
    for k, prefix in enumerate(prefixes):
        alone = [s.text for s in generate(Network(model), tokenizer, prefix, **options)]
        assert many[0][5 * k : 5 * k + 5] == alone
    certain = Filters(temperature=0)
    greedy = [
        s.text for s in generate(Network(model), tokenizer, prefixes, filters=certain, **options)
    ]
    assert len(greedy) == 25
    assert all(len(set(greedy[k : k + 5])) == 1 for k in range(0, 25, 5))


def test_texts_after_different_prefixes_are_drawn_independently() -> None:
    """With a model that forgets its prefix: the same stream would give the same text each time."""
    model = model_of(CHARS)
    for name in ("Wx", "Wh"):
        model.params[f"rnn.0.fwd.{name}"][:] = 0
    drawn = generate(Network(model), CHARS, ["a", "b", "The"], num=20, min_length=12, length=20)
    assert len({s.text for s in drawn}) == 60


@pytest.mark.parametrize(
    "wrong",
    [{"ban": "the"}, {"ban": [""]}, {"must_include": "the"}, {"must_include": [""]}, {"tries": 0},
     {"length": 0}, {"length": 2, "min_length": 3}],
)  # fmt: skip
def test_senseless_terms_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=rf"{next(iter(wrong))}.* must be"):
        Constraints(**wrong)
