"""Settings: what they accept, what they refuse, and that JSON gives them back."""

import math
from dataclasses import fields

import pytest

from rnncli.config.network import Config
from rnncli.config.recipe import RATES, Recipe
from rnncli.config.samples import Samples
from rnncli.errors import ConfigError


@pytest.mark.parametrize(
    "settings",
    [
        Config(50),
        Config(50, cell="gru", hidden=7, layers=3, embed=7, tied=True, dropout=0.5, dropout_in=0.1),
        Config(4, head="tags", outputs=3, bidirectional=True, last_only=True),
        Samples(),
        Samples("40e", ("a", ""), 3, 0.0),
        Recipe(),
        Recipe(lr=0.1, epochs=3, max_time=1.5, patience=2, schedule="cosine", batching="random"),
    ],
)
def test_json_gives_the_settings_back(settings):
    assert type(settings).from_json(settings.to_json()) == settings


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (Config, {"inputs": 5, "hiden": 3}, 'no setting "hiden"'),
        (Config, {"inputs": 5, "\x1b[31m": 3}, r"no setting .\\x1b\[31m"),
        (Config, {}, "inputs is missing"),
        (Config, {"inputs": 5, "hidden": "3"}, "hidden takes int, not '3'"),
        (Config, {"inputs": 5, "hidden": 3.0}, "hidden takes int, not 3.0"),
        (Config, {"inputs": 5, "hidden": True}, "hidden takes int, not True"),
        (Config, {"inputs": 5, "tied": 1}, "tied takes bool, not 1"),
        (Config, {"inputs": 5, "dropout_in": "x"}, "dropout_in takes float or null, not 'x'"),
        (Config, {"inputs": 5, "cell": ["lstm"]}, "cell takes str"),
        (Recipe, {"lr": "0.1"}, "lr takes float or null"),
        (Recipe, {"epochs": 1.5}, "epochs takes int or null"),
        (Samples, {"sample_prefix": "ab"}, "sample_prefix takes a list of texts, not 'ab'"),
        (Samples, {"sample_prefix": ["a", 3]}, "sample_prefix takes a list of texts"),
        (Samples, {"sample_every": 2.0}, "sample_every takes str or int or null"),
        (Samples, {"sample_every": "e"}, r"sample_every takes steps \(500\) or epochs \(40e\)"),
        (Samples, {"sample_every": 0}, "not 0"),
        (Samples, {"sample_every": "\x1b"}, r"not \\x1b"),
    ],
)
def test_json_with_unknown_keys_or_wrong_types_is_refused(kind, values, message):
    with pytest.raises(ConfigError, match=message):
        kind.from_json(values)


def test_a_whole_number_will_do_for_a_real_one():
    recipe = Recipe.from_json({"lr": 1, "clip": 5})
    assert (recipe.lr, recipe.clip) == (1.0, 5.0)
    assert type(recipe.lr) is type(recipe.clip) is float


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"cell": "lstn"}, 'cell "lstn" is not one of lstm, gru, gru-before, rnn'),
        ({"hidden": 0}, "hidden must be 1 or more, not 0"),
        ({"layers": 101}, "layers must be below 101"),
        ({"dropout": 1.0}, "dropout must be below 1, not 1.0"),
        ({"dropout": -0.1}, "dropout must be 0 or more"),
        ({"dropout": math.nan}, "dropout must be a number"),
        ({"init_scale": math.inf}, "init_scale must be a number"),
        ({"bidirectional": True}, "cannot read backwards"),
        ({"last_only": True}, "predicts after every step"),
        ({"proj": 4, "cell": "gru"}, "proj is for the lstm"),
        ({"proj": 300}, "proj is for the lstm, and must be below hidden"),
        ({"tied": True, "embed": 100}, r"as wide as the top output \(256\), not 100"),
        ({"tied": True}, "tied needs an embedding"),
        ({"dropout_embed": 0.1}, "needs an embedding"),
        ({"head": "tags"}, "head tags needs outputs"),
        ({"inputs": 0}, "inputs must be 1 or more"),
        ({"top": 5}, "top needs two layers"),
        ({"top": 5, "layers": 2, "residual": True}, "top needs two layers or more, no proj"),
        ({"top": 5, "layers": 2, "proj": 4}, "top needs two layers or more, no proj"),
        ({"top": 5, "layers": 2, "tied": True, "embed": 256}, r"as wide as the top output \(5\)"),
    ],
)
def test_a_network_that_makes_no_sense_is_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        Config(**{"inputs": 50, **settings})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch": 0}, "batch must be 1 or more"),
        ({"lr": -1.0}, "lr must be 0 or more"),
        ({"lr": math.inf}, "lr must be a number"),
        ({"factor": 0.0}, "factor must be above 0"),
        ({"max_time": 0.0}, "max_time must be above 0"),
        ({"epochs": 0}, "epochs must be 1 or more"),
        ({"optimizer": "adan"}, 'optimizer "adan" is not one of sgd, '),
        ({"random_bptt": True, "batching": "sentences"}, "random_bptt needs consecutive"),
        ({"random_bptt": True, "batching": "auto"}, "random_bptt needs consecutive"),
        ({"shards": 10**9}, "shards must be below"),
        ({"seed": -1}, "seed must be 0 or more"),
    ],
)
def test_a_recipe_that_makes_no_sense_is_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        Recipe(**settings)


def test_every_setting_explains_itself():
    for kind in (Config, Recipe, Samples):
        for entry in fields(kind):
            if entry.name != "inputs":
                assert entry.metadata["help"].endswith((".", ")"))
    assert all(type(default) is float for default in RATES.values())


@pytest.mark.parametrize(
    ("every", "steps", "epochs"),
    [
        (None, [], []),
        (3, [3, 6], []),
        ("3", [3, 6], []),
        ("2e", [], [2, 4, 6]),
        ("1e", [], [*range(1, 7)]),
    ],
)
def test_texts_are_due_every_so_many_steps_or_epochs(every, steps, epochs):
    samples = Samples(sample_every=every)
    assert [k for k in range(7) if samples.due(step=k)] == steps
    assert [k for k in range(7) if samples.due(epoch=k)] == epochs


def test_widths_follow_from_the_settings():
    config = Config(9, hidden=6, proj=4, head="tags", outputs=2, bidirectional=True)
    assert (config.state_width, config.directions, config.width, config.classes) == (4, 2, 8, 2)
    assert Config(9, hidden=6).width == 6
    narrow = Config(9, hidden=6, layers=3, top=4)
    assert [narrow.units(layer) for layer in range(3)] == [6, 6, 4]
    assert (narrow.width, narrow.state_width) == (4, 6)
    assert Config(9).classes == 9


def test_asgd_has_a_rate_of_its_own():
    assert Recipe(optimizer="adagrad").rate == 0.1
    assert Recipe(optimizer="adagrad", lr=0.0).rate == 0.0
