"""The option names of char-rnn, torch-rnn and textgenrnn, and what the options are called here."""

from __future__ import annotations

import click

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


class Command(click.Command):
    """A command that names its own option where another tool's is given.

    `--rnn_size 128`, `-rnn_size 128` -> No such option --rnn_size. Is --hidden meant?
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse; a refusal says what is meant, if that is known."""
        given = [*args]  # click empties the list
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption:
            here = {name for option in self.params for name in option.opts}
            for name in (word.split("=")[0] for word in given if word.startswith("-")):
                their = name.lstrip("-").replace("-", "_")
                ours = "--" + HABITS[str(self.name)].get(their, their).replace("_", "-")
                if ours in here and name not in here:
                    message = f"No such option {name}. Is {ours} meant?"
                    raise click.UsageError(message, ctx) from None
            raise
