"""Writes a file whole or not at all: a kill, a full disk or a power cut leaves the old one.

The new bytes go to a temporary file in the same folder, which is synced to the disk, takes the name
of the target by one rename, and the folder is synced too. Locks (POSIX) show whether the owner of a
temporary file is alive, and keep two processes off one file. Nothing here knows of formats.
"""

import contextlib
import errno
import fcntl
import os
import re
import stat
import zlib
from collections.abc import Callable, Iterator
from typing import TypeAlias

from rnncli.errors import ArtefactError, shown

Put: TypeAlias = Callable[[memoryview | bytes, int], None]  # data and where it goes

_claims: set[int] = set()  # descriptors of the locks that this process holds


@contextlib.contextmanager
def telling(path: str, doing: str) -> Iterator[None]:
    """Turn an OSError into an ArtefactError of one line: the path, what failed, and why."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise ArtefactError(f"{shown(path, 300)}: cannot {doing}: {reason}.") from error


@contextlib.contextmanager
def replacing(path: str) -> Iterator[Put]:
    """Yield `put(data, offset)` into a temporary that becomes `path` when the block ends well."""
    target = os.path.realpath(path)  # a link stays a link
    folder = os.path.dirname(target)
    with telling(path, "write"):
        mode = _mode(path, target)
        sweep(target)
        prefix = os.path.join(folder, _prefix(target))
        temporary, file = _create(prefix, 0o666 if mode is None else mode)

    def put(data: memoryview | bytes, offset: int) -> None:
        with telling(path, "write"):
            while data:
                done = os.pwrite(file, data, offset)
                data, offset = data[done:], offset + done

    try:
        yield put
        with telling(path, "write"):
            if mode is not None:
                os.fchmod(file, mode)
            os.fsync(file)
            os.replace(temporary, target)
            _sync_folder(folder)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    finally:
        os.close(file)


@contextlib.contextmanager
def claimed(path: str) -> Iterator[None]:
    """Claim `path` for this process; ArtefactError where another one has claimed it.

    The lock is on a file next to it, as the file itself is replaced meanwhile. The lock ends with
    the process, however that ends; the empty file that a killed one leaves serves the next one.
    """
    folder, name = os.path.split(os.path.realpath(path))
    place = os.path.join(folder, f".{name[:50]}.rnncli-lock-{zlib.crc32(os.fsencode(name)):08x}")
    flags = os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
    while True:
        with telling(path, "lock"):
            file = os.open(place, flags, 0o666)
        try:
            if _locked(file) is False:
                taken = "another training is writing it. Wait for its end, or write to another name"
                raise ArtefactError(f"{shown(path, 300)}: {taken}.")
            with telling(path, "lock"):
                try:
                    exists = (
                        os.fstat(file).st_nlink > 0
                    )  # whoever had it before may have removed it
                except BaseException:
                    os.unlink(place)
                    raise
        except BaseException:
            os.close(file)
            raise
        if exists:
            break
        os.close(file)
    _claims.add(file)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            os.unlink(place)
        _claims.discard(file)
        os.close(file)


def _disown() -> None:
    """Close the locks of the parent in a worker that was just forked: they end with the parent."""
    while _claims:
        os.close(_claims.pop())


os.register_at_fork(after_in_child=_disown)


def _mode(path: str, target: str) -> int | None:
    """Return the permissions of the file to be replaced, None where there is none yet."""
    try:
        mode = os.stat(target).st_mode
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(mode):
        raise ArtefactError(f"{shown(path, 300)}: not a regular file. Write to another name.")
    return mode & 0o777


def _create(prefix: str, mode: int) -> tuple[str, int]:
    """Create a temporary file, locked for as long as it is open; return path and descriptor."""
    while True:
        path = f"{prefix}{os.getpid()}-{os.urandom(4).hex()}"
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)
        try:
            # Without a lock a sweep has it already; on a file system that has no locks, none will.
            if _locked(file) is not False and os.fstat(file).st_nlink:
                return path, file
        except BaseException:
            os.close(file)
            with contextlib.suppress(OSError):
                os.unlink(path)
            raise
        os.close(file)


def _locked(file: int) -> bool | None:
    """Lock an open file; return False if another holds it, None where there are no locks."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _prefix(target: str) -> str:
    """Return how the names of the temporary files of a file begin.

    Example: "out/model.npz" -> ".model.npz.rnncli-tmp-"
    """
    return f".{os.path.basename(target)[:50]}.rnncli-tmp-"


def sweep(path: str) -> None:
    """Remove the temporary files of `path` that killed processes left: those without a lock."""
    target = os.path.realpath(path)
    folder, prefix = os.path.dirname(target), _prefix(target)
    for name in os.listdir(folder):
        if not re.fullmatch(re.escape(prefix) + r"\d+-[0-9a-f]{8}", name):
            continue
        path = os.path.join(folder, name)
        with contextlib.suppress(OSError):
            file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.unlink(path)
            finally:
                os.close(file)


def _sync_folder(folder: str) -> None:
    """Put the new name of a file on the disk."""
    directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    except OSError as error:
        if error.errno != errno.EINVAL:  # what some network file systems say
            raise
    finally:
        os.close(directory)
