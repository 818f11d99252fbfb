"""Copied runs against a search of every run of every text."""

import numpy as np
import pytest

from rnncli.config.writing import Filters
from rnncli.errors import ConfigError
from rnncli.generation.novelty import Guard, Training, suffix_array
from rnncli.generation.sampling import generate, stream_one
from rnncli.generation.text import Sample
from rnncli.lm.network import Network
from rnncli.nn import Config, Model
from rnncli.text.tokenizer import Tokenizer


def plainly(text: list[int], ids: list[int]) -> tuple[int, int]:
    """The length and start of the longest run of `text` in `ids`, by trying all of them."""
    for length in range(len(text), 0, -1):
        for start in range(len(text) - length + 1):
            run = text[start : start + length]
            if any(ids[k : k + length] == run for k in range(len(ids) - length + 1)):
                return length, start
    return 0, 0


@pytest.mark.parametrize("V", [1, 2, 3, 50])
def test_suffixes_come_in_order(V: int) -> None:
    rng = np.random.default_rng(V)
    for n in (1, 2, 3, 7, 16, 60, 200):
        ids = rng.integers(V, size=n).tolist()
        assert suffix_array(np.array(ids)).tolist() == sorted(range(n), key=lambda k: ids[k:])


def test_text_that_repeats_itself_is_sorted_to_the_end() -> None:
    ids = [1, 2, 3, 4] * 40
    assert suffix_array(np.array(ids)).tolist() == sorted(range(160), key=lambda k: ids[k:])


@pytest.mark.parametrize("V", [2, 4, 12])
def test_the_longest_copied_run_is_found(V: int) -> None:
    rng = np.random.default_rng(V)
    starts = np.array([0, 10, 45, 46, 90, 120])
    ids = rng.integers(V, size=120)
    training = Training(ids.astype(np.uint16), starts, np.array([3, 5, 5, 8, 13]))
    for n in (0, 1, 5, 30, 60):
        text = rng.integers(V + 1, size=n).tolist()
        copy = training.longest(text)
        assert (copy.length, copy.start) == plainly(text, ids.tolist())
        run = text[copy.start : copy.start + copy.length]
        assert ids[copy.position : copy.position + copy.length].tolist() == run
        if copy.length:
            unit = max(k for k in range(5) if starts[k] <= copy.position)
            assert copy.row == [3, 5, 5, 8, 13][unit]


def test_a_whole_training_unit_is_found_with_its_row() -> None:
    ids = np.array([1, 7, 8, 9, 2, 1, 9, 8, 7, 6, 2], np.uint16)
    training = Training(ids, np.array([0, 5, 11]), np.array([40, 41]))
    assert training.longest([9, 8, 7, 6, 2]) == (5, 0, 6, 41)
    assert training.longest([5, 7, 8]) == (2, 1, 1, 40)
    assert training.longest([1, 9, 8]) == (3, 0, 5, 41)
    assert training.longest([5]).length == 0


def test_a_stream_has_no_rows() -> None:
    training = Training(np.array([4, 5, 6]), np.array([0, 3]), np.array([], np.int64))
    assert training.longest([5, 6]) == (2, 0, 1, None)


@pytest.mark.parametrize("most", [1, 2, 3, 7])
@pytest.mark.parametrize("V", [2, 5, 40])
def test_the_guard_bars_just_what_would_complete_a_copy(most: int, V: int) -> None:
    rng = np.random.default_rng(V)
    ids = rng.integers(V, size=150)
    guard, training = Guard(ids.astype(np.uint16), most), ids.tolist()
    copied = {tuple(training[k : k + most + 1]) for k in range(150 - most)}
    for n in (0, most - 1, most, most + 1, 30):
        for _ in range(50):
            at = int(rng.integers(150 - n))
            text = training[at : at + n] if rng.random() < 0.5 else rng.integers(V, size=n).tolist()
            end = tuple(text[-most:]) if n >= most else None
            expected = sorted(run[-1] for run in copied if run[:-1] == end)
            assert guard.after(text).tolist() == expected


def test_a_text_longer_than_the_training_text_is_never_barred() -> None:
    assert Guard(np.array([1, 2, 3], np.uint16), 5).after([1, 2, 3, 1, 2, 3]).tolist() == []


LINES = ["the cat sat on the mat", "a dog sat on a cat", "the mat was on the dog", "a cat was sat"]


@pytest.mark.parametrize("level", ["word", "char"])
@pytest.mark.parametrize("batch", [1, 50])
def test_no_text_copies_more_than_it_may(level: str, batch: int) -> None:
    """Checked with sets of tuples, which share no code with the guard."""
    tokenizer = Tokenizer.train(LINES, level)
    ids = [1]
    for line in LINES:
        ids += [1, *tokenizer.encode(line).tolist(), 2]
    model = Model.initial(Config(len(tokenizer), hidden=12, embed=6), 1)
    most, options = 2, {"num": 50, "length": 30}
    copied = {tuple(ids[k : k + most + 1]) for k in range(len(ids) - most)}

    def runs(texts: list[Sample]) -> set[tuple[int, ...]]:
        every = (tuple(t.body[k : k + most + 1]) for t in texts for k in range(len(t.body) - most))
        return set(every) & copied

    free = list(generate(Network(model), tokenizer, **options))
    assert runs(free)
    guard = Guard(np.array(ids, np.uint16), most)
    held = list(generate(Network(model), tokenizer, guard=guard, batch=batch, **options))
    assert not runs(held)
    assert len({text.text for text in held}) > 25
    others = generate(Network(model), tokenizer, guard=guard, batch=7, **options)
    assert [text.ids for text in others] == [text.ids for text in held]
    assert "".join(stream_one(Network(model), tokenizer, guard=guard, length=30)) == held[0].text


def test_a_guard_draws_from_the_model_without_what_it_bars() -> None:
    """After "ab" only "c" is barred: the other tokens keep their shares among themselves."""
    tokenizer = Tokenizer.train(["abcab"], "char", unit="stream")
    a, b, c = (tokenizer.vocabulary.index[letter] for letter in "abc")
    model = Model.initial(Config(len(tokenizer), hidden=6), 3)
    guard = Guard(tokenizer.encode("abcab"), 2)
    options = {"num": 4000, "length": 3, "filters": Filters(temperature=2)}
    free = [s.ids for s in generate(Network(model), tokenizer, **options)]
    held = [s.ids for s in generate(Network(model), tokenizer, guard=guard, **options)]
    free = [ids for ids in free if ids != [a, b, c] and ids != [b, c, a] and ids != [c, a, b]]
    assert [a, b, c] not in held
    for last in (a, b):
        after = [[ids[2] == last for ids in some if ids[:2] == [a, b]] for some in (free, held)]
        shares = [sum(some) / len(some) for some in after]
        n = min(map(len, after))
        assert n > 100
        assert abs(shares[0] - shares[1]) < 5 * (0.5 / n) ** 0.5


def test_a_guard_that_bars_every_token_says_after_what() -> None:
    tokenizer = Tokenizer.train(["aaa"], "char", unit="stream")
    model = Model.initial(Config(len(tokenizer), hidden=6), 3)
    guard = Guard(tokenizer.encode("aaa"), 1)
    with pytest.raises(ConfigError, match=r'^max_copy 1: no token goes on after "a"\.$'):
        list(generate(Network(model), tokenizer, guard=guard, length=2))
    with pytest.raises(ConfigError, match="max_copy must be 1 or more"):
        Guard(np.array([1, 2]), 0)
