"""README: its commands run, its program too, its links lead somewhere, its packages are all there.

What the commands print is not compared: it depends on the machine.
"""

import re
from pathlib import Path

import pages
import pytest

pytestmark = pytest.mark.pages


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which README's commands have been run, in order."""
    workshop = pages.workshop(tmp_path_factory.mktemp("workshop"))
    place = pages.at_work(pages.README, workshop, tmp_path_factory.mktemp("readme"))
    commands = [b for b in pages.runnable(pages.README) if b.language != "python"]
    assert len(commands) >= 5
    for block in commands:
        pages.run(block.commands, place)
    return place


def test_the_commands_make_the_files_that_the_text_names(folder: Path) -> None:
    assert {"comments.npz", "model.npz"} <= {path.name for path in folder.iterdir()}


def test_the_program_runs_as_it_stands(folder: Path) -> None:
    (program,) = (block for block in pages.blocks(pages.README) if block.language == "python")
    assert len(program.text.splitlines()) <= 10
    perplexity, nats, *texts = pages.run(program.text, folder, "python").strip().splitlines()
    assert 1 < float(perplexity) < 8000
    assert float(nats) > 0
    assert len(texts) >= 3


def test_it_is_a_front_page() -> None:
    assert len(pages.README.read_text("utf-8").splitlines()) <= 250


def test_the_packages_are_the_packages() -> None:
    tree = pages.README.read_text("utf-8").split("\nrnncli/\n")[1].split("\n```")[0]
    named = re.findall(r"^  (\w+)/ ", tree, re.MULTILINE)
    there = {path.name for path in (pages.ROOT / "rnncli").iterdir()
             if path.is_dir() and path.name != "__pycache__"}  # fmt: skip
    assert sorted(named) == sorted(there)


def test_every_topic_of_the_guide_is_linked() -> None:
    links = set(pages.links(pages.README))
    assert {f"rnncli/guide/{page.name}" for page in pages.GUIDE.glob("*.md")} <= links
