"""What reaches a terminal or a pipe: nothing unescaped, no traceback, the right exit code.

python tests/torture control pipes
"""

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from commands import ROOT, TINY, ended, good, process, run, sentences
from tally import Tally

from rnncli.files import artefact

EXTRA = (0x200B, 0x200E, 0x2028, 0x202E, 0x2066, 0xFEFF, 0xE0001)  # beyond the control codes


class _Terminal(io.TextIOWrapper):
    def isatty(self) -> bool:
        return True


def control(count: int, folder: Path) -> Tally:
    """Every character up to 255, and some beyond, as token, name, key and message."""
    tally = Tally()
    codes = [*range(128, 160), *range(32), 127, *EXTRA, *range(32, 127), *range(160, 256)]
    for code in codes[:count]:
        place = folder / f"{code:x}"
        place.mkdir()
        said = _everything(place, chr(code))
        raw = {c for text in said for c in text if not c.isprintable() and c not in "\n\t"}
        tally.check(not raw, f"U+{code:04X}: {raw} in {[t for t in said if raw & set(t)][:1]}")
    return tally


def _everything(place: Path, c: str) -> list[str]:
    """What commands say, on a terminal, about files with the character in all places."""
    bad = f"a{c}[31mb"
    said: list[str] = []

    def seen(*words: Any) -> int:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(io, "TextIOWrapper", _Terminal)  # what `run` makes its streams of
            patch.setenv("TERM", "dumb")
            done = run(*words)
        said.extend([done.out, done.err])
        assert "Traceback" not in done.err
        return done.code

    name = place / (f"n{c}.csv" if c not in "/\0" else "n.csv")
    text = "".join(f'{i},"one {bad} two {bad} three"\n' for i in range(12))
    name.write_text(f'"{bad.replace(chr(34), "")}",text\n{text}', newline="")
    data, model = place / "d.npz", place / "m.npz"
    column = ("--column", "text")
    seen("tokenize", name, "-o", data, "--column", "none")
    seen("tokenize", name, "-o", data, *column, "--level", "char", "--json")
    if data.exists():
        seen("train", data, "-o", model, *TINY, "--max-steps", 2, "--threads", 1,
             "--sample-every", 1, "--sample-length", 9)  # fmt: skip
        for more in (("--json",), ("-n", 2), ("--temperature", 9)):
            seen("sample", model, "--prefix", bad, "--length", 40, "--threads", 1, *more)
        seen("eval", model, data, "--json", "--threads", 1)
        header = artefact.read(data).header
        artefact.write(data, "data", {**header, "splits": {bad: 1}}, artefact.read(data).arrays)
        seen("train", data, "-o", model)
    name.write_text(f'text\n"one{bad}" two\n')
    seen("tokenize", name, "-o", data)
    (place / "run.yaml").write_text(f'"{bad}": 1\ncell: "{bad}"\n', newline="")
    seen("train", data, "-o", model, "--config", place / "run.yaml")
    (place / "t.jsonl").write_text(f'{{"text": "{bad}"}}\n{{"{bad}": 1}}\n', newline="")
    seen("tokenize", place / "t.jsonl", "-o", data, "--column", "text")
    if c != "\0":
        seen("tokenize", f"{place}/{bad}/x.csv", "-o", data)
        seen("train", data, "-o", f"{place}/{bad}/x.npz")
    return said


def pipes(count: int, folder: Path) -> Tally:
    """Readers that leave or have left, a full device, no standard output at all."""
    (folder / "t.txt").write_text(sentences(60))
    data, model = folder / "d.npz", folder / "m.npz"
    good("tokenize", folder / "t.txt", "-o", data)
    good("train", data, "-o", model, *TINY, "--max-steps", 2, "--threads", 1)
    commands: dict[str, tuple[Any, ...]] = {
        "sample": ("sample", model, "--length", 30000, "--no-stop-at-end"),
        "samples": ("sample", model, "-n", 4000, "--length", 9, "--json"),
        "eval": ("eval", model, data),
        "tokenize": ("tokenize", folder / "t.txt", "-o", folder / "out.npz", "--json"),
        "help": ("train", "--help"),
        "presets": ("train", "--list-presets"),
    }
    tally = Tally()
    for way in ("dead", "full", "head", "closed"):
        for name, words in commands.items():
            if tally.reached == count:
                return tally
            code, err = _piped(way, words)
            wanted = {"dead": (141,), "full": (1,), "head": (141, 0), "closed": (1,)}[way]
            notes = "" if name == "tokenize" else err  # its report goes to standard error
            fine = code in wanted and "Traceback" not in err and notes.count("\n") <= 1
            tally.check(fine, f"{name}, {way}: exit {code}, {err!r}")
    return tally


def _piped(way: str, words: tuple[Any, ...]) -> tuple[int, str]:
    if way == "head":
        started = process(*words)
        assert started.stdout is not None
        started.stdout.read(1)
        started.stdout.close()
        started.stdout = None
        done = ended(started)
    elif way == "full":
        with open("/dev/full", "wb") as full:
            done = ended(process(*words, stdout=full))
    elif way == "dead":
        reader, writer = os.pipe()
        os.close(reader)
        done = ended(process(*words, stdout=writer))
        os.close(writer)
    else:
        done = ended(process(*words, stdout=None, preexec_fn=lambda: os.close(1)))
    return done.code, done.err


def determinism(count: int, folder: Path) -> Tally:
    """Hash seed, locale, time zone, folder, umask, order of a folder: one set of bytes."""
    tally, found = Tally(), {}
    for number in range(count):
        place = folder / f"place{number}" / ("x" * (number % 7))
        place.mkdir(parents=True)
        names = [f"f{k}" for k in range(9)]
        for name in names[number % 9 :] + names[: number % 9]:
            (place / name).write_text(name)
        environment = {
            **os.environ,
            "PYTHONHASHSEED": str(number * 77),
            "LC_ALL": ("C", "C.UTF-8", "POSIX", "tr_TR.UTF-8", "de_DE.UTF-8")[number % 5],
            "TZ": ("UTC", "Asia/Kolkata", "America/St_Johns", "NZ")[number % 4],
            "COLUMNS": str(20 + number),
            "RNNCLI_TRAIN_THREADS": str(1 + number % 2),
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests" / "support")]),
        }
        script = [sys.executable, str(Path(__file__).parent / "terminal.py")]
        done = subprocess.run(
            script, cwd=place, env=environment, capture_output=True, text=True,
            umask=(0o022, 0o077, 0o002)[number % 3], check=False,
        )  # fmt: skip
        found[number] = done.stdout if done.returncode == 0 else done.stderr[-500:]
        tally.check(
            done.returncode == 0 and found[number] == found[0], f"{number}: {found[number]}"
        )
    return tally


def _fixed_job() -> str:
    """Tokenize, train, write and score in the current folder; a hash of all that came out."""
    import hashlib

    Path("t.csv").write_text("id,text\n" + "".join(
        f'{i},"{line}"\n' for i, line in enumerate([*sentences(80).splitlines(), "İstanbul ﬁn ß"])
    ), "utf-8")  # fmt: skip
    job = [
        ("tokenize", "t.csv", "-o", "d.npz", "--column", "text", "--json"),
        ("train", "d.npz", "-o", "m.npz", *TINY, "--max-steps", 30, "--dropout", 0.2,
         "--metrics", "log", "--valid-every", 7),
        ("sample", "m.npz", "-n", 4, "--json", "--threads", 1),
        ("eval", "m.npz", "d.npz", "--json", "--threads", 1),
    ]  # fmt: skip
    digest = hashlib.sha256("".join(good(*words).out for words in job).encode())
    for name in ("d.npz", "m.npz", "log"):
        digest.update(Path(name).read_bytes())
    return digest.hexdigest()


if __name__ == "__main__":
    print(_fixed_job())
