"""Writing a file whole or not at all: a kill, a full disk or a power cut leaves the old one.

A temporary in the same folder, written, synced, put in the place of the target by one rename, and
the folder synced. POSIX: locks tell a live temporary from a dead one. Knows nothing of formats.
"""

import contextlib
import errno
import fcntl
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterator
from typing import TypeAlias

from rnncli.errors import ArtefactError, shown

Put: TypeAlias = Callable[[memoryview | bytes, int], None]  # data and where it goes


@contextlib.contextmanager
def telling(path: str, doing: str) -> Iterator[None]:
    """Turn the trouble of the file system into one line."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise ArtefactError(f"{shown(path, 300)}: cannot {doing}: {reason}.") from error


@contextlib.contextmanager
def replacing(path: str) -> Iterator[Put]:
    """Yield `put(data, offset)` into a temporary that becomes `path` when the block ends well."""
    target = os.path.realpath(path)  # a link stays a link
    folder, name = os.path.split(target)
    prefix = f".{name[:50]}.rnncli-tmp-"
    with telling(path, "write"):
        mode = _mode(path, target)
        _sweep(folder, prefix)
        temporary, file = _create(os.path.join(folder, prefix), 0o666 if mode is None else mode)

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


def _mode(path: str, target: str) -> int | None:
    """The permissions of the file to be replaced, None where there is none yet."""
    try:
        mode = os.stat(target).st_mode
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(mode):
        raise ArtefactError(f"{shown(path, 300)}: not a regular file. Write to another name.")
    return mode & 0o777


def _create(prefix: str, mode: int) -> tuple[str, int]:
    """A new temporary, locked for as long as it is open: path and descriptor."""
    while True:
        path = f"{prefix}{os.getpid()}-{secrets.token_hex(4)}"
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # a sweep has it already, and removes it
            os.close(file)
            continue
        except OSError:  # no locks on this file system; a sweep leaves the file alone then
            return path, file
        if os.fstat(file).st_nlink:  # not swept before it was locked
            return path, file
        os.close(file)


def _sweep(folder: str, prefix: str) -> None:
    """Remove the temporaries of killed processes: those that nobody holds a lock on."""
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
