"""The README's commands run (`sh` blocks, and what follows a $), its program runs, its tree is so.

What the commands print is not compared: it depends on the machine.
"""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the corpora in it, in which the README's commands have been run, in order.

    RNNCLI_TRAIN_MAX_STEPS makes the training short; the commands are those of the README.
    """
    place = tmp_path_factory.mktemp("readme")
    (place / "corpora").symlink_to(ROOT / "corpora")
    commands = [line for block in blocks("sh") for line in block.splitlines() if line.strip()]
    commands += re.findall(r"^\$ (.*)$", README, re.MULTILINE)
    commands = [line for line in commands if not line.startswith("make ")]
    assert len(commands) >= 5
    binary = shlex.quote(sys.executable) + " -m rnncli"
    environment = {**os.environ, "RNNCLI_TRAIN_MAX_STEPS": "4", "PYTHONPATH": str(ROOT)}
    for command in commands:
        line = re.sub(r"(^|\| )rnncli ", rf"\1{binary} ", command)
        line = re.sub(r"^python ", shlex.quote(sys.executable) + " ", line)
        done = subprocess.run(
            ["bash", "-c", line], cwd=place, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, (command, done.stderr)
    return place


def test_the_commands_make_the_files_that_the_text_names(folder: Path) -> None:
    assert {"comments.npz", "model.npz"} <= {path.name for path in folder.iterdir()}


def test_the_program_runs_as_it_stands(folder: Path) -> None:
    (program,) = blocks("python")
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    perplexity, nats, *texts = done.stdout.strip().splitlines()
    assert 1 < float(perplexity) < 8000
    assert float(nats) > 0
    assert len(texts) >= 3


def test_the_file_tree_is_the_tree() -> None:
    tree = README.split("\nrnncli/\n")[1].split("\ncorpora/")[0]
    named, above = set(), [""]
    for indent, name in re.findall(r"^( +)(\w+\.py|[\w/]+/) ", tree, re.MULTILINE):
        del above[len(indent) // 2 :]
        named.add("".join(above) + name)
        above.append(name)
    closed = ("cli/", "examples/", "look/report/", "training/presets/")  # named, not listed
    package, there = ROOT / "rnncli", set()
    for path in package.rglob("*"):
        name = f"{path.relative_to(package)}{'/' if path.is_dir() else ''}"
        if name.endswith((".py", "/")) and "__" not in name:
            there.add(next((folder for folder in closed if name.startswith(folder)), name))
    assert there == named
