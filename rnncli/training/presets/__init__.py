"""Named sets of settings, a YAML file each: the defaults, and recipes from the literature.

A preset's keys are the fields of `Config`, `Recipe` and `Samples`; beside them `about` says what it
is, `source` where it comes from and `reported` the figure that the source gives.
"""

from __future__ import annotations

from dataclasses import fields
from importlib import resources
from typing import Any, NamedTuple

from rnncli.config.settings import Config, Recipe, Samples
from rnncli.errors import ConfigError, shown
from rnncli.files.atomic import telling

NETWORK = {f.name for f in fields(Config)} - {"inputs"}
TRAINING = {f.name for f in fields(Recipe)}
WRITING = {f.name for f in fields(Samples)}


class Preset(NamedTuple):
    """A preset as its file has it."""

    name: str
    about: str
    source: str
    reported: str
    settings: dict[str, Any]  # of NETWORK and TRAINING
    samples: dict[str, Any]  # of WRITING


def names() -> list[str]:
    """All presets, in alphabetical order."""
    files = resources.files(__package__).iterdir()
    return sorted(f.name[:-5] for f in files if f.name.endswith(".yaml"))


def load(name: str) -> Preset:
    """The preset of a name; ConfigError when there is none."""
    if name not in names():
        raise ConfigError(f'there is no preset "{shown(name)}" (there are: {", ".join(names())}).')
    with telling(f"preset {name}", "read"):
        text = resources.files(__package__).joinpath(f"{name}.yaml").read_text("utf-8")
    values = parse(text, f"preset {name}")
    notes = [str(values.pop(key, "")) for key in ("about", "source", "reported")]
    samples = {key: values.pop(key) for key in WRITING & values.keys()}
    for key in values:
        if key not in NETWORK | TRAINING:
            raise ConfigError(f'preset {name}: there is no setting "{shown(key)}".')
    return Preset(name, notes[0], notes[1], notes[2], values, samples)


def parse(text: str, where: str) -> dict[str, Any]:
    """A YAML mapping of plain values; keys may be written with - or _.

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
