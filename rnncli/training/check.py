"""Is this network sound? A check of a configuration.

`check` tries a configuration: is its gradient the numeric one, does it start out knowing nothing,
can it learn one batch by heart, does a model file give it back. Needs no training data: batches are
ids drawn at random.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rnncli.config.network import Config
from rnncli.config.recipe import Recipe
from rnncli.errors import ConfigError
from rnncli.lm import language_model
from rnncli.nn import gradcheck
from rnncli.nn.gradcheck import Comparison
from rnncli.nn.model import Gradient, Model
from rnncli.nn.optim import UpdateStep, clip_norm, new_slots, update
from rnncli.nn.packed import Batch, Steps
from rnncli.nn.params import Params
from rnncli.text.tokenizer import Tokenizer

Array = NDArray[Any]

GRADIENT_ERROR = 1e-6  # largest relative error of a sound gradient
START_ABOVE = 1.0  # nats above ln V that a first loss may be: half the variance of its logits
START_BELOW = 0.1  # of ln V: that much luck a network that knows nothing may have
LEARNT = 0.1  # share of the first loss that is left when a batch is known by heart
OVERFIT_STEPS = 1000


class Finding(NamedTuple):
    """One thing that was looked at."""

    name: str
    passed: bool
    detail: str


def check(
    config: Config, tokenizer: Tokenizer | None = None, *, seed: int = 0
) -> Iterator[Finding]:
    """Try a language model's configuration, in its full width, on small random batches.

    First the gradient of each parameter and of the carried state, in float64, with whatever dropout
    and penalties the configuration has; then the first loss, one batch learnt by heart, and a model
    file written and read (with a made-up vocabulary if there is no tokenizer). It takes the memory
    of about ten models. Raises ConfigError for another head than tokens.
    """
    if not config.is_language_model:
        raise ConfigError(f"check is for language models, not for head {config.head}.")
    yield from _gradients(config, seed)
    model = Model.initial(config, seed)
    yield _start(model, seed)
    yield _by_heart(model, seed)
    yield _round_trip(model, tokenizer or made_up(config.inputs), seed)


def made_up(V: int) -> Tokenizer:
    """Make a tokenizer of V tokens, `<unk>` and words w1, w2, ..., for want of a text."""
    if V < 2:
        raise ConfigError(f"a vocabulary has 2 tokens or more, not {V}.")
    words = " ".join(f"w{k}" for k in range(1, V))
    return Tokenizer.train([words], "word", V, unit="stream")


def _batch(config: Config, steps: Steps, seed: int) -> Batch:
    x, y = np.random.default_rng(seed).integers(config.inputs, size=(2, steps.N))
    return Batch(x, y, steps)


def _gradients(config: Config, seed: int) -> Iterator[Finding]:
    """Each gradient at one point; with relu the best of three.

    Numeric derivatives fail beside a corner, and a wide relu layer has many. A wrong gradient is
    wrong at every point.
    """
    corners = config.cell == "rnn" and config.activation == "relu"
    found: dict[str, Comparison] = {}
    for point in range(3 if corners else 1):
        for name, comparison in _compared(config, seed + point).items():
            if name not in found or comparison.error < found[name].error:
                found[name] = comparison
    for name, best in found.items():
        detail = f"relative error {best.error:.1e}"
        if not best.error <= GRADIENT_ERROR:
            detail += f" {best.where}: {best.claimed:.6g}, but measured {best.measured:.6g}"
        yield Finding(f"gradient of {name}", best.error <= GRADIENT_ERROR, detail)


def _compared(config: Config, seed: int) -> dict[str, Comparison]:
    """Ragged sentences from a random state; `fan` starts weights large enough to matter."""
    model = Model.initial(replace(config, init="fan"), seed, np.float64)
    batch = _batch(config, Steps.of_lengths((5, 4, 2)), seed)
    state, rng = model.zero_state(batch.steps.B), np.random.default_rng(seed)
    arrays = dict(model.params)
    for name, part in (("state.h", state.h), ("state.c", state.c)):
        if part is not None:
            part[:] = rng.normal(0, 0.5, part.shape)
            arrays[name] = part

    def gradients(into: Params) -> Gradient:
        return model.gradients(batch, state, into, rng=np.random.default_rng(seed))

    def loss() -> float:
        out = gradients(spare)
        return float(np.mean(out.nats)) + out.penalty

    grads, spare = model.params.like(), model.params.like()
    dstate = gradients(grads).dstate
    claimed = {**grads, "state.h": dstate.h}
    if dstate.c is not None:
        claimed["state.c"] = dstate.c
    return gradcheck.check(loss, arrays, claimed, seed=seed, every=8, entries=4, directions=1)


def _start(model: Model, seed: int) -> Finding:
    batch = _batch(model.config, Steps.dense(20, 20), seed)
    nats = _mean_nats(model, batch)
    wanted = math.log(model.config.inputs)
    passed = -START_BELOW * wanted <= nats - wanted <= START_ABOVE
    detail = f"{nats:.4f} nats, ln {model.config.inputs:,} = {wanted:.4f}"
    if not passed:
        detail += ". Weights that start smaller know less."
    return Finding("first loss", passed, detail)


def _by_heart(model: Model, seed: int) -> Finding:
    """Learn one small batch by adam, without dropout, from fresh parameters.

    Its sequences begin with different tokens, so that each target follows from what came before.
    """
    B = min(4, model.config.inputs)
    batch = _batch(model.config, Steps.dense(8, B), seed)
    batch.x[:B] = np.arange(B)
    model = Model(model.config, model.params.like(model.params.flat.copy()))
    recipe, grads, state = Recipe(lr=0.01), model.params.like(), model.zero_state(batch.steps.B)
    slots = new_slots(recipe, grads.flat)
    first = last = _mean_nats(model, batch)
    step = 0
    while last > LEARNT * first and step < OVERFIT_STEPS:
        step += 1
        last = float(np.mean(model.gradients(batch, state, grads).nats))
        clip_norm(grads.flat, 1.0)
        at = UpdateStep(step, recipe.rate)
        update(recipe, model.params.flat, grads.flat, slots, at)
    detail = f"{first:.3f} to {last:.3f} nats in {step} steps"
    return Finding("one batch by heart", last <= LEARNT * first, detail)


def _round_trip(model: Model, tokenizer: Tokenizer, seed: int) -> Finding:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.npz"
        language_model.save(path, language_model.LanguageModel(model, tokenizer))
        size, read = path.stat().st_size, language_model.load(path)
    batch = _batch(model.config, Steps.dense(8, 4), seed)
    same = (
        read.model.config == model.config
        and read.tokenizer.fingerprint == tokenizer.fingerprint
        and bool(np.array_equal(read.model.params.flat, model.params.flat))
        and _mean_nats(read.model, batch) == _mean_nats(model, batch)
    )
    detail = f"{size:,} bytes, read back {'the same' if same else 'CHANGED'}"
    return Finding("model file", same, detail)


def _mean_nats(model: Model, batch: Batch) -> float:
    nats, _ = model.nats(batch, model.zero_state(batch.steps.B))
    return float(np.mean(nats))
