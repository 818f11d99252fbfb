"""One thread of the matrix library: the library computes what the command line computes."""

import contextlib
import os
import subprocess
import sys

import pytest
from commands import ROOT, good

import rnncli
from rnncli.errors import ConfigError
from rnncli.nn.threads import _blas_threads, cores, one_blas_thread


def counts():
    return {get() for get, _ in _blas_threads()}


def test_the_matrix_library_is_found_and_has_its_threads_back_afterwards():
    assert _blas_threads()
    for _, put in _blas_threads():
        put(2)
    try:
        with contextlib.suppress(ConfigError), one_blas_thread():
            assert counts() == {1}
            raise ConfigError("an error on the way")
        assert counts() == {2}
    finally:
        for _, put in _blas_threads():
            put(1)


def test_the_threads_are_found_without_numpy():
    program = "import sys, rnncli.nn.threads as m; m.cores(); sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT).returncode == 0
    assert 1 <= cores() <= (os.cpu_count() or 1)


@pytest.mark.parametrize("threads", [1, 2, None])
def test_the_library_trains_to_the_bytes_of_the_command(tmp_path, threads):
    """In a process of its own, whose matrix library has threads of its own choice."""
    text = tmp_path / "t.txt"
    text.write_text("\n".join(f"line {n} of a text, {n * n} letters long" for n in range(300)))
    good("tokenize", text, "-o", tmp_path / "d.npz", "--level", "char")
    good("train", tmp_path / "d.npz", "-o", tmp_path / "a.npz", "--hidden", 200, "--max-steps", 6)
    program = (
        "import rnncli\n"
        f"rnncli.train({str(tmp_path / 'd.npz')!r}, output={str(tmp_path / 'b.npz')!r}, hidden=200,"
        f" max_steps=6, threads={threads})"
    )
    many = {k: v for k, v in os.environ.items() if not k.endswith("_THREADS")}
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, env=many)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    scores = {}
    for name in "ab":
        language = rnncli.load(tmp_path / f"{name}.npz")
        scores[name] = rnncli.evaluate(language, tmp_path / "d.npz").nats
    assert scores["a"] == scores["b"]
