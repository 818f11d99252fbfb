"""Presets: sizes and schedules are those that the sources publish; each parses and trains."""

from dataclasses import replace

import numpy as np
import pytest
from commands import good, sentences

from rnncli.config.network import Config
from rnncli.config.recipe import RATES, Recipe
from rnncli.config.samples import Samples
from rnncli.lm import language_model
from rnncli.nn import Model, shapes
from rnncli.nn.schedules import schedule
from rnncli.text.tokenizer import Tokenizer
from rnncli.training import recipes
from rnncli.training.loop import TrainRun, make_plan, train
from rnncli.training.settings import settings_for

DEFAULTS = {"characters", "characters-long", "words"}
RECIPES = sorted(set(recipes.names()) - DEFAULTS)
each_recipe = pytest.mark.parametrize("name", RECIPES)


def settings(name, inputs, **changes):
    values = recipes.load(name).settings | changes
    network = {k: v for k, v in values.items() if k in recipes.NETWORK}
    recipe = {k: v for k, v in values.items() if k in recipes.TRAINING}
    return Config.from_json({"inputs": inputs, **network}), Recipe.from_json(recipe)


def reduced(name, inputs):
    config, recipe = settings(name, inputs)
    top = min(config.top, 6)
    return replace(config, hidden=8, top=top, embed=min(config.embed, top or 8)), recipe


def size(config):
    return sum(int(np.prod(shape)) for shape in shapes(config).values())


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
    own = recipes.load("zaremba-small").settings
    same = settings_for(tokenizer, "zaremba-small", {"optimizer": own["optimizer"]})[1]
    other = settings_for(tokenizer, "zaremba-small", {"optimizer": "adam"})[1]
    assert (same.lr, same.rate) == (own["lr"], own["lr"])
    assert (other.lr, other.rate) == (None, RATES["adam"])
    assert other.clip == same.clip == own["clip"]
    given = settings_for(tokenizer, "zaremba-small", {"optimizer": "adam", "lr": 0.5})[1]
    assert given.rate == 0.5


@each_recipe
def test_every_recipe_says_what_it_is_whence_it_comes_and_what_it_reached(name):
    preset = recipes.load(name)
    for text in (preset.about, preset.source, preset.reported):
        assert text
        assert text.isprintable()
    assert preset.reported.startswith("none") or any(c.isdigit() for c in preset.reported)


@each_recipe
def test_every_recipe_fixes_what_its_rate_depends_on(name):
    fixed = {"cell", "hidden", "init", "batching", "batch", "bptt", "optimizer", "lr", "loss",
             "clip", "schedule"}  # fmt: skip
    assert fixed <= recipes.load(name).settings.keys()


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


def test_a_step_of_the_book_s_sgd_is_at_most_1_long_and_it_writes_every_40_epochs():
    for name in (name for name in RECIPES if name.startswith("d2l-")):
        _, recipe = settings(name, 50)
        if recipe.optimizer == "sgd":
            assert recipe.rate * recipe.clip == pytest.approx(1)
        samples = Samples.from_json(recipes.load(name).samples)
        assert [epoch for epoch in range(161) if samples.due(epoch=epoch)] == [40, 80, 120, 160]


@pytest.mark.parametrize("name", ["d2l-lstm", "d2l-lstm-adam", "zaremba-small", "awd-lstm"])
def test_the_forget_gate_starts_at_zero_where_the_source_has_no_bias_there(name):
    config, _ = reduced(name, 50)
    b = Model.initial(config).params["rnn.0.fwd.b"]
    assert np.all(b[8:16] == 0)


@pytest.mark.parametrize("name", recipes.names())
def test_one_step_of_every_preset_moves_every_parameter(name):
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


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A data file of sentences, and the same as one stream of characters."""
    folder = tmp_path_factory.mktemp("presets")
    (folder / "t.txt").write_text(sentences(200))
    for name, words in (("word", ()), ("char", ("--whole-file", "--level", "char"))):
        good("tokenize", folder / "t.txt", "-o", folder / f"{name}.npz", *words)
    return folder


@pytest.mark.parametrize("name", recipes.names())
@pytest.mark.parametrize("level", ["word", "char"])
def test_every_preset_trains_on_words_and_on_characters(name, level, data):
    """All that its file says but the widths, by the command."""
    config, _ = reduced(name, 50)
    widths = ("--hidden", 8, *(("--top", config.top) if config.top else ()))
    widths += ("--embed", config.embed) if config.embed else ()
    model = data / f"{name}-{level}.npz"
    words = ("--preset", name, *widths, "--batch", 4, "--max-steps", 2, "--sample-every", 2)
    done = good("train", data / f"{level}.npz", "-o", model, *words)
    assert "step 2 writes" in done.err
    trained = language_model.load(model).model.config
    wanted = {"hidden": 8, "top": config.top, "embed": config.embed, "inputs": trained.inputs}
    assert trained.to_json() == settings(name, 50)[0].to_json() | wanted
