"""`--config`: a YAML file of options, each as the command itself would read it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from rnncli.cli.options import FILE, F, Time, meant, option
from rnncli.errors import ConfigError, shown
from rnncli.files.atomic import telling


def config_option(function: F) -> F:
    """Add `--config FILE`: a YAML file of options, which flags and the environment override."""

    def fill(ctx: click.Context, param: click.Parameter, path: str | None) -> None:
        if path is not None and not ctx.resilient_parsing:
            ctx.default_map = read_options(path, ctx)

    return option(
        "--config", type=FILE, callback=fill, is_eager=True, group="settings",
        expose_value=False, help="YAML file with options of this command (key: value).",
    )(function)  # fmt: skip


def read_options(path: str, ctx: click.Context) -> dict[str, Any]:
    """Read a YAML file of options: the values as the command of a context takes them.

    Example: `max-time: 10m` -> {"max_time": 600.0}. ConfigError names what is no option of the
    command, and what an option does not take.
    """
    from rnncli.training.recipes import parse

    try:
        with telling(path, "read"):
            text = Path(path).read_text("utf-8")
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not UTF-8 text.") from None
    known = {str(p.name): p for p in ctx.command.params if p.name not in ("config", "help")}
    values = parse(text, path)
    for key, value in values.items():
        if key not in known:
            word = meant(str(ctx.command.name), key, known)
            hint = f'Is "{word}" meant?' if word else "See --help for what there is."
            raise ConfigError(f'{path}: there is no option "{shown(key)}". {hint}')
        values[key] = _converted(path, value, known[key], ctx)
    return values


def _converted(path: str, value: Any, option: click.Parameter, ctx: click.Context) -> Any:
    """Return the value of an option, or the list of one that may be repeated, from its YAML."""
    flag = isinstance(option, click.Option) and option.is_flag
    integer = isinstance(option.type, click.types.IntParamType)
    number = isinstance(option.type, click.types.FloatParamType | Time)
    kinds: tuple[type, ...] = (bool,) if flag else (int,) if integer else (str,)
    kinds += (int, float, str) if number else ()  # YAML reads 1e-3 as text, 10m is text
    wanted = "true or false" if flag else "a whole number" if integer else "text in quotes"
    if option.multiple and not isinstance(value, list):
        raise ConfigError(f"{path}: {option.name} takes a list, such as [{shown(value)}].")
    out = []
    for item in value if option.multiple else [value]:
        if not isinstance(item, kinds) or (isinstance(item, bool) and not flag):
            wanted = "a number" if number else wanted
            raise ConfigError(f"{path}: {option.name} takes {wanted}, not {shown(repr(item))}.")
        try:
            out.append(option.type.convert(item, option, ctx))
        except click.BadParameter as error:
            raise ConfigError(f"{path}: {option.name}: {shown(error.message, 200)}") from None
    return out if option.multiple else out[0]
