"""What `rnncli` offers: one list, whichever way one asks."""

import ast
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from commands import TINY, good, sentences

import rnncli
from rnncli.errors import ConfigError

SOURCE = Path(rnncli.__file__)


def test_the_list_is_that_of_the_type_checker():
    block: Any
    (block,) = (node for node in ast.parse(SOURCE.read_text("utf-8")).body
                if isinstance(node, ast.If))  # fmt: skip
    typed = {name.asname: f"{node.module}.{name.name}" for node in block.body
             if isinstance(node, ast.ImportFrom) for name in node.names}  # fmt: skip
    listed = {name: f"rnncli.{place}.{name}" for name, place in rnncli._PLACES.items()}
    assert typed == listed
    assert rnncli.__all__ == sorted(rnncli._PLACES)


def test_the_names_are_these():
    assert set(rnncli.__all__) == {
        "ArtefactError", "ChangedError", "Config", "ConfigError", "Constraints", "DataError",
        "Dataset", "DivergenceError", "Filters", "LanguageModel", "MissingExtra", "Model",
        "Predictor", "Recipe", "RnncliError", "Score", "Tokenizer", "evaluate", "generate", "load",
        "resume", "save", "train",
    }  # fmt: skip


@pytest.mark.parametrize("name", rnncli.__all__)
def test_each_name_is_there_and_comes_from_its_place(name):
    found = getattr(rnncli, name)
    assert found is getattr(import_module(f"rnncli.{rnncli._PLACES[name]}"), name)
    assert found.__doc__
    assert found.__module__.startswith("rnncli.")


def test_dir_shows_the_names_and_the_modules():
    rooms = {
        path.stem
        for path in SOURCE.parent.iterdir()
        if path.name[0] != "_" and (path.suffix == ".py" or (path / "__init__.py").exists())
    }
    assert set(dir(rnncli)) == {*rnncli.__all__, *rooms}
    for name in rooms:
        assert getattr(rnncli, name).__name__ == f"rnncli.{name}"
    with pytest.raises(AttributeError, match="no attribute 'zeppelin'"):
        _ = rnncli.zeppelin


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A small data file."""
    folder = tmp_path_factory.mktemp("exports")
    (folder / "t.txt").write_text(sentences(60))
    good("tokenize", folder / "t.txt", "-o", folder / "d.npz")
    return folder / "d.npz"


SMALL = {"hidden": 8, "batch": 4, "bptt": 8}


def test_a_misspelt_setting_is_refused_with_the_one_that_is_meant(data):
    with pytest.raises(ConfigError, match=r'^there is no setting "hiden". Is "hidden" meant\?$'):
        rnncli.train(data, hiden=3)
    language = rnncli.train(data, **SMALL, max_steps=1)
    with pytest.raises(ConfigError, match=r'^generate .*"temprature". Is "temperature" meant\?$'):
        rnncli.generate(  # type: ignore[call-arg]
            language, temprature=1
        )
    with pytest.raises(ConfigError, match="is not a time such as 90s"):
        rnncli.train(data, max_time="soon")


def test_a_time_may_be_a_text(data):
    seen = []
    rnncli.train(data, **SMALL, max_time="0.2s", on_report=seen.append)
    assert seen[-1].reason == "time"


def test_a_library_user_goes_on_as_the_command_does(data, tmp_path):
    for name in ("a.npz", "b.npz"):
        good("train", data, "-o", tmp_path / name, *TINY, "--epochs", 1)
    good("train", data, "-o", tmp_path / "a.npz", *TINY, "--epochs", 2, "--resume")
    language = rnncli.resume(tmp_path / "b.npz", data, epochs=2)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    again = rnncli.resume(tmp_path / "b.npz", data)  # complete: as it is
    assert again.fingerprint == language.fingerprint
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    with pytest.raises(ConfigError, match=r'"epoch" is no limit of a run. Is "epochs" meant'):
        rnncli.resume(tmp_path / "b.npz", data, epoch=3)
    with pytest.raises(ConfigError, match=r"hidden.*can change epochs, max_steps"):
        rnncli.resume(tmp_path / "b.npz", data, hidden=3)


def test_a_model_shows_itself_in_a_line(data):
    shown = repr(rnncli.train(data, **SMALL, max_steps=1))
    assert shown.startswith("<LanguageModel gru 8, ")
    assert len(shown.splitlines()) == 1 < len(shown) < 100


def test_the_library_writes_what_the_command_writes(data, tmp_path):
    good("train", data, "-o", tmp_path / "m.npz", *TINY, "--max-steps", 3)
    words = ("--prefix", "the", "--num", 3, "--seed", 5, "--temperature", 0.7)
    texts = good("sample", tmp_path / "m.npz", *words).out.splitlines()
    language = rnncli.load(tmp_path / "m.npz")
    found = rnncli.generate(language, "the", num=3, seed=5, temperature=0.7)
    assert ["the" + sample.text for sample in found] == texts
