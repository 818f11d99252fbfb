"""Settings to `Config` and `Recipe`: those given, over a preset's, over the plain defaults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rnncli.config.network import Config
from rnncli.config.recipe import Recipe
from rnncli.config.settings import nearest, seconds
from rnncli.errors import ConfigError, shown
from rnncli.lm.language_model import LanguageModel
from rnncli.text.tokenizer import Tokenizer
from rnncli.training import recipes

LIMITS = (  # may change on a resume
    "epochs", "max_steps", "max_time", "patience", "valid_every", "on_divergence", "retries",
)  # fmt: skip
REGULARISERS = (  # of the network, but not of its parameters: may change when it learns on
    "dropout", "dropout_in", "dropout_out", "dropout_embed", "dropout_weight", "variational",
    "activation_reg", "temporal_reg",
)  # fmt: skip
OF_THE_RULE = (  # settings of a preset that are for its optimizer, and for no other
    "lr", "momentum", "decay", "rho", "beta1", "beta2", "epsilon", "weight_decay",
)  # fmt: skip
LONG = 300  # seconds from which on a wider network learns more characters than a fast one


def settings_for(
    tokenizer: Tokenizer, preset: str | None = None, given: Mapping[str, Any] | None = None
) -> tuple[Config, Recipe]:
    """Return network and recipe: the settings given, over the preset's, over the plain defaults.

    Without a preset the defaults are those for words or for characters, as the tokenizer has it,
    and there fitted to the time that is given, which may be a text such as "10m". The rate of one
    optimizer is none for another.
    """
    given = dict(given or {})
    if given.get("max_time") is not None:
        given["max_time"] = seconds(given["max_time"])
    row = tokenizer.pretokenizer.row
    default = row.long_preset if (given.get("max_time") or 0) >= LONG else row.preset
    own = recipes.load(preset or default).settings
    if given.get("optimizer") not in (None, own.get("optimizer")):
        own = {key: value for key, value in own.items() if key not in OF_THE_RULE}
    values = {**own, **given}
    if values.get("tied") and not own.get("tied") and "embed" not in given:
        values.pop("embed", None)  # the preset's width was for an embedding of its own
    if values.get("tied") and "embed" not in values:  # as wide as the output it shares
        widths = (values.get("proj"), values.get("top"), values.get("hidden"), Config(1).hidden)
        values["embed"] = next(filter(None, widths))
    for key in values:
        if key not in recipes.NETWORK | recipes.TRAINING:
            known = recipes.NETWORK | recipes.TRAINING
            raise ConfigError(f'there is no setting "{shown(key)}".{nearest(key, known)}')
    network = {k: v for k, v in values.items() if k in recipes.NETWORK}
    recipe = {k: v for k, v in values.items() if k in recipes.TRAINING}
    return Config.from_json({"inputs": len(tokenizer), **network}), Recipe.from_json(recipe)


def settings_from(
    start: LanguageModel, tokenizer: Tokenizer, preset: str | None, given: Mapping[str, Any]
) -> tuple[Config, Recipe]:
    """Return the network of the model to begin with, and the recipe that is given or the preset's.

    Of the network the regularisers alone may change.
    """
    old = start.model.config.to_json()
    network = {key: value for key, value in given.items() if key in old}
    for key, value in network.items():
        if key not in REGULARISERS and old[key] != value:
            raise ConfigError(f"the model to begin with has {key} {old[key]}, not {value}. Leave "
                              "the option out.")  # fmt: skip
    rest = {key: value for key, value in given.items() if key not in old}
    _, recipe = settings_for(tokenizer, preset, rest)
    return Config.from_json({**old, **network, "inputs": len(tokenizer)}), recipe
