"""Several ranks train what one does, resume to the same bytes, and end together."""

import os
import signal
import sys

import click
import numpy as np
import pytest
from commands import TINY, ended, good, refused, sentences, wait_for

pytest.importorskip("mpi4py")

import mpi_ranks
import mpi_torture
import ranks as bench

from rnncli.cli.train import train
from rnncli.config.recipe import Recipe
from rnncli.data.batches import Consecutive, Sentences
from rnncli.errors import ConfigError
from rnncli.nn.packed import Steps
from rnncli.parallel.mpi import Comm, started
from rnncli.training import checkpoint
from rnncli.training.shards import ShardedPlan


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A small data file of running text, its state carried from batch to batch."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "t.txt").write_text(sentences(60))
    good("tokenize", folder / "t.txt", "-o", folder / "d.npz", "--split", "0.8,0.2")
    return folder / "d.npz"


def ranks(count, *words):
    """`rnncli words...` on a number of ranks."""
    return ended(mpi_ranks.start(count, "-m", "rnncli", *words), timeout=120)


# --- the same model ---


@pytest.fixture(scope="module")
def alone():
    return mpi_ranks.results(Comm())


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_any_number_of_ranks_trains_the_same_model_up_to_rounding(count, alone, tmp_path):
    done = ended(mpi_ranks.start(count, mpi_ranks.__file__, tmp_path / "found.npz"), timeout=120)
    assert done.code == 0, done.err
    with np.load(tmp_path / "found.npz") as found:
        assert set(found) == set(alone)
        for name, array in found.items():
            same = 0 if count == 1 else 1e-10 if "float64" in name else 1e-5
            np.testing.assert_allclose(array, alone[name], rtol=0, atol=same, err_msg=name)


CONSECUTIVE = ("--batching", "consecutive", "--schedule", "constant", "--valid-every", 5)


def test_two_ranks_leave_the_file_of_one_process_but_for_their_number(data, tmp_path):
    words = ("train", data, *TINY, "--dropout", 0.3, *CONSECUTIVE, "--max-steps", 10)
    good(*words, "-o", tmp_path / "alone.npz")
    done = ranks(2, *words, "-o", tmp_path / "m.npz", "--metrics", tmp_path / "log")
    assert done.code == 0, done.err
    assert "batch 4 x 8, 2 ranks" in done.err
    assert done.err.count("done: 10 steps") == 1  # rank 0 speaks
    (one, alone), (two, run) = map(checkpoint.resume, (tmp_path / "alone.npz", tmp_path / "m.npz"))
    assert (alone.ranks, run.ranks) == (1, 2)
    assert (one.model.params.flat == two.model.params.flat).all()
    assert (alone.model.params.flat == run.model.params.flat).all()
    assert all((alone.slots[name] == run.slots[name]).all() for name in alone.slots)
    assert (alone.state.h == run.state.h).all()
    assert alone.best_nats == pytest.approx(run.best_nats, rel=1e-12)  # added in another order
    assert sorted(path.name for path in tmp_path.iterdir()) == ["alone.npz", "log", "m.npz"]


def test_ranks_resume_to_the_same_bytes_and_say_so_when_there_are_others(data, tmp_path):
    gather_state, model = tmp_path / "whole.npz", tmp_path / "m.npz"
    words = ("train", data, *TINY, "--dropout", 0.3, *CONSECUTIVE, "--resume", "--max-steps")
    for path, steps in ((gather_state, 10), (model, 5), (model, 10)):
        done = ranks(3, *words, steps, "-o", path)
        assert done.code == 0, done.err
    assert "going on after step 5." in done.err
    assert "rounding" not in done.err
    assert model.read_bytes() == gather_state.read_bytes()
    assert checkpoint.resume(model)[1].recipe.shards == 3
    done = good(*words, 11, "-o", model)
    assert "begun with 3 ranks, going on with 1: the same up to rounding" in done.err


# --- who does what ---


def test_text_is_tokenized_by_one_process(data, tmp_path):
    done = ranks(2, "tokenize", data.parent / "t.txt", "-o", tmp_path / "d.npz")
    assert done.code == 2
    assert done.err.count("run it without mpiexec") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_the_parts_of_a_plan_are_the_plan(size):
    rng = np.random.default_rng(0)
    ids, starts = np.arange(400), np.cumsum([0, *rng.integers(2, 9, 40)])
    for plan in (Consecutive(ids, 5, 6, 0), Sentences(ids, starts, 5, 3, 0)):
        batches = [ShardedPlan(plan, rank, size).batches(0, 1) for rank in range(size)]
        targets = [work.y for part in batches for work in part]
        gather_state = [work.y for work in plan.batches(0, 1)]
        assert sorted(np.concatenate(targets)) == sorted(np.concatenate(gather_state))


def test_a_rank_without_a_sequence_leaves_the_batch_out():
    class One:
        def batches(self, epoch, start):
            from rnncli.nn.packed import Batch

            yield Batch(np.arange(4), np.arange(4), Steps((2, 2)), 0)

    assert [len(list(ShardedPlan(One(), rank, 3).batches(0))) for rank in range(3)] == [1, 1, 0]


@pytest.mark.parametrize(
    ("ranks", "shards", "shared"), [(1, 2, 2), (2, 2, 2), (3, 2, 3), (4, 2, 4), (3, 4, 6)]
)
def test_every_rank_has_as_many_shards(ranks, shards, shared):
    assert Recipe(shards=shards).shared_by(ranks).shards == shared


def test_a_batch_has_a_sequence_for_every_rank():
    with pytest.raises(ConfigError, match="9 ranks cannot share a batch of 8"):
        Recipe(batch=8).shared_by(9)


def test_a_process_by_itself_is_the_only_rank(monkeypatch):
    comm, vector = Comm(), np.arange(3.0)
    comm.allreduce(vector)
    assert vector.tolist() == [0, 1, 2]
    assert comm.total(2.5) == 2.5
    assert comm.any(True, False) == [True, False]
    assert comm.bcast("so") == "so"
    assert not started()
    monkeypatch.setenv("PMI_SIZE", "2")
    assert started()


def test_a_rank_has_one_process(monkeypatch):
    monkeypatch.setenv("PMI_SIZE", "2")
    with pytest.raises(click.BadParameter, match="start more ranks"):
        train.make_context("train", ["d.npz", "-o", "m.npz", "--threads", "2"])
    assert train.make_context("train", ["d.npz", "-o", "m.npz"]).params["threads"] == 1


def test_the_cost_of_talking_worked_by_hand():
    # 2 ranks: 5 messages, and half of 8 bytes out and half in; 8 ranks: 3 rounds, 7/8 each way
    assert bench.cost(2, 8, message=10.0, byte=0.5) == 50 + 4
    assert bench.cost(8, 8, message=10.0, byte=0.5) == 150 + 7


def test_the_bench_measures_two_ranks_and_predicts_more(monkeypatch):
    monkeypatch.setattr(bench, "RANKS", (4, 64))
    reduced, *rows = bench.figures(["char-128"], 1, 0.1)
    assert reduced["gb_per_s"] > 0
    assert [row["ranks"] for row in rows] == [1, 2, 4, 64]
    assert rows[0]["speed-up"] == 1
    assert rows[1]["speed-up"] == pytest.approx(2 * rows[1]["of ideal"], abs=0.02)
    for row in rows[2:]:
        assert 0 < row["own batch, 10 Gbit/s"] <= row["own batch, 100 Gbit/s"] <= row["ranks"]
        assert ("same batch, 10 Gbit/s" in row) == (row["ranks"] == 4)  # of 50 sequences


# --- the end ---


def test_what_all_ranks_find_is_said_once(tmp_path):
    done = ranks(2, "train", tmp_path / "none.npz", "-o", tmp_path / "m.npz")
    assert done.code == 1
    assert done.err.count("rnncli: ") == 1
    assert "none.npz: cannot read" in done.err


@pytest.mark.parametrize(("kind", "rank", "code"), [("error", 1, 1), ("bug", 0, 1), ("kill", 1, 9)])
def test_a_rank_that_fails_ends_the_job_and_leaves_the_last_save(data, tmp_path, kind, rank, code):
    model = tmp_path / "m.npz"
    done, _ = mpi_torture.torture(data, model, 2, kind, rank, 5)
    assert done.code == code
    assert mpi_torture.SAID[kind] in done.err
    assert checkpoint.resume(model)[1].step in (
        4,
        5,
    )  # rank 0 may have been writing the later one


def test_a_signal_to_any_rank_stops_them_all_and_saves(data, tmp_path):
    model, where = tmp_path / "m.npz", tmp_path / "pid"
    code = (
        "import os, pathlib, sys; from rnncli import cli; from rnncli.parallel import mpi\n"
        f"if mpi.world().rank == 1: pathlib.Path({str(where)!r}).write_text(str(os.getpid()))\n"
        "cli.run()"
    )
    words = ("train", data, "-o", model, *TINY, "--max-steps", 100_000, "--valid-every", 5)
    started = mpi_ranks.start(2, "-c", code, *words)
    wait_for(model.exists)
    os.kill(int(where.read_text()), signal.SIGTERM)
    done = ended(started)
    assert done.code == 143
    assert f"stopped; {model} is saved. Go on with the same command and --resume." in done.err
    assert 5 <= checkpoint.resume(model)[1].step < 100_000


def test_mpiexec_without_mpi4py_is_refused(data, tmp_path, monkeypatch):
    monkeypatch.setenv("PMI_SIZE", "2")
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    line = refused("train", data, "-o", tmp_path / "m.npz")
    assert line == (
        "rnncli: the ranks of mpiexec need mpi4py and an MPI library: pip install 'rnncli[mpi]'."
    )
