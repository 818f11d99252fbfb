"""Presets are what their sources say: sizes, rates, schedules, the scale of the loss."""

from dataclasses import replace

import numpy as np
import pytest

from rnncli import presets
from rnncli.api import settings_for
from rnncli.config import RATES, Config, Recipe, Samples
from rnncli.nn import Model, shapes
from rnncli.nn.optim import schedule
from rnncli.tokenizer import Tokenizer
from rnncli.training import TrainRun, make_plan, train

DEFAULTS = {"characters", "characters-long", "words"}
RECIPES = sorted(set(presets.names()) - DEFAULTS)
recipes = pytest.mark.parametrize("name", RECIPES)


def settings(name, inputs, **changes):
    values = presets.load(name).settings | changes
    network = {k: v for k, v in values.items() if k in presets.NETWORK}
    recipe = {k: v for k, v in values.items() if k in presets.TRAINING}
    return Config.from_json({"inputs": inputs, **network}), Recipe.from_json(recipe)


def reduced(name, inputs):
    config, recipe = settings(name, inputs)
    top = min(config.top, 6)
    return replace(config, hidden=8, top=top, embed=min(config.embed, top or 8)), recipe


def size(config):
    return sum(int(np.prod(shape)) for shape in shapes(config).values())


def test_the_recipes_from_the_literature_are_there():
    wanted = {
        "awd-lstm", "britz", "char-rnn", "d2l-gru", "d2l-gru-adam", "d2l-lstm", "d2l-lstm-adam",
        "d2l-rnn", "d2l-rnn-adam", "makemore-gru", "makemore-rnn", "seed-lstm", "textgenrnn",
        "theanolm-lstm300", "torch-rnn", "word-language-model-1500", "word-language-model-200",
        "word-language-model-650", "zaremba-large", "zaremba-medium", "zaremba-small",
    }  # fmt: skip
    assert wanted <= set(RECIPES)


def test_the_defaults_fit_the_tokens_and_the_time():
    words, characters = Tokenizer.train(["a b c"]), Tokenizer.train(["a b c"], level="char")
    for tokenizer, given, name in (
        (words, {}, "words"),
        (words, {"max_time": 600.0}, "words"),
        (characters, {}, "characters"),
        (characters, {"max_time": 299.0}, "characters"),
        (characters, {"max_time": 300.0}, "characters-long"),
    ):
        config, recipe = settings_for(tokenizer, None, given)
        expected = settings(name, len(tokenizer), **given)
        assert (config, recipe) == expected, name
    config, _ = settings_for(characters, None, {"max_time": 300.0, "hidden": 9})
    assert (config.hidden, config.dropout_out) == (9, 0.4)
    assert settings_for(characters, "characters", {"max_time": 300.0})[0].hidden == 224


def test_the_rate_of_a_preset_is_for_its_own_optimizer():
    tokenizer = Tokenizer.train(["a b c"])
    own = presets.load("zaremba-small").settings
    same = settings_for(tokenizer, "zaremba-small", {"optimizer": own["optimizer"]})[1]
    other = settings_for(tokenizer, "zaremba-small", {"optimizer": "adam"})[1]
    assert (same.lr, same.rate) == (own["lr"], own["lr"])
    assert (other.lr, other.rate) == (None, RATES["adam"])
    assert other.clip == same.clip == own["clip"]
    given = settings_for(tokenizer, "zaremba-small", {"optimizer": "adam", "lr": 0.5})[1]
    assert given.rate == 0.5


@recipes
def test_every_recipe_says_what_it_is_whence_it_comes_and_what_it_reached(name):
    preset = presets.load(name)
    for text in (preset.about, preset.source, preset.reported):
        assert text
        assert text.isprintable()
    assert preset.reported.startswith("none") or any(c.isdigit() for c in preset.reported)


@recipes
def test_every_recipe_fixes_what_its_rate_depends_on(name):
    fixed = {"cell", "hidden", "init", "batching", "batch", "bptt", "optimizer", "lr", "loss",
             "clip", "schedule"}  # fmt: skip
    assert fixed <= presets.load(name).settings.keys()


# The sources' own counts. Where ours differs, the difference is derived beside it.
COUNTS = {
    # one bias of the gates in the place of two
    "char-rnn": (65, 240_321 - 2 * 4 * 128),
    "torch-rnn": (65, 242_945),
    # no attention (356), no embedding and lower layer at the output (228 a token)
    "textgenrnn": (395, 429_703 - 356 - 228 * 395),
    # biases of the layer and the output
    "britz": (8000, 1_610_000 + 100 + 8000),
    "zaremba-small": (10_000, 4_651_600),
    "zaremba-medium": (10_000, 19_775_200),
    "zaremba-large": (10_000, 66_022_000),
    # one bias of the gates in the place of two
    "word-language-model-200": (33_278, 13_987_678 - 2 * 4 * 200),
    "awd-lstm": (10_000, 24_221_600 - 2 * 4 * 1150 - 4 * 400),
}


@pytest.mark.parametrize("name", COUNTS)
def test_the_number_of_parameters_is_that_of_the_source(name):
    inputs, wanted = COUNTS[name]
    assert size(settings(name, inputs)[0]) == wanted


def test_the_book_s_network_of_512_units_has_the_book_s_number_of_parameters():
    assert size(settings("d2l-rnn", 28, hidden=512)[0]) == 291_356


# batch, bptt, optimizer, rate, loss, clip, epochs
TRAINING = {
    "britz": (1, 4, "sgd", 0.005, "sum", 0, 100),
    "seed-lstm": (1, 1000, "sgd", 0.005, "sum", 0, 3),
    "d2l-rnn": (32, 35, "sgd", 100, "mean", 0.01, 250),
    "d2l-gru": (32, 35, "sgd", 100, "mean", 0.01, 160),
    "d2l-lstm": (32, 35, "sgd", 100, "mean", 0.01, 160),
    "d2l-rnn-adam": (32, 35, "adam", 0.001, "mean", 0.01, 250),
    "d2l-gru-adam": (32, 35, "adam", 0.01, "mean", 0.01, 160),
    "d2l-lstm-adam": (32, 35, "adam", 0.01, "mean", 0.01, 160),
    "char-rnn": (50, 50, "rmsprop", 0.002, "time", 5, 50),
    "torch-rnn": (50, 50, "adam", 0.002, "mean", 5, 50),
    "textgenrnn": (128, 40, "adam", 0.004, "mean", 0, 50),
    "word-language-model-200": (20, 35, "sgd", 20, "mean", 0.25, 40),
    "word-language-model-650": (20, 35, "sgd", 20, "mean", 0.25, 40),
    "word-language-model-1500": (20, 35, "sgd", 20, "mean", 0.25, 40),
    "zaremba-small": (20, 20, "sgd", 1, "time", 5, 13),
    "zaremba-medium": (20, 35, "sgd", 1, "time", 5, 39),
    "zaremba-large": (20, 35, "sgd", 1, "time", 10, 55),
    "awd-lstm": (20, 70, "asgd", 30, "mean", 0.25, 500),
    "theanolm-lstm300": (16, 100, "adagrad", 0.1, "mean", 5, 100),
    "makemore-rnn": (32, 64, "adamw", 0.0005, "mean", 0, None),
    "makemore-gru": (32, 64, "adamw", 0.0005, "mean", 0, None),
}


@recipes
def test_rate_clip_and_scale_of_the_loss_are_those_of_the_source(name):
    _, r = settings(name, 50)
    assert (r.batch, r.bptt, r.optimizer, r.rate, r.loss, r.clip, r.epochs) == TRAINING[name]


@pytest.mark.parametrize(
    ("name", "full", "then"),
    [
        ("zaremba-small", 4, 0.5),
        ("zaremba-medium", 6, 0.8),
        ("zaremba-large", 14, 1 / 1.15),
        ("char-rnn", 10, 0.97),
        ("torch-rnn", 5, 0.5),
    ],
)
def test_the_rate_falls_after_as_many_epochs_as_in_the_source(name, full, then):
    _, recipe = settings(name, 50)
    assert [schedule(recipe, 0.5, epoch) for epoch in range(full)] == [1.0] * full
    assert schedule(recipe, 0.5, full) == pytest.approx(then)


def test_the_book_s_presets_write_as_the_book_does():
    for name in (name for name in RECIPES if name.startswith("d2l-")):
        samples = Samples.from_json(presets.load(name).samples)
        assert samples == Samples("40e", ("分开", "不分开"), 50, 0.0)
        assert [epoch for epoch in range(161) if samples.due(epoch=epoch)] == [40, 80, 120, 160]


@pytest.mark.parametrize("name", ["d2l-lstm", "d2l-lstm-adam", "zaremba-small", "awd-lstm"])
def test_the_forget_gate_starts_at_zero_where_the_source_has_no_bias_there(name):
    config, _ = reduced(name, 50)
    b = Model.initial(config).params["rnn.0.fwd.b"]
    assert np.all(b[8:16] == 0)


@recipes
def test_one_step_of_every_recipe_moves_every_parameter(name):
    config, recipe = reduced(name, 20)
    rng = np.random.default_rng(0)
    starts = np.cumsum([0, *rng.integers(4, 12, 200)])
    ids = rng.integers(20, size=starts[-1])
    before = Model.initial(config, 0).params
    run = TrainRun.start(Model.initial(config, 0), replace(recipe, max_steps=1))
    reports = list(train(run, make_plan(run.recipe, ids, starts)))
    assert reports[0].kind == "step"
    assert 0 < reports[0].nats < 2 * np.log(20)
    for key, values in run.model.params.items():
        assert np.isfinite(values).all(), key
        assert not np.array_equal(values, before[key]), key
