"""Files in parts: whoever reads them, the outcome is that of one process and whole files."""

import gzip
import os
import random
import signal
from pathlib import Path

import commands
import numpy as np
import pytest

from rnncli.config.reading import ReadOptions
from rnncli.data import chunks
from rnncli.data.chunks import Files, count_chunk, cut, in_order, spooled
from rnncli.data.corpus import ChunkReader, documents
from rnncli.data.document import FileChunk, Skipped
from rnncli.data.spool import Spool
from rnncli.data.tokenize import tokenize
from rnncli.errors import DataError, RnncliError
from rnncli.files.lines import Lines
from rnncli.parallel.processes import WorkerPool
from rnncli.text.pretokenizer import Pretokenizer

PIECES = [
    "plain words", "", " ", '""', '"a ""quoted"" word"', '"two\nlines"', '"comma, and\r\nreturn"',
    '"\n\n"', 'inch 5" disk', "ünï 中文 👍", '"<b>"', '"looks\n7,like a row\n8,and another\n"',
    '"""\n"""', "\ufeffmark",
]  # fmt: skip
ENDS = ["\n", "\r\n", "\n\n", "\r"]


def csv_file(path: Path, seed: int, bad: bool) -> Path:
    """Rows of two columns, awkwardly quoted; with `bad` some that no reader takes."""
    rng = random.Random(seed)
    rows = [f"{k},{rng.choice(PIECES)}{rng.choice(ENDS)}" for k in range(rng.randrange(1, 60))]
    if bad:
        for wrong in ("1,2,3\n", '9,"open\n', '9,"a"b\n', "9,\udcff\n"):
            rows.insert(rng.randrange(len(rows) + 1), wrong)
    text = "id,body\n" + "".join(rows)
    path.write_bytes(text.encode(errors="surrogateescape"))
    return path


PLAIN, WORDS = ReadOptions(), Pretokenizer()


def outcome(paths, tmp_path, workers, reading=PLAIN, rule=WORDS, on_bad_row="error"):
    """The bytes of the data file, what was left out, and the summary; or the message."""
    skipped, out = Skipped(on_bad_row), tmp_path / "d.npz"
    files = Files(paths, reading, skipped, workers)
    try:
        summary = tokenize(files, rule, out, skipped=skipped, split=(0.6, 0.3, 0.1), min_count=1)
    except DataError as error:
        return str(error)
    return out.read_bytes(), skipped.counts, skipped.first, summary.to_json()


@pytest.fixture
def small(monkeypatch):
    """Parts of a few rows, and rows of a kilobyte at most."""
    monkeypatch.setattr(chunks, "STEP", 90)
    monkeypatch.setattr(Lines, "limit", 1000)
    return monkeypatch


@pytest.mark.parametrize("on_bad_row", ["error", "skip"])
@pytest.mark.parametrize("bad", [False, True])
@pytest.mark.parametrize("window", [30, 1000])
def test_many_awkward_files_come_out_as_from_one_process(tmp_path, small, window, bad, on_bad_row):
    small.setattr(chunks, "_WINDOW", window)
    small.setattr(WorkerPool, "__init__", alone)
    for seed in range(60):
        path = csv_file(tmp_path / "a.csv", seed, bad)
        one, two = (counted(path, tmp_path, n, on_bad_row) for n in (1, 2))
        assert one == two, seed
        assert not isinstance(one, str) or (bad and on_bad_row == "error")


def counted(path, tmp_path, workers, on_bad_row):
    """All tokens and records and what was left out; or the message."""
    skipped = Skipped(on_bad_row)
    files = Files([path], ReadOptions(), skipped, workers)
    try:
        with spooled(files, Pretokenizer(), tmp_path, skipped) as corpus:
            take = corpus.reader(np.array(corpus.types)) if corpus.tokens else np.zeros
            tokens = take(corpus.tokens).tolist()
            records = [block.tolist() for block in corpus.records()]
            figures = corpus.documents, corpus.units, corpus.tokens
            return tokens, records, figures, skipped
    except DataError as error:
        return str(error)


_begin = WorkerPool.__init__


def alone(crew, task, size=1):
    """A crew of this process: what becomes of the parts is the same, and many are tried quickly."""
    _begin(crew, task)


@pytest.mark.parametrize("unit", ["document", "sentence", "stream"])
@pytest.mark.parametrize("workers", [2, 3])
def test_processes_write_the_same_bytes_whatever_the_input(tmp_path, small, unit, workers):
    text = "\n".join(f"Line {k}. It's {'long ' * (k % 9)}" for k in range(150)) + "\n"
    (tmp_path / "a.txt").write_text(text)
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress(text.upper().encode()))
    rows = "".join(f'{{"id": {k}, "text": "a{k % 7}. b\\nc"}}\n' for k in range(80))
    (tmp_path / "c.jsonl").write_text("\n[1]\n" + rows)
    csv_file(tmp_path / "d.csv", 1, bad=False)
    (tmp_path / "e.tsv").write_text("x\ttext\n" + "".join(f"{k}\tword{k}\n" for k in range(50)))
    (tmp_path / "f.csv").write_bytes(b"\xef\xbb\xbfbody\n" + b"one cell\n" * 40)
    paths = sorted(tmp_path.iterdir())
    for level in ("word", "char"):
        rule = Pretokenizer(level, unit)
        one, more = (
            outcome(paths, tmp_path, n, rule=rule, on_bad_row="skip") for n in (1, workers)
        )
        assert one == more
        assert one[1]["bad JSON"] == 1


def test_rows_without_a_header_and_other_encodings_are_the_same(tmp_path, small):
    path = csv_file(tmp_path / "a.csv", 3, bad=False)
    for reading in (
        ReadOptions(header=False, column=2),
        ReadOptions(encoding="latin-1"),
        ReadOptions(column="id"),
        ReadOptions(limit=7),
        ReadOptions(whole_file=True, format="txt"),
    ):
        one, two = (outcome([path, path], tmp_path, n, reading) for n in (1, 2))
        assert one == two


def test_a_guess_is_right_where_a_field_looks_like_rows(tmp_path, small):
    """A window that begins within a quoted field: more rows fit where it is taken as one."""
    body = 'x,"' + "1,2\n" * 50 + '"\n'
    (tmp_path / "a.csv").write_text("id,body\n" + body * 30)
    found = cut([tmp_path / "a.csv"], ReadOptions())
    assert len(found) > 10
    starts = [part.begin - len("id,body\n") for part in found[1:]]
    starts = [start for start in starts if start < 29 * len(body)]  # after that no row follows
    assert [start % len(body) for start in starts] == [0] * len(starts)


def test_parts_are_counted_again_where_the_one_before_ended(tmp_path):
    """Cuts in the middle of everything: only in_order knows, and each part is done twice at most"""
    path = csv_file(tmp_path / "a.csv", 5, bad=False)
    size = path.stat().st_size
    ends = [*range(37, size, 37), None]
    pieces = [FileChunk(str(path), a, b) for a, b in zip([0, *ends], ends, strict=False)]
    expected = list(documents([path], ReadOptions(), Skipped()))
    again = []
    with Spool(tmp_path, Pretokenizer()) as spool:

        def count(part):
            return count_chunk(part, spool, ReadOptions(), Skipped())

        def repeat(part):
            again.append(part)
            return count(part)

        found = list(in_order(pieces, map(count, pieces), repeat))
    assert again
    assert len(again) < len(pieces)
    assert found[-1].rest.begin == size
    places = []
    for part, ended in zip([FileChunk(str(path)), *(f.rest for f in found)], found, strict=False):
        start = part._replace(end=ended.rest.begin)
        reader = ChunkReader(start, ReadOptions(), Skipped())
        places += list(reader)
        assert reader.rest == ended.rest
    assert places == expected


def test_a_process_that_is_killed_is_one_line_and_leaves_nothing(tmp_path, small):
    def task(job):
        os.kill(os.getpid(), signal.SIGKILL)

    crew = WorkerPool(task, 3)
    with pytest.raises(RnncliError, match=r"^a worker process was killed\. Start again\.$"), crew:
        list(crew.side_by_side(range(5)))
    assert crew.size == 1


def test_jobs_come_back_in_order_from_whoever_took_them():
    with WorkerPool(lambda job: (job[0], job[1] ** 2), 3) as crew:
        found = list(crew.side_by_side(range(50)))
    assert [square for _, square in found] == [k * k for k in range(50)]
    assert {k for k, _ in found} <= {1, 2}


def test_an_error_of_a_task_is_raised_when_its_turn_has_come():
    def task(job):
        if job[1] == 3:
            raise DataError("three")
        return job[1]

    with WorkerPool(task, 3) as crew:
        found = crew.side_by_side(range(9))
        assert [next(found) for _ in range(3)] == [0, 1, 2]
        with pytest.raises(DataError, match="three"):
            next(found)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_all_processes_and_leaves_nothing(tmp_path, number):
    path, pipe = tmp_path / "a.txt", tmp_path / "pipe.txt"
    path.write_text("some words\n" * 1000)
    os.mkfifo(pipe)
    started = commands.process(
        "tokenize", path, pipe, "--workers", 2, "-o", tmp_path / "d.npz", start_new_session=True
    )
    with open(pipe, "wb") as writer:  # opened when a process of the group reads the pipe
        os.killpg(started.pid, number)
        ended = commands.ended(started)
        del writer
    assert ended.code == -number
    assert "Traceback" not in ended.err
    with pytest.raises(ProcessLookupError):
        os.killpg(started.pid, 0)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.txt", "pipe.txt"]


def test_the_command_says_the_same_with_any_number_of_workers(tmp_path):
    rows = "".join(f"{k},words {k % 9}\n" for k in range(100))
    (tmp_path / "a.csv").write_text("id,body\n" + rows + "1,2,3\n")
    (tmp_path / "b.txt").write_text("more words\n")
    words = ["tokenize", tmp_path / "a.csv", tmp_path / "b.txt", "-o", tmp_path / "d.npz"]
    lines = {commands.refused(*words, "--workers", n) for n in (1, 2)}
    assert len(lines) == 1
    assert "row 101 (line 102): 3 fields" in lines.pop()
    both = [commands.good(*words, "--on-bad-row", "skip", "--workers", n) for n in (1, 2)]
    assert both[0] == both[1]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_pipe_is_read_like_a_file(tmp_path, workers):
    lines = b"some words\nand more\n" * 500
    pipe, file = tmp_path / "in.txt", tmp_path / "same" / "in.txt"
    os.mkfifo(pipe)
    file.parent.mkdir()
    file.write_bytes(lines)
    started = commands.process("tokenize", pipe, "--workers", workers, "-o", tmp_path / "d.npz")
    pipe.write_bytes(lines)  # opened when the pipe is read
    ended = commands.ended(started)
    assert ended.code == 0, ended.err
    commands.good("tokenize", file, "-o", tmp_path / "e.npz")
    assert (tmp_path / "d.npz").read_bytes() == (tmp_path / "e.npz").read_bytes()
