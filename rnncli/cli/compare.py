"""`rnncli compare`: runs beside one another."""

from __future__ import annotations

import json
from typing import Any

import click

from rnncli.cli.common import FILE, json_option, note, table
from rnncli.errors import shown

FIGURES = {
    "parameters": "parameters", "steps": "steps", "epochs": "epochs", "tokens": "tokens trained on",
    "flops": "operations, about", "best": "best validation, nats", "perplexity": "its perplexity",
    "ended": "ended",
}  # fmt: skip


@click.command()
@click.argument("models", nargs=-1, required=True, type=FILE)
@json_option
def compare(models: tuple[str, ...], as_json: bool) -> None:
    """Show runs beside one another: the settings that differ, the figures, the cost.

    A token's nats mean the same only where text is cut into the same tokens: where it is not, a
    warning says so.

    \b
    rnncli compare lstm.npz gru.npz
    rnncli compare runs/*.npz --json
    """
    if len(models) < 2:
        raise click.UsageError("give two model files or more.")
    from rnncli import runs

    found = runs.compare(models)
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
