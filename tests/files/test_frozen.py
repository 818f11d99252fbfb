"""Files that users have stay good: those in tests/frozen, which commit 8144a51 wrote.

Each is read, and written again byte for byte. A data file is made again from its text, and each run
goes on to where it went then; the commands are those of tests/frozen/make_files.py.
"""

import hashlib
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from commands import good

import rnncli

FROZEN = Path(__file__).parents[1] / "frozen"
sys.path.insert(0, str(FROZEN))

import make_files as made  # noqa: E402

from rnncli.files.artefact import write  # noqa: E402

# All that is not the public package: the writer of any file, a model with its run, the version.
from rnncli.training.checkpoint import resume  # noqa: E402

VERSION = "rnncli.lm.language_model.__version__"

LATER = [f"{name}-later" for name in made.LATER]


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def parts(path):
    """Read the header and the arrays of a file with NumPy and JSON alone."""
    with np.load(path) as file:
        arrays = dict(file)
    return json.loads(arrays.pop("meta").tobytes()[65:])["header"], arrays


def check(found, wanted):
    """Compare exactly, but floats up to the rounding in which matrix kernels differ."""
    assert type(found) is type(wanted)
    if isinstance(wanted, dict):
        assert found.keys() == wanted.keys()
        for key, value in wanted.items():
            check(found[key], value)
    elif isinstance(wanted, list):
        assert len(found) == len(wanted)
        for one, other in zip(found, wanted, strict=True):
            check(one, other)
    elif isinstance(wanted, np.ndarray):
        assert (found.dtype, found.shape) == (wanted.dtype, wanted.shape)
        near = {"rtol": 1e-4, "atol": 1e-5} if wanted.dtype.kind == "f" else {"rtol": 0}
        np.testing.assert_allclose(found, wanted, **near)
    elif isinstance(wanted, float):
        assert found == pytest.approx(wanted, rel=1e-4, abs=1e-5)
    else:
        assert found == wanted


def test_the_frozen_files_are_those_that_were_written():
    lines = (FROZEN / "SHA256").read_text().splitlines()
    table = {name: digest for digest, name in map(str.split, lines)}
    assert set(table) == {*made.texts(), *(f"{name}.npz" for name in made.FILES)}
    assert {name: sha256(FROZEN / name) for name in table} == table


def test_the_frozen_files_hold_every_level_and_unit_and_every_part_of_a_run():
    cuts = [parts(FROZEN / f"{name}.npz")[0]["tokenizer"] for name in made.DATA]
    pairs = {(cut["level"], cut["unit"]) for cut in cuts}
    assert len(pairs) == 9
    (lstm, _), (gru, muon), (asgd, averaging), (grown, first) = (
        parts(FROZEN / f"{name}.npz") for name in ("lstm", "gru", "asgd", "from")
    )
    assert lstm["config"]["tied"]
    assert lstm["run"]["finished"] == ""
    assert gru["run"]["recipe"]["optimizer"] == "muon"
    assert gru["carried"]
    assert {"run.params", "run.state.h"} <= set(muon)
    assert asgd["run"]["averaged"] > 1
    assert {"run.slot.average", "run.state.c"} <= set(averaging)
    assert len(grown["data"]["from"]) == 64
    assert "run.good" in first
    for header in (lstm, gru, asgd):
        assert header["run"]["recipe"]["loss"] == "mean"
        assert header["run"]["batch"] > 0


@pytest.mark.parametrize("name", made.DATA)
def test_a_data_file_is_written_again_to_the_same_bytes(tmp_path, name):
    data = rnncli.Dataset.open(FROZEN / f"{name}.npz")
    header = {**data.header, "tokenizer": data.tokenizer.to_header()}
    arrays = dict(data.tokenizer.to_arrays())
    for split, part in data.splits.items():
        arrays |= {f"{split}.{what}": getattr(part, what) for what in ("ids", "starts", "rows")}
    write(tmp_path / "again.npz", "data", header, arrays)
    assert sha256(tmp_path / "again.npz") == sha256(FROZEN / f"{name}.npz")


@pytest.mark.parametrize("name", [*made.MODELS, *LATER])
def test_a_model_and_its_run_are_written_again_to_the_same_bytes(tmp_path, monkeypatch, name):
    monkeypatch.setattr(VERSION, "0.1.0")
    language, run = resume(FROZEN / f"{name}.npz")
    rnncli.save(tmp_path / "again.npz", language, run)
    assert sha256(tmp_path / "again.npz") == sha256(FROZEN / f"{name}.npz")


@pytest.mark.parametrize("name", [*made.MODELS, *LATER])
def test_a_model_that_is_loaded_has_the_frozen_parameters(name):
    language = rnncli.load(FROZEN / f"{name}.npz")
    _, arrays = parts(FROZEN / f"{name}.npz")
    assert sum(value.size for value in language.model.params.values()) == arrays["run.params"].size
    for key, value in language.model.params.items():
        np.testing.assert_array_equal(value, arrays[key])


@pytest.mark.parametrize("name", made.DATA)
def test_the_same_text_makes_the_same_data_file(tmp_path, monkeypatch, name):
    monkeypatch.chdir(FROZEN)
    good(*made.DATA[name].split(), "-q", "-o", tmp_path / "again.npz")
    assert sha256(tmp_path / "again.npz") == sha256(FROZEN / f"{name}.npz")


@pytest.mark.parametrize("name", made.LATER)
def test_a_run_goes_on_to_where_it_went_then(tmp_path, monkeypatch, name):
    monkeypatch.chdir(FROZEN)
    shutil.copy(FROZEN / f"{name}.npz", tmp_path / "model.npz")
    good(*made.LATER[name].split(), "-q", "-o", tmp_path / "model.npz")
    (found, arrays), (wanted, frozen) = (
        parts(tmp_path / "model.npz"),
        parts(FROZEN / f"{name}-later.npz"),
    )
    for header in (found, wanted):  # these name the version and the machine of today
        del header["writer"], header["run"]["machine"]
    check(found, wanted)
    check(arrays, frozen)
