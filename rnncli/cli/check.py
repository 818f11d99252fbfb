"""`rnncli check`: is a configuration sound?"""

from __future__ import annotations

from typing import Any

import click

from rnncli.cli.config_file import read_options
from rnncli.cli.options import FILE, Command, Whole, given_options, option
from rnncli.cli.train import NOT_FOR_TEXT, train
from rnncli.config.network import Config
from rnncli.config.settings import limits


def _usual(name: str, default: Any) -> Any:
    """Say what a setting is without a preset: that of the preset for words."""
    from rnncli.training.recipes import spelled

    return spelled("words").get(name, default)


@click.command(cls=Command)
@click.argument("model", required=False, type=FILE)
@option("--config", type=FILE, group="settings", help="YAML file with options of `rnncli train`.")
@option("--preset", group="settings", help="Named settings, as of `rnncli train`.")
@option("--vocab-size", type=Whole(limits(least=2)), default=100, usual=100, group="settings",
              help="Tokens, where there is no model file.")  # fmt: skip
@given_options(Config, into="given", leave_out=NOT_FOR_TEXT, usual=_usual)
@click.pass_context
def check(
    ctx: click.Context,
    /,
    model: str | None,
    config: str | None,
    preset: str | None,
    vocab_size: int,
    given: dict[str, Any],
) -> None:
    """Try a network's configuration before trusting a long run to it.

    Its gradients are compared with numeric ones, in float64 and with its own dropout; the first
    loss with that of a network that knows nothing; one batch has to be learnt by heart; and a model
    file has to give back what was written. Exit code 1 when one of them fails.

    The network is that of a model file, or what `rnncli train` makes of the options: those given
    here win over --config, that over --preset. Without a preset, the rest is as for words.

    \b
    rnncli check model.npz
    rnncli check --cell lstm --hidden 650 --layers 2 --dropout 0.5
    rnncli check --config run.yaml
    rnncli check --preset zaremba-small --vocab-size 10000
    """
    from rnncli.lm.language_model import load
    from rnncli.training import check as diagnostics
    from rnncli.training.recipes import NETWORK, TRAINING
    from rnncli.training.settings import settings_for

    if model is not None:
        if config or preset or given:
            raise click.UsageError("give a model file, or settings of a network, not both.")
        language = load(model)
        network, tokenizer = language.model.config, language.tokenizer
    else:
        read = read_options(config, click.Context(train)) if config else {}
        settings = {key: read[key] for key in read.keys() & (NETWORK | TRAINING)} | given
        tokenizer = diagnostics.made_up(vocab_size)
        network, _ = settings_for(tokenizer, preset or read.get("preset"), settings)
    failed = False
    for finding in diagnostics.check(network, tokenizer):
        failed |= not finding.passed
        click.echo(f"{'ok' if finding.passed else 'FAIL':<6}{finding.name:<30}{finding.detail}")
    ctx.exit(1 if failed else 0)
