"""One page that shows what models have learnt and how: it stands alone, without network or server.

activity.py   what happens while a text is read: surprise, gates and states, units that follow
              something, how far back the gradient reaches
learning.py   how the training went: curves, what was written meanwhile
weights.py    what the parameters say: spectra, neighbours, sizes and time by part
page.py       all of that as JSON in an HTML page, which page.html, page.css, charts.js and page.js
              draw
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rnncli.data.dataset import Dataset
from rnncli.errors import DataError
from rnncli.files import artefact as artefacts
from rnncli.generation.sampling import generate
from rnncli.lm import language_model
from rnncli.lm.language_model import LanguageModel
from rnncli.lm.predictor import Predictor
from rnncli.look import inspection
from rnncli.look.report import activity, learning, weights
from rnncli.look.report.page import page
from rnncli.text.tokenizer import Tokenizer

__all__ = ["Source", "build", "data_texts", "model_texts"]

STATE_BYTES = 900_000  # of all heat maps together, before base64


class Source(NamedTuple):
    """A model to report on."""

    found: dict[str, Any]  # what `inspection` says of its file
    language: LanguageModel
    predictor: Predictor  # what reads and writes text with it
    log: list[dict[str, Any]]  # rows of `rnncli train --metrics`, or none

    @classmethod
    def read(cls, path: str | Path, log: list[dict[str, Any]]) -> Source:
        """Read a model file, once; ArtefactError for any other."""
        artefact = artefacts.read(path, "model", mapped=True)
        language = language_model.language_of(artefact)
        found = inspection.described(artefact, language)
        return cls(found, language, language.predictor(), log)


def build(sources: Sequence[Source], texts: Sequence[str], tokens: int = 500) -> str:
    """Build the page, as HTML. All models read the same texts, `tokens` of each at most.

    Raises DataError where there is too little text to read.
    """
    room = STATE_BYTES // len(sources)
    return page([_model(source, texts, tokens, room) for source in sources])


def _model(source: Source, texts: Sequence[str], tokens: int, room: int) -> dict[str, Any]:
    found, language, predictor, log = source
    passage = activity.passage(predictor, language.tokenizer, texts, tokens)
    return {
        "file": found["file"],
        "about": _about(found),
        "curves": learning.curves(found, log),
        "samples": learning.samples(predictor, language.tokenizer, log),
        "text": activity.text(predictor, passage),
        **activity.states(language.model, passage, room),
        "lag": activity.lag(language.model, passage),
        "spectra": weights.spectra(language.model),
        "neighbours": weights.neighbours(language),
        "parts": weights.parts(language.model),
        "times": weights.times(language.model),
    }


def _about(found: dict[str, Any]) -> list[list[str]]:
    """Say what the model is, in a few lines."""
    config, tokenizer = found["config"], found["tokenizer"]
    cell = config["cell"] + (f" ({config['activation']})" if config["cell"] == "rnn" else "")
    entry = f"embedding of {config['embed']}" if config["embed"] else "one-hot"
    best = min((row["valid"] for row in found["history"] if "valid" in row), default=None)
    lines = [
        ["network", f"{cell}, {config['layers']} x {config['hidden']}, {entry}"],
        ["parameters", f"{found['parameters']['count']:,}"],
        ["vocabulary", f"{tokenizer['size']:,} tokens, {tokenizer['signature']}"],
        ["trained on", ", ".join(found["data"]["inputs"]) or "unknown"],
    ]
    if found.get("run"):
        run = found["run"]
        lines.append(["run", f"{run['step']:,} steps, {run['tokens']:,} tokens"])
    if best is not None:
        lines.append(["best validation", f"{best:.4f} nats a token, perplexity {np.exp(best):.2f}"])
    return lines


def data_texts(data: Dataset, tokenizer: Tokenizer, split: str | None, tokens: int) -> list[str]:
    """Take the first texts, about `tokens` tokens, of a split; by default the split least known."""
    if data.tokenizer.fingerprint != tokenizer.fingerprint:
        raise DataError(f"{data.path}: its vocabulary is not the model's. Tokenize with --vocab "
                        "and the model file.")  # fmt: skip
    if split is None:
        there = [name for name, part in data.splits.items() if len(part.ids) > 1]
        split = there[-1] if there else next(iter(data.splits))
    if split not in data.splits:
        raise DataError(f'{data.path}: there is no split "{split}" (it has '
                        f"{', '.join(data.splits)}).")  # fmt: skip
    part, texts, count = data.splits[split], [], 0
    for start, end in zip(part.starts[:-1].tolist(), part.starts[1:].tolist(), strict=True):
        ids = part.ids[start : min(end, start + tokens - count)]
        texts.append(data.tokenizer.decode(ids))
        count += len(ids)
        if count >= tokens:
            break
    return texts


def model_texts(source: Source, tokens: int) -> list[str]:
    """Let a model write texts for itself to read, about `tokens` tokens."""
    texts, count = [], 0
    drawn = generate(source.predictor, source.language.tokenizer, num=max(1, tokens // 8),
                     length=tokens, temperature=0.8, batch=8)  # fmt: skip
    for sample in drawn:
        texts.append(sample.text)
        count += len(sample.ids)
        if count >= tokens:
            break
    return texts
