"""For tests of README and guide: the blocks of a page, a folder to run them in, its links."""

import csv
import os
import re
import shlex
import subprocess
import sys
from itertools import islice
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
GUIDE = ROOT / "rnncli" / "guide"
PAGES = [README, *sorted(GUIDE.glob("*.md"))]
ROWS = 800  # of the 20,000 comments

STUBS = {  # a training takes 4 steps, whatever it is given; of make only the targets are looked up
    "rnncli": 'if [ "$1" = train ]; then set -- "$@" --max-steps 4; fi\n'
              "exec {python} -m rnncli \"$@\"",
    "python": 'exec {python} "$@"',
    "make": 'exec make --silent --dry-run --directory {root} "$@" > /dev/null',
    "activate": "",
}  # fmt: skip


class Block(NamedTuple):
    """A fenced block: its language, what is in it, and why it is not run, if it is not."""

    language: str
    text: str
    not_run: str

    @property
    def commands(self) -> str:
        """What is typed: all of an sh block, of a console block what follows a $."""
        if self.language == "console":
            return "\n".join(re.findall(r"^\$ (.*)$", self.text, re.MULTILINE))
        return self.text


def blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page; `<!-- not run: WHY -->` above one says it is not run."""
    found = re.findall(
        r"(?:<!-- not run: (.+?) -->\n+)?^```(\w*)\n(.*?)^```$",
        page.read_text("utf-8"), re.DOTALL | re.MULTILINE,
    )  # fmt: skip
    return [Block(language, text, why) for why, language, text in found]


def runnable(page: Path) -> list[Block]:
    """Return the blocks of a page that are run."""
    return [b for b in blocks(page) if b.language in ("sh", "console", "python") and not b.not_run]


def environment(folder: Path) -> dict[str, str]:
    """Return variables with which commands find the programs in `folder` before all others."""
    path = [str(folder / ".venv" / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]]
    return {**os.environ, "PATH": ":".join(path), "PYTHONPATH": str(ROOT),
            "RNNCLI_TRAIN_MAX_STEPS": "4"}  # fmt: skip


def workshop(folder: Path) -> Path:
    """Fill a folder as `make demo` leaves it: programs, corpora (the first comments), a model."""
    programs, corpora, demo = folder / ".venv" / "bin", folder / "corpora", folder / ".demo"
    for place in (programs, corpora, demo):
        place.mkdir(parents=True)
    values = {"python": shlex.quote(sys.executable), "root": shlex.quote(str(ROOT))}
    make = subprocess.run(["which", "make"], capture_output=True, text=True, check=True)
    for name, text in STUBS.items():
        text = text.format(**values).replace("exec make", f"exec {make.stdout.strip()}")
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
    for path in (ROOT / "corpora").iterdir():
        if path.name != "comments.csv":
            (corpora / path.name).symlink_to(path)
    with (
        open(ROOT / "corpora" / "comments.csv", encoding="utf-8", newline="") as comments,
        open(corpora / "comments.csv", "w", encoding="utf-8", newline="") as some,
    ):
        csv.writer(some).writerows(islice(csv.reader(comments), ROWS + 1))
    run("rnncli tokenize corpora/comments.csv --column body -o .demo/comments.npz -q\n"
        "rnncli train .demo/comments.npz -o .demo/model.npz --hidden 16 -q", folder)  # fmt: skip
    return folder


def at_work(page: Path, workshop: Path, folder: Path) -> Path:
    """Fill a folder for one page: links to the workshop, and the files that no block makes."""
    for name in (".venv", ".demo", "corpora"):
        (folder / name).symlink_to(workshop / name)
    text = "".join(block.commands for block in runnable(page))
    for name in ("comments.npz", "model.npz"):
        if not re.search(rf"-o {name}\b", text):
            (folder / name).symlink_to(workshop / ".demo" / name)
    return folder


def run(commands: str, folder: Path, language: str = "sh") -> str:
    """Run the commands of a block in a folder; every one has to succeed. Return what they print."""
    program = [sys.executable, "-c"] if language == "python" else ["bash", "-e", "-c"]
    done = subprocess.run(
        [*program, commands], cwd=folder, env=environment(folder), capture_output=True, text=True
    )
    assert done.returncode == 0, f"{commands}\n{done.stderr}"
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout


def links(page: Path) -> list[str]:
    """Return the relative links of a page, code left out: "[x](y.md#z)" -> ["y.md#z"]."""
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    return [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
