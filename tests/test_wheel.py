"""The wheel: all of the package and nothing else, and the same bytes whenever it is built."""

import os
import shutil
import zipfile
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

import rnncli

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheels(tmp_path_factory):
    """The wheels of two copies of the sources, with other times and other permissions."""
    built = []
    for number in range(2):
        place = tmp_path_factory.mktemp("wheel")
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / name, place)
        shutil.copytree(ROOT / "rnncli", place / "rnncli",
                        ignore=shutil.ignore_patterns("__pycache__"))  # fmt: skip
        for path in place.rglob("*"):
            path.chmod(0o755 if path.is_dir() else (0o600, 0o664)[number])
            os.utime(path, (1e9 + 1e8 * number,) * 2)
        (wheel,) = WheelBuilder(str(place)).build(directory=str(place), versions=["standard"])
        built.append(Path(wheel))
    return built


def test_the_same_sources_give_the_same_bytes(wheels):
    first, second = wheels
    assert first.name == second.name == f"rnncli-{rnncli.__version__}-py3-none-any.whl"
    assert first.read_bytes() == second.read_bytes()


def test_it_holds_the_package_with_its_presets_guide_and_types(wheels):
    names = {name for name in zipfile.ZipFile(wheels[0]).namelist() if ".dist-info/" not in name}
    package = (path for path in (ROOT / "rnncli").rglob("*") if path.is_file())
    wanted = {str(p.relative_to(ROOT)) for p in package if p.suffix != ".pyc"}
    assert names == wanted
    assert {
        "rnncli/py.typed",
        "rnncli/training/presets/words.yaml",
        "rnncli/guide/options.md",
    } <= wanted
