"""How a corpus is cut: every target once, and every batch a pure function of where it is."""

import numpy as np
import pytest

from rnncli.data.batches import Consecutive, Random, Sentences
from rnncli.errors import DataError

N = 997  # prime: nothing divides it
IDS = np.arange(N)  # an id is its own position, so a batch says where it comes from


def units(lengths):
    return np.cumsum([0, *lengths])


RAGGED = units(np.random.default_rng(5).integers(2, 30, 70))
PLANS = {
    "consecutive": Consecutive(IDS, 7, 11, seed=3),
    "consecutive random lengths": Consecutive(IDS, 7, 20, seed=3, random_lengths=True),
    "random": Random(IDS, 7, 11, seed=3),
    "sentences": Sentences(np.arange(RAGGED[-1]), RAGGED, 7, 11, seed=3),
    "mixed": Sentences(np.arange(RAGGED[-1]), RAGGED, 7, 11, seed=3, mixed=True),
}
plans = pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS.keys())


def equal(a, b):
    same = np.array_equal(a.x, b.x) and np.array_equal(a.y, b.y)
    return same and a.steps == b.steps and a.carried == b.carried


@plans
def test_a_batch_is_a_function_of_data_seed_epoch_and_number_alone(plan):
    for epoch in (0, 1, 5):
        whole = list(plan.batches(epoch))
        for start in (0, 1, len(whole) // 2, len(whole) - 1):
            rest = list(plan.batches(epoch, start))
            assert len(rest) == len(whole) - start
            assert all(equal(a, b) for a, b in zip(rest, whole[start:], strict=True))


@plans
def test_the_length_of_an_epoch_is_the_number_of_its_batches(plan):
    for epoch in range(6):
        assert plan.length(epoch) == len(list(plan.batches(epoch)))


@plans
def test_the_targets_of_an_epoch_are_those_of_its_batches(plan):
    for epoch in range(6):
        assert plan.targets(epoch) == sum(len(work.y) for work in plan.batches(epoch))


@plans
def test_a_target_is_the_id_that_follows_its_input(plan):
    for work in plan.batches(2):
        assert np.array_equal(work.y, work.x + 1)
        assert len(work.x) == work.steps.N
        assert work.x.dtype == work.y.dtype == np.int64


@plans
def test_another_seed_or_epoch_cuts_otherwise(plan):
    def first(p, epoch):
        return next(p.batches(epoch)).x.tolist()

    other = type(plan)(**{**plan.__dict__, "seed": 4})
    assert len({tuple(first(plan, epoch)) for epoch in range(8)}) > 1
    assert any(first(plan, epoch) != first(other, epoch) for epoch in range(3))


@pytest.mark.parametrize("B", [1, 2, 7, 32, 5000])
@pytest.mark.parametrize("T", [1, 11, 64, 5000])
@pytest.mark.parametrize("lengths", [False, True])
def test_consecutive_without_offset_covers_each_target_once(B, T, lengths):
    plan = Consecutive(IDS, B, T, seed=1, offset=False, random_lengths=lengths)
    targets = np.concatenate([work.y for work in plan.batches(0)])
    columns = next(plan.batches(0)).steps.B
    assert columns == min(B, (N - 1) // 2)
    left_over = (N - 1) % columns  # the columns are of equal length
    assert sorted(targets) == list(range(1, N - left_over))


def test_consecutive_windows_go_on_where_the_last_ended():
    plan = Consecutive(IDS, 7, 11, seed=3)
    for epoch in range(4):
        last = None
        for number, work in enumerate(plan.batches(epoch)):
            assert work.carried == (7 if number else 0)
            firsts = work.x[work.steps.columns[0]]
            assert last is None or np.array_equal(firsts, last)
            last = work.y[work.steps.columns[-1]]


def test_an_offset_is_at_most_the_window_and_moves_from_epoch_to_epoch():
    starts = [int(next(Consecutive(IDS, 7, 11, 3).batches(e)).x[0]) for e in range(200)]
    assert set(starts) == set(range(12))  # 0 to T


def test_random_windows_do_not_overlap_and_have_the_length_asked_for():
    plan = Random(IDS, 7, 11, seed=3)
    for epoch in range(12):
        works = list(plan.batches(epoch))
        targets = np.concatenate([work.y for work in works])
        assert len(set(targets.tolist())) == len(targets) > N - 1 - 2 * 11
        assert all(work.steps.T == 11 and work.carried == 0 for work in works)
        windows = np.concatenate([work.x[work.steps.columns[0]] for work in works])
        assert not np.array_equal(windows, np.sort(windows))


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("T", [3, 11, 64])
def test_sentences_cover_each_target_of_each_unit_once(shuffle, T):
    plan = Sentences(np.arange(RAGGED[-1]), RAGGED, 7, T, seed=3, shuffle=shuffle)
    wanted = sorted(set(range(RAGGED[-1])) - set(RAGGED[:-1].tolist()))
    for epoch in range(3):
        assert sorted(np.concatenate([w.y for w in plan.batches(epoch)]).tolist()) == wanted


def test_a_long_unit_is_carried_through_windows_and_a_new_group_is_not():
    starts = units([31, 30, 5, 4, 25])
    plan = Sentences(np.arange(starts[-1]), starts, 2, 10, seed=0, shuffle=False)
    seen = [(w.carried, w.steps.sizes) for w in plan.batches(0)]
    assert seen == [
        (0, (2,) * 10), (2, (2,) * 10), (2, (2,) * 9 + (1,)),  # units of 30 and 29 targets
        (0, (2,) * 4 + (1,) * 6), (1, (1,) * 10), (1, (1,) * 4),  # of 24 and 4
        (0, (1,) * 3),
    ]  # fmt: skip


def test_units_of_like_length_stand_together():
    plan = Sentences(np.arange(RAGGED[-1]), RAGGED, 7, 1000, seed=3)
    spreads = [work.steps.lengths for work in plan.batches(0)]
    assert sum(int(s.sum()) for s in spreads) / sum(len(s) * int(s[0]) for s in spreads) > 0.9


def test_units_without_a_target_are_left_out():
    plan = Sentences(np.arange(7), units([1, 3, 1, 2]), 2, 10, seed=0)
    assert sorted(y for w in plan.batches(0) for y in w.y.tolist()) == [2, 3, 6]


@pytest.mark.parametrize("n", [2, 3, 5])
def test_the_shortest_corpora_give_a_batch(n):
    for plan in (Consecutive(IDS[:n], 32, 64, 0), Random(IDS[:n], 32, 64, 0)):
        for epoch in range(5):
            assert sum(work.steps.N for work in plan.batches(epoch)) >= 1


@pytest.mark.parametrize(
    "plan",
    [
        Consecutive(IDS[:1], 3, 4, 0),
        Random(IDS[:1], 3, 4, 0),
        Random(IDS[:0], 3, 4, 0),
        Sentences(IDS[:0], np.zeros(1, np.int64), 3, 4, 0),
    ],
)
def test_too_little_text_is_an_error_that_says_so(plan):
    with pytest.raises(DataError, match="training split"):
        plan.length(0)


def test_mixed_batches_hold_short_units_and_long_ones_of_as_many_windows():
    lengths = [3, 10] * 40 + [25, 30] * 12  # one window of 10 steps, or three
    starts = units(lengths)
    plan = Sentences(np.arange(starts[-1]), starts, 8, 10, seed=1, mixed=True)
    works = list(plan.batches(0))
    assert len(works) == plan.length(0) == 10 + 3 * 3
    short = [work for work in works if work.steps.T == 9 and not work.carried]
    assert len(short) == 10
    assert sum(work.steps.sizes[2] < work.steps.B for work in short) >= 9  # both kinds
