"""Forecasting: a network reads ten points of a cosine and predicts the next.

The points lie 0.01 apart, so that ten of them are a short and almost straight piece: the network
has to find out from height and slope where on the curve it is. It learns from the first 10,000
windows and is tried on the 1,000 that follow.

    python -m rnncli.examples.cosine --plot cosine.svg
"""

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rnncli.config.recipe import Recipe
from rnncli.nn import Batch, Config, Model, Steps
from rnncli.nn.optim import UpdateStep, new_slots, update
from rnncli.nn.threads import one_blas_thread

Array = NDArray[Any]

T, B = 10, 32  # points in a window, windows in a batch
LEARN, TRY = 10_000, 1_000  # windows


class Lesson(NamedTuple):
    """The result: root mean square errors on points held back, these points, and predictions."""

    before: float
    after: float
    truth: Array  # (TRY,)
    answers: Array  # (TRY,)


def windows(first: int, count: int) -> tuple[Array, Array]:
    """Cut `count` windows (T, count) from the curve at point `first` on; and what follows each."""
    points = np.cos(0.01 * np.arange(first, first + count + T)).astype(np.float32)
    return np.stack([points[t : t + count] for t in range(T)]), points[T:]


def batch(x: Array, y: Array) -> Batch:
    """Lay windows (T, n) out for the engine: one feature, all steps side by side, (1, T * n)."""
    return Batch(x.reshape(1, -1), y[None], Steps.dense(T, x.shape[1]))


def answers(model: Model, x: Array) -> Array:
    """Predict the point after each window: (n,)."""
    steps = Steps.dense(T, x.shape[1])
    said, _ = model.predict(x.reshape(1, -1), model.zero_state(steps.B), steps)  # (1, n)
    return np.asarray(said[0])


def lesson(seed: int = 0, steps: int = 1000) -> Lesson:
    """Train an LSTM of 30 units with Adagrad on random windows."""
    config = Config(inputs=1, cell="lstm", hidden=30, head="values", outputs=1, last_only=True)
    recipe = Recipe(optimizer="adagrad", lr=0.1)
    model, rng = Model.initial(config, seed), np.random.default_rng(seed)
    gradient = model.params.like()
    slots = new_slots(recipe, gradient.flat)

    x, y = windows(0, LEARN)
    unseen, truth = windows(LEARN + T, TRY)
    before = _error(answers(model, unseen), truth)
    for step in range(1, steps + 1):
        pick = rng.integers(LEARN, size=B)
        model.gradients(batch(x[:, pick], y[pick]), model.zero_state(B), gradient)
        update(recipe, model.params.flat, gradient.flat, slots, UpdateStep(step, recipe.rate))
    said = answers(model, unseen)
    return Lesson(before, _error(said, truth), truth, said)


def _error(said: Array, truth: Array) -> float:
    return math.sqrt(float(np.mean((said - truth) ** 2)))


def svg(result: Lesson) -> str:
    """Draw the curve held back (grey) and the predictions (blue)."""
    width, height, margin = 800, 300, 20

    def line(values: Array, colour: str, thickness: int) -> str:
        across = np.linspace(margin, width - margin, len(values))
        down = height / 2 - values * (height / 2 - margin) / 1.1
        points = " ".join(f"{a:.1f},{d:.1f}" for a, d in zip(across, down, strict=True))
        return (
            f'<polyline points="{points}" fill="none" stroke="{colour}" '
            f'stroke-width="{thickness}"/>'
        )

    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">',
            f"<title>Cosine and forecast, error {result.after:.4f}</title>",
            f'<rect width="{width}" height="{height}" fill="white"/>',
            line(result.truth, "#aaaaaa", 6),
            line(result.answers, "#2266cc", 2),
            "</svg>\n",
        )
    )


@one_blas_thread()
def main(arguments: Sequence[str] | None = None) -> None:
    """Train, print the error before and after, and draw the picture if asked to."""
    parser = argparse.ArgumentParser(description="Forecast a cosine with an LSTM.")
    parser.add_argument("--seed", type=int, default=0, help="of the weights and the windows")
    parser.add_argument("--plot", type=Path, metavar="FILE.svg", help="picture to write")
    options = parser.parse_args(arguments)
    result = lesson(options.seed)
    print(f"root mean square error on {TRY:,} unseen points")
    print(f"before training  {result.before:.4f}")
    print(f"after 1,000 steps {result.after:.4f}")
    if options.plot:
        options.plot.write_text(svg(result), "utf-8")


if __name__ == "__main__":
    main()
