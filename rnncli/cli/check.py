"""`rnncli check`: is a configuration sound?"""

from __future__ import annotations

from typing import Any

import click

from rnncli.cli.common import FILE
from rnncli.cli.train import train


@click.command()
@click.argument("model", required=False, type=FILE)
@click.option("--config", type=FILE, help="YAML file with options of `rnncli train`.")
@click.option("--preset", help="Named settings, as of `rnncli train`.")
@click.option("--vocab-size", type=click.IntRange(2), default=100,
              help="Tokens, where there is no model file.")  # fmt: skip
@click.pass_context
def check(
    ctx: click.Context, model: str | None, config: str | None, preset: str | None, vocab_size: int
) -> None:
    """Try a network's configuration before trusting a long run to it.

    Its gradients are compared with numeric ones, in float64 and with its own dropout; the first
    loss with that of a network that knows nothing; one batch has to be learnt by heart; and a model
    file has to give back what was written. Exit code 1 when one of them fails. Without a model file
    and a preset, the settings not given are those for words.

    \b
    rnncli check model.npz
    rnncli check --config run.yaml
    rnncli check --preset zaremba-small --vocab-size 10000
    """
    from rnncli import api, diagnostics

    if model is not None:
        if config or preset:
            raise click.UsageError("give a model file, or --config and --preset, not both.")
        language = api.load(model)
        network, tokenizer = language.model.config, language.tokenizer
    elif config or preset:
        tokenizer = diagnostics.made_up(vocab_size)
        network, _ = api.settings_for(tokenizer, *_settings(config, preset))
    else:
        raise click.UsageError("give a model file, --config or --preset.")
    failed = False
    for finding in diagnostics.check(network, tokenizer):
        failed |= not finding.passed
        click.echo(f"{'ok' if finding.passed else 'FAIL':<6}{finding.name:<30}{finding.detail}")
    ctx.exit(1 if failed else 0)


def _settings(config: str | None, preset: str | None) -> tuple[str | None, dict[str, Any]]:
    """The preset and the settings that `rnncli train` would work with."""
    from rnncli.presets import NETWORK, TRAINING

    arguments = ["data.npz", "-o", "model.npz"]  # train asks for them; they are not looked at
    for flag, value in (("--config", config), ("--preset", preset)):
        arguments += [flag, value] if value else []
    given = train.make_context("rnncli train", arguments).params
    settings = {k: v for k, v in given.items() if k in NETWORK | TRAINING and v is not None}
    return given["preset"], settings
