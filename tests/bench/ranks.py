"""How much faster several ranks train: measured for one and two here, predicted for more.

`figures` runs the rounds; `python -m mpi4py tests/bench/ranks.py step SHAPE BATCH SECONDS` (or
`reduce SECONDS`) is one measurement by the ranks that run it, and prints one JSON line.

A step of R ranks takes what one rank needs for its share of the batch, which is measured here, and
an Allreduce of n bytes by halving and doubling (Thakur, Rabenseifner & Gropp 2005, section 4.5):
2 log2 R messages and 2 n (R - 1) / R bytes each way; a few numbers more are agreed on each step.
To what a message and a byte cost between two processes here comes what they cost on the wire.
"""

from __future__ import annotations

import importlib.util
import json
import math
import os
import shutil
import statistics
import sys
import time
from collections.abc import Iterator
from typing import Any

from shapes import SHAPES, child

from rnncli.parallel import mpi

WIRES = {"10 Gbit/s": (30e-6, 1.25e9), "100 Gbit/s": (5e-6, 12.5e9)}  # seconds a message, bytes/s
RANKS = (4, 8, 16, 32, 64, 128, 256)
AGREED = 3  # numbers that each step agrees on: the loss, the norm, whether to go on
BYTES = 1 << 24  # of the measured Allreduce


def figures(shapes: list[str], rounds: int, seconds: float) -> Iterator[dict[str, Any]]:
    """Measure what an Allreduce costs here, then 1 and 2 ranks; predict more: a row each.

    `same_batch`: the speed-up at the shape's batch, which the ranks share. `own_batch`: the gain in
    tokens/s where every rank has a batch of that size of its own.
    """
    found = [_children(2, "reduce", seconds) for _ in range(rounds)]
    latency, rate = (statistics.median(f[key] for f in found) for key in ("latency", "rate"))
    yield {"allreduce": "2 ranks", "us": round(latency * 1e6, 1), "gb_per_s": round(rate / 1e9, 2)}
    for shape in shapes:
        _, _, _, T, B = SHAPES[shape]
        steps: dict[int, list[float]] = {1: [], 2: []}
        for _ in range(rounds):
            for ranks, taken in steps.items():
                measured = _children(ranks, "step", shape, B, seconds)
                taken.append(measured["seconds"])
        size = int(measured["bytes"])
        one = statistics.median(steps[1])
        for ranks, taken in steps.items():
            step = statistics.median(taken)
            gain = one / step
            yield {
                "shape": shape, "ranks": ranks, "tokens/s": round(T * B / step),
                "ms a step": round(step * 1e3, 1), "speed-up": round(gain, 2),
                "of ideal": round(gain / ranks, 2),
            }  # fmt: skip
        update_parts = {B: one}
        for ranks in RANKS:
            row: dict[str, Any] = {"shape": shape, "ranks": ranks}
            shard_of = -(-B // ranks)
            if shard_of not in update_parts:
                update_parts[shard_of] = _children(1, "step", shape, shard_of, seconds)["seconds"]
            for wire, (message, byte_rate) in WIRES.items():
                talk = cost(ranks, size, latency + message, 1 / rate + 1 / byte_rate)
                row[f"own batch, {wire}"] = round(ranks * one / (one + talk), 1)
                if ranks <= B:
                    row[f"same batch, {wire}"] = round(one / (update_parts[shard_of] + talk), 1)
            yield row


def cost(ranks: int, size: int, message: float, byte: float) -> float:
    """Predict the seconds that ranks talk in a step whose gradient has `size` bytes."""
    rounds = math.log2(ranks)
    return (2 + AGREED) * rounds * message + 2 * (ranks - 1) / ranks * size * byte


def _children(ranks: int, *words: Any) -> dict[str, float]:
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", "")])
    starter = shutil.which("mpiexec", path=path)
    if starter is None or importlib.util.find_spec("mpi4py") is None:
        sys.exit("there is no mpiexec with mpi4py: pip install 'rnncli[mpi]'.")
    before = [starter, "-n", str(ranks), sys.executable, "-m", "mpi4py"]
    return child(__file__, *words, before=before)


def _step(comm: mpi.Comm, shape: str, batch: int, seconds: float) -> dict[str, float]:
    """Measure the seconds of a training step that all ranks share, and its gradient's bytes."""
    import numpy as np

    from rnncli.config.network import Config
    from rnncli.config.recipe import Recipe
    from rnncli.nn.model import Model
    from rnncli.nn.packed import Batch, Steps
    from rnncli.training.step import Stepper

    V, H, L, T, _ = SHAPES[shape]
    rng = np.random.default_rng(0)
    model = Model.initial(Config(V, hidden=H, embed=H, layers=L))
    recipe = Recipe(optimizer="sgd", batch=batch, clip=5.0, shards=comm.size)
    stepper, steps = Stepper(model, recipe, {}, comm=comm), Steps.dense(T, batch)
    state = model.zero_state(batch)

    def step() -> None:
        nonlocal state
        x, y = rng.integers(0, V, (2, T * batch))
        nats, state = stepper.gradient(Batch(x, y, steps, batch), state, 1 / (T * batch))
        comm.total(nats)
        stepper.apply(stepper.reduce(), 0.1, 1)
        comm.any(False, False)

    return {"seconds": _median(comm, step, seconds), "bytes": model.params.flat.nbytes}


def _reduce(comm: mpi.Comm, seconds: float) -> dict[str, float]:
    """Measure the seconds of the smallest Allreduce, and bytes a second of a large one."""
    import numpy as np

    small, large = np.zeros(1, np.float32), np.zeros(BYTES // 4, np.float32)
    latency = _median(comm, lambda: comm.allreduce(small), seconds / 2)
    taken = _median(comm, lambda: comm.allreduce(large), seconds / 2)
    return {"latency": latency, "rate": 2 * (comm.size - 1) / comm.size * BYTES / taken}


def _median(comm: mpi.Comm, work: Any, seconds: float) -> float:
    """Measure the median time of `work` after two that warm up; rank 0 says how often all do it."""
    times: list[float] = []
    begun = time.perf_counter()
    while comm.bcast(len(times) < 5 or time.perf_counter() - begun < seconds):
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return statistics.median(times[2:])


def main(kind: str, *words: str) -> None:
    """Take one measurement, by all ranks, and print it."""
    comm = mpi.world()
    if kind == "step":
        row = _step(comm, words[0], int(words[1]), float(words[2]))
    else:
        row = _reduce(comm, float(words[0]))
    if comm.rank == 0:
        print(json.dumps(row))


if __name__ == "__main__":
    main(*sys.argv[1:])
