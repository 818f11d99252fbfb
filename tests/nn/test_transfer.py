"""Training that begins with a model: each token's rows follow it, the rest is the network's."""

import numpy as np
import pytest
from commands import TINY, good, refused, sentences

import rnncli
from rnncli.config.network import Config
from rnncli.data.dataset import Dataset
from rnncli.errors import ConfigError, DataError
from rnncli.lm import language_model
from rnncli.nn import Model, Steps
from rnncli.nn.transfer import carried_over, match
from rnncli.training import session as api
from rnncli.training.loop import train
from rnncli.training.settings import settings_from

NETWORKS = {
    "one-hot": {"cell": "lstm"},
    "embedded": {"cell": "gru", "embed": 4, "layers": 2},
    "tied": {"cell": "rnn", "embed": 6, "tied": True},
}


def lively(**settings):
    model = Model.initial(Config(5, hidden=6, **settings), dtype=np.float64)
    model.params.flat[:] = np.random.default_rng(0).standard_normal(model.params.flat.shape)
    return model


def logits(model, ids):
    return model.predict(np.array(ids), model.zero_state(1), Steps.dense(len(ids), 1))[0]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Two data files of words with some in common, one of characters, and a model of the first."""
    folder = tmp_path_factory.mktemp("transfer")
    texts = {"a": sentences(60), "b": sentences(50, seed=1).replace("cat", "axolotl")}
    for name, text in texts.items():
        (folder / f"{name}.txt").write_text(text)
        good("tokenize", folder / f"{name}.txt", "-o", folder / f"{name}.npz", "--split",
             "0.8,0.2")  # fmt: skip
    good("tokenize", folder / "a.txt", "-o", folder / "c.npz", "--level", "char")
    good("train", folder / "a.npz", "-o", folder / "m.npz", *TINY, "--max-steps", 5, "--embed", 5)
    return folder


# --- rows ---


def test_tokens_are_matched_by_name():
    found = match(["<unk>", "a", "b", "c"], ["<unk>", "c", "x", "a", "y"])
    assert found.rows == (0, 3, -1, 1, -1)
    assert (found.kept, found.new, found.lost) == (3, 2, 1)


@pytest.mark.parametrize("name", NETWORKS)
def test_another_order_of_the_tokens_is_the_same_network(name):
    model, order = lively(**NETWORKS[name]), [3, 0, 4, 1, 2]
    moved = carried_over(model, order)
    ids = [0, 2, 2, 1, 4, 3]
    there = [order.index(k) for k in ids]
    np.testing.assert_array_equal(logits(moved, there), logits(model, ids)[order])


@pytest.mark.parametrize("name", NETWORKS)
def test_a_new_token_reads_and_is_read_as_the_mean_of_all(name):
    model = lively(**NETWORKS[name])
    grown = carried_over(model, [0, 1, -1, 3, 4, -1])
    assert grown.config.inputs == 6
    old, new = logits(model, [0, 3, 4]), logits(grown, [0, 3, 4])
    np.testing.assert_array_equal(new[[0, 1, 3, 4]], old[[0, 1, 3, 4]])
    for row in (2, 5):
        np.testing.assert_allclose(new[row], old.mean(axis=0), rtol=1e-12)
    first = "embed.W" if "embed.W" in model.params else "rnn.0.fwd.Wx"
    np.testing.assert_allclose(grown.params[first][2], model.params[first].mean(axis=0))


# --- the library ---


def test_with_the_old_vocabulary_nothing_changes_before_the_first_step(files):
    start = rnncli.load(files / "m.npz")
    data = Dataset.open(files / "a.npz")
    config, recipe = settings_from(start, data.tokenizer, None, {})
    session = api.begin(data, api.fresh(data, config, recipe, start=start))
    tokens = start.tokenizer.vocabulary.tokens, data.tokenizer.vocabulary.tokens
    found = match(*tokens)
    assert (found.new, found.lost) == (0, 0)
    np.testing.assert_array_equal(session.run.model.params.flat, start.model.params.flat)
    assert config == start.model.config


def test_a_model_learns_on_from_where_it_is(files):
    start = rnncli.load(files / "m.npz")
    longer = rnncli.train(files / "a.npz", preset="words", hidden=8, embed=5, batch=4, max_steps=40)
    after = rnncli.train(files / "b.npz", start=longer, batch=4, max_steps=5)
    fresh = rnncli.train(files / "b.npz", hidden=8, embed=5, batch=4, max_steps=5)
    assert after.model.config.hidden == 8
    assert after.history[-1]["valid"] < fresh.history[-1]["valid"]
    with pytest.raises(ConfigError, match="hidden 8, not 9"):
        rnncli.train(files / "b.npz", start=start, hidden=9)
    again = rnncli.train(files / "b.npz", start=start, hidden=8, dropout=0.5, max_steps=1)
    assert again.model.config.dropout == 0.5
    with pytest.raises(DataError, match="level char"):
        rnncli.train(files / "c.npz", start=start)


# --- the command ---


def test_what_becomes_of_the_vocabulary_is_said(files, tmp_path):
    old = rnncli.load(files / "m.npz").tokenizer.vocabulary.tokens
    done = good("train", files / "b.npz", "-o", tmp_path / "n.npz", "--from", files / "m.npz",
                "--max-steps", 2)  # fmt: skip
    new = rnncli.load(tmp_path / "n.npz").tokenizer.vocabulary.tokens
    assert "axolotl" in set(new) - set(old)
    counts = len(set(old) & set(new)), len(set(new) - set(old)), len(set(old) - set(new))
    assert (
        "{} tokens go on, {} are new and begin as the mean, {} are left out".format(*counts)
        in done.err
    )


def test_a_run_that_began_with_a_model_goes_on_to_the_same_bytes(files, tmp_path):
    whole, parts = tmp_path / "whole.npz", tmp_path / "parts.npz"
    words = (files / "b.npz", "--from", files / "m.npz", "--preset", "theanolm-lstm300",
             "--dropout", 0.1)  # fmt: skip
    good("train", *words, "-o", whole, "--max-steps", 6)
    stopped(words, parts)
    good("train", *words, "-o", parts, "--resume", "--max-steps", 6)
    assert parts.read_bytes() == whole.read_bytes()
    assert (
        language_model.load(parts).data["from"] == language_model.load(files / "m.npz").fingerprint
    )


def stopped(words, path):
    """As a run of six steps that is saved and left after the third."""
    data, _, start, *_ = words
    dataset, language = Dataset.open(data), language_model.load(start)
    config, recipe = settings_from(
        language, dataset.tokenizer, "theanolm-lstm300", {"dropout": 0.1, "max_steps": 6}
    )
    session = api.begin(dataset, api.fresh(dataset, config, recipe, start=language))
    for report in train(session.run, session.plan, session.validate):
        if report.kind == "step" and report.step == 3:
            break
    session.save(path)


def test_what_does_not_go_together_is_refused(files, tmp_path):
    model, new = files / "m.npz", tmp_path / "n.npz"
    words = ("train", files / "b.npz", "--from", model, "--max-steps", 1)
    for setting in (("--hidden", 9), ("--cell", "rnn"), ("--tied",), ("--forget-bias", 2)):
        line = refused(*words, "-o", new, *setting)
        assert "the model to begin with has" in line
    assert "is read, too" in refused(*words, "-o", model)
    assert "level char" in refused("train", files / "c.npz", "--from", model, "-o", new)
    assert "data file" in refused("train", files / "b.npz", "--from", files / "a.npz", "-o", new)
    assert not new.exists()
    good(*words, "-o", new, "--embed", 5)  # what the model has may be said
    fresh = tmp_path / "fresh.npz"
    good("train", files / "b.npz", "-o", fresh, *TINY, "--max-steps", 1)
    for begun, said in ((new, fresh), (fresh, model)):
        line = refused("train", files / "b.npz", "-o", begun, "--from", said, "--resume")
        assert "was not begun with" in line
    again = good("train", files / "b.npz", "-o", new, "--from", model, "--resume", "--max-steps", 1)
    assert "nothing to do" in again.err
