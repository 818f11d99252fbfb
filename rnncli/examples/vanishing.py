"""Vanishing gradients: how much the loss at a step still says about the state some steps before.

A text names one of four kinds, goes on at random for 30 tokens, and names the kind again: what the
last token is was decided 32 steps before. Three networks learn on such texts by one recipe.
Afterwards the norm of d loss / d h is measured at the last step and ever further back. In the plain
network it has all but gone: what lies so far back does not reach its weights.

    python -m rnncli.examples.vanishing
"""

import argparse
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnncli.config.recipe import Recipe
from rnncli.nn import Batch, Config, Model, Steps, gradient_by_lag
from rnncli.nn.optim import UpdateStep, clip_norm, new_slots, update
from rnncli.nn.threads import one_blas_thread

Array = NDArray[Any]

B, BETWEEN = 16, 30  # texts in a batch, tokens between the two names
CELLS = ("rnn", "lstm", "gru")
LAGS = (0, 1, 2, 4, 8, 16, 31)


def texts(rng: np.random.Generator) -> Array:
    """Draw texts, a column each: a kind (1 to 4), tokens 5 to 7 at random, a mark (0), the kind."""
    kind = rng.integers(1, 5, (1, B))
    between = rng.integers(5, 8, (BETWEEN, B))
    return np.concatenate([kind, between, np.zeros((1, B), int), kind])  # (BETWEEN + 3, B)


def lesson(cell: str, seed: int = 0, steps: int = 300) -> Array:
    """Train a network of 32 units with Adam; return the norm of its gradient by lag."""
    config, recipe = Config(inputs=8, cell=cell, hidden=32), Recipe(optimizer="adam", lr=0.01)
    model, rng = Model.initial(config, seed), np.random.default_rng(seed)
    gradient = model.params.like()
    slots = new_slots(recipe, gradient.flat)
    for step in range(1, steps + 1):
        ids = texts(rng)
        work = Batch(ids[:-1].reshape(-1), ids[1:].reshape(-1), Steps.dense(len(ids) - 1, B))
        model.gradients(work, model.zero_state(B), gradient)
        clip_norm(gradient.flat, recipe.clip)
        update(recipe, model.params.flat, gradient.flat, slots, UpdateStep(step, recipe.rate))
    return gradient_by_lag(model, texts(rng))


@one_blas_thread()
def main(arguments: Sequence[str] | None = None) -> None:
    """Print the norms of each cell, as shares of that at the last step."""
    parser = argparse.ArgumentParser(description="Measure how far back a gradient reaches.")
    parser.add_argument("--seed", type=int, default=0, help="of the weights and the texts")
    options = parser.parse_args(arguments)
    print("lag   " + "".join(f"{lag:>9}" for lag in LAGS))
    for cell in CELLS:
        norms = lesson(cell, options.seed)
        print(f"{cell:<6}" + "".join(f"{norms[lag] / norms[0]:>9.2g}" for lag in LAGS))


if __name__ == "__main__":
    main()
