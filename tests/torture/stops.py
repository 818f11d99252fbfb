"""Runs that are stopped at random: they go on to the same bytes, and end as the signal says.

python tests/torture resume signals soak
"""

import gc
import itertools
import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from commands import good, run, sentences
from kills import child, train_words
from tally import Tally

from rnncli import cli
from rnncli.config.network import CELLS, Config
from rnncli.config.recipe import RATES, SCHEDULES, Recipe
from rnncli.data.batches import BatchPlan
from rnncli.data.dataset import Dataset
from rnncli.errors import ConfigError
from rnncli.lm.language_model import LanguageModel
from rnncli.nn import Batch, Model, Steps
from rnncli.text.tokenizer import Tokenizer
from rnncli.training import checkpoint
from rnncli.training.loop import TrainRun, make_plan, train

WORDS = Tokenizer.train(["the cat sat on the mat", "the dog sat on the log", "a cat and a dog"])
TEXT = np.random.default_rng(0).integers(3, len(WORDS), 120)
UNITS = np.array([0, 9, 11, 30, 41, 60, 66, 90, len(TEXT)])


def resume(count: int, folder: Path) -> Tally:
    """`count` random configurations, each stopped at random steps and resumed from its file."""
    tally, draw = Tally(), random.Random(0)
    while tally.reached < count:
        try:
            config, recipe = _config(draw), _recipe(draw)
            starts = draw.choice([UNITS, np.array([0, len(TEXT)])])
            plan = make_plan(recipe, TEXT, starts)
        except ConfigError:
            continue
        validate = draw.choice([None, _held_out])
        whole, stopped = folder / "whole.npz", folder / "stopped.npz"
        run_ = TrainRun.start(Model.initial(config, recipe.seed), recipe)
        language = LanguageModel(run_.result, WORDS)
        reports = _go(whole, language, run_, plan, validate, None)
        model = Model.initial(config, recipe.seed)
        run_ = TrainRun.start(model, recipe)
        language = LanguageModel(run_.result, WORDS)
        seen: list[Any] = []
        for stop in sorted(draw.sample(range(1, len(reports)), min(2, len(reports) - 1))):
            seen += _go(stopped, language, run_, plan, validate, stop - len(seen))
            language, run_ = checkpoint.resume(stopped)
        seen += _go(stopped, language, run_, plan, validate, None)
        same = stopped.read_bytes() == whole.read_bytes()
        tally.check(same and seen == reports, f"{config} {recipe}: {same=}, {seen == reports=}")
    return tally


def _go(
    path: Path,
    language: LanguageModel,
    run_: TrainRun,
    plan: BatchPlan,
    validate: Any,
    stop: int | None,
) -> list[Any]:
    reports = list(itertools.islice(train(run_, plan, validate), stop))
    language.model = run_.result
    checkpoint.save(path, language, run_)
    return reports


def _held_out(model: Model) -> float:
    batch = Batch(TEXT[:40], TEXT[1:41], Steps.dense(40, 1))
    nats = float(model.nats(batch, model.zero_state(1))[0].mean(dtype=np.float64))
    return round(nats, 1)  # with ties, and no gain now and then


def _config(draw: random.Random) -> Config:
    layers, embed = draw.choice([1, 1, 2, 3]), draw.choice([0, 3, 6])
    return Config(
        len(WORDS), cell=draw.choice(list(CELLS)), hidden=6, layers=layers, embed=embed,
        top=draw.choice([0, 0, 4]), proj=draw.choice([0, 0, 3]),
        activation=draw.choice(["tanh", "relu"]), residual=draw.random() < 0.2,
        layer_norm=draw.random() < 0.2, tied=draw.random() < 0.3,
        dropout=draw.choice([0.0, 0.3]), dropout_embed=draw.choice([0.0, 0.2]),
        dropout_weight=draw.choice([0.0, 0.2]), variational=draw.random() < 0.3,
        activation_reg=draw.choice([0.0, 1.0]), temporal_reg=draw.choice([0.0, 1.0]),
    )  # fmt: skip


def _recipe(draw: random.Random) -> Recipe:
    optimizer = draw.choice(list(RATES))
    wild = draw.random() < 0.15  # so that it diverges
    return Recipe(
        batching=draw.choice(["auto", "consecutive", "random", "sentences"]), batch=3, bptt=7,
        reset=draw.choice([0.0, 0.3]), shards=draw.choice([1, 2, 3]),
        random_bptt=draw.random() < 0.2, optimizer=optimizer,
        lr=RATES[optimizer] * draw.choice([1, 5]) * (1e25 if wild else 1),
        weight_decay=draw.choice([0.0, 0.01]), schedule=draw.choice(SCHEDULES),
        warmup=draw.choice([0.0, 0.3]), wait=draw.choice([0, 1]), clip=0.0 if wild else 1.0,
        clip_by=draw.choice(["norm", "element"]), loss=draw.choice(["mean", "time", "sum"]),
        trigger=draw.choice([0, 2]), epochs=draw.choice([2, 3]),
        valid_every=draw.choice([None, 0, 1, 3]), patience=draw.choice([0, 0, 3]),
        retries=1000, seed=draw.randrange(100),
    )  # fmt: skip


def signals(count: int, folder: Path) -> Tally:
    """Four commands get SIGINT or SIGTERM, or two of them, at a random time after they began."""
    words = train_words(folder)
    model, out = folder / "m.npz", folder / "out.npz"
    good(*words, "-o", model)
    (folder / "long.txt").write_text(sentences(4000))
    four: dict[str, tuple[Any, ...]] = {
        "tokenize": ("tokenize", folder / "long.txt", "-o", out),
        "train": (*words, "-o", out, "--overwrite"),
        "sample": ("sample", model, "-n", 400, "--threads", 1),
        "eval": ("eval", model, "--text", folder / "long.txt", "--threads", 1),
    }
    tally, draw, there = Tally(), random.Random(0), {p.name for p in folder.iterdir()}
    for number in range(count):
        name = list(four)[number % 4]
        sent = draw.choice([signal.SIGINT, signal.SIGTERM])
        pid, begun, said = _begin(four[name], folder)
        os.read(begun, 1)
        os.close(begun)
        time.sleep(draw.uniform(0, 0.15))
        for again in range(draw.choice([1, 2])):
            if again:
                time.sleep(draw.uniform(0, 0.01))
            os.kill(pid, sent)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        err = said.read_text()
        fine = code in (-sent, 0) and "Traceback" not in err
        fine &= "stopped; " not in err or out.exists()
        try:
            if out.exists():
                Dataset.open(out) if name == "tokenize" else checkpoint.resume(out)
        except Exception as error:
            fine, err = False, repr(error)
        out.unlink(missing_ok=True)
        litter = {p.name for p in folder.iterdir()} - there
        for path in litter:  # a second signal ends at once: the next start removes them
            fine &= path == said.name or path.startswith(".out.npz.rnncli-")
            (folder / path).unlink()
        tally.check(fine, f"{name}, {sent.name}: exit {code}, {err!r}, {litter}")
    return tally


def _begin(words: tuple[Any, ...], folder: Path) -> tuple[int, int, Path]:
    """A command in a fork of this process: its id, a pipe that says it has begun, its stderr."""
    begun, tell = os.pipe()
    said = folder / "stderr"

    def work() -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        for file, place in ((1, os.devnull), (2, str(said))):
            os.dup2(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), file)
        sys.stdout, sys.stderr = open(1, "w"), open(2, "w")  # noqa: SIM115
        sys.argv = ["rnncli", *map(str, words)]
        os.write(tell, b"!")
        try:
            cli.run()
        except SystemExit as stop:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(int(stop.code or 0))
        except KeyboardInterrupt:  # it came before `run` could see it
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGINT)

    pid = child(work)
    os.close(tell)
    return pid, begun, said


def soak(seconds: int, folder: Path) -> Tally:
    """Train, stop, resume, sample, eval in a loop for so long: memory flat, no descriptor left."""
    words, tally = train_words(folder), Tally()
    model, small = folder / "m.npz", []
    end = time.monotonic() + seconds
    while time.monotonic() < end or len(small) < 4:
        model.unlink(missing_ok=True)
        good(*words, "-o", model, "--metrics", folder / "log", "--max-steps", 12)
        good(*words, "-o", model, "--metrics", folder / "log", "--max-steps", 24, "--resume")
        good("sample", model, "-n", 3, "--length", 20, "--threads", 1)
        good("eval", model, folder / "d.npz", "--threads", 1)
        good("tokenize", folder / "t.txt", "-o", folder / "e.npz")
        run("sample", folder / "t.txt")  # and one that fails
        gc.collect()  # a process of its own has one command
        resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        small.append((resident, len(os.listdir("/proc/self/fd"))))
    warm = len(small) // 2
    grown = max(r for r, _ in small[warm:]) - max(r for r, _ in small[: warm + 1])
    tally.reached = seconds
    if grown > 8 << 20:
        tally.failed(f"memory grew by {grown >> 20} MiB in {len(small) - warm} rounds")
    if len({files for _, files in small[1:]}) > 1:
        tally.failed(f"descriptors: {[files for _, files in small]}")
    return tally
