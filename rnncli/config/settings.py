"""The mechanism: fields that explain themselves, know their limits and are options and keys.

A `Settings` class is a dataclass whose fields come from `setting`. From that one description the
command line makes its options, YAML files and presets are read, values are checked, and JSON is
written. Plain data without numpy, so that `--help` is quick.
"""

from __future__ import annotations

import difflib
import functools
import inspect
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from typing import Any, ParamSpec, Self, TypeVar, get_args, get_origin, get_type_hints

from rnncli.errors import ConfigError, shown


def setting(
    group: str,
    default: Any,
    text: str,
    *,
    choices: tuple[str, ...] = (),
    least: float | None = None,
    most: float | None = None,
    below: float | None = None,
    above: float | None = None,
    flag: str = "",
    kind: str = "",
    metavar: str | None = None,
) -> Any:
    """Describe a field: its group in `--help`, its default, its explanation and its limits.

    `flag` names the option where it is not called as the field; `kind` says how its text is read
    where the type does not: "time", "file" and others (`rnncli.cli.options.KINDS`).
    """
    bounds = limits(choices=choices, least=least, most=most, below=below, above=above)
    words = {"group": group, "help": text, "flag": flag, "kind": kind, "metavar": metavar}
    return field(default=default, metadata={**words, **bounds})


def limits(
    choices: tuple[str, ...] = (),
    least: float | None = None,
    most: float | None = None,
    below: float | None = None,
    above: float | None = None,
) -> dict[str, Any]:
    """Put limits together, as `fault` takes them."""
    return {"choices": choices, "least": least, "most": most, "below": below, "above": above}


def fault(value: Any, limits: Mapping[str, Any]) -> str:
    """Say what is wrong with a value, as the end of a sentence; nothing where it is sound.

    Example: 0, {"least": 1, ...} -> "must be 1 or more, not 0"
    """
    choices = limits["choices"]
    if choices and value not in choices:
        return f'"{shown(value)}" is not one of {", ".join(choices)}'
    if isinstance(value, float) and not math.isfinite(value):
        return f"must be a number, not {value}"
    least, most, below, above = (limits[k] for k in ("least", "most", "below", "above"))
    if least is not None and value < least:
        return f"must be {least} or more, not {value}"
    if most is not None and value > most:
        return f"must be {most} at most, not {value}"
    if below is not None and value >= below:
        return f"must be below {below}, not {value}"
    if above is not None and value <= above:
        return f"must be above {above}, not {value}"
    return ""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a question that names the nearest known word, to be put behind an error, or nothing.

    Example: "temprature", ["temperature", "top_k"] -> ' Is "temperature" meant?'
    """
    found = difflib.get_close_matches(name, [*known], 1)
    return f' Is "{found[0]}" meant?' if found else ""


def seconds(text: str | float) -> float:
    """Read a time; ConfigError where it is none.

    Example: "1h30m" -> 5400.0, "5min" -> 300.0, 90 -> 90.0
    """
    if isinstance(text, int | float) and not isinstance(text, bool):
        return float(text)
    found = re.fullmatch(
        r"(?:(\d+)\s*h)?\s*(?:(\d+)\s*m(?:in)?)?\s*(?:(\d+(?:\.\d+)?)\s*(?:s|sec)?)?",
        str(text).strip(),
    )
    if not found or not any(found.groups()):
        raise ConfigError(f'"{shown(text)}" is not a time such as 90s, 10m or 1h30m.')
    hours, minutes, rest = (float(part or 0) for part in found.groups())
    return hours * 3600 + minutes * 60 + rest


P = ParamSpec("P")
R = TypeVar("R")


def spelled(function: Callable[P, R]) -> Callable[P, R]:
    """Let a function refuse a misspelt keyword with a ConfigError that names the nearest one."""

    @functools.wraps(function)
    def checked(*values: P.args, **named: P.kwargs) -> R:
        known = [*inspect.signature(function).parameters]
        for name in named:
            if name not in known:
                hint = nearest(name, known)
                raise ConfigError(f'{function.__name__} has no setting "{shown(name)}".{hint}')
        return function(*values, **named)

    return checked


@dataclass(frozen=True)
class Settings:
    """Fields that know their limits."""

    def __post_init__(self) -> None:
        for entry in fields(self):
            value, limits = getattr(self, entry.name), entry.metadata
            if value is not None and limits:
                wrong = fault(value, limits)
                if wrong:
                    raise ConfigError(f"{entry.name} {wrong}.")

    def to_json(self) -> dict[str, Any]:
        """Return all fields, as JSON holds them."""
        return asdict(self)

    @classmethod
    def names(cls) -> list[str]:
        """List the fields."""
        return [entry.name for entry in fields(cls)]

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Undo `to_json`; unknown keys and wrong types are a ConfigError."""
        hints = get_type_hints(cls)
        out: dict[str, Any] = {}
        for key, value in values.items():
            if key not in hints:
                raise ConfigError(f'there is no setting "{shown(key)}".{nearest(key, hints)}')
            kinds = get_args(hints[key]) or (hints[key],)
            if get_origin(hints[key]) is tuple:  # JSON and YAML have lists
                if not isinstance(value, list | tuple) or {type(v) for v in value} - {kinds[0]}:
                    raise ConfigError(f"{key} takes a list of texts, not {shown(repr(value))}.")
                out[key] = tuple(value)
                continue
            if float in kinds and type(value) is int:
                value = float(value)
            if type(value) not in kinds:
                wanted = " or ".join("null" if k is type(None) else k.__name__ for k in kinds)
                raise ConfigError(f"{key} takes {wanted}, not {shown(repr(value))}.")
            out[key] = value
        for entry in fields(cls):
            if entry.default is MISSING and entry.name not in out:
                raise ConfigError(f"{entry.name} is missing.")
        return cls(**out)
