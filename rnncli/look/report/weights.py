"""What the parameters say without any text: spectra, neighbours, sizes, and time by part."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnncli.lm.language_model import LanguageModel
from rnncli.look.report.activity import finite
from rnncli.nn import Batch, Model, Steps
from rnncli.nn.cells.table import CELLS
from rnncli.nn.cost import costs
from rnncli.nn.layout import cell_weights, layout

Array = NDArray[Any]

LARGEST = 1024  # units: eigenvalues of wider layers take too long
CANDIDATES = 2000  # most frequent tokens that may be a neighbour
FREQUENT, NEAR = 80, 6  # tokens whose neighbours are shown, and how many
SEQUENCES, STEPS, ROUNDS = 8, 32, 3  # of the batch that is timed


def spectra(model: Model) -> list[dict[str, Any]]:
    """Compute singular values of each gate's recurrent matrix (H, P), and eigenvalues if square.

    Eigenvalues are pairs of real and imaginary part. They say how a plain rnn forgets (Pascanu et
    al. 2013); in a gated cell the gates have a say, too.
    """
    config, out = model.config, []
    for layer in range(config.layers):
        Wh = cell_weights(model.params, layer)["Wh"].astype(np.float64)
        H = config.units(layer)
        for k, gate in enumerate(CELLS[config.cell].gates):
            block = Wh[k * H : (k + 1) * H]
            square = block.shape[0] == block.shape[1] and H <= LARGEST
            eigen = np.linalg.eigvals(block) if square else np.empty(0)
            out.append({
                "layer": layer, "gate": gate,
                "singular": [finite(s) for s in np.linalg.svd(block, compute_uv=False)],
                "eigen": [[finite(e.real, 3), finite(e.imag, 3)] for e in eigen],
            })  # fmt: skip
    return out


def neighbours(language: LanguageModel) -> list[dict[str, Any]]:
    """List frequent tokens, each with those whose rows point most nearly the same way.

    Of each table of token rows: the input's (the embedding, or the first layer's weights where the
    input is one-hot) and, unless they are tied, the output layer's, where tokens are near that
    follow the same things.
    """
    params, tables = language.model.params, dict[str, Array]()
    for name, spec in layout(language.model.config).items():
        if spec.tokens and spec.role == "weights":
            tables["output layer" if spec.part == "output" else "input"] = params[name]
    return [{"table": name, "rows": _near(language, rows)} for name, rows in tables.items()]


def _near(language: LanguageModel, table: Array) -> list[dict[str, Any]]:
    tokenizer = language.tokenizer
    special = len(tokenizer.pretokenizer.specials)
    counts = tokenizer.vocabulary.counts.copy()
    counts[:special] = 0
    order = np.argsort(-counts, kind="stable")[:CANDIDATES]
    order = order[counts[order] > 0]
    rows = table[order].astype(np.float64)
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    names = [tokenizer.token(int(number)) for number in order]
    # Words before marks: who looks for neighbours does not begin with the comma.
    first = [k for k, name in enumerate(names) if name.isalnum()] or list(range(len(names)))
    out = []
    for k in first[:FREQUENT]:
        cosine = rows @ rows[k]
        cosine[k] = -np.inf
        near = np.argsort(-cosine, kind="stable")[: min(NEAR, len(rows) - 1)]
        pairs = [[names[j], finite(cosine[j], 3)] for j in near]
        out.append({"token": names[k], "count": int(counts[order[k]]), "near": pairs})
    return out


def parts(model: Model) -> list[dict[str, Any]]:
    """Count parameters and multiply-adds a token by part: embedding, each layer, output layer."""
    names = {"embedding": "embedding", "output": "output layer"}
    return [
        {
            "part": names.get(cost.part) or f"layer {(cost.layer or 0) + 1}, {cost.part}",
            "parameters": cost.parameters,
            "work": cost.products,
        }
        for cost in costs(model.config)
    ]


def times(model: Model) -> list[dict[str, Any]]:
    """Measure microseconds a token: layers forward, output layer forward, all of it backward."""
    rng = np.random.default_rng(0)
    x, y = rng.integers(model.config.inputs, size=(2, SEQUENCES * STEPS))
    batch, state = Batch(x, y, Steps.dense(STEPS, SEQUENCES)), model.zero_state(SEQUENCES)
    grads = model.params.like()

    def measured(work: Any) -> float:
        best = np.inf
        for _ in range(ROUNDS):
            begun = time.perf_counter()
            work()
            best = min(best, time.perf_counter() - begun)
        return best / (SEQUENCES * STEPS) * 1e6

    layers = measured(lambda: model.features(x, state, batch.steps))
    forward = measured(lambda: model.nats(batch, state))
    whole = measured(lambda: model.gradients(batch, state, grads))
    rows = [("layers, forward", layers), ("output layer, forward", forward - layers),
            ("backward", whole - forward)]  # fmt: skip
    return [{"part": part, "microseconds": finite(max(0.0, value), 3)} for part, value in rows]
