"""`rnncli inspect`: what a file holds, or what is damaged in it; models beside one another."""

from __future__ import annotations

import json
from typing import Any

import click

from rnncli.cli.options import FILE, Command, Whole, json_option, option
from rnncli.cli.terminal import note, table
from rnncli.config.settings import limits
from rnncli.errors import ArtefactError, shown

FIGURES = {
    "parameters": "parameters", "steps": "steps", "epochs": "epochs", "tokens": "tokens trained on",
    "flops": "operations, about", "best": "best validation, nats", "perplexity": "its perplexity",
    "ended": "ended",
}  # fmt: skip


@click.command(cls=Command)
@click.argument("files", nargs=-1, required=True, type=FILE)
@option("--tokens", type=Whole(limits(least=0)),
              help="Tokens to show of each end of a vocabulary [10].")  # fmt: skip
@json_option
def inspect(files: tuple[str, ...], tokens: int | None, as_json: bool) -> None:
    """Show what a data or model file holds, or several models beside one another.

    Settings, vocabulary, sizes, what a model was trained on and how it went, its parameters and
    the checksum of every array. Of a damaged file: which of its parts are damaged, and where they
    lie; the exit code is then 1.

    Of several models: the settings that differ, the figures, the cost. A token's nats mean the same
    only where text is cut into the same tokens: where it is not, a warning says so.

    \b
    rnncli inspect model.npz
    rnncli inspect data.npz --json | jq .splits.train.tokens
    rnncli inspect lstm.npz gru.npz
    """
    if len(files) == 1:
        _one(files[0], 10 if tokens is None else tokens, as_json)
    elif tokens is not None:
        raise click.UsageError("--tokens is for one file.")
    else:
        _several(files, as_json)


def _one(file: str, tokens: int, as_json: bool) -> None:
    """Show a file; of a damaged one its parts, before the error is raised."""
    from rnncli.look import inspection

    try:
        found = inspection.describe(file, tokens=tokens)
    except ArtefactError as error:
        parts = inspection.members(file)
        if parts and as_json:
            rows = [part._asdict() for part in parts]
            click.echo(json.dumps({"file": file, "damaged": str(error), "members": rows}))
        elif parts:
            click.echo(table([["part", "first byte", "end", ""], *(
                [shown(part.name), f"{part.start:,}", f"{part.end:,}", part.state] for part in parts
            )], "lrrl"))  # fmt: skip
        raise
    click.echo(json.dumps(found) if as_json else "\n\n".join(_sections(found)))


def _several(models: tuple[str, ...], as_json: bool) -> None:
    """Show models beside one another, a column each."""
    from rnncli.look import compare

    found = compare.compare(models)
    if as_json:
        click.echo(json.dumps(found))
        return
    rows = [["", *(shown(name, 40) for name in found["files"])]]
    rows += [[name, *map(_cell, values)] for name, values in found["settings"].items()]
    rows += [
        [label, *(_cell(figures[key]) for figures in found["figures"])]
        for key, label in FIGURES.items()
    ]
    click.echo(table(rows, "l" + "r" * len(models)))
    for warning in found["warnings"]:
        note(f"warning: {shown(warning, 1000)}")


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int):
        return f"{value:,}" if value < 10**9 else f"{value:.2e}"
    return shown(value)


def _sections(found: dict[str, Any]) -> list[str]:
    kind, size = found["kind"], f"{found['bytes']:,} bytes"
    out = [f"{shown(found['file'], 300)}: a {kind} file, {size}"]
    if kind == "data":
        splits = [["split", "documents", "units", "tokens", "<unk>", "characters", "bytes"]]
        for name, part in found["splits"].items():
            keys = ("documents", "units", "tokens", "unknown", "chars", "bytes")
            splits.append([name, *(f"{part[key]:,}" for key in keys)])
        out.append(_facts({"made from": ", ".join(map(shown, found["inputs"])),
                           "shares": found["split"], "seed": found["seed"]}))  # fmt: skip
        out.append(table(splits, "lrrrrrr"))
    elif kind == "model":
        data = found["data"]
        inputs = ", ".join(map(shown, data["inputs"])) or "?"
        out.append(_facts({
            "written by": shown(found["writer"]), "trained on": f"{inputs} ({data['hash'][:12]})",
            "state": "carried from text to text" if found["carried"] else "fresh for every text",
        }))  # fmt: skip
        out.append("network\n" + _facts(_telling(found["config"])))
        if found.get("run"):
            out.append("recipe\n" + _facts(_telling(found["recipe"])))
            run = {k: found["run"][k] for k in ("step", "epoch", "tokens", "best_nats", "finished")}
            out.append("run\n" + _facts(run))
        if found["history"]:
            rows = [[f"{row['step']:,}", f"{row['epoch']}", f"{row['train']:.4f}",
                     f"{row['valid']:.4f}"]
                    for row in found["history"] if "valid" in row]  # fmt: skip
            shown_rows = rows if len(rows) <= 12 else [*rows[:5], ["..."] + [""] * 3, *rows[-6:]]
            out.append(table([["step", "epoch", "training", "validation"], *shown_rows], "rrrr"))
        parameters = found["parameters"]
        rows = [[row["name"], " x ".join(map(str, row["shape"])), f"{row['mean']:.3g}",
                  f"{row['std']:.3g}", f"{row['norm']:.4g}"]
                 for row in parameters["arrays"]]  # fmt: skip
        head = [f"{parameters['count']:,} parameters", "shape", "mean", "std", "norm"]
        out.append(table([head, *rows], "llrrr"))
    if "vocabulary" in found:
        out += _vocabulary(found)
    return [*out, _members(found)]


def _telling(settings: dict[str, Any]) -> dict[str, Any]:
    """Keep the settings that say something: neither off nor zero."""
    return {k: v for k, v in settings.items() if v not in (None, False, 0, 0.0)}


def _vocabulary(found: dict[str, Any]) -> list[str]:
    vocabulary, tokenizer = found["vocabulary"], found["tokenizer"]
    lines = {"rule": tokenizer["signature"], "tokens": f"{tokenizer['size']:,}",
             "hash": tokenizer["hash"][:12], "seen once": f"{vocabulary['once']:,}"}  # fmt: skip
    for name in ("special", "most", "least"):
        pairs = vocabulary[name]
        if pairs:
            lines[name] = "  ".join(f"{_token(token)} {count:,}" for token, count in pairs)
    return ["vocabulary\n" + _facts(lines)]


def _token(token: str) -> str:
    """Show a token that can be seen: white space is spelled out."""
    return shown(repr(token)[1:-1]) if token.strip() else repr(token)


def _members(found: dict[str, Any]) -> str:
    rows = [[m["name"], " x ".join(map(str, m["shape"])), m["dtype"], f"{m['bytes']:,}",
             m["sha256"][:16]] for m in found["members"]]  # fmt: skip
    return table([["member", "shape", "type", "bytes", "sha256"], *rows], "lllrl")


def _facts(values: dict[str, Any]) -> str:
    width = max((len(key) for key in values), default=0)
    return "\n".join(f"  {key:<{width}}  {value}" for key, value in values.items())
