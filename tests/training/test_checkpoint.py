"""Checkpoints: what they hold, that a run goes on from one, and that nonsense in one is refused."""

import itertools
import math
import os

import numpy as np
import pytest

from rnncli.config.network import Config
from rnncli.config.recipe import Recipe
from rnncli.errors import ArtefactError, DivergenceError
from rnncli.files import artefact
from rnncli.lm.language_model import LanguageModel, load, save
from rnncli.nn import Model
from rnncli.text.tokenizer import Tokenizer
from rnncli.training import checkpoint
from rnncli.training.loop import TrainRun, make_plan, train

TEXTS = ["the cat sat on the mat", "the dog sat on the log", "a cat and a dog", "the end"] * 5
RUNS = {
    "lstm adam": ({"embed": 5, "layers": 2, "dropout": 0.2}, {}),
    "lstm projected asgd": ({"proj": 3}, {"optimizer": "asgd", "trigger": 0, "lr": 3.0}),
    "gru adadelta plateau": (
        {"cell": "gru"}, {"optimizer": "adadelta", "schedule": "divide-on-plateau", "batch": 4},
    ),
    "rnn sgd halve": (
        {"cell": "rnn", "embed": 6, "tied": True},
        {"optimizer": "sgd", "schedule": "halve-on-rise", "batching": "consecutive", "lr": 5.0},
    ),
    "rnn patience": ({"cell": "rnn"}, {"patience": 2, "valid_every": 2, "epochs": 40}),
    "gru random": ({"cell": "gru-before"}, {"batching": "random", "optimizer": "nesterov"}),
}  # fmt: skip


def tokenizer():
    return Tokenizer.train(TEXTS)


def corpus(words):
    """The ids of all texts, each in <s> and </s>, and where each begins."""
    units = [np.array([1, *words.encode(text), 2], np.int64) for text in TEXTS]
    return np.concatenate(units), np.cumsum([0, *map(len, units)])


def begin(config=None, recipe=None):
    words = tokenizer()
    recipe = Recipe(**{"bptt": 5, "batch": 3, "epochs": 3, "valid_every": 4, **(recipe or {})})
    model = Model.initial(Config(len(words), **{"hidden": 6, **(config or {})}))
    run = TrainRun.start(model, recipe)
    language = LanguageModel(run.result, words, data={"hash": "abc", "inputs": ["x.csv"]})
    return language, run, make_plan(recipe, *corpus(words))


def write(path, language, run):
    language.model = run.result
    checkpoint.save(path, language, run)


def up_and_down():
    """A validation whose figures are no function of the model: 3, 2.9, 3.1, 3, 2.8, ..."""
    return lambda model: 3 + 0.1 * math.sin(40 * float(np.abs(model.params.flat[:50]).sum()))


@pytest.mark.parametrize(("config", "recipe"), RUNS.values(), ids=RUNS.keys())
def test_a_run_that_goes_on_from_its_file_ends_with_the_same_bytes(tmp_path, config, recipe):
    whole, path = tmp_path / "whole.npz", tmp_path / "stopped.npz"
    language, run, plan = begin(config, recipe)
    count = len(list(train(run, plan, up_and_down())))
    write(whole, language, run)
    for stop in np.random.default_rng(1).permutation(count - 1)[:3] + 1:
        language, run, plan = begin(config, recipe)
        list(itertools.islice(train(run, plan, up_and_down()), int(stop)))
        write(path, language, run)
        language, run = checkpoint.resume(path)
        list(train(run, plan, up_and_down()))
        write(path, language, run)
        assert path.read_bytes() == whole.read_bytes()


def test_a_model_comes_back_as_it_was(tmp_path):
    language, run, plan = begin({"embed": 5})
    list(train(run, plan, up_and_down()))
    write(tmp_path / "m.npz", language, run)
    back = load(tmp_path / "m.npz")
    assert back.model.config == run.result.config
    assert back.model.dtype == np.float32
    for name, values in run.result.params.items():
        assert np.array_equal(back.model.params[name], values)
    assert back.tokenizer.fingerprint == language.tokenizer.fingerprint
    assert (back.data, back.history, back.carried) == (language.data, run.history, False)
    last = run.model.params.flat
    assert not np.array_equal(run.result.params.flat, last)  # the best is kept


def test_a_model_may_be_saved_without_its_run(tmp_path):
    language, _, _ = begin()
    save(tmp_path / "m.npz", language)
    assert np.array_equal(load(tmp_path / "m.npz").model.params.flat, language.model.params.flat)
    with pytest.raises(ArtefactError, match=r"m\.npz: a model without its run"):
        checkpoint.resume(tmp_path / "m.npz")


def test_saving_twice_gives_the_same_bytes(tmp_path):
    language, run, plan = begin()
    list(itertools.islice(train(run, plan), 5))
    for name in ("a", "b"):
        write(tmp_path / name, language, run)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_parameters_that_are_not_finite_never_replace_a_good_file(tmp_path, value):
    language, run, plan = begin()
    list(itertools.islice(train(run, plan), 5))
    write(tmp_path / "m.npz", language, run)
    good = (tmp_path / "m.npz").read_bytes()
    run.best = run.model.params.flat.copy()
    run.model.params.flat[3] = value
    with pytest.raises(DivergenceError, match="no longer finite"):
        write(tmp_path / "m.npz", language, run)
    assert (tmp_path / "m.npz").read_bytes() == good
    assert [p.name for p in tmp_path.iterdir()] == ["m.npz"]


@pytest.fixture
def parts(tmp_path, monkeypatch):
    """The header and the arrays of a sound file, to be spoilt and written again."""
    monkeypatch.setattr(os, "fsync", lambda file: None)  # hundreds of files, none to be kept
    language, run, plan = begin(recipe={"batching": "consecutive"})
    list(itertools.islice(train(run, plan, up_and_down()), 9))
    write(tmp_path / "sound.npz", language, run)
    found = artefact.read(tmp_path / "sound.npz")
    path = tmp_path / "spoilt.npz"

    def again(header=found.header, arrays=found.arrays):
        artefact.write(path, "model", header, arrays)
        return checkpoint.resume(path)

    return found.header, found.arrays, again


JUNK = (None, True, -1, 10**18, -0.5, "lstm", [None], {"a": 1})


def places(value, path=()):
    """The path of every value in nested dictionaries, and one place in a list."""
    yield path
    children = value.items() if isinstance(value, dict) else enumerate(value[:1]) if isinstance(
        value, list) else ()  # fmt: skip
    for key, child in children:
        yield from places(child, (*path, key))


def spoilt(value, path, junk):
    if not path:
        return junk
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = spoilt(value[path[0]], path[1:], junk)
    return copy


def test_nonsense_anywhere_in_the_header_is_refused_or_harmless(parts):
    header, _, again = parts
    refused, tried = [], 0
    for path in places(header):
        for junk in JUNK if path else ({},):
            tried += 1
            try:
                language, run = again(header=spoilt(header, path, junk))
            except ArtefactError as error:
                refused.append(str(error))
            else:
                assert isinstance(run.recipe, Recipe)
                assert np.isfinite(language.model.params.flat).all()
    assert len(refused) > 0.6 * tried > 300
    assert all("spoilt.npz" in message and "\n" not in message for message in refused)


def test_a_header_without_one_of_its_parts_is_refused(parts):
    header, _, again = parts
    assert again()
    for name in ("tokenizer", "config", "data", "history", "run"):
        with pytest.raises(ArtefactError, match=r"spoilt\.npz"):
            again(header={key: value for key, value in header.items() if key != name})
    for name in ("recipe", "step", "epoch", "batch", "averaged", "stale", "tokens", "finished"):
        run = {key: value for key, value in header["run"].items() if key != name}
        with pytest.raises(ArtefactError, match=r"spoilt\.npz"):
            again(header={**header, "run": run})


def test_arrays_that_do_not_fit_are_refused(parts):
    _, arrays, again = parts
    optional = {"run.state.h"}
    for name, array in arrays.items():
        wrong = [array[..., :-1], array.astype(np.float64 if array.dtype.kind == "f" else np.int16)]
        if array.dtype.kind == "f" and not name.startswith("run."):
            wrong.append(np.full_like(array, np.nan))
        for other in wrong:
            with pytest.raises(ArtefactError, match=r"spoilt\.npz"):
                again(arrays={**arrays, name: other})
        if name not in optional:
            with pytest.raises(ArtefactError, match=r"spoilt\.npz"):
                again(arrays={key: value for key, value in arrays.items() if key != name})


def test_a_network_with_another_vocabulary_is_refused(parts):
    header, _, again = parts
    config = {**header["config"], "inputs": header["config"]["inputs"] + 1}
    with pytest.raises(ArtefactError, match="do not belong together"):
        again(header={**header, "config": config})


def test_a_network_for_tags_is_no_language_model(parts):
    header, _, again = parts
    with pytest.raises(ArtefactError, match="do not belong together"):
        again(header={**header, "config": {**header["config"], "head": "tags", "outputs": 3}})
