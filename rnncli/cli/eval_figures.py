"""Figures laid out for `rnncli eval`: a card for one score, a table for several."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import click

from rnncli.cli.terminal import note
from rnncli.errors import shown
from rnncli.lm.language_model import LanguageModel
from rnncli.lm.mixture import Mixture, fitted_weights
from rnncli.score.baselines import baseline
from rnncli.score.score import Score, signature
from rnncli.score.scoring import score
from rnncli.score.sources import Data, Scorer, Text

Named = tuple[str, Score]


def figures(
    name: str, scorer: Scorer, source: Text | Data, unseen: int | None,
    baselines: Sequence[str], mix: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Print the card of a model, and beside it what baselines and the mixture say."""
    tokenizer = scorer.tokenizer
    own, line = source.score(scorer), signature(tokenizer)
    unseen, truth = unseen or source.unseen(tokenizer), source.truth(tokenizer)
    lines = [*card(own, unseen, truth)]
    found: dict[str, Any] = dict(own.to_json())
    if unseen is not None:
        found |= {"perplexity_open": own.perplexity_open(unseen), "unseen": unseen}
    if truth is not None:
        found["entropy"] = truth
    if isinstance(source, Data) and (baselines or mix):
        rows, more = _beside((name, own), scorer, source, baselines, mix)
        lines, found = [*lines, "", *table(rows, truth)], {**found, **more}
    found["signature"] = line
    click.echo(json.dumps(found) if as_json else "\n".join([*lines, line]))


def _beside(
    own: Named, scorer: Scorer, source: Data, baselines: Sequence[str], mix: str | None
) -> tuple[list[Named], dict[str, Any]]:
    """Return the scores of baselines and mixture, to show and as JSON."""
    tokenizer = scorer.tokenizer
    train = source.part(tokenizer, "train")
    names = [*baselines, *([mix] if mix and mix not in baselines else [])]
    simple = {name: Scorer(baseline(name, tokenizer, train), tokenizer) for name in names}
    scores = {name: score(tokenizer, source.scored(one)) for name, one in simple.items()}
    rows = [*((_label(name), figures) for name, figures in scores.items()), own]
    found: dict[str, Any] = {}
    if baselines:
        found["baselines"] = {name: scores[name].to_json() for name in baselines}
    if mix:
        both = scorer, simple[mix]
        weights = fitted_weights([source.scored(one, "valid").nats for one in both])
        mixture = Scorer(Mixture([one.predictor for one in both], weights), tokenizer)
        figures = score(tokenizer, source.scored(mixture))
        weight = weights[0]
        rows.append((f"{weight:.3f} of it, {1 - weight:.3f} of {_label(mix)}", figures))
        found["mix"] = {"baseline": mix, "weight": weight, **figures.to_json()}
    return rows, found


def _label(name: str) -> str:
    return f"Kneser-Ney {name[2:]}" if name.startswith("kn") else name


def tell_what_is_unfair(
    language: LanguageModel, source: Data, mix: str | None, quiet: bool
) -> None:
    """Say where a baseline or a mixture knows more than the model, or less."""
    if language.data.get("hash") != source.dataset.fingerprint:
        note("the model was trained on another text than the baselines count.", quiet)
    if source.split == "train":
        note("the baselines have seen this very text: they are counted on it.", quiet)
    if mix and source.split == "valid":
        note("the weight of the mixture is fitted to this very text.", quiet)


def contest(
    names: Sequence[str], models: tuple[Scorer, Scorer], source: Text | Data,
    as_json: bool,
) -> None:  # fmt: skip
    """Print the figures of two models, and whether the difference is more than chance."""
    scores, difference, parts = source.contest(*models)
    lines = [signature(model.tokenizer) for model in models]
    alike = lines[0] == lines[1]
    warning = (
        "The vocabularies or tokenisers differ: only bits a byte compare, and not quite, for words "
        "read as <unk> are cheap."
    )
    unit = "nats a token" if alike else "bits a byte"
    if as_json:
        found: dict[str, Any] = {
            "models": [
                {"file": name, **score.to_json(), "signature": line}
                for name, score, line in zip(names, scores, lines, strict=True)
            ],
            "difference": {"unit": unit, **difference._asdict(), "certain": difference.certain},
            "comparable": alike,
        }
        click.echo(json.dumps(found if alike else {**found, "warning": warning}))
        return
    rows = [(shown(name), score) for name, score in zip(names, scores, strict=True)]
    better = rows[difference.mean > 0][0]
    verdict = f"{better} is better" if difference.certain else "that may be chance"
    for row in (
        *([] if alike else [warning]),
        *(table(rows) if alike else unlike(rows)),
        f"difference {difference.mean:+.4f} {unit}: {verdict}",
        f"(95 % interval {difference.low:+.4f} to {difference.high:+.4f}, paired bootstrap over "
        f"{parts})",
        *dict.fromkeys(lines),
    ):
        click.echo(row)


def card(score: Score, unseen: int | None, truth: float | None) -> Iterator[str]:
    """All figures of one score, a line each.

    unseen: the words that share <unk>, if their number is known; truth: the nats a token of the
    distribution that the text was drawn from, if that is known.
    """
    rows = [("nats a token", figure(score.nats_per_token, 4))]
    if truth is not None:
        rows.append(("  of the true distribution", figure(truth, 4)))
        rows.append(("  above it", figure(score.nats_per_token - truth, 4)))
    rows += [
        ("bits a token", figure(score.bits_per_token, 4)),
        ("bits a character", figure(score.bits_per_char, 4)),
        ("bits a byte", figure(score.bits_per_byte, 4)),
        ("perplexity", figure(score.perplexity, 2)),
        ("  without unknown words", figure(score.perplexity_excluding_oov, 2)),
    ]
    if unseen is not None:
        rows.append((f"  if <unk> is {unseen:,} words", figure(score.perplexity_open(unseen), 2)))
    rows += [
        ("tokens", f"{score.tokens:,}"),
        ("  unknown", f"{score.oov:,}"),
    ]
    if score.ends_expected is not None:
        expected = f"  ends (expected {figure(score.ends_expected, 1)})"
        rows.append((expected, f"{score.ends:,}"))
    rows += [
        ("characters", f"{score.chars:,}"),
        ("bytes", f"{score.bytes:,}"),
    ]
    for label, value in rows:
        yield f"{label:<28}{value:>12}"


def table(rows: Sequence[Named], truth: float | None = None) -> Iterator[str]:
    """Scores of one text under one vocabulary side by side."""
    heads = ["nats a token", "perplexity", "bits a byte"]
    cells = [
        [figure(s.nats_per_token, 4), figure(s.perplexity, 2), figure(s.bits_per_byte, 4)]
        for _, s in rows
    ]
    if truth is not None:
        heads.append("above the truth")
        cells = [
            [*c, figure(s.nats_per_token - truth, 4)] for c, (_, s) in zip(cells, rows, strict=True)
        ]
    return _columns([name for name, _ in rows], heads, cells)


def unlike(rows: Sequence[Named]) -> Iterator[str]:
    """Yield the lines for different vocabularies: only what they do not change."""
    cells = [[figure(s.bits_per_byte, 4), f"{s.tokens:,}", f"{s.oov:,}"] for _, s in rows]
    return _columns([name for name, _ in rows], ["bits a byte", "tokens", "unknown"], cells)


def _columns(
    names: Sequence[str], heads: Sequence[str], cells: Sequence[Sequence[str]]
) -> Iterator[str]:
    width = max(16, *map(len, names))
    wide = [max(14, len(head) + 2) for head in heads]
    for name, row in zip(["", *names], [heads, *cells], strict=True):
        parts = (f"{cell:>{size}}" for cell, size in zip(row, wide, strict=True))
        yield f"{name:<{width}}" + "".join(parts)


def figure(value: float | None, places: int) -> str:
    """Spell a number, thousands apart; "none" for what is undefined."""
    return "none" if value is None or value != value else f"{value:,.{places}f}"
