"""Copied runs against a search of every run of every text."""

import numpy as np
import pytest

from rnncli.novelty import Training, suffix_array
from rnncli.sampling import Sample


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


def test_samples_that_copy_too_much_are_left_out() -> None:
    training = Training(np.array([1, 7, 8, 9, 2]), np.array([0, 5]), np.array([0]))
    samples = [Sample(ids, "", 0.0, [], "end") for ids in ([7, 8, 9], [9, 8, 7], [7, 8], [4])]
    kept = list(novel(samples, training, 2))
    assert [(sample.ids, copy.length) for sample, copy in kept] == [
        ([9, 8, 7], 1), ([7, 8], 2), ([4], 0),
    ]  # fmt: skip
