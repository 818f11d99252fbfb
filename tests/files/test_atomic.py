"""A file is written whole or not at all, whatever stops the writer, and nothing else is touched."""

import errno
import fcntl
import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from powercut import Op, Recorder, cut_power

from rnncli.errors import ArtefactError
from rnncli.files import artefact
from rnncli.files.artefact import ArrayBlocks, read, write
from rnncli.files.atomic import claimed

TESTS = Path(__file__).parents[1]


def save(path: Path, value: int) -> None:
    write(path, "model", {"value": value}, {"a": np.full(300, value), "b": np.array(value)})


def value(path: Path) -> Any:
    return read(path).header["value"]


# --- killed ---


def kills(*arguments: str) -> dict[str, int]:
    paths = f"{TESTS.parent}{os.pathsep}{TESTS / 'support'}"
    environment = {**os.environ, "PYTHONPATH": paths, "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, str(TESTS / "torture" / "kills.py"), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, check=True)
    found: dict[str, int] = json.loads(done.stdout)
    return found


def test_a_kill_at_any_moment_leaves_a_whole_file() -> None:
    assert kills("moments", "40") == {"whole": 40, "at the end: whole, 0 left over": 1}


def test_a_kill_at_any_call_leaves_a_whole_file_and_no_more_than_its_own_litter() -> None:
    found = kills("calls")
    assert set(found) == {"whole, 0 left over", "whole, 1 left over"}
    assert found["whole, 1 left over"] >= 8  # killed with a temporary: swept by the next save


def test_a_limit_on_file_size_keeps_the_old_file_and_leaves_no_litter() -> None:
    found = kills("limits", "12")
    assert found == {"status 7: whole, 0 left over": 11, "status 0: whole, 0 left over": 1}


# --- errors of the file system ---


def faulty(
    patch: pytest.MonkeyPatch, name: str, number: int, code: int, real: Callable[..., Any]
) -> list[int]:
    """Make the call `number` of os.`name` fail; the list it returns has one entry a call."""
    seen: list[int] = []

    def call(*args: Any) -> Any:
        seen.append(1)
        if len(seen) == number:
            raise OSError(code, os.strerror(code))
        return real(*args)

    patch.setattr(os, name, call)
    return seen


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
@pytest.mark.parametrize(
    "name", ["stat", "listdir", "open", "pwrite", "fchmod", "fsync", "replace"]
)
def test_an_error_of_any_call_is_one_line_and_keeps_a_whole_file(
    tmp_path: Path, name: str, code: int
) -> None:
    path, real = tmp_path / "x.npz", getattr(os, name)
    save(path, 0)
    for number in range(1, 100):
        with pytest.MonkeyPatch.context() as patch:
            seen = faulty(patch, name, number, code, real)
            message = None
            try:
                save(path, number)
            except ArtefactError as error:
                message = str(error)
        assert os.listdir(tmp_path) == ["x.npz"]
        if len(seen) < number:
            break
        assert message == f"{path}: cannot write: {os.strerror(code)}."
        assert value(path) in (0, number)
        save(path, 0)
    assert message is None
    assert value(path) == number > 1


@pytest.mark.parametrize("most", [1, 7, 64])
def test_short_writes_are_continued(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    save(tmp_path / "plain.npz", 3)
    real = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: real(fd, data[:most], at))
    save(tmp_path / "short.npz", 3)
    assert (tmp_path / "plain.npz").read_bytes() == (tmp_path / "short.npz").read_bytes()


def test_short_reads_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "x.npz", 3)
    real = os.preadv
    monkeypatch.setattr(os, "preadv", lambda fd, into, at: real(fd, [into[0][:5]], at))
    assert value(tmp_path / "x.npz") == 3


def test_a_read_error_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.npz"
    save(path, 3)
    faulty(monkeypatch, "preadv", 3, errno.EIO, os.preadv)
    with pytest.raises(ArtefactError) as caught:
        read(path)
    assert str(caught.value) == f"{path}: cannot read: {os.strerror(errno.EIO)}."


def test_a_folder_that_cannot_be_synced_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faulty(monkeypatch, "fsync", 2, errno.EINVAL, os.fsync)
    save(tmp_path / "x.npz", 1)
    assert value(tmp_path / "x.npz") == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError("of the blocks"), MemoryError()])
def test_an_error_of_the_blocks_goes_through_and_keeps_the_old_file(
    tmp_path: Path, error: BaseException
) -> None:
    def blocks() -> Iterator[np.ndarray]:
        yield np.zeros(1)
        raise error

    save(tmp_path / "x.npz", 1)
    with pytest.raises((KeyboardInterrupt, OSError, MemoryError)) as caught:
        write(tmp_path / "x.npz", "model", {}, {"a": ArrayBlocks(np.dtype(float), (2,), blocks())})
    assert caught.value is error
    assert os.listdir(tmp_path) == ["x.npz"]
    assert value(tmp_path / "x.npz") == 1


def test_a_missing_folder_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "none" / "x.npz"
    with pytest.raises(ArtefactError) as caught:
        save(path, 1)
    assert str(caught.value) == f"{path}: cannot write: No such file or directory."


def test_a_folder_without_permission_is_one_line(tmp_path: Path) -> None:
    folder = tmp_path / "closed"
    folder.mkdir()
    user = os.geteuid()
    folder.chmod(0o000 if user else 0o700)
    try:
        if user == 0:
            os.seteuid(65534)  # root may write everywhere
        with pytest.raises(ArtefactError, match=r"cannot write: Permission denied\.$"):
            save(folder / "x.npz", 1)
    finally:
        os.seteuid(user)
        folder.chmod(0o700)
    assert os.listdir(folder) == []


# --- the power fails ---


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes, bytes, list[Op]]:
    """What a save over an old file does to the disk: path, old bytes, new bytes, operations."""
    path = tmp_path_factory.mktemp("power") / "x.npz"
    save(path, 1)
    old = path.read_bytes()
    with pytest.MonkeyPatch.context() as patch:
        recorder = Recorder(patch)
        save(path, 2)
    return path, old, path.read_bytes(), recorder.log


def test_no_power_cut_breaks_the_file_and_none_loses_it_once_saved(
    log: tuple[Path, bytes, bytes, list[Op]],
) -> None:
    path, old, new, operations = log
    tried, broken, lost = cut_power(path, old, new, operations)
    assert tried > 400
    assert (broken, lost) == (0, 0)


def test_without_the_fsync_of_the_file_power_cuts_break_it(
    log: tuple[Path, bytes, bytes, list[Op]],
) -> None:
    path, old, new, operations = log
    assert cut_power(path, old, new, [op for op in operations if op.what != "fsync"])[1] > 0


def test_without_the_fsync_of_the_folder_power_cuts_lose_the_saved_file(
    log: tuple[Path, bytes, bytes, list[Op]],
) -> None:
    path, old, new, operations = log
    _, broken, lost = cut_power(
        path, old, new, [op for op in operations if op.what[-6:] != "folder"]
    )
    assert broken == 0
    assert lost > 0


def test_writing_in_place_is_broken_by_many_power_cuts(
    log: tuple[Path, bytes, bytes, list[Op]],
) -> None:
    path, old, new, operations = log
    plain = [op for op in operations if op.what == "write"]
    in_place = [Op("create", plain[0].file, str(path)), *plain]
    tried, broken, _ = cut_power(path, old, new, in_place)
    assert broken > tried // 4


# --- temporaries ---


def stale(path: Path) -> Path:
    return path.parent / f".{path.name}.rnncli-tmp-123-0123abcd"


def test_a_stale_temporary_goes_at_the_next_write(tmp_path: Path) -> None:
    stale(tmp_path / "x.npz").write_bytes(b"half a fi")
    save(tmp_path / "x.npz", 1)
    assert os.listdir(tmp_path) == ["x.npz"]


def test_files_that_are_no_temporaries_of_the_target_stay(tmp_path: Path) -> None:
    others = {
        stale(tmp_path / "y.npz").name,
        ".x.npz.rnncli-tmp-notes",
        ".x.npz.rnncli-tmp-123-0123abcd.txt",
        "x.npz.rnncli-tmp-123-0123abcd",
    }
    for name in others:
        (tmp_path / name).write_bytes(b"")
    save(tmp_path / "x.npz", 1)
    assert set(os.listdir(tmp_path)) == {"x.npz", *others}


def test_a_temporary_in_use_stays(tmp_path: Path) -> None:
    with stale(tmp_path / "x.npz").open("wb") as used:
        fcntl.flock(used, fcntl.LOCK_EX)
        save(tmp_path / "x.npz", 1)
        assert stale(tmp_path / "x.npz").exists()
    save(tmp_path / "x.npz", 1)
    assert not stale(tmp_path / "x.npz").exists()


def test_strange_things_with_the_name_of_a_temporary_do_no_harm(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_bytes(b"!")
    names = [f".x.npz.rnncli-tmp-{i}-00000000" for i in range(3)]
    (tmp_path / names[0]).symlink_to(precious)
    (tmp_path / names[1]).mkdir()
    os.mkfifo(tmp_path / names[2])
    save(tmp_path / "x.npz", 1)
    assert value(tmp_path / "x.npz") == 1
    assert precious.read_bytes() == b"!"


def test_two_writers_of_one_file_do_not_disturb_each_other(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"

    def blocks() -> Iterator[np.ndarray]:
        yield np.zeros(1)
        save(path, 2)  # another writer begins and ends while this one is at work
        assert value(path) == 2
        yield np.zeros(1)

    write(path, "model", {"value": 1}, {"a": ArrayBlocks(np.dtype(float), (2,), blocks())})
    assert value(path) == 1
    assert os.listdir(tmp_path) == ["x.npz"]


def test_a_writer_whose_new_temporary_is_swept_at_once_takes_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = fcntl.flock
    swept: list[Path] = []

    def flock(file: int, how: int) -> None:
        if not swept:  # between the creation and the lock
            swept.extend(tmp_path.iterdir())
            swept[0].unlink()
        elif len(swept) == 1:
            swept.append(tmp_path)
            raise BlockingIOError
        real(file, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    save(tmp_path / "x.npz", 1)
    assert len(swept) == 2
    assert value(tmp_path / "x.npz") == 1


def test_a_file_system_without_locks_will_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(file: int, how: int) -> None:
        raise OSError(errno.EOPNOTSUPP, "no locks here")

    stale(tmp_path / "x.npz").write_bytes(b"")
    monkeypatch.setattr(fcntl, "flock", flock)
    save(tmp_path / "x.npz", 1)
    assert set(os.listdir(tmp_path)) == {"x.npz", stale(tmp_path / "x.npz").name}


def test_the_longest_names_can_be_written(tmp_path: Path) -> None:
    for name in ("x" * 251 + ".npz", "é" * 125 + ".npz", "😀" * 62 + ".npz"):
        save(tmp_path / name, 1)
        assert value(tmp_path / name) == 1


# --- targets ---


def test_a_link_stays_and_its_target_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    real, link = tmp_path / "there" / "real.npz", tmp_path / "link.npz"
    link.symlink_to("there/real.npz")
    for number in (1, 2):  # the link dangles the first time
        save(link, number)
        assert link.is_symlink()
        assert not real.is_symlink()
        assert value(real) == number
    assert os.listdir(tmp_path / "there") == ["real.npz"]


def test_a_link_to_itself_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "x.npz").symlink_to("x.npz")
    with pytest.raises(ArtefactError, match="cannot write"):
        save(tmp_path / "x.npz", 1)


def test_a_pipe_a_folder_and_a_device_are_refused_untouched(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    device = tmp_path / "null"
    if os.geteuid() == 0:
        os.mknod(device, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    else:
        device.symlink_to("/dev/null")  # which only root could replace
    for path in (tmp_path / "pipe", tmp_path / "folder", device):
        before = os.stat(path)
        with pytest.raises(ArtefactError) as caught:
            save(path, 1)
        assert str(caught.value) == f"{path}: not a regular file. Write to another name."
        after = os.stat(path)
        assert (after.st_ino, after.st_mode, after.st_rdev) == (
            before.st_ino,
            before.st_mode,
            before.st_rdev,
        )
    assert set(os.listdir(tmp_path)) == {"pipe", "folder", "null"}


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_a_new_file_has_the_mode_that_the_umask_leaves(
    tmp_path: Path, umask: int, mode: int
) -> None:
    before = os.umask(umask)
    try:
        save(tmp_path / "x.npz", 1)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "x.npz").stat().st_mode) == mode


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o666, 0o755])
def test_the_mode_of_a_replaced_file_is_kept(tmp_path: Path, mode: int) -> None:
    save(tmp_path / "x.npz", 1)
    (tmp_path / "x.npz").chmod(mode)
    save(tmp_path / "x.npz", 2)
    assert stat.S_IMODE((tmp_path / "x.npz").stat().st_mode) == mode


def test_a_private_file_is_private_while_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    save(path, 1)
    path.chmod(0o600)
    modes: list[int] = []

    def blocks() -> Iterator[np.ndarray]:
        modes.extend(stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir())
        yield np.zeros(1)

    write(path, "model", {}, {"a": ArrayBlocks(np.dtype(float), (1,), blocks())})
    assert modes == [0o600, 0o600]


def test_relative_paths_and_plain_names_will_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write("x.npz", "data", {}, {})
    assert artefact.read("x.npz").path == "x.npz"


# --- claims ---


def test_a_claimed_file_is_claimed_once_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    (tmp_path / "link.npz").symlink_to(path)
    with claimed(str(path)):
        for name in ("x.npz", "link.npz"):
            with (
                pytest.raises(ArtefactError, match=r"another training is writing it\."),
                claimed(str(tmp_path / name)),
            ):
                pass
        save(path, 1)  # the lock outlives the replacement of the file
        with pytest.raises(ArtefactError, match=r"another training"), claimed(str(path)):
            pass
        with claimed(str(tmp_path / ("x" * 60))), claimed(str(tmp_path / ("x" * 61))):
            pass  # names that begin alike are different names
    with claimed(str(path)):
        pass
    assert set(os.listdir(tmp_path)) == {"x.npz", "link.npz"}


def test_a_claim_goes_with_a_killed_process_even_if_its_workers_live(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    told, tell = os.pipe()
    pid = os.fork()
    if not pid:
        with claimed(str(path)):
            if not os.fork():
                os.write(tell, f"{os.getpid()} ".encode())
            while True:
                signal.pause()
    worker = int(os.read(told, 20))
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    try:
        assert len(os.listdir(tmp_path)) == 1
        with claimed(str(path)):
            pass
        assert os.listdir(tmp_path) == []
    finally:
        os.kill(worker, signal.SIGKILL)
        os.close(told)
        os.close(tell)


def test_a_claim_that_was_given_up_between_opening_and_locking_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, gone = fcntl.flock, []

    def flock(file: int, how: int) -> None:
        if not gone:
            gone.extend(tmp_path.iterdir())
            gone[0].unlink()
        real(file, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    with claimed(str(tmp_path / "x.npz")):
        assert len(os.listdir(tmp_path)) == 1
