"""Speed and memory beside PyTorch's: every figure in a process of its own, in turn, medians.

`figures` runs the rounds; `python tests/bench/speed.py SIDE KIND SHAPE CELL SECONDS THREADS` is one
measurement and prints one JSON line. A training step is forward, cross-entropy, backward, clip by
norm 5 and SGD, on random ids, float32, the state carried. PyTorch is used where it is installed,
never needed.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from shapes import CELLS, SHAPES, SHARDS, child, flops, rate

# What ratios to PyTorch should be: of training by shape, and the geometric means of each kind.
WANTED = {"char-128": 1.0, "char-128x2": 1.0, "char-512": 1.0, "lyrics-256": 1.0,
          "comments-100": 1.5, "words-200x2": 1.5, "words-650x2": 1.0}  # fmt: skip
MEANS = {"train": 1.3, "generate-1": 5.0, "generate-64": 1.5}
MEMORY = 0.5  # and the most of memory in training
KINDS = ("train", "generate-1", "generate-64")
LARGE = 1 << 20  # weights of an output layer with which texts are generated shorter
STARTS = 7  # times that a command is started


def figures(
    shapes: list[str], against: str | None, rounds: int, seconds: float, threads: int
) -> Iterator[dict[str, Any]]:
    """Yield a row for each shape, cell and kind: tokens/s and peak MiB of each side, and the ratio.

    Of training also the machine's rate of float32 matrix products in the same run, the share of it
    that is reached, and `products`: the tokens/s if all else than its matrix products took no time.
    Of one text the microseconds a token, and the GB/s at which the weights are read. `below` says
    of a ratio that is not as wanted where the time or the memory goes.
    """
    sides = ["ours", *([against] if against else [])]
    for shape in shapes:
        for cell in CELLS:
            for kind in KINDS:
                asked = [(side, kind) for side in sides]
                if kind == "train":
                    asked += [("ours", "products"), ("ours", "sgemm")]
                found: dict[tuple[str, str], list[dict[str, float]]] = {one: [] for one in asked}
                for _ in range(rounds):
                    for side, what in asked:
                        blas = 1 if side == "ours" and what != "sgemm" else threads
                        one = (side, what, shape, cell, seconds, threads)
                        found[side, what].append(child(__file__, *one, threads=blas))
                median = {
                    one: {key: statistics.median(r[key] for r in rows) for key in ("rate", "mib")}
                    for one, rows in found.items()
                }
                row: dict[str, Any] = {"shape": shape, "cell": cell, "kind": kind}
                for side in sides:
                    row[side] = round(median[side, kind]["rate"])
                    row[f"{side}_mib"] = round(median[side, kind]["mib"])
                if against:
                    row["ratio"] = round(row["ours"] / row[against], 2)
                    row["memory_ratio"] = round(row["ours_mib"] / row[f"{against}_mib"], 2)
                if kind == "train":
                    gflops = median["ours", "sgemm"]["rate"]
                    row["sgemm_gflops"] = round(gflops)
                    row["share"] = round(row["ours"] * flops(shape, cell) / 1e9 / gflops, 2)
                    row["products"] = round(median["ours", "products"]["rate"])
                if kind == "generate-1":
                    row["us"] = round(1e6 / row["ours"], 1)
                    row["gb_s"] = round(row["ours"] * flops(shape, cell) / 6 * 4 / 1e9, 1)
                yield {**row, **_below(row, against)}


def _below(row: dict[str, Any], against: str | None) -> dict[str, str]:
    """Say what falls short of what is wanted in a row, and what was measured of it."""
    if not against:
        return {}
    why = []
    if row["kind"] == "train" and row["ratio"] < WANTED[row["shape"]]:
        inside, alone = row["ours"] / row["products"], row["products"] / row[against]
        why.append(
            f"ratio below {WANTED[row['shape']]}: {inside:.0%} of the time is matrix products, "
            f"which alone would be {alone:.2f} times as fast as all of {against}"
        )
    if row["kind"] == "train" and row["memory_ratio"] > MEMORY:
        V, H, *_ = SHAPES[row["shape"]]
        weights = 2 * V * H + flops(row["shape"], row["cell"]) // 6 - H * V
        why.append(
            f"memory above {MEMORY}: parameters and {SHARDS} gradients, one of each shard, are "
            f"{(1 + SHARDS) * weights * 4 >> 20} of {row['ours_mib']} MiB"
        )
    if row["kind"] == "generate-1" and row["ratio"] < MEANS["generate-1"]:
        why.append(
            f"ratio below {MEANS['generate-1']}: {row['us']} us a token, in which {row['gb_s']} "
            "GB/s of weights are read"
        )
    return {"below": "; ".join(why)} if why else {}


def means(rows: Iterable[dict[str, Any]]) -> dict[str, float]:
    """Return the geometric mean of each kind's ratios, and the largest ratio of memory."""
    rows = [row for row in rows if "ratio" in row]
    out = {}
    for kind in KINDS:
        ratios = [row["ratio"] for row in rows if row["kind"] == kind]
        if ratios:
            out[kind] = round(statistics.geometric_mean(ratios), 2)
    memory = [row["memory_ratio"] for row in rows if row["kind"] == "train"]
    return {**out, "largest_memory_ratio": max(memory)} if memory else out


def starting(against: str | None) -> dict[str, float]:
    """Measure the seconds of whole processes: `rnncli --help`, a short text, imports."""
    from rnncli.config.network import Config
    from rnncli.lm.language_model import LanguageModel, save
    from rnncli.nn.model import Model
    from rnncli.text.tokenizer import Tokenizer

    letters = [chr(0x4E00 + k) for k in range(64)]
    tokenizer = Tokenizer.train(letters, level="char", vocab_size=65, unit="stream")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.npz"
        model = Model.initial(Config(65, cell="lstm", hidden=128, embed=128))
        save(path, LanguageModel(model, tokenizer))
        sample = ["-m", "rnncli", "sample", str(path), "--length", "100"]
        words = {"help": ["-m", "rnncli", "--help"], "sample_100": sample}
        for module in ("numpy", *([against] if against else [])):
            words[f"import_{module}"] = ["-c", f"import {module}"]
        return {name: round(_elapsed(rest), 3) for name, rest in words.items()}


def _elapsed(words: list[str]) -> float:
    """Measure the median seconds that Python takes with these words, files in the cache."""
    times = []
    for _ in range(STARTS + 1):
        begin = time.perf_counter()
        subprocess.run([sys.executable, *words], check=True, capture_output=True)
        times.append(time.perf_counter() - begin)
    return statistics.median(times[1:])


def machine() -> dict[str, Any]:
    """Say where figures come from: processor, system, versions, and the commit of the source."""
    cpu = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next(
            (line.partition(": ")[2] for line in lines if line.startswith("model name")), cpu
        )
    names = ("rnncli", "numpy", "torch", "mpi4py")
    versions = {"python": platform.python_version()}
    for name in names:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    git = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    done = subprocess.run(git, capture_output=True, text=True) if shutil.which("git") else None
    commit = done.stdout.strip() if done is not None and not done.returncode else None
    date = datetime.now(UTC).isoformat(timespec="seconds")
    cores = os.cpu_count()
    return {"date": date, "cpu": cpu, "cores": cores, "system": platform.platform(),
            "versions": versions, "commit": commit}  # fmt: skip


def _texts(kind: str, shape: str) -> tuple[int, int]:
    """Choose how many texts are generated, and their length: a second or two for any shape."""
    V, H, _, _, _ = SHAPES[shape]
    large = V * H > LARGE
    return (1, 150 if large else 500) if kind == "generate-1" else (64, 30 if large else 100)


def _ours(kind: str, shape: str, cell: str, seconds: float, threads: int) -> tuple[float, float]:
    """Measure the tokens/s of rnncli, and the MiB of its other processes."""
    import numpy as np

    from rnncli.config.network import Config
    from rnncli.config.recipe import Recipe
    from rnncli.generation.sampling import generate
    from rnncli.lm.network import Network
    from rnncli.nn.model import Model
    from rnncli.nn.packed import Batch, Steps
    from rnncli.text.tokenizer import Tokenizer
    from rnncli.training.step import Stepper

    V, H, L, T, B = SHAPES[shape]
    rng = np.random.default_rng(0)
    model = Model.initial(Config(V, cell=cell, hidden=H, embed=H, layers=L))
    if kind == "train":
        recipe = Recipe(optimizer="sgd", batch=B, clip=5.0, shards=SHARDS)
        stepper, steps = Stepper(model, recipe, {}, processes=threads), Steps.dense(T, B)
        state = model.zero_state(B)

        def step() -> int:
            nonlocal state
            x, y = rng.integers(0, V, (2, T * B))
            _, state = stepper.gradient(Batch(x, y, steps, B), state, 1 / (T * B))
            stepper.apply(stepper.reduce(), 0.1, 1)
            return T * B

        made = rate(step, seconds)
        return made, sum(_own(child.pid) for child in multiprocessing.active_children())
    letters = [chr(0x4E00 + k) for k in range(V - 1)]
    tokenizer = Tokenizer.train(letters, level="char", vocab_size=V, unit="stream")
    num, length = _texts(kind, shape)
    network = Network(model, threads=threads)

    def write() -> int:
        drawn = generate(
            network, tokenizer, letters[0], num=num, length=length, threads=threads, scored=False,
            temperature=0.8,
        )  # fmt: skip
        return sum(len(sample.ids) for sample in drawn)

    return rate(write, seconds), 0.0


def _own(pid: int | None) -> float:
    """Return the MiB that a process shares with no other; 0 where the system does not say."""
    with contextlib.suppress(OSError):
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1024
    return 0.0


def _torch(kind: str, shape: str, cell: str, seconds: float, threads: int) -> float:
    """Measure the tokens/s of the same network in PyTorch."""
    import torch

    torch.manual_seed(0)
    torch.set_num_threads(threads)
    V, H, L, T, B = SHAPES[shape]
    embed = torch.nn.Embedding(V, H)
    rnn = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[cell](H, H, L)
    out = torch.nn.Linear(H, V)
    parameters = [p for module in (embed, rnn, out) for p in module.parameters()]
    if kind == "train":
        sgd, state = torch.optim.SGD(parameters, lr=0.1), None

        def step() -> int:
            nonlocal state
            x, y = torch.randint(0, V, (2, T, B))
            if state is not None:
                state = tuple(s.detach() for s in state) if cell == "lstm" else state.detach()
            sgd.zero_grad()
            top, state = rnn(embed(x), state)
            torch.nn.functional.cross_entropy(out(top).view(-1, V), y.reshape(-1)).backward()
            torch.nn.utils.clip_grad_norm_(parameters, 5.0)
            sgd.step()
            return T * B

        return rate(step, seconds)
    num, length = _texts(kind, shape)

    def write() -> int:
        x, carried = torch.zeros(1, num, dtype=torch.long), None
        with torch.inference_mode():
            for _ in range(length):
                top, carried = rnn(embed(x), carried)
                p = torch.softmax(out(top)[0] / 0.8, -1)
                x = torch.multinomial(p, 1).t()
        return num * length

    return rate(write, seconds)


def _sgemm(seconds: float) -> float:
    """Measure the GFLOP/s of float32 matrix products of 2048 x 2048, with all threads."""
    import numpy as np

    a = np.ones((2048, 2048), np.float32)
    out = np.empty_like(a)

    def product() -> int:
        np.matmul(a, a, out=out)
        return 2 * 2048**3

    return rate(product, seconds) / 1e9


def tokenizing(corpus: Path, megabytes: int, workers: int) -> Iterator[dict[str, float]]:
    """Measure MB/s and peak MiB of `rnncli tokenize` by 1 and by N processes, on a long CSV.

    `mb_per_cpu_s` is the rate of a core that does nothing else; the peak is that of the largest
    process. `of_ideal` compares several processes with as many times the rate of one,
    `of_ideal_by_cpu` the seconds of processor that they take: what else is missing they waited.
    """
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "long.csv", Path(folder) / "long.npz"
        header, _, body = corpus.read_bytes().partition(b"\n")
        with open(source, "wb") as file:
            file.write(header + b"\n")
            while file.tell() < megabytes * 1_000_000:
                file.write(body)
        size = source.stat().st_size / 1e6
        command = [sys.executable, "-m", "rnncli", "tokenize", str(source), "-q", "-o", str(target)]
        command += ["--column", "body", "--workers"]
        for number in sorted({1, workers}):
            begin = time.perf_counter()
            process = subprocess.Popen([*command, str(number)])
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - begin
            if status:
                raise subprocess.CalledProcessError(status, command)
            busy = usage.ru_utime + usage.ru_stime
            if number == 1:
                alone = seconds, busy
            update_parts = {
                "of_ideal": round(alone[0] / seconds / number, 2),
                "of_ideal_by_cpu": round(alone[1] / busy, 2),
            }
            yield {
                "workers": number,
                "megabytes": round(size),
                "mb_per_s": round(size / seconds, 1),
                "mb_per_cpu_s": round(size / busy, 1),
                "peak_mib": round(usage.ru_maxrss / 1024),
                **(update_parts if number > 1 else {}),
            }


def main(side: str, kind: str, shape: str, cell: str, seconds: str, threads: str) -> None:
    """Take one measurement and print it."""
    others = 0.0
    if kind == "sgemm":
        found = _sgemm(float(seconds))
    elif kind == "products":
        import products  # with numpy, which a process that measures PyTorch does without

        found = products.measured(shape, cell, float(seconds), int(threads))
    elif side == "ours":
        found, others = _ours(kind, shape, cell, float(seconds), int(threads))
    else:
        found = _torch(kind, shape, cell, float(seconds), int(threads))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"rate": found, "mib": peak + others}))


if __name__ == "__main__":
    main(*sys.argv[1:])
