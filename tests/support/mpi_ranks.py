"""For tests of several ranks: how they are started, and what they run (`python mpi_ranks.py OUT`).

The ranks train small networks in float64 and float32, and rank 0 writes what came of it.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

from rnncli.config.network import Config
from rnncli.config.recipe import Recipe
from rnncli.data.batches import Consecutive, Sentences
from rnncli.nn.model import Model
from rnncli.parallel import mpi
from rnncli.training.loop import TrainRun, train
from rnncli.training.step import gather_state

ROOT = Path(__file__).parents[2]
STEPS = 50
NETWORKS = {  # with dropout the shards have to be the same ones: 12 can be shared by 1 to 4 ranks
    "lstm": ({"layers": 2}, {"batching": "consecutive", "reset": 0.1}),
    "gru": ({"cell": "gru", "embed": 4}, {"batching": "sentences", "clip_by": "element"}),
    "muon": ({"embed": 4, "cell": "gru"}, {"batching": "consecutive", "optimizer": "muon"}),
    "dropout": ({"dropout": 0.3}, {"batching": "consecutive", "shards": 12}),
}


def start(ranks, *words):
    """`mpiexec -n ranks python -m mpi4py words...`, with the mpiexec beside this Python if any."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    polls = {"MPIR_CVAR_POLLS_BEFORE_YIELD": "1", "MPIR_CVAR_POSIX_POLL_FREQUENCY": "1"}
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "support")])
    environment = {**os.environ, **polls, "PYTHONPATH": paths}  # more ranks than processors
    command = [shutil.which("mpiexec", path=path), "-n", ranks, sys.executable, "-m", "mpi4py"]
    return subprocess.Popen(
        [*map(str, command), *map(str, words)], env=environment,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def trained(name, dtype, comm):
    """The parameters, the carried state and the losses after some steps."""
    network, settings = NETWORKS[name]
    recipe = Recipe(batch=12, bptt=5, max_steps=STEPS, **settings).shared_by(comm.size)
    model = Model.initial(Config(9, hidden=7, **network), dtype=dtype)
    rng = np.random.default_rng(0)
    ids, starts = rng.integers(0, 9, 1500), np.cumsum([0, *rng.integers(2, 13, 200)])
    plan = Consecutive(ids, 12, 5, 0)
    if recipe.batching == "sentences":  # the last group has fewer sequences than there are ranks
        plan = Sentences(ids[: starts[145]], starts[:146], 12, 5, 0)
    run = TrainRun.start(model, recipe)
    nats = [report.nats for report in train(run, plan, comm=comm) if report.kind == "step"]
    state = gather_state(run.state, recipe.shards, comm)
    flat = run.model.params.flat
    assert (comm.bcast(flat) == flat).all(), "the ranks have come apart"
    return flat, state.h, np.array(nats)


def results(comm):
    """What becomes of every network in both precisions, by name."""
    return {
        f"{name} {dtype} {part}": array
        for name in NETWORKS
        for dtype in ("float64", "float32")
        for part, array in zip(("params", "state", "nats"), trained(name, dtype, comm), strict=True)
    }


if __name__ == "__main__":
    found = results(mpi.world())
    if mpi.world().rank == 0:
        np.savez(sys.argv[1], **found)
