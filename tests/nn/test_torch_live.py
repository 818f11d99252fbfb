"""As test_torch_frozen.py, against the PyTorch that is installed, on sizes drawn at random.

Where torch is missing the frozen numbers stand for it.
"""

import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

for room in ("frozen", "convert"):
    sys.path.insert(0, str(Path(__file__).parents[1] / room))

import make_torch_reference as made  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402
from test_pytorch import NETWORKS, language, logits  # noqa: E402
from test_torch_frozen import check_cell, check_model, check_optimizer, frozen  # noqa: E402

from rnncli.config.network import Config  # noqa: E402
from rnncli.convert import foreign, pytorch  # noqa: E402
from rnncli.convert.pytorch import to_torch  # noqa: E402
from rnncli.files import safetensors  # noqa: E402
from rnncli.nn import Batch, Model, Steps  # noqa: E402


def drawn_settings(seed):
    """A random kind of cell, sizes and ragged lengths."""
    rng = np.random.default_rng(seed)
    cell = dict(list(made.CELLS.values())[seed % len(made.CELLS)])
    settings = {"hidden": int(rng.integers(2, 9)), "layers": int(rng.integers(1, 4)), **cell}
    if "proj" in cell:
        settings["proj"] = int(rng.integers(1, settings["hidden"]))
    return rng, settings, rng.integers(1, 9, rng.integers(1, 7)).tolist()


@pytest.mark.parametrize("seed", range(25))
def test_cells_of_any_size_compute_what_torch_computes(seed):
    rng, settings, lengths = drawn_settings(seed)
    settings |= {"inputs": int(rng.integers(1, 7)), "bidirectional": bool(rng.integers(2))}
    settings |= {"head": "values", "outputs": 1}
    check_cell(settings, made.cell_case(settings, lengths, seed))


@pytest.mark.parametrize("seed", range(25))
def test_language_models_of_any_size_compute_what_torch_computes(seed):
    rng, settings, lengths = drawn_settings(seed)
    tied = bool(rng.integers(2))
    width = settings.get("proj", settings["hidden"])
    settings |= {"inputs": int(rng.integers(2, 300)), "tied": tied}
    settings["embed"] = width if tied else int(rng.integers(0, 5))
    check_model(settings, made.model_case(settings, lengths, seed))


@pytest.mark.parametrize("name", made.OPTIMIZERS)
def test_updates_of_another_network_go_where_torch_goes(name):
    recipe, rule, options = made.OPTIMIZERS[name]
    recipe = {"optimizer": name, "clip": made.CLIP} | recipe
    settings = {"inputs": 11, "hidden": 5, "embed": 4, "cell": "lstm", "layers": 1}
    start, end = made.optimizer_case(settings, [4, 1, 3], 8, rule, options)
    check_optimizer((settings, start), (recipe, end))


def test_the_frozen_numbers_are_those_of_this_torch():
    for name, cases in (("cells", made.cell_cases()), ("models", made.model_cases())):
        kept = frozen(name)
        assert kept.keys() == cases.keys()
        for case, (_, arrays) in cases.items():
            for array, value in arrays.items():
                np.testing.assert_allclose(kept[case][1][array], value, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("cell", made.CELLS)
def test_torch_computes_what_our_exported_weights_compute(cell):
    config = Config(inputs=13, hidden=6, layers=2, embed=5, **made.CELLS[cell])
    model = Model.initial(config, seed=3, dtype=np.float64)
    theirs = made.LanguageModel({"embed": 0, **config.to_json()})
    weights = {name: torch.tensor(value) for name, value in to_torch(config, model.params).items()}
    theirs.load_state_dict(weights)
    ids, targets = np.random.default_rng(0).integers(0, 13, (2, 7, 4))
    state = model.zero_state(4)
    zeros = [torch.tensor(part.swapaxes(1, 2)) for part in state if part is not None]
    nats, _ = theirs.nats(torch.tensor(ids), torch.tensor(targets), [7] * 4, zeros)
    ours, _ = model.nats(Batch(ids.ravel(), targets.ravel(), Steps.dense(7, 4)), state)
    np.testing.assert_allclose(ours.reshape(7, 4), nats.detach(), rtol=1e-10, atol=1e-12)


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.parametrize("name", NETWORKS)
def test_a_file_of_ours_goes_into_torch_and_comes_back(name, tmp_path):
    before = language(**NETWORKS[name])
    before.model.params.flat[:] *= 0.5
    config, path = before.model.config, tmp_path / "m.safetensors"
    pytorch.save(path, before)
    theirs = made.LanguageModel({"embed": 0, **config.to_json()}).float()
    theirs.load_state_dict(load_file(path))
    ids = np.random.default_rng(0).integers(0, config.inputs, 40)

    def torch_computes():
        x = theirs.encoder(torch.tensor(ids)) if config.embed else torch.eye(config.inputs)[ids]
        return theirs.decoder(theirs.rnn(x)[0]).detach().numpy().T

    np.testing.assert_allclose(logits(before.model, ids), torch_computes(), atol=1e-6)
    with torch.no_grad():
        for value in theirs.parameters():
            value.mul_(0.9)
    weights = {name: value.clone() for name, value in theirs.state_dict().items()}
    save_file(weights, path, safetensors.read(path)[1])
    np.testing.assert_allclose(logits(pytorch.load(path).model, ids), torch_computes(), atol=1e-6)
    save_file(weights, path)  # as others have it: no metadata
    tokens = before.tokenizer.vocabulary.tokens
    if config.activation == "tanh":
        after = foreign.load(path, tokens, level="word")
        np.testing.assert_allclose(logits(after.model, ids), torch_computes(), atol=1e-6)
