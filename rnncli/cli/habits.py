"""The option names of char-rnn, torch-rnn and textgenrnn, in one table, and how they reach ours.

They work with - and with _, from the command line and in a --config file; --help has them in a list
of their own.
"""

from __future__ import annotations

from typing import Any

import click
from click.core import ParameterSource

from rnncli.cli.common import note

HABITS = {  # command -> their option -> ours
    "train": {
        "rnn_size": "hidden",
        "num_layers": "layers",
        "rnn_layers": "layers",
        "model": "cell",
        "wordvec_size": "embed",
        "dim_embeddings": "embed",
        "batch_size": "batch",
        "seq_length": "bptt",
        "max_length": "bptt",
        "max_epochs": "epochs",
        "num_epochs": "epochs",
        "learning_rate": "lr",
        "learning_rate_decay": "factor",
        "lr_decay_factor": "factor",
        "learning_rate_decay_after": "after",
        "lr_decay_every": "every",
        "decay_rate": "decay",
        "grad_clip": "clip",
        "eval_val_every": "valid_every",
        "init_from": "from",
    },
    "sample": {
        "primetext": "prefix",
        "start_text": "prefix",
        "max_gen_length": "length",
        "top_n": "top_k",
    },
}
_STRENGTH = [
    ParameterSource.DEFAULT, ParameterSource.DEFAULT_MAP, ParameterSource.ENVIRONMENT,
    ParameterSource.COMMANDLINE,
]  # fmt: skip


class Command(click.Command):
    """A command that answers to the names in `HABITS`, too."""

    def __init__(self, *words: Any, **named: Any) -> None:
        super().__init__(*words, **named)
        ours = {name: p for p in self.params for name in p.opts}
        self.habits = {their: ours[_flag(our)] for their, our in HABITS[str(self.name)].items()}
        for their, option in self.habits.items():
            names = dict.fromkeys([_flag(their), f"--{their}", their])
            self.params.append(
                click.Option([*names], type=option.type, hidden=True, allow_from_autoenv=False)
            )

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Our options, and what others call them."""
        rows: dict[str, list[str]] = {}
        for their, option in self.habits.items():
            rows.setdefault(option.opts[0], []).append(_flag(their))
        with formatter.section("By the names of char-rnn, torch-rnn and textgenrnn"):
            formatter.write_dl([(ours, ", ".join(theirs)) for ours, theirs in rows.items()])

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse, and move what was given under another name to ours; two values are refused."""
        rest = super().parse_args(ctx, args)
        for their, option in self.habits.items():
            value, source = ctx.params.pop(their, None), ctx.get_parameter_source(their)
            if value is not None and option.multiple:
                value = (value,)
            name = str(option.name)
            before = ctx.get_parameter_source(name)
            if value is None or source is None or before is None:
                continue
            said = f"{_flag(their)} and {option.opts[0]}"
            if source is before and ctx.params[name] != value:
                raise click.UsageError(f"{said} are the same option with two values.", ctx)
            if source is before:
                note(f"{said} are the same option.", bool(ctx.params.get("quiet")))
            elif _STRENGTH.index(source) > _STRENGTH.index(before):
                ctx.params[name] = value
                ctx.set_parameter_source(name, source)
        return rest


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
