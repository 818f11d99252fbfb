"""Language models: their file without a run, their fingerprint, and what predicts with them."""

from pathlib import Path

import numpy as np
import pytest

from rnncli.errors import DivergenceError
from rnncli.lm.language_model import LanguageModel, load, save
from rnncli.nn import Config, Model
from rnncli.text.tokenizer import Tokenizer
from rnncli.training import checkpoint


def language(seed: int = 0, carried: bool = False) -> LanguageModel:
    tokenizer = Tokenizer.train(["the cat sat on the mat", "a dog"])
    model = Model.initial(Config(len(tokenizer), hidden=5, embed=4), seed)
    return LanguageModel(model, tokenizer, carried, {"hash": "abc", "inputs": ["x.csv"]})


@pytest.mark.parametrize("carried", [True, False])
def test_a_file_holds_the_whole_of_a_language_model(tmp_path: Path, carried: bool) -> None:
    one = language(1, carried)
    save(tmp_path / "a.npz", one)
    back = load(tmp_path / "a.npz")
    assert back.model.config == one.model.config
    np.testing.assert_array_equal(back.model.params.flat, one.model.params.flat)
    assert back.tokenizer.vocabulary.tokens == one.tokenizer.vocabulary.tokens
    assert (back.carried, back.data, back.history) == (carried, one.data, [])
    assert back.fingerprint == one.fingerprint
    checkpoint.save(tmp_path / "b.npz", one)  # without a run it is the same file
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_the_fingerprint_tells_models_apart() -> None:
    assert language(1).fingerprint == language(1).fingerprint != language(2).fingerprint


def test_parameters_that_are_not_finite_are_not_written(tmp_path: Path) -> None:
    one = language()
    one.model.params["head.b"][0] = np.nan
    with pytest.raises(DivergenceError, match="no longer finite"):
        save(tmp_path / "m.npz", one)
    assert not list(tmp_path.iterdir())


def test_its_predictor_is_its_network() -> None:
    one = language(carried=True)
    predictor = one.predictor()
    ids = np.array([3, 4, 5])
    z, state = predictor.step(ids, predictor.start(3))
    expected, after = one.model.step(ids, one.model.zero_state(3))
    np.testing.assert_allclose(z, expected.T, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(state.h, after.h, rtol=1e-5, atol=1e-6)
    assert (predictor.carried, predictor.V) == (True, len(one.tokenizer))
