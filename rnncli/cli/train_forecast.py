"""How `rnncli train --plan` tells people what a run will cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rnncli.cli.terminal import clock

if TYPE_CHECKING:
    from rnncli.training.forecast import End, Forecast


def planned(found: Forecast) -> str:
    """Say a forecast in lines."""
    counts, work = found.parameters, found.flops_per_token
    parts = ", ".join(f"{part} {count:,}" for part, count in counts.items() if count)
    share = work["output"] / sum(work.values())
    processes = f"{found.processes} process" + ("es" if found.processes > 1 else "")
    rows = {
        "parameters": f"{sum(counts.values()):,}: {parts}",
        "memory": f"{found.memory / 2**20:,.0f} MiB at the peak ({processes})",
        "arithmetic": f"{sum(work.values()) / 1e6:,.3g} MFLOP a token, {share:.0%} of it in the "
        "output layer",
        "speed": f"{found.tokens_per_second:,.0f} tokens/s over {found.measured_steps:,} steps "
        f"({processes})",
        "epoch": f"{found.epoch_tokens:,} tokens, {found.epoch_steps:,} steps, "
        f"{clock(found.epoch_seconds)}",
    }
    if found.valid_seconds:
        rows["validation"] = (
            f"every {found.valid_every:,} steps, {found.valid_seconds:.2g} s; "
            f"saving {found.save_seconds:.2g} s"
        )
    rows["end"] = _end(found.end)
    if found.without_max_time:
        rows["without --max-time"] = _end(found.without_max_time)
    width = max(map(len, rows)) + 2
    lines = [f"{name:<{width}}{text}" for name, text in rows.items()]
    return "\n".join([*lines, *(f"hint: {hint}" for hint in found.hints)])


def _end(end: End) -> str:
    return f"after {clock(end.seconds)}: {end.steps:,} steps, {end.epochs:,.3g} epochs"
