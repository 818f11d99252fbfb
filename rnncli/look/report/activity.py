"""What happens in a model while it reads a text, as plain values for a page.

A passage is the text as units of ids, as the model cuts it; every list and array below has one
entry for each of its tokens, `<s>` left out.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rnncli.errors import DataError
from rnncli.lm.predictor import Predictor
from rnncli.nn import Model, gradient_by_lag
from rnncli.nn.trace import SIGMOIDS, trace
from rnncli.score.surprisal import Token, Unit, surprisals, text_units
from rnncli.text.tokenizer import Tokenizer

Array = NDArray[Any]

LAGS, WINDOWS = 64, 8  # steps that the gradient is followed back, and in how many windows
FEWEST = 5  # tokens that must have a feature, and lack it, for a correlation to mean something
BEST = 6  # units shown for a feature
NEVER = 999.0  # nats of what the model holds for impossible: JSON has no infinity


class Passage(NamedTuple):
    """A text as one model reads it."""

    runs: list[Array]  # ids (n,) that are read without a fresh state between them
    kept: Array  # which of all ids are tokens of the text: not <s>
    tokens: list[Token]
    firsts: list[int]  # the tokens that a unit begins with


def passage(
    predictor: Predictor, tokenizer: Tokenizer, texts: Sequence[str], limit: int
) -> Passage:
    """Cut the first `limit` tokens of texts. DataError where fewer than two are left."""
    units: list[Unit] = []
    count = 0
    for unit in chain.from_iterable(text_units(tokenizer, text) for text in texts):
        room = limit - count + (not tokenizer.is_stream)
        units.append(Unit(unit.ids[:room], unit.pieces[:room]))
        count += int(tokenizer.counted(units[-1].ids).sum())
        if count >= limit:
            break
    if count < 2:
        raise DataError("there is too little text to look at: it takes two tokens or more.")
    tokens = list(surprisals(predictor, tokenizer, units))
    ids = np.concatenate([unit.ids for unit in units]).astype(np.int64)
    runs = [ids] if predictor.carried else [unit.ids.astype(np.int64) for unit in units]
    firsts = np.cumsum([0, *map(len, tokens[:-1])]).tolist()
    return Passage(runs, tokenizer.counted(ids), list(chain.from_iterable(tokens)), firsts)


def text(predictor: Predictor, passage: Passage) -> dict[str, Any]:
    """List each token: the white space before it, itself, its nats, and what was likelier.

    full: the nats of a token when nothing is known.
    """
    return {
        "tokens": [[token.space, token.text] for token in passage.tokens],
        "known": [int(token.known) for token in passage.tokens],
        "nats": [finite(min(token.nats, NEVER)) for token in passage.tokens],
        "best": [[[name, finite(p)] for name, p in token.best] for token in passage.tokens],
        "full": finite(math.log(predictor.V), 2),
    }


def states(model: Model, passage: Passage, room: int) -> dict[str, Any]:
    """Draw heat maps of every gate, c and h in `room` bytes; find the units that follow something.

    layers: units (their numbers, the slowest first) and series by name, each {low, high, data}:
    data is base64 of a byte a unit and token, row by row: low + byte / 255 (high - low).
    follows: for each feature of the text the units of h and c that correlate with it best.
    chance: a bound on the correlation that the best of as many units would reach by chance, if
    their values were drawn again at each token (the maximum of sub-Gaussian variables).
    """
    traces = [trace(model, ids) for ids in passage.runs]
    layers = [
        {name: np.concatenate([t[k][name] for t in traces], axis=1)[:, passage.kept]
         for name in traces[0][k]}
        for k in range(model.config.layers)
    ]  # fmt: skip
    follows = _follows(layers, passage)
    bound = [unit for row in follows for _, _, unit, _ in row["units"]]
    share = room // max(1, sum(map(len, layers)) * len(passage.tokens))  # units a series
    tried = sum(len(layer[name]) for layer in layers for name in ("h", "c") if name in layer)
    return {
        "layers": [_layer(layer, max(1, share), bound) for layer in layers],
        "follows": follows,
        "chance": finite(math.sqrt(2 * math.log(2 * tried) / len(passage.tokens)), 2),
    }


def _layer(layer: dict[str, Array], share: int, bound: list[int]) -> dict[str, Any]:
    """Pick a layer's series of at most `share` units, those in `bound` first, then the slowest."""
    width = min(len(values) for values in layer.values())  # a projected h is narrower
    h = layer["h"][:width]
    pace = -correlation(h[:, 1:], h[:, :-1])  # a memory goes on as it was a step before
    order = [*dict.fromkeys(unit for unit in bound if unit < width)]
    order += [unit for unit in np.argsort(pace, kind="stable").tolist() if unit not in order]
    kept = np.array(order[:share])
    kept = kept[np.argsort(pace[kept], kind="stable")]
    return {
        "width": width,
        "units": kept.tolist(),
        "series": {name: _quantised(name, values[kept]) for name, values in layer.items()},
    }


def _quantised(name: str, values: Array) -> dict[str, Any]:
    """Round values to bytes: gates over 0 to 1, the others over +-1 or as far as they reach."""
    high = 1.0 if name in SIGMOIDS else max(1.0, float(np.abs(values).max()))
    low = 0.0 if name in SIGMOIDS else -high
    bytes_ = np.rint((values.astype(np.float64) - low) * (255 / (high - low)))
    data = base64.b64encode(bytes_.clip(0, 255).astype(np.uint8).tobytes()).decode()
    return {"low": finite(low), "high": finite(high), "data": data}


def features(passage: Passage) -> dict[str, Array]:
    """List what a unit may follow, after each token: (T,) each.

    Quotation marks and brackets are counted from the beginning of each unit.
    """
    inside, depth, place = False, 0, 0
    rows = []
    for k, token in enumerate(passage.tokens):
        if k in passage.firsts:
            inside, depth, place = False, 0, 0
        place += 1
        for character in token.space + token.text:
            if character in '"“”«»':
                inside = character in "“«" or (character == '"' and not inside)
            depth = max(0, depth + (character in "([{") - (character in ")]}"))
            place = 0 if character == "\n" else place
        rows.append((inside, depth > 0, place))
    ends = [token.text in ("\n", "</s>") or "\n" in token.space for token in passage.tokens]
    quotes, brackets, places = np.array(rows, float).T
    return {
        "inside quotation marks": quotes,
        "inside brackets": brackets,
        "place in the line": places,
        "the line ends next": np.array([*ends[1:], False], float),
    }


def _follows(layers: list[dict[str, Array]], passage: Passage) -> list[dict[str, Any]]:
    """Find for each feature the units [layer, series, unit, r] of the largest correlation r."""
    out: list[dict[str, Any]] = []
    for name, feature in features(passage).items():
        found: list[tuple[int, str, int, float]] = []
        some = int((feature != feature.min()).sum())
        if FEWEST <= some <= len(feature) - FEWEST:
            for k, layer in enumerate(layers):
                for series in ("h", "c"):
                    if series in layer:
                        r = correlation(layer[series], feature)
                        best = np.argsort(-np.abs(r), kind="stable")[:BEST]
                        found += [(k, series, int(u), round(float(r[u]), 3)) for u in best]
        found.sort(key=lambda row: -abs(row[3]))
        out.append({"feature": name, "tokens": some, "units": found[:BEST]})
    return out


def correlation(values: Array, others: Array) -> Array:
    """Compute Pearson's r of each row of (H, T) with (T,), or with its own of (H, T): (H,).

    It is 0 for a row that never moves.
    """
    x = values - values.mean(axis=1, keepdims=True, dtype=np.float64)
    y = others - others.mean(axis=-1, keepdims=True, dtype=np.float64)
    scale = np.sqrt((x * x).sum(axis=1) * (y * y).sum(axis=-1))
    still = scale < 1e-12
    return np.asarray(np.where(still, 0, (x * y).sum(axis=1) / np.where(still, 1, scale)))


def lag(model: Model, passage: Passage) -> list[float | None]:
    """Measure the norm of the gradient by lag, over windows of the passage."""
    ids = np.concatenate(passage.runs)
    length = min(LAGS + 1, len(ids))
    count = min(WINDOWS, len(ids) // length)
    windows = ids[: count * length].reshape(count, length).T  # (T+1, B)
    return [finite(value) for value in gradient_by_lag(model, windows)]


def finite(value: float, digits: int = 4) -> float | None:
    """Round a value for JSON to the digits that a chart can show; None where it is not finite.

    Example: 0.123456 -> 0.1235, inf -> None
    """
    return float(f"{float(value):.{digits}g}") if math.isfinite(value) else None
