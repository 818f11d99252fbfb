"""Filters against plain lists, draws against exact probabilities, texts against each other."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate, pairwise
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest

from rnncli.config.writing import Filters
from rnncli.errors import ConfigError
from rnncli.generation import chooser
from rnncli.generation import filters as filters_module
from rnncli.generation.filters import PLAIN, draw_one, weigh
from rnncli.generation.sampling import generate, stream_one
from rnncli.generation.text import Prefix, read_prefix
from rnncli.lm.network import SLACK, Network
from rnncli.nn import Config, Model, Params, products
from rnncli.nn.heads import linear
from rnncli.nn.incremental import Single
from rnncli.score.scoring import score_texts
from rnncli.text.tokenizer import Tokenizer

LOGITS = [2.0, -0.5, 1.0, 1.0, 0.3, -3.0, 2.5, 0.0, -0.5, 1.7, -1.0, 0.2]
WRITTEN = [6, 0, 3, 6, 0, 9, 2, 6]

TEXTS = [
    "The cat sat on the mat, and the dog's bone was (quite) old.",
    "A dog ran; the cat didn't. Where is the bone?",
    "Twelve cats sat on a mat. The mat was old, and so was the dog.",
]

FILTERS = {
    "plain": Filters(),
    "temperature": Filters(temperature=0.7),
    "hot": Filters(temperature=1.9),
    "top_k": Filters(top_k=4),
    "top_p": Filters(top_p=0.8),
    "min_p": Filters(min_p=0.2),
    "typical": Filters(typical=0.7),
    "repetition": Filters(repetition=1.3),
    "no_repeat": Filters(no_repeat=2),
    "banned": Filters(banned=(6, 0, 11)),
    "all": Filters(0.8, 9, 0.95, 0.02, 0.9, 1.2, 3, (9,)),
    "two": Filters(temperature=1.5, top_k=5, top_p=0.9),
}


def probabilities(logits: Any, filters: Filters, written: Sequence[int] = ()) -> Any:
    """The distribution (V,) that `next_token` draws from, in float64."""
    weights = weigh(np.asarray(logits, np.float64)[None], filters, [written])[0]
    return weights / weights.sum()


def next_token(
    logits: Any, u: tuple[float, float], filters: Filters = PLAIN, written: Sequence[int] = ()
) -> int:
    """The id that two numbers in [0, 1) fall on."""
    weights = weigh(np.asarray(logits, np.float64)[None], filters, [written])
    return draw_one(weights[0], *u)[0]


def plainly(logits: Sequence[float], f: Filters, written: Sequence[int]) -> list[float]:
    """The definition: every filter by sorting whole lists, in the documented order."""
    z = {i: x for i, x in enumerate(logits) if i not in f.banned}
    for i in set(written) & set(z):
        z[i] = z[i] / f.repetition if z[i] > 0 else z[i] * f.repetition
    if f.no_repeat:
        n, text = f.no_repeat, tuple(written)
        grams = {text[k : k + n] for k in range(len(text) - n + 1)}
        end = text[len(text) - n + 1 :]
        kept = {i: x for i, x in z.items() if (*end, i) not in grams}
        z = kept or z
    if f.temperature == 0:
        best = min(z, key=lambda i: (-z[i], i))
        return [float(i == best) for i in range(len(logits))]
    p = {i: math.exp(x / f.temperature) for i, x in z.items()}

    def first(order: list[int], mass: float) -> dict[int, float]:
        kept: dict[int, float] = {}
        total = math.fsum(p.values())
        for i in order:
            if math.fsum(kept.values()) >= mass * total:
                break
            kept[i] = p[i]
        return kept

    if f.top_k:
        p = {i: p[i] for i in sorted(p, key=lambda i: (-p[i], i))[: f.top_k]}
    if f.top_p < 1:
        p = first(sorted(p, key=lambda i: (-p[i], i)), f.top_p)
    p = {i: x for i, x in p.items() if x >= f.min_p * max(p.values())}
    if f.typical < 1:
        total = math.fsum(p.values())
        entropy = -math.fsum(x / total * math.log(x / total) for x in p.values())
        p = first(sorted(p, key=lambda i: (abs(-math.log(p[i] / total) - entropy), i)), f.typical)
    total = math.fsum(p.values())
    return [p.get(i, 0.0) / total for i in range(len(logits))]


def chi_square_limit(df: int, significance: float = 1e-6) -> float:
    """The quantile of the chi-square distribution (Wilson and Hilferty 1931)."""
    z = NormalDist().inv_cdf(1 - significance)
    return df * (1 - 2 / (9 * df) + z * math.sqrt(2 / (9 * df))) ** 3


def model_of(tokenizer: Tokenizer, seed: int = 0, **options: Any) -> Model:
    """A small model whose distributions are far from uniform."""
    config = Config(len(tokenizer), **{"hidden": 16, "embed": 7, **options})
    model = Model.initial(config, seed)
    linear.weights(model.params, model.config)[0][:] *= 6
    return model


WORDS = Tokenizer.train(TEXTS)
CHARS = Tokenizer.train(TEXTS, "char", unit="stream")


@pytest.mark.parametrize("filters", FILTERS.values(), ids=FILTERS)
def test_draws_follow_the_distribution_written_plainly(
    filters: Filters, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = plainly(LOGITS, filters, WRITTEN)
    exact = probabilities(np.array(LOGITS), filters, WRITTEN)
    np.testing.assert_allclose(exact, expected, rtol=1e-12, atol=0)
    rng, logits, n = np.random.default_rng(20), np.array(LOGITS), 100_000
    weights = filters_module.weigh(logits[None], filters, [WRITTEN])
    monkeypatch.setattr(filters_module, "weigh", lambda *_: weights)  # pure: worked out once
    seen = Counter(next_token(logits, u, filters, WRITTEN) for u in rng.random((n, 2)).tolist())
    assert set(seen) == {i for i, p in enumerate(expected) if p}
    chi = sum((seen[i] - n * p) ** 2 / (n * p) for i, p in enumerate(expected) if p)
    assert chi < chi_square_limit(len(seen) - 1)


def test_the_chi_square_limit_is_that_of_the_tables() -> None:
    assert chi_square_limit(10, 0.001) == pytest.approx(29.588, rel=1e-2)
    assert chi_square_limit(5, 0.05) == pytest.approx(11.070, rel=1e-2)


def test_random_filters_on_random_logits_equal_the_plain_lists() -> None:
    rng = np.random.default_rng(4)
    for _ in range(400):
        V = int(rng.integers(2, 30))
        logits = rng.integers(-4, 5, V) / 2 if rng.random() < 0.5 else rng.standard_normal(V) * 3
        filters = Filters(
            temperature=float(rng.choice([0.5, 1, 2])),
            top_k=int(rng.choice([0, 1, 3, 40])),
            top_p=float(rng.choice([1, 0.9123, 0.3121])),
            min_p=float(rng.choice([0, 0.0513])),
            typical=float(rng.choice([1, 0.8111, 0.2345])),
            repetition=float(rng.choice([1, 1.5, 0.8])),
            no_repeat=int(rng.integers(4)),
            banned=tuple(rng.choice(V, int(rng.integers(V)), replace=False).tolist()),
        )
        written = rng.integers(V, size=int(rng.integers(12))).tolist()
        expected = plainly(logits.tolist(), filters, written)
        exact = probabilities(logits, filters, written)
        np.testing.assert_allclose(exact, expected, rtol=1e-9, atol=0, err_msg=str(filters))


def test_the_most_typical_of_many_tokens_are_those_of_the_plain_lists() -> None:
    """Few are sorted, or more and more of them; among them are many of one probability."""
    rng = np.random.default_rng(6)
    for logits in (rng.standard_normal(5000) * 3, rng.integers(-3, 4, 5000) / 2):
        for typical in (0.01, 0.2, 0.9, 0.9999):
            filters = Filters(typical=typical)
            expected = plainly(logits.tolist(), filters, ())
            np.testing.assert_allclose(probabilities(logits, filters), expected, rtol=1e-9)


@pytest.mark.parametrize(
    ("filters", "kept"),
    [
        (Filters(top_k=3), [0, 1, 2]),
        (Filters(top_p=0.5), [0, 1]),
        (Filters(typical=0.5), [0, 1]),
        (Filters(temperature=0), [0]),
    ],
)
def test_of_equal_tokens_the_lower_id_goes_first(filters: Filters, kept: list[int]) -> None:
    assert np.flatnonzero(probabilities(np.zeros(4), filters)).tolist() == kept


@pytest.mark.parametrize("name", ["top_p", "typical", "min_p"])
def test_every_filter_leaves_a_token(name: str) -> None:
    value = 1.0 if name == "min_p" else 1e-12
    p = probabilities(np.array([0.0, 3.0, 1.0]), Filters(**{name: value}))
    assert p.max() == 1


def test_when_every_token_would_repeat_an_ngram_none_is_held_back() -> None:
    p = probabilities(np.zeros(2), Filters(no_repeat=1), [0, 1])
    assert p.tolist() == [0.5, 0.5]


def test_the_first_ngram_of_a_text_counts() -> None:
    assert probabilities(np.zeros(2), Filters(no_repeat=2), [1, 1]).tolist() == [1, 0]
    assert probabilities(np.zeros(2), Filters(no_repeat=3), [1, 1]).tolist() == [0.5, 0.5]


def test_the_ends_of_the_unit_interval_never_give_an_impossible_token() -> None:
    logits = np.array([-np.inf, 0.3, -np.inf, 1.0, -np.inf])
    assert next_token(logits, (0.0, 0.0)) == 1
    assert next_token(logits, (math.nextafter(1, 0),) * 2) == 3


def test_huge_logits_do_not_overflow() -> None:
    p = probabilities(np.array([1e4, 1e4, -1e4]), Filters(temperature=0.01))
    assert p.tolist() == [0.5, 0.5, 0]


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("temperature", [1e-20, 1e-40, 5e-324])
def test_the_coldest_temperatures_leave_the_most_probable(temperature: float, kind: Any) -> None:
    z = np.array([[1e4, 1e4, -1e4, 9999.0], [0, -1e-3, -np.inf, 0]], kind)
    weights = filters_module.weigh(z, Filters(temperature=temperature), [(), ()])
    assert weights.tolist() == [[1, 1, 0, 0], [1, 0, 0, 1]]


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": -1.0}, {"temperature": math.inf}, {"temperature": math.nan},
        {"top_k": -1}, {"top_p": 0.0}, {"top_p": 1.1}, {"min_p": -0.1}, {"min_p": 2.0},
        {"typical": 0.0}, {"repetition": 0.0}, {"no_repeat": -2},
    ],
)  # fmt: skip
def test_a_senseless_filter_is_refused_by_name(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=rf"^{next(iter(wrong))} must be"):
        Filters(**wrong)


@pytest.mark.parametrize("banned", [(0, 1, 2), (3,), (-1,)])
def test_banned_tokens_must_exist_and_leave_one(banned: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="banned tokens"):
        next_token(np.zeros(3), (0.5, 0.5), Filters(banned=banned))


@pytest.mark.parametrize("tokenizer", [WORDS, CHARS], ids=["words", "chars"])
def test_a_sample_does_not_depend_on_how_many_are_written(tokenizer: Tokenizer) -> None:
    model = model_of(tokenizer, hidden=40)
    many = list(generate(Network(model), tokenizer, "The ", num=150, length=40, seed=3, batch=64))
    for batch in (1, 7, 150):
        again = generate(Network(model), tokenizer, "The ", num=150, length=40, seed=3, batch=batch)
        assert [s.text for s in again] == [s.text for s in many]
    few = list(generate(Network(model), tokenizer, "The ", num=5, length=40, seed=3))
    assert [s.ids for s in few] == [s.ids for s in many[:5]]
    np.testing.assert_allclose(few[4].token_logprobs, many[4].token_logprobs, atol=1e-4)


def test_threads_write_the_same_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    model, filters = model_of(WORDS, layers=2), Filters(0.9, no_repeat=3, repetition=1.1)
    monkeypatch.setattr(products, "LARGE", 0)
    texts = []
    for many, threads in ((1 << 30, 1), (1, 1), (1, 3)):
        monkeypatch.setattr(chooser, "MANY", many)
        network = Network(model, threads=threads)
        drawn = generate(network, WORDS, num=20, length=20, filters=filters, threads=threads)
        texts.append([(s.text, s.token_logprobs) for s in drawn])
    assert texts[0] == texts[1] == texts[2]


def test_without_scores_the_texts_are_the_same() -> None:
    scored, plain = (
        list(generate(Network(model_of(CHARS)), CHARS, num=5, length=20, scored=one))
        for one in (True, False)
    )
    assert [s.ids for s in scored] == [s.ids for s in plain]
    assert all(math.isnan(s.logprob) for s in plain)


def test_rounding_in_the_model_does_not_change_a_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that is wrong in its last digits, as one with another batch is, writes the same."""
    model, noise = model_of(CHARS, hidden=40, embed=0), np.random.default_rng(0)
    other = Model(model.config, model.params)
    truth = Single.__call__

    def off(self: Single, *args: Any) -> Any:
        z, state = truth(self, *args)
        if self.model is other:
            z = z + noise.uniform(-4e-5, 4e-5, z.shape).astype(z.dtype)
        return z, state

    monkeypatch.setattr(Single, "__call__", off)
    same = []
    for slack in (8e-5, 0.0):
        monkeypatch.setattr("rnncli.lm.network.SLACK", slack)
        one, two = (
            [s.text for s in generate(Network(m), CHARS, num=200, length=100)]
            for m in (model, other)
        )
        same.append(one == two)
    assert same == [True, False]


def test_the_slack_is_wider_than_what_float32_does() -> None:
    model = model_of(CHARS, hidden=100, embed=30)
    precise = Model(model.config, Params(model.params.shapes, np.float64, model.params.flat))
    ids = np.random.default_rng(0).integers(len(CHARS), size=(80, 64))
    worst = 0.0
    states = [model.zero_state(64), model.zero_state(1), precise.zero_state(64)]
    for step in ids:
        many, states[0] = model.step(step, states[0])
        one, states[1] = model.step(step[:1], states[1])
        exact, states[2] = precise.step(step, states[2])
        for error in (many - exact, one - exact[:, :1]):
            worst = max(worst, float(np.ptp(error, axis=0).max()))
    assert SLACK / 100 < worst < SLACK


def test_a_text_read_again_is_that_of_the_model_in_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two doubts there may be one token or many: all of them are read, each once."""
    model = model_of(CHARS)
    precise = Model(model.config, Params(model.params.shapes, np.float64, model.params.flat))
    monkeypatch.setattr("rnncli.lm.network.SLACK", 0.0)
    expected = [s.text for s in generate(Network(precise), CHARS, "The cat", num=20, length=60)]
    for slack in (0.003, 0.1, 1e9):
        monkeypatch.setattr("rnncli.lm.network.SLACK", slack)
        again = generate(Network(model), CHARS, "The cat", num=20, length=60)
        assert [s.text for s in again] == expected


def test_another_seed_is_another_text_and_the_same_seed_the_same() -> None:
    model = model_of(WORDS)
    first, again, other = (
        [s.text for s in generate(Network(model), WORDS, num=10, seed=seed)] for seed in (1, 1, 2)
    )
    assert first == again
    assert not set(first) & set(other)


def test_without_chance_the_most_probable_token_is_taken_each_time() -> None:
    model, ids = model_of(CHARS), read_prefix(CHARS, "The").ids
    samples = list(
        generate(Network(model), CHARS, "The", num=3, length=9, filters=Filters(temperature=0))
    )
    state = model.zero_state(1)
    expected: list[int] = []
    while len(expected) < 9:
        for token in ids:
            z, state = model.step(np.array([token]), state)
        z[CHARS.unk] = -np.inf
        ids = [int(z[:, 0].argmax())]
        expected += ids
    assert [s.ids for s in samples] == [expected] * 3


@pytest.mark.parametrize(
    "options",
    [
        {}, {"embed": 0}, {"tied": True, "embed": 16, "dropout_embed": 0.1, "dropout": 0.5},
        {"cell": "gru", "layers": 2, "residual": True, "embed": 16},
        {"layers": 2, "proj": 5, "layer_norm": True}, {"cell": "rnn", "tied": True, "embed": 16},
    ],
)  # fmt: skip
def test_the_logprob_of_a_document_is_what_evaluation_says(options: dict[str, Any]) -> None:
    tokenizer = Tokenizer.train(TEXTS, "char")
    model = model_of(tokenizer, **options)
    assert tokenizer.eos is not None
    model.params["head.b"][tokenizer.eos] = 2
    samples = generate(Network(model), tokenizer, num=80, filters=Filters(temperature=0.7, top_k=9))
    done = [s for s in samples if s.stopped == "end" and s.text.strip()]
    assert len(done) > 5
    for sample in done:
        assert sample.ids[-1] == tokenizer.eos
        assert sample.logprob == pytest.approx(sum(sample.token_logprobs))
        (score,) = score_texts(Network(model), tokenizer, [sample.text])
        assert score.tokens == len(sample.ids)
        assert -sample.logprob == pytest.approx(score.nats, 1e-5)


def test_unknown_and_start_are_never_written_unless_allowed() -> None:
    model = model_of(WORDS)
    model.params["head.b"][[WORDS.unk, WORDS.bos]] = 6
    plain = [i for s in generate(Network(model), WORDS, num=30, length=30) for i in s.ids]
    assert WORDS.unk not in plain
    assert WORDS.bos not in plain
    allowed = list(generate(Network(model), WORDS, num=30, length=30, allow_unk=True))
    assert WORDS.unk in allowed[0].ids
    assert "<unk>" in allowed[0].text
    assert all(WORDS.bos not in s.ids for s in allowed)


def test_a_text_ends_where_it_is_told_to() -> None:
    model = model_of(WORDS)
    free = list(generate(Network(model), WORDS, num=40, length=30))
    assert {s.stopped for s in free} == {"end", "length"}
    assert all(len(s.ids) == 30 for s in free if s.stopped == "length")
    endless = list(generate(Network(model), WORDS, num=40, length=30, stop_at_end=False))
    assert {(s.stopped, len(s.ids)) for s in endless} == {("length", 30)}
    assert WORDS.eos is not None
    model.params["head.b"][WORDS.eos] = 40
    late = list(generate(Network(model), WORDS, num=40, length=30, min_length=8))
    assert {(s.stopped, len(s.ids), s.ids.index(WORDS.eos)) for s in late} == {("end", 9, 8)}


def test_a_stop_string_is_cut_off_wherever_tokens_end() -> None:
    model = model_of(CHARS)
    whole = next(generate(Network(model), CHARS, length=60))
    string = whole.text[20:23]
    at = whole.text.find(string)
    cut = next(generate(Network(model), CHARS, length=60, stop=["never there", string]))
    assert (cut.text, cut.stopped) == (whole.text[:at], "stop")
    assert cut.ids == whole.ids[: at + 3]
    assert "".join(stream_one(Network(model), CHARS, length=60, stop=[string])) == cut.text


@pytest.mark.parametrize("level", ["word", "char", "byte"])
@pytest.mark.parametrize("unit", ["document", "sentence", "stream"])
def test_the_pieces_of_a_stream_join_to_the_sample(level: str, unit: str) -> None:
    tokenizer = Tokenizer.train(TEXTS, level, unit=unit)
    model = model_of(tokenizer)
    for prefix in ("", "The cat ", "A dog"):
        for stop in ((), ("the", "at on")):
            pieces = list(
                stream_one(Network(model), tokenizer, prefix, length=50, seed=5, stop=stop)
            )
            sample = next(generate(Network(model), tokenizer, prefix, length=50, seed=5, stop=stop))
            assert "".join(pieces) == sample.text
            assert "" not in pieces
    assert len(pieces) > 1


def test_words_join_to_the_prefix_as_people_write() -> None:
    model = model_of(WORDS)
    comma, cat = (WORDS.vocabulary.index[t] for t in (",", "cat"))
    for token, prefix, text in (
        (comma, "the dog", ","), (cat, "the dog", " cat"), (cat, "the dog ", "cat"),
        (cat, "", "cat"), (cat, "the dog (", "cat"),
    ):  # fmt: skip
        others = tuple(set(range(len(WORDS))) - {token})
        sample = next(
            generate(Network(model), WORDS, prefix, length=1, filters=Filters(banned=others))
        )
        assert sample.text == text, prefix


def test_the_prefix_is_read_by_the_models_own_rule() -> None:
    index = WORDS.vocabulary.index
    found = read_prefix(WORDS, "THE zebra's cat")
    ids, unknown = found.ids, found.unknown
    assert found.known == ids[1:]
    assert unknown == ["zebra"]
    assert ids == [WORDS.bos, index["the"], WORDS.unk, index["'s"], index["cat"]]
    assert read_prefix(WORDS, "") == Prefix("", [WORDS.bos], [], [])
    sentence = Tokenizer.train(TEXTS, unit="sentence")
    ids = read_prefix(sentence, "The cat").ids
    assert read_prefix(sentence, "A dog. The cat").ids == ids


def test_a_stream_without_prefix_goes_on_from_newline_or_the_commonest_token() -> None:
    assert read_prefix(CHARS, "") == Prefix("", [CHARS.vocabulary.index[" "]], [], [])
    lines = Tokenizer.train(["to be\nor not"], "char", unit="stream")
    assert read_prefix(lines, "").ids == [lines.vocabulary.index["\n"]]
    sample = next(generate(Network(model_of(lines)), lines, length=5, filters=Filters(no_repeat=1)))
    assert len(set(sample.ids)) == 5


def test_a_long_prefix_is_read_as_token_by_token() -> None:
    model, prefix = model_of(CHARS), "The cat sat on the old mat. " * 90
    state = model.zero_state(1)
    for token in read_prefix(CHARS, prefix).ids:
        z, state = model.step(np.array([token]), state)
    filters = Filters(banned=(CHARS.unk,))
    p = probabilities(z[:, 0], filters)
    first = next(generate(Network(model), CHARS, prefix, length=1))
    log_z = np.log(np.exp(z[:, 0] - z.max()).sum()) + z.max()
    assert p[first.ids[0]] > 0
    assert first.logprob == pytest.approx(float(z[first.ids[0], 0] - log_z), abs=1e-4)


def test_repeats_are_counted_over_prefix_and_text() -> None:
    model = model_of(WORDS)
    filters = Filters(no_repeat=2)
    known = read_prefix(WORDS, "the cat sat on the").ids[1:]
    for sample in generate(
        Network(model), WORDS, "the cat sat on the", num=20, length=25, filters=filters
    ):
        text = known + sample.ids
        pairs = list(pairwise(text))
        assert len(set(pairs)) == len(pairs)


@pytest.mark.parametrize(
    "wrong",
    [{"num": 0}, {"batch": 0}, {"length": 0}, {"min_length": 9, "length": 8}, {"min_length": -1},
     {"stop": "abc"}, {"stop": ["a", ""]}],
)  # fmt: skip
def test_senseless_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        next(generate(Network(model_of(WORDS)), WORDS, **wrong))


def test_filters_are_values() -> None:
    assert replace(Filters(), top_k=3) == Filters(top_k=3)


def drawn_plainly(weights: list[float], u: list[float], error: float) -> tuple[int, bool, float]:
    """The block that the first number falls in, then the token in it; whether either was near."""
    blocks = [weights[k : k + 128] for k in range(0, len(weights), 128)]
    at, near, start = 0, False, 0
    for parts, number in (([math.fsum(block) for block in blocks], u[0]), (None, u[1])):
        parts = blocks[at] if parts is None else parts
        start, whole, low = at * 128, list(accumulate(parts))[-1], 0.0
        margin = error * number * (1 - number) * whole
        for k, part in enumerate(parts):
            at, high = k, low + part
            if number * whole < high:
                break
            low = high
        near |= number * whole - margin < low or number * whole + margin >= high
    return start + at, near, math.fsum(weights)


@pytest.mark.parametrize("size", [1, 2, 127, 128, 129, 256, 300])
def test_a_draw_falls_on_the_block_and_then_on_the_token(size: int) -> None:
    rng = np.random.default_rng(size)
    weights = rng.random((500, size)) * (rng.random((500, size)) < 0.3)
    weights[:, size // 2] += 1e-3
    u = rng.random((500, 2))
    u[:2] = 0, 1 - 2.0**-53
    drawn = filters_module.draw(weights, u, 0.05)
    for k in range(500):
        (one,), (near,), (whole,) = filters_module.draw(weights[k : k + 1], u[k : k + 1], 0.05)
        assert (one, near) == (drawn.ids[k], drawn.ambiguous[k])
        assert weights[k, one] > 0
        token, close, total = drawn_plainly(weights[k].tolist(), u[k].tolist(), 0.05)
        assert (one, near) == (token, close)
        assert whole == pytest.approx(total, rel=1e-12)
        assert drawn.total[k] == pytest.approx(total, rel=1e-12)
    assert 0 < drawn.ambiguous.sum() < 500 or size == 1
    assert not filters_module.draw(weights, u).ambiguous.any()
    assert not filters_module.draw(0 * weights, u).total.any()


def test_draws_from_many_blocks_follow_the_distribution() -> None:
    """As for each filter, where the vocabulary is more than one block: alone and in a batch."""
    rng, n = np.random.default_rng(21), 100_000
    p = rng.random(300) ** 4 * (rng.random(300) < 0.8)
    p /= p.sum()
    many = np.broadcast_to(p, (n, 300))
    seen = np.bincount(filters_module.draw(many, rng.random((n, 2))).ids, minlength=300)
    one = Counter(int(filters_module.draw(p[None], u[None]).ids[0]) for u in rng.random((n, 2)))
    for counts in (seen, np.array([one[k] for k in range(300)])):
        assert not counts[p == 0].any()
        often = n * p >= 5
        chi = ((counts - n * p)[often] ** 2 / (n * p)[often]).sum()
        assert chi < chi_square_limit(int(often.sum()) - 1)


def test_an_error_of_the_weights_leads_to_another_token_only_where_a_draw_is_near() -> None:
    rng = np.random.default_rng(22)
    logits, u, error = rng.standard_normal((4000, 300)), rng.random((4000, 2)), 0.02
    off = logits + rng.uniform(-error / 2, error / 2, logits.shape)
    first, second = (filters_module.draw(np.exp(z), u, error) for z in (logits, off))
    assert (first.ids != second.ids).any()
    assert first.ambiguous[first.ids != second.ids].all()
