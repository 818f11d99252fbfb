"""Forecasts: counts beside worked numbers, time on a clock of the tests."""

import json
import subprocess
import sys
from types import SimpleNamespace

import pytest
from commands import TINY, good, run, sentences

from rnncli.data.dataset import Dataset
from rnncli.training import forecast, loop
from rnncli.training import session as api
from rnncli.training.forecast import Pace
from rnncli.training.settings import settings_for


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """A forecast takes some seconds, which nothing here depends on."""
    monkeypatch.setattr(forecast, "SECONDS", 0.02)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A data file of little sentences."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "t.txt").write_text(sentences(400))
    good("tokenize", folder / "t.txt", "-o", folder / "d.npz", "--split", "0.8,0.2")
    return folder / "d.npz"


def begin(data, **given):
    """A session with a small network."""
    dataset = Dataset.open(data)
    given = {"hidden": 8, "batch": 4, "bptt": 8, **given}
    run = api.fresh(dataset, *settings_for(dataset.tokenizer, None, given))
    return api.begin(dataset, run), dataset


class Clock:
    """Time that passes only when it is told to."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def timed(monkeypatch, session, step, valid, save):
    """Let a step, a validation and a save take so long on a clock; nothing else takes time."""
    clock, judge, keep, take = Clock(), session.validate, session.save, loop._step

    def lasting(function, seconds):
        def work(*given, **options):
            clock.now += seconds
            return function(*given, **options)

        return work

    monkeypatch.setattr(forecast, "time", SimpleNamespace(perf_counter=clock, process_time=clock))
    monkeypatch.setattr(loop, "_step", lasting(take, step))
    monkeypatch.setattr(
        forecast, "validator", lambda *given, **_: lasting(lambda model: 0.0, valid)
    )
    session.validate, session.save = lasting(judge, valid), lasting(keep, save)
    return clock


@pytest.mark.parametrize(
    "limits",
    [
        {"max_time": 100.0, "valid_every": 20},
        {"max_time": 33.0, "valid_every": 0},
        {"max_time": 100.0, "max_steps": 150, "valid_every": 7},
        {"epochs": 2, "max_time": 1000.0},
        {"epochs": 1},
        {"max_steps": 31, "valid_every": 50},
    ],
)
def test_a_run_ends_where_its_forecast_says(data, tmp_path, monkeypatch, limits):
    session, dataset = begin(data, **limits, batching="consecutive")
    clock = timed(monkeypatch, session, step=0.5, valid=3.0, save=0.25)
    found = forecast.forecast(session, dataset)
    assert session.run.step == 0
    begun = clock.now
    for report in loop.train(session.run, session.plan, session.validate, clock=clock):
        if report.kind == "valid":
            session.save(tmp_path / "m.npz")
    epochs = session.run.epoch + session.run.batch / session.plan.length(session.run.epoch)
    assert abs(found.end.steps - session.run.step) <= 1 + 0.02 * session.run.step
    assert found.end.seconds == pytest.approx(clock.now - begun, abs=4)  # a validation
    assert found.end.epochs == pytest.approx(epochs, rel=0.03, abs=0.05)
    assert found.valid_seconds == pytest.approx(3.0)
    assert found.save_seconds == pytest.approx(0.25)
    assert (found.without_max_time is None) == ("max_time" not in limits)


def test_pace_beside_a_plain_loop():
    for step, valid, every, late in ((0.5, 3.0, 20, 0.0), (0.1, 0.0, 7, 0.25), (2.0, 9.0, 1, 0.0)):
        pace = Pace(step, valid, every, late)
        for seconds in (0.05, 3.0, 10.4, 100.7, 444.0):
            now, count = 0.0, 0
            while now < seconds:
                now, count = now + step * (1 + late), count + 1
                if count % every == 0:
                    now += valid
            assert pace.steps(seconds) in (count, count + 1)  # a limit may fall into a validation
            owed = valid if count % every else 0.0
            assert pace.seconds(count) == pytest.approx(now + owed)


def test_a_forecast_changes_nothing(data, tmp_path):
    session, dataset = begin(data, max_steps=6, cell="lstm", dropout=0.2, layers=2)
    forecast.forecast(session, dataset, processes=2)
    list(loop.train(session.run, session.plan, session.validate))
    session.save(tmp_path / "a.npz")
    other, _ = begin(data, max_steps=6, cell="lstm", dropout=0.2, layers=2)
    list(loop.train(other.run, other.plan, other.validate))
    other.save(tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_the_forecast_of_a_run_that_goes_on_counts_from_where_it_stands(data, monkeypatch):
    session, dataset = begin(data, max_steps=50, valid_every=0, batching="consecutive")
    for report in loop.train(session.run, session.plan, session.validate):
        if report.step == 30:
            break
    timed(monkeypatch, session, step=0.5, valid=0.0, save=0.0)
    end = forecast.forecast(session, dataset).end
    assert end.steps == 50
    assert end.seconds == pytest.approx(10, rel=0.01)


def hints(data, monkeypatch, rates=(1000.0, 1000.0), valid=0.0, processes=1, busy=1.0, **given):
    """The hints where steps run at the first rate, and those of twice the batch at the second."""
    session, dataset = begin(data, **given)
    found = iter(rates)
    monkeypatch.setattr(
        forecast, "_steps", lambda *given: forecast.Probe(next(found), 10, processes, 0, 0, busy)
    )
    monkeypatch.setattr(forecast, "_validation", lambda *given: valid)
    monkeypatch.setattr(forecast, "_save", lambda *given: 0.0)
    return forecast.forecast(session, dataset, processes=processes).hints


def test_hints_are_given_where_they_help_and_nowhere_else(data, monkeypatch):
    calm = {"hidden": 64, "embed": 8, "bptt": 4, "epochs": 2, "valid_every": 100}
    assert hints(data, monkeypatch, **calm) == []
    for change, words in (
        ({"hidden": 1, "embed": 1}, "the output layer, one row for each of 2"),
        ({"bptt": 500}, "--bptt 500 changes nothing"),
        ({"epochs": None, "max_steps": 1}, "of the training text"),
        ({"processes": 4, "shards": 2}, "2 of 4 threads have work: --shards 4."),
        ({"rates": (1000.0, 1500.0)}, "--batch 8 does 1.5 times"),
        ({"valid": 1.0}, "validating and saving is "),
        ({"busy": 0.4}, "had 40% of a core"),
    ):
        found = hints(data, monkeypatch, **{**calm, **change})
        assert [words in hint for hint in found] == [True], (change, found)


def test_the_interval_that_a_hint_names_is_long_enough(data, monkeypatch):
    calm = {"hidden": 64, "embed": 8, "bptt": 4, "epochs": 2}
    for valid in (0.1, 0.7, 3.0, 11.0):
        (hint,) = hints(data, monkeypatch, valid=valid, valid_every=1, **calm)
        every = int(hint.split("--valid-every ")[1].split()[0])
        session, dataset = begin(data, **calm)
        split = dataset.splits["train"]
        step = (len(split.ids) - len(split.starts) + 1) / session.plan.length(0) / 1000
        assert valid / (every * step + valid) < 0.05
        assert valid / (every / 5 * step + valid) > 0.01  # and no longer than that


# --- the command ---


def test_plan_tells_and_writes_nothing(data, tmp_path):
    words = ("train", data, "-o", tmp_path / "m.npz", *TINY, "--max-time", "9s", "--plan")
    done = good(*words, "--metrics", tmp_path / "log", "--tensorboard", tmp_path / "events")
    names = [line.split("  ")[0] for line in done.out.splitlines() if not line.startswith("hint")]
    assert names == ["parameters", "memory", "arithmetic", "speed", "epoch", "validation", "end",
                     "without --max-time"]  # fmt: skip
    assert list(tmp_path.iterdir()) == []


def test_plan_in_json(data, tmp_path):
    done = good("train", data, "-o", tmp_path / "m.npz", *TINY, "--epochs", 2, "--plan", "--json")
    found = json.loads(done.out)
    session, _ = begin(data, epochs=2)
    assert found["end"]["steps"] == 2 * session.plan.length(0)
    assert found["end"]["epochs"] == pytest.approx(2)
    assert found["without_max_time"] is None
    assert sum(found["parameters"].values()) == len(session.run.model.params.flat)
    assert min(found["memory"], found["tokens_per_second"]) > 0


def test_the_memory_is_that_of_the_run(data, tmp_path):
    program = (
        "import resource\nfrom rnncli import cli\nfrom rnncli.training import forecast\n"
        "forecast.SECONDS = 0.1\n"
        "try: cli.run()\nfinally: print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    words = ["train", data, "-o", tmp_path / "m.npz", *TINY, "--hidden", 700, "--cell", "lstm",
             "--batch", 32, "--bptt", 40, "--max-steps", 8, "--threads", 1]  # fmt: skip

    def lines(*more):
        """What a command and then its peak print; a shell between, whose child begins with none."""
        command = [sys.executable, "-c", program, *map(str, (*words, *more))]
        return subprocess.check_output(["sh", "-c", '"$@"; exit', "sh", *command]).splitlines()

    plan, _ = lines("--plan", "--json")
    (peak,) = lines("-q")
    idle = 40 << 20  # Python and NumPy
    assert json.loads(plan)["memory"] - idle == pytest.approx(int(peak) * 1024 - idle, rel=0.2)


def test_plan_beside_an_unfinished_run_leaves_it_alone(data, tmp_path):
    model = tmp_path / "m.npz"
    session, _ = begin(data, max_steps=40)
    next(loop.train(session.run, session.plan))
    session.save(model)
    before = model.read_bytes()
    good("train", data, "-o", model, *TINY, "--hidden", 9, "--plan", "-q")
    resumed = good("train", data, "-o", model, *TINY, "--max-steps", 40, "--plan", "--resume")
    assert "40 steps" in resumed.out
    assert model.read_bytes() == before


def test_json_is_for_plans(data, tmp_path):
    done = run("train", data, "-o", tmp_path / "m.npz", *TINY, "--json")
    assert done.code == 2
    assert "--json is for --plan" in done.err


def test_a_plan_needs_no_validation_split(tmp_path):
    (tmp_path / "t.txt").write_text(sentences(100))
    good("tokenize", tmp_path / "t.txt", "-o", tmp_path / "d.npz", "--split", "1,0,0")
    done = good("train", tmp_path / "d.npz", "-o", tmp_path / "m.npz", *TINY, "--plan")
    assert "validation" not in done.out
