"""Every row of `make torture`, with a small count; and that the rows see what they are to see."""

import os
from pathlib import Path

import pytest
import torture
from commands import run

from rnncli import errors
from rnncli.files import artefact, atomic

pytestmark = pytest.mark.torture

QUICK = {name: row for name, row in torture.ROWS.items() if row.quick}


@pytest.mark.parametrize("name", QUICK)
def test_the_promises_hold(name: str, tmp_path: Path) -> None:
    row = QUICK[name]
    tally = row.run(row.quick, tmp_path)
    assert tally.failures == []
    if name == "disk" and not tally.reached:
        pytest.skip("no disk can be mounted")
    assert tally.reached >= min(row.quick, 8)


def failures(name: str, folder: Path) -> list[str]:
    row = torture.ROWS[name]
    return row.run(row.quick, folder).failures


def test_a_reader_that_trusts_checksums_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artefact._File, "damaged", lambda file, what: KeyError(what))
    assert failures("damage", tmp_path)


def test_a_writer_in_place_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def in_place(prefix: str, mode: int) -> tuple[str, int]:
        name = os.path.basename(prefix)[1:].removesuffix(".rnncli-tmp-")
        return prefix, os.open(tmp_path / name, os.O_RDWR | os.O_CREAT | os.O_TRUNC, mode)

    monkeypatch.setattr(atomic, "_create", in_place)
    monkeypatch.setattr(os, "replace", lambda old, new: None)
    assert failures("calls", tmp_path)


def test_raw_control_characters_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errors, "_spelled", str)
    assert failures("control", tmp_path)


def test_a_command_that_does_not_say_the_row_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rnncli.files.lines.Place.__str__", lambda place: place.file)
    assert failures("mistakes", tmp_path)


def test_the_rows_have_one_program(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["torture.py", "targets", "--scale", "0.1"])
    assert torture.main() == 0
    assert capsys.readouterr().out.splitlines()[1].split()[-3:-1] == ["2", "0"]
    assert run("--version").code == 0
