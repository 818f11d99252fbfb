"""Named sets of settings, a YAML file each: the defaults, and recipes from the literature.

A preset's keys are the fields of `Config`, `Recipe` and `Samples`; beside them `about` says what it
is, `source` where it comes from and `reported` the figure that the source gives.
"""

from __future__ import annotations

import re
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from rnncli.config.network import Config
from rnncli.config.recipe import Recipe
from rnncli.config.samples import Samples
from rnncli.errors import ConfigError, shown
from rnncli.files.atomic import telling

NETWORK = {f.name for f in fields(Config)} - {"inputs"}
TRAINING = {f.name for f in fields(Recipe)}
WRITING = {f.name for f in fields(Samples)}


def _folder() -> Path:
    """Return where the presets lie."""
    return Path(__file__).parent / "presets"


class Preset(NamedTuple):
    """A preset as its file has it."""

    name: str
    about: str
    source: str
    reported: str
    settings: dict[str, Any]  # of NETWORK and TRAINING
    samples: dict[str, Any]  # of WRITING


def names() -> list[str]:
    """List the presets, in alphabetical order."""
    return sorted(file.stem for file in _folder().glob("*.yaml"))


@cache
def spelled(name: str) -> dict[str, str]:
    """Return the settings of a preset as its file spells them, for `--help`.

    Loading the YAML reader takes longer than all the rest of a `--help`.

    Example: "words" -> {"cell": "gru", "hidden": "192", ...}
    """
    text = (_folder() / f"{name}.yaml").read_text("utf-8")
    return dict(re.findall(r"^(\w+): +([^#\n]*[^#\s])", text, re.MULTILINE))


def load(name: str) -> Preset:
    """Read the preset of a name; ConfigError when there is none."""
    if name not in names():
        raise ConfigError(f'there is no preset "{shown(name)}" (there are: {", ".join(names())}).')
    with telling(f"preset {name}", "read"):
        text = _folder().joinpath(f"{name}.yaml").read_text("utf-8")
    values = parse(text, f"preset {name}")
    notes = [str(values.pop(key, "")) for key in ("about", "source", "reported")]
    samples = {key: values.pop(key) for key in WRITING & values.keys()}
    for key in values:
        if key not in NETWORK | TRAINING:
            raise ConfigError(f'preset {name}: there is no setting "{shown(key)}".')
    return Preset(name, notes[0], notes[1], notes[2], values, samples)


def parse(text: str, where: str) -> dict[str, Any]:
    """Read a YAML mapping of plain values; keys may be written with - or _.

    ConfigError names `where`, the line and what is wrong: no mapping, a key twice, bad YAML.
    """
    import yaml

    try:
        node = yaml.compose(text, yaml.SafeLoader)
        if node is None:
            return {}
        if not isinstance(node, yaml.MappingNode):
            raise ConfigError(f"{where}: expected lines of the form `key: value`.")
        values: dict[str, Any] = {}
        loader = yaml.SafeLoader("")
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                raise ConfigError(f"{where}, line {line}: a key must be a word.")
            key = str(key_node.value).replace("-", "_")
            if key in values:
                raise ConfigError(f'{where}, line {line}: "{shown(key)}" is there twice.')
            values[key] = loader.construct_object(value_node, deep=True)
        return values
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        at = f", line {mark.line + 1}" if mark else ""
        raise ConfigError(f"{where}{at}: not YAML: {shown(error.problem)}.") from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ConfigError(f"{where}: not YAML: {shown(error)}.") from None
