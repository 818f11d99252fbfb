"""Every setting can be reached from everywhere: an option, a key of a file, a key of a preset."""

from dataclasses import fields, replace
from typing import get_args, get_origin, get_type_hints

import numpy as np
import pytest
import yaml
from commands import TINY, good, sentences

from rnncli.cli.train import train
from rnncli.config.network import Config
from rnncli.config.recipe import Recipe
from rnncli.config.samples import Samples
from rnncli.nn import Model, State, Steps
from rnncli.training import checkpoint, recipes
from rnncli.training.check import made_up
from rnncli.training.settings import settings_for

OF_THE_COMMAND = {
    "data", "output", "preset", "list_presets", "config", "from", "resume", "overwrite", "metrics",
    "plan", "tensorboard", "json", "threads", "quiet",
}  # fmt: skip
NOT_FOR_TEXT = {"inputs", "bidirectional", "head", "outputs", "last_only"}


def settings():
    """Name -> (class, type, field) of all that can be set for a language model."""
    return {
        entry.name: (cls, get_type_hints(cls)[entry.name], entry)
        for cls in (Config, Recipe, Samples)
        for entry in fields(cls)
        if entry.name not in NOT_FOR_TEXT
    }


def other(kind, entry):
    """A value that is not the default, as YAML has it."""
    if entry.name == "sample_every":
        return "40e"
    if get_origin(kind) is tuple:
        return ["a", "the cat"]
    if entry.metadata["choices"]:
        return next(c for c in reversed(entry.metadata["choices"]) if c != entry.default)
    plain = (get_args(kind) or (kind,))[0]
    return not entry.default if plain is bool else plain(0.5) if plain is float else 7


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A small data file of running text."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "t.txt").write_text(sentences(40))
    good("tokenize", folder / "t.txt", "-o", folder / "d.npz", "--whole-file",
         "--split", "0.8,0.2,0")  # fmt: skip
    return folder / "d.npz"


def test_every_option_of_train_is_a_setting_or_the_command_s_own():
    options = {option.name for option in train.params}
    assert options == OF_THE_COMMAND | settings().keys()


def test_every_setting_may_stand_in_a_preset():
    assert (
        settings().keys() | NOT_FOR_TEXT - {"inputs"}
    ) == recipes.NETWORK | recipes.TRAINING | recipes.WRITING


@pytest.mark.parametrize("name", settings())
def test_every_setting_is_read_from_a_file(name, tmp_path):
    _, kind, entry = settings()[name]
    value = other(kind, entry)
    (tmp_path / "run.yaml").write_text(yaml.safe_dump({name: value}, allow_unicode=True), "utf-8")
    words = ["d.npz", "-o", "m.npz", "--config", str(tmp_path / "run.yaml")]
    read = train.make_context("rnncli train", words).params
    assert read[name] == (tuple(value) if isinstance(value, list) else value)
    assert not any(v not in (None, ()) for k, v in read.items() if k in settings() and k != name)


def test_the_whole_recipe_of_the_averaged_lstm_is_reached_from_a_file(data, tmp_path):
    recipe = {
        "cell": "lstm", "hidden": 10, "layers": 3, "top": 6, "embed": 6, "tied": True,
        "layer_norm": True, "dropout": 0.2, "dropout_in": 0.1, "dropout_out": 0.1,
        "dropout_embed": 0.1, "dropout_weight": 0.3, "variational": True, "activation_reg": 2.0,
        "temporal_reg": 1.0, "batching": "consecutive", "batch": 2, "bptt": 20,
        "random_bptt": True, "optimizer": "asgd", "lr": 5.0, "schedule": "constant", "trigger": 0,
        "valid_every": 0, "epochs": 10, "sample_every": "3e", "sample_prefix": ["the", "xyzzy"],
        "sample_temperature": 0.0,
    }  # fmt: skip
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(recipe))
    done = good("train", data, "-o", tmp_path / "m.npz", "--config", tmp_path / "run.yaml")
    language, run = checkpoint.resume(tmp_path / "m.npz")
    found = language.model.config.to_json() | run.recipe.to_json()
    told = {k: v for k, v in recipe.items() if k not in recipes.WRITING}
    assert {name: found[name] for name in told} == told
    assert run.averaged > 0  # a validation without gain came, and set the average off
    assert "3 layers of 10, the top one of 6" in done.err
    assert "not in the vocabulary, read as unknown: xyzzy" in done.err
    assert [line for line in done.err.splitlines() if "writes" in line] == [
        "epoch 3 writes:", "epoch 6 writes:", "epoch 9 writes:",
    ]  # fmt: skip
    assert sum(line.startswith("  | the") for line in done.err.splitlines()) == 3


def test_options_win_over_what_a_preset_writes_and_a_resume_may_change_it(data, tmp_path):
    words = ("train", data, "-o", tmp_path / "m.npz", *TINY, "--preset", "d2l-gru", "--epochs")
    assert "writes" not in good(*words, 1).err
    done = good(*words, 2, "--resume", "--sample-every", "1e", "--sample-prefix", "a dog",
                "--sample-length", 3, "--sample-temperature", 0.5)  # fmt: skip
    texts = [line for line in done.err.splitlines() if line.startswith("  | ")]
    assert len(texts) == 1
    assert texts[0].startswith("  | a dog")
    assert len(texts[0].split()) <= 3 + 3


def test_a_tied_embedding_is_as_wide_as_the_top_layer():
    config, _ = settings_for(made_up(20), None, {"tied": True, "layers": 2, "top": 7})
    assert config.embed == config.width == 7


@pytest.mark.parametrize("cell", ["lstm", "gru", "gru-before", "rnn"])
@pytest.mark.parametrize("top", [3, 6, 8])
def test_a_top_layer_of_another_width_is_a_network_on_the_outputs_of_the_lower(cell, top):
    config = Config(9, cell=cell, hidden=6, embed=4, layers=2, top=top)
    whole, steps = Model.initial(config, 1, np.float64), Steps.of_lengths((5, 2, 4))
    rng = np.random.default_rng(2)
    ids, state = rng.integers(9, size=steps.N), whole.zero_state(3)
    state.h[:] = rng.standard_normal(state.h.shape)

    lower = Model.initial(replace(config, layers=1, top=0), 0, np.float64)
    upper_config = Config(6, cell=cell, hidden=top, head="values", outputs=9)
    upper = Model.initial(upper_config, 0, np.float64)
    for name in whole.params:
        if name.startswith(("embed", "rnn.0")):
            lower.params[name][:] = whole.params[name]
        else:
            upper.params[name.replace("rnn.1", "rnn.0")][:] = whole.params[name]
    c = [None if state.c is None else state.c[k : k + 1, :H] for k, H in ((0, 6), (1, top))]
    x, below = lower.features(ids, State(state.h[:1, :6], c[0]), steps)
    wanted, above = upper.predict(x, State(state.h[1:, :top], c[1]), steps)

    found, after = whole.predict(ids, state, steps)
    np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(after.h[0, :6], below.h[0], rtol=1e-12)
    np.testing.assert_allclose(after.h[1, :top], above.h[0], rtol=1e-12)
