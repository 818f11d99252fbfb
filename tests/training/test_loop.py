"""The training loop: what it learns, what a resume repeats, what schedules and limits do."""

import copy
import itertools
import math
import os
import signal
import subprocess
import sys
from dataclasses import fields, replace

import numpy as np
import pytest
from commands import ROOT

from rnncli.config.network import Config
from rnncli.config.recipe import Recipe
from rnncli.data.batches import Consecutive
from rnncli.errors import DivergenceError, RnncliError
from rnncli.nn import Model, Params, Steps, shapes
from rnncli.nn.packed import Batch
from rnncli.nn.schedules import schedule
from rnncli.parallel.processes import WorkerPool, shared
from rnncli.training.loop import TrainRun, make_plan, total_steps, train
from rnncli.training.shards import shard_of
from rnncli.training.step import Stepper

CELLS = ["lstm", "gru", "gru-before", "rnn"]
TEXT = np.frombuffer(b"to be or not to be, that is the question. " * 6, np.uint8) % 31
STREAM = np.array([0, len(TEXT)])
UNITS = np.array([0, 9, 30, 41, 60, 66, 90, 131, 150, 200, len(TEXT)])


def begin(recipe=None, *, starts=STREAM, dtype=np.float32, ids=TEXT, **config):
    """A run and its plan, on a little text."""
    recipe = recipe or Recipe()
    model = Model.initial(Config(31, **{"hidden": 6, **config}), recipe.seed, dtype)
    return TrainRun.start(model, recipe), make_plan(recipe, ids, starts)


def held_out(model):
    """A cheap validation: the mean nats of one stretch of the text."""
    from rnncli.nn import Batch

    batch = Batch(TEXT[:40].astype(np.int64), TEXT[1:41].astype(np.int64), Steps.dense(40, 1))
    return float(model.nats(batch, model.zero_state(1))[0].mean(dtype=np.float64))


def facts(run):
    """Everything in a run, as something that can be compared."""
    arrays = {f"slot {name}": slot.tobytes() for name, slot in run.slots.items()}
    arrays["params"] = run.model.params.flat.tobytes()
    arrays["best"] = None if run.best is None else run.best.tobytes()
    arrays["good"] = None if run.good is None else run.good.tobytes()
    for part in "hc":
        state = None if run.state is None else getattr(run.state, part)
        arrays[part] = None if state is None else state.tobytes()
    plain = ("step", "epoch", "batch", "progress", "rate_factor", "rollbacks", "since", "averaged",
             "best_nats", "stale", "epoch_nats", "epoch_tokens", "last_epoch_nats", "tokens",
             "finished", "history")  # fmt: skip
    return arrays | {name: getattr(run, name) for name in plain}


# --- learning ---


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("starts", [STREAM, UNITS], ids=["stream", "units"])
def test_every_cell_learns_a_small_text_by_heart(cell, starts):
    recipe = Recipe(batch=4, bptt=32, lr=0.02, max_steps=200, schedule="constant")
    run, plan = begin(recipe, starts=starts, cell=cell, hidden=24)
    losses = [r.nats for r in train(run, plan) if r.kind == "step"]
    assert losses[0] == pytest.approx(math.log(31), rel=0.03)
    assert np.mean(losses[-10:]) < 0.35


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "nesterov", "adagrad", "adadelta",
                                       "rmsprop", "adam", "adamw", "muon", "asgd"])  # fmt: skip
def test_every_optimizer_learns_at_its_own_rate(optimizer):
    recipe = Recipe(batch=4, bptt=16, optimizer=optimizer, max_steps=150)
    run, plan = begin(recipe, cell="gru", hidden=16)
    losses = [r.nats for r in train(run, plan) if r.kind == "step"]
    assert np.mean(losses[-8:]) < losses[0] - 0.7


# --- resume ---


RUNS = {
    "lstm adam": (Recipe(epochs=3), {"layers": 2, "dropout": 0.3}),
    "lstm asgd": (Recipe(epochs=4, optimizer="asgd", trigger=1, valid_every=3, lr=2.0), {}),
    "lstm top": (
        Recipe(epochs=3, random_bptt=True, batching="consecutive", valid_every=0),
        {"layers": 2, "top": 4},
    ),
    "gru momentum plateau": (
        Recipe(epochs=4, optimizer="momentum", schedule="divide-on-plateau", valid_every=4, lr=3.0),
        {"cell": "gru", "embed": 5},
    ),
    "gru-before rmsprop random": (
        Recipe(epochs=3, optimizer="rmsprop", batching="random", schedule="cosine", warmup=0.2),
        {"cell": "gru-before", "layer_norm": True},
    ),
    "rnn halve-on-rise reset": (
        Recipe(epochs=5, optimizer="sgd", schedule="halve-on-rise", lr=4.0, reset=0.3),
        {"cell": "rnn", "embed": 6, "tied": True},
    ),
    "lstm variational random lengths": (
        Recipe(epochs=3, random_bptt=True, batching="consecutive", optimizer="adamw",
               weight_decay=0.01, schedule="step", factor=0.7),
        {"dropout": 0.2, "dropout_weight": 0.2, "variational": True, "embed": 5},
    ),
    "gru muon": (
        Recipe(epochs=3, optimizer="muon", weight_decay=0.1), {"cell": "gru", "embed": 5},
    ),
    "lstm sentences patience": (
        Recipe(epochs=6, batching="sentences", optimizer="adadelta", patience=3, valid_every=5),
        {"proj": 4},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("recipe", "config"), RUNS.values(), ids=RUNS.keys())
@pytest.mark.parametrize("starts", [STREAM, UNITS], ids=["stream", "units"])
@pytest.mark.parametrize("validate", [held_out, None], ids=["validated", "not validated"])
def test_a_run_stopped_after_any_report_goes_on_as_if_it_had_not_been(
    recipe, config, starts, validate
):
    recipe = replace(recipe, batch=3, bptt=9, shards=2, seed=5)
    whole, plan = begin(recipe, starts=starts, **config)
    reports = list(train(whole, plan, validate))
    assert reports[-1].kind == "end"
    for stop in np.random.default_rng(0).permutation(len(reports) - 1)[:4] + 1:
        run, plan = begin(recipe, starts=starts, **config)
        seen = list(itertools.islice(train(run, plan, validate), int(stop)))
        run = rebuilt(run)
        seen += train(run, plan, validate)
        assert seen == reports
        assert facts(run) == facts(whole)


def rebuilt(run):
    """The run as it would come out of a file: arrays and plain values, no generator, no views."""
    values = {f.name: copy.deepcopy(getattr(run, f.name)) for f in fields(run) if f.name != "model"}
    model = Model(run.model.config, run.model.params.like(run.model.params.flat.copy()))
    return TrainRun(model, **values)


def test_a_larger_limit_goes_on_with_a_run_that_was_complete():
    recipe = Recipe(epochs=2, batch=3, bptt=9, schedule="constant", batching="sentences")
    long, plan = begin(replace(recipe, epochs=5), starts=UNITS)
    list(train(long, plan, held_out))
    run, plan = begin(recipe, starts=UNITS)
    assert list(train(run, plan, held_out))[-1].reason
    run.recipe = replace(recipe, epochs=5)
    list(train(run, plan, held_out))
    assert facts(run) == facts(long)


def test_a_complete_run_takes_no_further_step():
    run, plan = begin(Recipe(max_steps=3, batch=3, bptt=9))
    list(train(run, plan, held_out))
    before = run.model.params.flat.copy()
    assert [r.kind for r in train(run, plan, held_out)] == ["end"]
    assert np.array_equal(run.model.params.flat, before)


# --- shards and threads ---


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("starts", [STREAM, UNITS], ids=["stream", "units"])
def test_the_gradient_of_shards_is_that_of_the_whole_batch(cell, starts):
    run, plan = begin(Recipe(batch=5, bptt=7), starts=starts, dtype=np.float64, cell=cell, layers=2)
    model, states = run.model, {}
    for work in itertools.islice(plan.batches(0), 4):
        found = []
        for shards in (1, 2, 3, 8):
            stepper = Stepper(model, Recipe(batch=8, shards=shards), {})
            carried = states.get(shards)
            nats, state = stepper.gradient(work, carried, 1 / len(work.y))
            norm, states[shards] = stepper.reduce(), state
            flat, c = stepper.grads[0].flat, state.c if state.c is not None else 0
            assert norm == pytest.approx(np.linalg.norm(flat), rel=1e-12)
            found.append([flat, state.h, c, nats])
        for other in found[1:]:
            for a, b in zip(found[0], other, strict=True):
                assert np.max(np.abs(np.asarray(a) - b)) < 1e-12 * max(1, np.max(np.abs(a)))


@pytest.mark.parametrize("clip_by", ["norm", "element"])
@pytest.mark.parametrize("optimizer", ["adam", "muon"])
def test_the_number_of_processes_does_not_change_a_bit(clip_by, optimizer, monkeypatch):
    monkeypatch.setattr("rnncli.training.step.WORTH", 1)  # updates in parts, small as they are
    monkeypatch.setattr("rnncli.nn.optim.PIECE", 64)
    monkeypatch.setattr("rnncli.training.step.PIECE", 64)

    def trained(processes):
        recipe = Recipe(
            batch=5, bptt=7, shards=3, max_steps=12, clip=0.1, clip_by=clip_by, optimizer=optimizer
        )
        run, plan = begin(recipe, dropout=0.2, layers=2)
        list(train(run, plan, held_out, processes=processes))
        return facts(run)

    assert trained(1) == trained(2) == trained(4)


def test_share_deals_out_every_column_once_and_keeps_the_carried_first():
    steps = Steps((5, 5, 3, 2, 1))
    work = Batch(np.arange(16), np.arange(16) + 100, steps, 3)
    for size in (2, 3, 5):
        parts = [shard_of(work, k, size) for k in range(size)]
        assert sorted(np.concatenate([p.x for p in parts]).tolist()) == list(range(16))
        assert all(np.array_equal(p.y, p.x + 100) for p in parts)
        assert [p.carried for p in parts] == [len(range(k, 3, size)) for k in range(size)]
        assert [p.steps.B for p in parts] == [len(range(k, 5, size)) for k in range(size)]


def test_share_worked_by_hand():
    ids = np.array([10, 11, 12, 20, 21, 22, 30, 31, 40])  # step 1, 2, 3, 4; sequence 0, 1, 2
    work = Batch(ids, np.arange(9), Steps((3, 3, 2, 1)), 2)
    even, odd = shard_of(work, 0, 2), shard_of(work, 1, 2)
    assert (even.x.tolist(), even.steps.sizes, even.carried) == ([10, 12, 20, 22, 30, 40],
                                                                 (2, 2, 1, 1), 1)  # fmt: skip
    assert (odd.x.tolist(), odd.steps.sizes, odd.carried) == ([11, 21, 31], (1, 1, 1), 1)
    assert shard_of(work, 0, 1) is work


@pytest.fixture
def pool():
    pools = []

    def make(task, size):
        pools.append(WorkerPool(task, size))
        return pools[-1]

    yield make
    for one in pools:
        one.close()


def test_a_pool_does_any_number_of_jobs_in_order(pool):
    for size in (1, 2, 3):
        assert pool(str, size).map(range(7)) == list("0123456")
        assert pool(str, size).map([]) == []


def test_a_pool_passes_on_what_a_worker_raises_and_works_on(pool):
    def work(k):
        if k == 2:
            raise DivergenceError("third")
        return k

    three = pool(work, 3)
    with pytest.raises(DivergenceError, match="third"):
        three.map(range(3))
    assert three.map([3, 4, 5]) == [3, 4, 5]


def test_a_pool_says_so_when_a_worker_was_killed(pool):
    here = os.getpid()

    def work(k):
        if os.getpid() != here:
            os.kill(os.getpid(), signal.SIGKILL)
        return k

    with pytest.raises(RnncliError, match="worker process was killed"):
        pool(work, 2).map([1, 2])


def test_a_pool_changes_shared_memory_only(pool):
    seen, unseen = shared(np.zeros(3)), np.zeros(3)

    def work(k):
        seen[k] += 1
        unseen[k] += 1

    pool(work, 3).map(range(3))
    assert seen.tolist() == [1, 1, 1]
    assert unseen.tolist() == [1, 0, 0]


# --- what the settings say ---


def rates(recipe, validate=None, **settings):
    run, plan = begin(recipe, **settings)
    return [(r.kind, r.rate) for r in train(run, plan, validate)]


def scripted(values):
    values = iter(values)
    return lambda model: next(values)


def test_divide_on_plateau_divides_at_each_validation_without_gain():
    recipe = Recipe(
        batch=2, bptt=8, lr=1.0, schedule="divide-on-plateau", factor=0.25, valid_every=1,
        max_steps=7,
    )  # fmt: skip
    seen = rates(recipe, scripted([5, 4, 4.5, 4.5, 3, 3.5, 2]))
    divided = [0, 0, 0, 1, 2, 2, 3]
    assert [rate for kind, rate in seen if kind == "step"] == [0.25**n for n in divided]


@pytest.mark.parametrize(
    ("wait", "divided"),
    [  # the validations that follow the first: no gain in four, a gain, no gain in three
        (0, [0, 0, 1, 2, 3, 4, 4, 5, 6, 7]),
        (1, [0, 0, 0, 1, 1, 2, 2, 2, 3, 3]),
        (2, [0, 0, 0, 0, 1, 1, 1, 1, 1, 2]),
        (4, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
    ],
)
def test_divide_on_plateau_waits_for_more_validations_without_gain(wait, divided):
    recipe = Recipe(
        batch=2, bptt=8, lr=1.0, schedule="divide-on-plateau", factor=0.5, wait=wait,
        valid_every=1, max_steps=10,
    )  # fmt: skip
    seen = rates(recipe, scripted([5, 6, 6, 6, 6, 4, 5, 5, 5, 5]))
    assert [rate for kind, rate in seen if kind == "step"] == [0.5**n for n in divided]


@pytest.mark.parametrize("random_bptt", [False, True])
def test_validation_may_come_at_the_end_of_each_epoch_however_long(random_bptt):
    recipe = Recipe(
        batch=2, bptt=16, batching="consecutive", random_bptt=random_bptt, valid_every=0, epochs=6
    )
    run, plan = begin(recipe)
    lengths = {plan.length(epoch) for epoch in range(6)}
    assert len(lengths) > 1 or not random_bptt
    kinds = [report.kind for report in train(run, plan, held_out)]
    judged = [n for n, kind in enumerate(kinds) if kind == "valid"]
    assert len(judged) == kinds.count("epoch") == len(run.history) >= 4
    inner = judged[:-1]  # the last may be that of the end
    assert all(kinds[n - 1 : n + 2] == ["step", "valid", "epoch"] for n in inner)


def test_random_bptt_scales_the_rate_with_the_length_of_the_window():
    recipe = Recipe(batch=2, bptt=20, batching="consecutive", random_bptt=True, lr=3.0, epochs=3,
                    optimizer="sgd", schedule="constant", loss="mean")  # fmt: skip
    run, plan = begin(recipe)
    steps = [report for report in train(run, plan) if report.kind == "step"]
    assert len({report.tokens for report in steps}) > 2
    for report in steps:
        assert report.rate == pytest.approx(3 * (report.tokens / 2) / 20)


def test_halve_on_rise_halves_after_each_epoch_whose_loss_rose():
    recipe = Recipe(
        batch=1, bptt=64, lr=40.0, schedule="halve-on-rise", optimizer="sgd", clip=0, epochs=12
    )
    run, plan = begin(recipe)
    losses, factor, rose = [math.inf], 1.0, 0
    for report in train(run, plan):
        if report.kind == "step":
            assert report.rate == 40 * factor
        elif report.kind == "epoch":
            rose += report.nats > losses[-1]
            factor = 0.5**rose
            losses.append(report.nats)
    assert 0 < rose < 12


def test_an_epoch_report_is_the_mean_over_its_tokens():
    run, plan = begin(Recipe(batch=3, bptt=9, epochs=2), starts=UNITS)
    nats = tokens = 0.0
    epochs = 0
    for report in train(run, plan):
        if report.kind == "step":
            nats += report.nats * report.tokens
            tokens += report.tokens
        elif report.kind == "epoch":
            assert report.nats == pytest.approx(nats / tokens, rel=1e-12)
            nats, tokens, epochs = 0.0, 0.0, epochs + 1
    assert epochs == 2


@pytest.mark.parametrize(
    ("values", "trigger", "begins"),
    [  # Merity et al. 2018: worse than the best of all but the last `trigger` before it
        ([5, 4, 3, 3.5, 3.6, 3.7], 2, 6),
        ([5, 4, 3, 3.5, 3.6, 3.7], 0, 4),
        ([5, 5.1, 5.2, 5.3, 5.4, 5.5, 5.6], 5, 7),
        ([5, 4, 3, 2, 1, 0.5], 1, None),
    ],
)
def test_asgd_averages_from_the_validation_that_triggers_it(values, trigger, begins):
    recipe = Recipe(
        batch=2, bptt=8, optimizer="asgd", trigger=trigger, valid_every=1, max_steps=len(values)
    )
    run, plan = begin(recipe)
    averaged = []
    for report in train(run, plan, scripted(values)):
        if report.kind == "valid":
            averaged.append(bool(run.averaged))
    assert averaged == [begins is not None and k >= begins for k in range(1, len(values) + 1)]


def test_the_average_is_the_mean_of_the_parameters_since_the_trigger():
    recipe = Recipe(batch=2, bptt=8, optimizer="asgd", trigger=0, valid_every=2, max_steps=9)
    run, plan = begin(recipe, dtype=np.float64)
    path = []
    for report in train(run, plan, scripted([2, 3, 3, 3, 3])):
        if report.kind == "step":
            path.append(run.model.params.flat.copy())
    assert run.averaged == 6  # after steps 4 to 9
    assert np.allclose(run.slots["average"], np.mean(path[3:], axis=0), rtol=0, atol=1e-12)


def test_patience_ends_a_run_after_so_many_validations_without_gain():
    recipe = Recipe(batch=2, bptt=8, patience=3, valid_every=2, max_steps=100)
    run, plan = begin(recipe)
    reports = list(train(run, plan, scripted([5, 4, 4, 4.1, 3.9, 4, 4, 4, 1])))
    assert run.step == 16
    assert reports[-1].reason == "no gain in 3 validations"


def test_the_best_model_by_validation_is_the_result():
    run, plan = begin(Recipe(batch=2, bptt=8, valid_every=1, max_steps=5))
    path = []
    for report in train(run, plan, scripted([5, 3, 4, 6, 7])):
        if report.kind == "step":
            path.append(run.model.params.flat.copy())
    assert np.array_equal(run.result.params.flat, path[1])
    assert [row["valid"] for row in run.history] == [5, 3, 4, 6, 7]
    assert (run.best_nats, run.stale) == (3, 3)


def test_without_validation_the_last_model_is_the_result():
    run, plan = begin(Recipe(batch=2, bptt=8, max_steps=5))
    list(train(run, plan))
    assert np.array_equal(run.result.params.flat, run.model.params.flat)


@pytest.mark.parametrize(
    ("settings", "points"),
    [  # (progress, epoch) -> factor
        ({"schedule": "constant"}, {(0, 0): 1, (0.5, 3): 1, (1, 9): 1}),
        ({"schedule": "constant", "warmup": 0.2}, {(0, 0): 0, (0.05, 0): 0.25, (0.2, 0): 1}),
        ({"schedule": "linear"}, {(0, 0): 1, (0.25, 0): 0.75, (1, 0): 0}),
        ({"schedule": "linear", "floor": 0.1}, {(0, 0): 1, (0.5, 0): 0.55, (1, 0): 0.1}),
        ({"schedule": "linear", "warmup": 0.2},
         {(0.1, 0): 0.5, (0.2, 0): 1, (0.6, 0): 0.5, (1, 0): 0}),
        ({"schedule": "cosine"}, {(0, 0): 1, (1 / 3, 0): 0.75, (0.5, 0): 0.5, (1, 0): 0}),
        ({"schedule": "cosine", "floor": 0.2}, {(0, 0): 1, (0.5, 0): 0.6, (1, 0): 0.2}),
        ({"schedule": "step", "factor": 0.5, "every": 2, "after": 3},
         {(0, 0): 1, (0, 4): 1, (0, 5): 0.5, (0, 6): 0.5, (0, 7): 0.25}),
        ({"schedule": "exponential", "factor": 0.8, "after": 2},
         {(0, 0): 1, (0, 2): 1, (0, 3): 0.8, (0, 5): 0.512}),
        ({"schedule": "halve-on-rise"}, {(0.7, 3): 1}),
        ({"schedule": "divide-on-plateau"}, {(0.7, 3): 1}),
    ],
)  # fmt: skip
def test_schedules_worked_by_hand(settings, points):
    recipe = Recipe(**settings)
    for (progress, epoch), factor in points.items():
        assert schedule(recipe, progress, epoch) == pytest.approx(factor, abs=1e-12)


def test_a_run_stops_at_the_limit_that_comes_first():
    run, plan = begin(Recipe(batch=2, bptt=8, epochs=2, max_steps=7))
    length = plan.length(0)
    assert total_steps(run.recipe, plan) == 7
    assert total_steps(replace(run.recipe, max_steps=None), plan) == 2 * length
    assert total_steps(replace(run.recipe, max_steps=10**6), plan) == 2 * length
    assert total_steps(replace(run.recipe, epochs=None, max_steps=None, max_time=9), plan) is None
    assert [r.reason for r in train(run, plan) if r.kind == "end"] == ["7 steps"]


def test_without_a_limit_a_run_takes_forty_epochs_or_twelve_million_tokens():
    small = Consecutive(np.zeros(3 * 64 * 8 + 1, np.uint8), 64, 8, 0, offset=False)
    assert small.length(0) == 3
    assert total_steps(Recipe(batch=64, bptt=8), small) == 1002  # 334 epochs
    middle = Consecutive(np.zeros(40 * 64 * 8 + 1, np.uint8), 64, 8, 0, offset=False)
    assert total_steps(Recipe(batch=64, bptt=8), middle) == 40 * 40
    large = Consecutive(np.zeros(6_000_001, np.uint8), 32, 64, 0, offset=False)
    assert total_steps(Recipe(), large) == 2 * large.length(0)
    huge = Consecutive(np.zeros(50_000_001, np.uint8), 32, 64, 0, offset=False)
    assert total_steps(Recipe(), huge) == huge.length(0)


def test_a_time_limit_ends_the_run_and_bends_the_schedule():
    now = itertools.count(0, 1.0)  # a clock that ticks once a look
    run, plan = begin(Recipe(batch=2, bptt=8, max_time=20, lr=1.0))
    reports = list(train(run, plan, clock=lambda: next(now)))
    steps = [r for r in reports if r.kind == "step"]
    assert len(steps) == 20
    assert reports[-1].reason == "time"
    assert [r.rate for r in steps] == pytest.approx([1 - k / 20 for k in range(20)])


WILD = Recipe(batch=2, bptt=8, optimizer="sgd", lr=1e20, clip=0)
RELU = {"cell": "rnn", "activation": "relu"}


def test_a_loss_that_is_not_finite_stops_with_the_last_good_parameters():
    for retries, stop in ((3, "stop"), (0, "rollback")):
        run, plan = begin(replace(WILD, on_divergence=stop, retries=retries), **RELU)
        first = run.model.params.flat.copy()
        with pytest.raises(DivergenceError, match=r"no longer finite at step \d+ .*--lr"):
            list(train(run, plan))
        assert run.step >= 1
        assert np.array_equal(run.model.params.flat, first)


def test_a_validation_that_is_not_finite_stops_the_run():
    run, plan = begin(Recipe(batch=2, bptt=8, valid_every=2, on_divergence="stop"))
    with pytest.raises(DivergenceError, match=r"validation loss .* step 4"):
        list(train(run, plan, scripted([3, math.nan])))
    assert [row["valid"] for row in run.history] == [3]


def test_a_rollback_goes_back_to_the_best_model_with_half_the_rate_and_a_fresh_optimizer():
    recipe = Recipe(batch=2, bptt=8, valid_every=2, schedule="constant", max_steps=8)
    run, plan = begin(recipe)
    reports, kept = [], {}
    for report in train(run, plan, scripted([3, math.nan, 2.5, math.nan])):
        reports.append(report)
        kept[report.kind, report.step] = run.model.params.flat.copy()
        if report.kind == "rollback":
            assert not any(slot.any() for slot in run.slots.values())
            assert run.state is None
    assert [(r.kind, r.step) for r in reports if r.kind != "step"] == [
        ("valid", 2), ("rollback", 4), ("valid", 6), ("rollback", 8), ("end", 8)
    ]  # fmt: skip
    assert np.array_equal(kept["rollback", 4], kept["valid", 2])
    assert np.array_equal(kept["rollback", 8], kept["valid", 6])
    assert [r.rate for r in reports if r.kind == "step"] == [0.004] * 4 + [0.002] * 4
    assert run.history[1] == {"step": 4, "epoch": 0, "rollback": 1, "rate_factor": 0.5}
    # The steps after it are those of a run that begins there: Adam counts its steps from 1.
    fresh, plan = begin(replace(recipe, lr=0.002, max_steps=None, epochs=1))
    fresh.model.params.flat[:] = kept["valid", 2]
    fresh.batch = 4
    assert next(train(fresh, plan)).nats == next(r for r in reports if r.step == 5).nats
    assert np.array_equal(fresh.model.params.flat, kept["step", 5])


def test_a_loss_that_blows_up_does_not_cost_the_run():
    def learnt(*blows, **settings):
        run, plan = begin(
            Recipe(batch=4, bptt=16, lr=0.02, max_steps=120, valid_every=10, **settings)
        )
        for report in train(run, plan, held_out):
            if report.kind == "step" and report.step in blows:
                run.model.params.flat[3] = np.inf
        return run

    calm, run = learnt(), learnt(45, 75)
    assert run.rollbacks == 2
    assert run.rate_factor == 0.25
    assert run.finished == "120 steps"
    assert calm.best_nats < run.best_nats < calm.best_nats + 0.5 < 2.5
    with pytest.raises(DivergenceError, match="1 rollback did not help"):
        learnt(45, 75, retries=1)


def test_without_validation_a_rollback_goes_back_to_where_one_would_have_been():
    run, plan = begin(Recipe(batch=2, bptt=8, valid_every=3, max_steps=8))
    reports = train(run, plan)
    kept = [run.model.params.flat.copy() for _ in itertools.islice(reports, 4)]
    run.model.params.flat[:] = np.nan  # as a step that went wrong
    assert next(reports).kind == "rollback"
    assert np.array_equal(run.model.params.flat, kept[2])


@pytest.mark.parametrize("optimizer", ["adam", "asgd", "momentum"])
@pytest.mark.parametrize("validate", [held_out, None], ids=["validated", "not validated"])
def test_a_run_with_rollbacks_goes_on_as_if_it_had_not_been_stopped(optimizer, validate):
    recipe = replace(WILD, optimizer=optimizer, lr=1e15, retries=60, max_steps=70, valid_every=4)
    recipe = replace(recipe, trigger=0)
    whole, plan = begin(recipe, **RELU)
    reports = list(train(whole, plan, validate))
    assert 10 < whole.rollbacks < 60
    for stop in range(1, len(reports), 7):
        run, plan = begin(recipe, **RELU)
        seen = list(itertools.islice(train(run, plan, validate), stop))
        run = rebuilt(run)
        seen += train(run, plan, validate)
        assert seen == reports
        assert facts(run) == facts(whole)


def test_a_rate_beyond_all_numbers_is_a_divergence():
    recipe = Recipe(batch=2, bptt=8, schedule="exponential", factor=1e100, epochs=5, retries=0)
    run, plan = begin(recipe)
    with pytest.raises(DivergenceError, match="no longer finite"):
        list(train(run, plan))


LOSSES = [("token", 1 / 12), ("mean", 1 / 12), ("time", 1 / 3), ("sum", 1.0)]


@pytest.mark.parametrize(("loss", "scale"), LOSSES)
def test_the_loss_setting_scales_the_gradient(loss, scale):
    recipe = Recipe(batch=3, bptt=4, loss=loss, clip=0, max_steps=1)
    run, plan = begin(recipe, dtype=np.float64)
    work = next(plan.batches(0))
    assert len(work.y) == 12
    stepper = Stepper(run.model, recipe, {})
    stepper.gradient(work, None, 1.0)
    report = next(train(run, plan))
    assert report.norm == pytest.approx(scale * stepper.reduce(), rel=1e-10)


def test_every_token_of_an_epoch_weighs_the_same():
    """With a rate that moves nothing, the steps' gradients add up to that of the whole epoch."""
    recipe = Recipe(batch=3, bptt=1000, optimizer="sgd", lr=1e-9, schedule="constant", clip=0,
                    max_steps=4, shards=1)  # fmt: skip
    run, plan = begin(recipe, starts=UNITS, dtype=np.float64, init="normal", init_scale=1.0)
    works = list(plan.batches(0))
    assert len(works) == 4
    assert len({len(work.y) for work in works}) > 1
    start = run.model.params.flat.copy()
    stepper = Stepper(run.model, recipe, {})
    whole = np.zeros_like(start)
    for work in works:
        stepper.gradient(work, None, 1.0)
        stepper.reduce()
        whole += stepper.grads[0].flat
    whole *= len(works) / sum(len(work.y) for work in works)
    list(train(run, plan))
    moved = (start - run.model.params.flat) / 1e-9
    assert moved == pytest.approx(whole, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("optimizer", ["adam", "momentum", "sgd"])
@pytest.mark.parametrize("clip_by", ["norm", "element"])
def test_texts_that_are_as_many_are_as_probable_whatever_their_length(optimizer, clip_by):
    """Half of the texts are one word, half are forty: the first word is a fair coin."""
    short, long = [0, 2, 1], [0, *[3, 4] * 20, 1]
    ids = np.array((short + long) * 160)
    starts = np.cumsum([0, *[len(short), len(long)] * 160])
    recipe = Recipe(batch=8, bptt=64, optimizer=optimizer, clip_by=clip_by, max_steps=1200)
    model = Model.initial(Config(5, cell="gru", hidden=12), 1)
    run = TrainRun.start(model, recipe)
    list(train(run, make_plan(recipe, ids, starts)))
    logits, _ = run.result.step(np.array([0]), run.result.zero_state(1))
    odds = np.exp(logits[:, 0] - logits[:, 0].max())
    assert odds[2] / odds.sum() == pytest.approx(0.5, abs=0.1)


def test_reset_begins_some_carried_states_anew():
    recipe = Recipe(batch=8, bptt=2, reset=0.5, shards=1, max_steps=2)
    nats = {}
    for reset in (0.0, 0.5, 0.999999):
        run, plan = begin(replace(recipe, reset=reset), dtype=np.float64)
        nats[reset] = [r.nats for r in train(run, plan) if r.kind == "step"]
    assert len({values[0] for values in nats.values()}) == 1  # nothing is carried into the first
    assert len({values[1] for values in nats.values()}) == 3


def test_gradients_of_a_run_have_the_layout_of_its_parameters():
    run, _ = begin(Recipe(optimizer="adam"))
    layout = shapes(run.model.config)
    assert set(run.slots) == {"mean", "square"}
    assert all(Params(layout, np.float32, slot).shapes == layout for slot in run.slots.values())


def test_a_program_that_forgets_its_pool_ends_all_the_same():
    program = (
        "from rnncli.parallel.processes import WorkerPool\n"
        "pool = WorkerPool(abs, 2)\nprint(pool.map([-1, -2, -3]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, cwd=ROOT
    )
    assert (done.stdout, done.returncode) == ("[1, 2, 3]\n", 0)
