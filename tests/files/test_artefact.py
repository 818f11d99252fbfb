"""The file format: what goes in comes out, and what `write` did not write is refused, cheaply."""

import hashlib
import itertools
import json
import mmap
import os
import random
import struct
import tracemalloc
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from damage import SILENT, census, changes, cuts, flips, small_data, small_model
from hostile import CLAIMS, FOREIGN, GOOD, HEADERS, claiming, good_file, headed, meta_of, resealed

from rnncli.errors import ArtefactError
from rnncli.files import artefact, canonical, container
from rnncli.files.artefact import ArrayBlocks, read, write

SHAPES = [(), (0,), (1,), (5,), (0, 3), (2, 3), (3, 0, 2), (4, 1, 2), (1,) * 32]


def same(a: np.ndarray, b: np.ndarray) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def many() -> dict[str, np.ndarray]:
    draw = np.random.default_rng(1)
    arrays: dict[str, np.ndarray] = {}
    for dtype, shape in itertools.product(artefact.DTYPES, SHAPES):
        values = draw.integers(0, 2 if dtype == "|b1" else 100, shape)
        arrays[f"a{len(arrays)}"] = np.asarray(values).astype(dtype)
    return arrays


def refusal(path: Path, **options: Any) -> str:
    with pytest.raises(ArtefactError) as caught:
        read(path, **options)
    message = str(caught.value)
    assert message.isprintable()
    assert message.startswith(f"{path}: ")
    return message.removeprefix(f"{path}: ")


# --- what goes in comes out ---


@pytest.mark.parametrize("mapped", [False, True])
def test_every_dtype_and_shape_comes_back_in_the_order_given(tmp_path: Path, mapped: bool) -> None:
    arrays = many()
    write(tmp_path / "x.npz", "data", {"words": ["é", "\n"], "n": [1, 2.5, None, True]}, arrays)
    back = read(tmp_path / "x.npz", "data", mapped=mapped)
    assert list(back.arrays) == list(arrays)
    assert all(same(back.arrays[name], array) for name, array in arrays.items())
    assert all(array.flags.writeable != mapped for array in back.arrays.values())
    assert back.header == {"words": ["é", "\n"], "n": [1, 2.5, None, True]}
    assert (back.kind, back.path) == ("data", str(tmp_path / "x.npz"))


def test_numpy_reads_the_same_arrays(tmp_path: Path) -> None:
    arrays = many()
    write(tmp_path / "x.npz", "model", {}, arrays)
    with np.load(tmp_path / "x.npz") as loaded:
        assert loaded.files == [*arrays, "meta"]
        assert all(same(loaded[name], array) for name, array in arrays.items())
        digest, text = loaded["meta"].tobytes().split(b"\n")
    assert hashlib.sha256(text).hexdigest().encode() == digest
    meta = json.loads(text)
    assert (meta["format"], meta["version"], meta["kind"]) == ("rnncli", 1, "model")
    for name, array in arrays.items():
        assert meta["arrays"][name]["sha256"] == hashlib.sha256(array.tobytes()).hexdigest()


def test_the_zip_holds_stored_members_and_nothing_else(tmp_path: Path) -> None:
    write(tmp_path / "x.npz", "data", {}, many())
    with zipfile.ZipFile(tmp_path / "x.npz") as archive:
        assert archive.testzip() is None
        for info in archive.infolist():
            assert info.compress_type == zipfile.ZIP_STORED
            assert info.date_time == (1980, 1, 1, 0, 0, 0)
            assert (info.flag_bits, info.extra, info.comment) == (0, b"", b"")
        assert archive.comment == b""


def test_mapped_data_lie_on_64_byte_boundaries(tmp_path: Path) -> None:
    write(tmp_path / "x.npz", "data", {}, many())
    for array in read(tmp_path / "x.npz", mapped=True).arrays.values():
        assert array.size == 0 or array.ctypes.data % 64 == 0


def test_mapped_arrays_outlive_the_replacement_of_their_file(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    write(path, "data", {}, {"a": np.arange(100_000)})
    old = read(path, mapped=True).arrays["a"]
    write(path, "data", {}, {"a": np.zeros(3)})
    path.unlink()
    assert same(old, np.arange(100_000))


def test_mapped_arrays_cannot_be_written_to(tmp_path: Path) -> None:
    write(tmp_path / "x.npz", "data", {}, {"a": np.arange(4), "none": np.zeros(0)})
    for array in read(tmp_path / "x.npz", mapped=True).arrays.values():
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 1


def test_order_and_byte_order_in_memory_do_not_reach_the_file(tmp_path: Path) -> None:
    plain = np.arange(12, dtype="<i4").reshape(3, 4)
    others = [plain.astype(">i4"), np.asfortranarray(plain), np.repeat(plain, 2, 0)[::2]]
    write(tmp_path / "plain.npz", "data", {}, {"a": plain})
    for other in others:
        write(tmp_path / "other.npz", "data", {}, {"a": other})
        assert (tmp_path / "other.npz").read_bytes() == (tmp_path / "plain.npz").read_bytes()


def test_the_bytes_of_the_format_never_change(tmp_path: Path) -> None:
    frozen = {
        small_data: "66c81d9ea9d6c496f9f2cc254df8c628629d39a31b2605c429b2d8b147bb2005",
        small_model: "694fc98c0f2b32e3895295cb249beb1a72f9c348177fa538cbcf693acf961f1e",
    }
    for make, digest in frozen.items():
        make(tmp_path / "x.npz")
        assert hashlib.sha256((tmp_path / "x.npz").read_bytes()).hexdigest() == digest


def test_the_order_of_the_header_keys_does_not_matter(tmp_path: Path) -> None:
    write(tmp_path / "a.npz", "data", {"x": 1, "y": {"p": 1, "q": 2}}, {})
    write(tmp_path / "b.npz", "data", {"y": {"q": 2, "p": 1}, "x": 1}, {})
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_rewriting_what_was_read_gives_the_same_bytes(tmp_path: Path) -> None:
    write(tmp_path / "a.npz", "model", {"x": [0.1, 1e300, -0.0]}, many())
    back = read(tmp_path / "a.npz")
    write(tmp_path / "b.npz", back.kind, back.header, back.arrays)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def some_json(draw: random.Random, depth: int) -> Any:
    """A random JSON value."""
    letters = 'ab"\\/\0\x1b\n\x7f\u2028é😀'
    text = "".join(draw.choices(letters, k=draw.randrange(5)))
    number = draw.choice([0, -1, 2**53 + 1, 10**30, 0.1, -0.0, 5e-324, 1.7e308, draw.random()])
    if depth and draw.random() < 0.6:
        inner = [some_json(draw, depth - 1) for _ in range(draw.randrange(4))]
        return inner if draw.random() < 0.5 else {f"{text}{i}": v for i, v in enumerate(inner)}
    return draw.choice([None, True, False, text, number])


def test_any_json_header_comes_back(tmp_path: Path) -> None:
    draw = random.Random(0)
    header = {"x": [some_json(draw, 5) for _ in range(2000)]}
    write(tmp_path / "x.npz", "data", header, {})
    back = read(tmp_path / "x.npz").header
    assert back == header
    assert repr(back) == repr(header)  # True is not 1, 0.0 is not -0.0


def test_the_largest_header_that_is_written_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artefact, "MAX_META", 1000)
    path = tmp_path / "x.npz"
    lengths = []
    for length in range(800, 1000):
        try:
            write(path, "data", {"x": "y" * length}, {})
        except ValueError:
            break
        lengths.append(len(read(path).header["x"]))
    assert lengths == list(range(800, length))
    assert 800 < length < 999


# --- streams ---


def test_a_stream_gives_the_bytes_of_the_whole_array(tmp_path: Path) -> None:
    whole = np.arange(300_000, dtype=np.uint16).reshape(1000, 300)
    write(tmp_path / "whole.npz", "data", {}, {"a": whole, "b": whole})
    for sizes in ([1000], [1, 999], [0, 500, 0, 500], [7] * 142 + [6]):
        ends = np.cumsum(sizes)[:-1]
        blocks = (block for block in np.split(whole, ends))
        stream = ArrayBlocks(np.dtype(np.uint16), whole.shape, blocks)
        write(tmp_path / "stream.npz", "data", {}, {"a": stream, "b": whole})
        assert (tmp_path / "stream.npz").read_bytes() == (tmp_path / "whole.npz").read_bytes()


@pytest.mark.parametrize(
    ("blocks", "words"),
    [
        ([np.zeros(2)], "fewer elements"),
        ([], "fewer elements"),
        ([np.zeros(2), np.zeros(2)], "more elements"),
        ([np.zeros(3, np.float32)], "a block of float32"),
    ],
)
def test_a_stream_of_another_length_or_dtype_writes_nothing(
    tmp_path: Path, blocks: list[np.ndarray], words: str
) -> None:
    path = tmp_path / "x.npz"
    write(path, "data", {}, {"a": np.ones(1)})
    old = path.read_bytes()
    with pytest.raises(ValueError, match=words):
        write(path, "data", {}, {"a": ArrayBlocks(np.dtype(float), (3,), blocks)})
    assert path.read_bytes() == old
    assert os.listdir(tmp_path) == ["x.npz"]


def test_the_header_may_be_filled_while_the_blocks_come(tmp_path: Path) -> None:
    header: dict[str, Any] = {}

    def blocks() -> Any:
        yield np.arange(2)
        header["total"] = 2

    write(tmp_path / "x.npz", "data", header, {"a": ArrayBlocks(np.dtype(int), (2,), blocks())})
    assert read(tmp_path / "x.npz").header == {"total": 2}


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"meta": np.zeros(1)}, "no name"),
        ({"a/b": np.zeros(1)}, "no name"),
        ({"": np.zeros(1)}, "no name"),
        ({"..": np.zeros(1)}, "no name"),
        ({"a.npy": np.zeros(1)}, "no name"),
        ({"é": np.zeros(1)}, "no name"),
        ({"a\n": np.zeros(1)}, "no name"),
        ({"a" * 101: np.zeros(1)}, "no name"),
        ({"a": np.array([None])}, "not in the format"),
        ({"a": np.array(["x"])}, "not in the format"),
        ({"a": np.zeros(1, complex)}, "not in the format"),
        ({"a": np.zeros((1,) * 33)}, "not in the format"),
        ({f"a{i}": np.zeros(1) for i in range(1024)}, "at most 1023"),
    ],
)
def test_what_the_format_does_not_have_is_not_written(
    tmp_path: Path, arrays: dict[str, np.ndarray], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        write(tmp_path / "x.npz", "data", {}, arrays)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ({"x": float("nan")}, "not JSON compliant"),
        ({"x": "\ud800"}, "surrogates not allowed"),
        ({"x": {10: 0, 9: 0}}, "not canonical"),
        ({"x": "y" * 2**24}, "too large"),
    ],
)
def test_a_header_that_could_not_be_read_back_is_not_written(
    tmp_path: Path, header: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        write(tmp_path / "x.npz", "data", header, {})
    assert os.listdir(tmp_path) == []


def test_1023_arrays_fit(tmp_path: Path) -> None:
    write(tmp_path / "x.npz", "data", {}, {f"a{i}": np.array(i) for i in range(1023)})
    assert read(tmp_path / "x.npz").arrays["a1022"] == 1022


def test_1024_arrays_are_refused_by_the_reader_too(tmp_path: Path) -> None:
    names = [f"a{i}" for i in range(1024)]
    spec = meta_of("a", "|u1", [], b"!")["arrays"]["a"]
    members = [container.Member(name, "|u1", (), 0) for name in names]
    for count in (1023, 1024):
        meta = {**GOOD, "arrays": dict.fromkeys(names[:count], spec)}
        file = resealed(meta, members[:count], [b"!"] * count)
        (tmp_path / f"{count}.npz").write_bytes(file)
    assert len(read(tmp_path / "1023.npz").arrays) == 1023
    assert refusal(tmp_path / "1024.npz").startswith("damaged: ")


# --- sizes beyond 32 bits ---


@pytest.mark.parametrize("threshold", [1, 150, 300, 700, 1000, 2000])
def test_64_bit_fields_come_where_sizes_or_offsets_need_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threshold: int
) -> None:
    path = tmp_path / "x.npz"
    monkeypatch.setattr(container, "_ZIP64", threshold)
    arrays = {"a": np.arange(20.0), "none": np.zeros(0), "b": np.arange(100), "c": np.array(1)}
    write(path, "data", {}, arrays)
    for back in (read(path).arrays, read(path, mapped=True).arrays, np.load(path)):
        assert all(same(back[name], array) for name, array in arrays.items())
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
    good = path.read_bytes()
    assert (b"PK\6\6" in good) == (threshold <= 2000)
    found = census(tmp_path / "bad.npz", changes(good, 300, threshold), read)
    assert found == {"ArtefactError": 300}


def test_a_member_beyond_4_gib_has_the_places_that_zipfile_finds(tmp_path: Path) -> None:
    # The file is a hole in the middle: the ends are as `write` would make them.
    shape = (5 * 2**30,)
    big = container.Member("big", "|u1", shape, 0, 17)
    small = container.Member("small", "<i4", (1,), big.end, 0)
    small = small._replace(crc=zlib.crc32(small.npy + struct.pack("<i", 42)))
    with (tmp_path / "x.npz").open("wb") as file:
        file.write(big.head)
        file.seek(small.offset)
        file.write(small.head + struct.pack("<i", 42) + container.tail([big, small]))
    with np.load(tmp_path / "x.npz") as loaded:
        assert loaded["small"] == [42]
    with zipfile.ZipFile(tmp_path / "x.npz") as archive:
        info = archive.getinfo("big.npy")
        assert (info.file_size, info.CRC) == (shape[0] + len(big.npy), 17)
        with archive.open("big.npy") as member:
            assert np.lib.format.read_magic(member) == (1, 0)
            assert np.lib.format.read_array_header_1_0(member)[0] == shape


# --- damage ---


@pytest.mark.parametrize("make", [small_data, small_model])
def test_no_bit_can_flip_unseen(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "x.npz")
    good = (tmp_path / "x.npz").read_bytes()
    found = census(tmp_path / "bad.npz", flips(good), read)
    assert found == {"ArtefactError": 8 * len(good)}


@pytest.mark.parametrize("make", [small_data, small_model])
def test_no_cut_or_splice_can_pass(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "x.npz")
    good = (tmp_path / "x.npz").read_bytes()
    found = census(tmp_path / "bad.npz", itertools.chain(cuts(good), changes(good, 800, 3)), read)
    assert found == {"ArtefactError": 2 * len(good) + 800}


def test_damage_is_seen_in_mapped_files_too(tmp_path: Path) -> None:
    small_model(tmp_path / "x.npz")
    good = (tmp_path / "x.npz").read_bytes()
    some = itertools.islice(flips(good), 0, None, 9)
    found = census(tmp_path / "bad.npz", some, lambda path: read(path, mapped=True))
    assert set(found) == {"ArtefactError"}


def test_the_census_finds_what_a_trusting_reader_lets_pass(tmp_path: Path) -> None:
    def trusting(path: Path) -> dict[str, np.ndarray]:
        with np.load(path) as loaded:
            return dict(loaded)

    small_data(tmp_path / "x.npz")
    good = (tmp_path / "x.npz").read_bytes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = census(tmp_path / "bad.npz", itertools.islice(flips(good), 0, None, 5), trusting)
    assert found[SILENT] > 10
    assert len(found) > 4


def test_a_message_names_the_member_that_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    write(path, "model", {}, {"rnn.0.Wx": np.ones(3), "b": np.ones(3)})
    with path.open("r+b") as file:
        file.seek(path.read_bytes().index(np.ones(3).tobytes()) + 5)
        file.write(b"\1")
    damaged = 'damaged: member "rnn.0.Wx" has another checksum. Restore it or make it again.'
    assert refusal(path) == damaged
    assert refusal(path, mapped=True) == damaged


# --- hostile and foreign files ---


def test_a_resealed_file_is_accepted_where_nothing_is_wrong(tmp_path: Path) -> None:
    data = np.arange(3.0).tobytes()
    member = container.Member("a", "<f8", (3,), 0)
    path = tmp_path / "x.npz"
    path.write_bytes(resealed(meta_of("a", "<f8", [3], data), [member], [data]))
    assert same(read(path).arrays["a"], np.arange(3.0))


@pytest.mark.parametrize(("name", "dtype", "shape"), CLAIMS)
def test_forged_names_dtypes_and_shapes_are_refused(
    tmp_path: Path, name: str, dtype: str, shape: tuple[Any, ...]
) -> None:
    for file in claiming(name, dtype, shape):
        (tmp_path / "x.npz").write_bytes(file)
        assert refusal(tmp_path / "x.npz").startswith("damaged: ")


@pytest.mark.parametrize("text", HEADERS)
def test_a_forged_header_is_refused(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "x.npz").write_bytes(headed(text))
    assert refusal(tmp_path / "x.npz").startswith(("damaged: ", "an .npz file, but not written"))


def test_a_newer_format_asks_for_an_upgrade_and_nothing_else(tmp_path: Path) -> None:
    meta = {"format": "rnncli", "version": 2, "what": "comes"}
    (tmp_path / "x.npz").write_bytes(resealed(meta, [], []))
    message = "written by a newer rnncli (format 2, this one reads 1). Upgrade."
    assert refusal(tmp_path / "x.npz") == message


def test_another_kind_is_named_with_the_command_that_makes_the_wanted_one(tmp_path: Path) -> None:
    small_data(tmp_path / "x.npz")
    message = "a data file, but a model file is needed here (the output of rnncli train)."
    assert refusal(tmp_path / "x.npz", kind="model") == message


@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize("which", FOREIGN)
def test_foreign_and_hostile_files_are_refused_in_little_memory(
    tmp_path: Path, which: str, mapped: bool
) -> None:
    path = tmp_path / "x.npz"
    good = good_file(tmp_path)
    path.write_bytes(FOREIGN[which](good))
    assert path.read_bytes() != good
    tracemalloc.start()
    try:
        message = refusal(path, mapped=mapped)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 << 20
    known = ("an empty file", "not an rnncli file", "an .npz file, but not", "damaged: ")
    assert message.startswith(known)


@pytest.mark.parametrize(
    ("which", "message"),
    [
        ("empty", "an empty file."),
        ("text", "not an rnncli file (plain text?)."),
        ("other npz", "an .npz file, but not written by rnncli."),
        ("object array", "an .npz file, but not written by rnncli."),
    ],
)
def test_a_foreign_file_is_called_what_it_is(tmp_path: Path, which: str, message: str) -> None:
    (tmp_path / "x.npz").write_bytes(FOREIGN[which](b""))
    assert refusal(tmp_path / "x.npz") == message


def test_the_largest_header_costs_a_small_multiple_of_its_size(tmp_path: Path) -> None:
    # What JSON can cost most: a wide letter in a long text, and lists of nothing.
    lists = b"[" + b",".join([b"[]"] * 249_000) + b"]"
    text = '"😀'.encode() + b"a" * 3_000_000 + b'"'
    for value in (lists, text):
        body = canonical.dumps(GOOD).replace(b'"header":{}', b'"header":{"x":' + value + b"}")
        file = resealed(body, [container.Member("a", "|u1", (2,), 0)], [b"hi"])
        (tmp_path / "x.npz").write_bytes(file)
        tracemalloc.start()
        try:
            assert read(tmp_path / "x.npz").arrays["a"].tobytes() == b"hi"
            assert tracemalloc.get_traced_memory()[1] < 100 << 20
        finally:
            tracemalloc.stop()


# --- what is no file ---


def test_a_missing_file_a_folder_a_pipe_and_a_device_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert refusal(tmp_path / "none.npz") == "cannot read: No such file or directory."
    assert refusal(tmp_path) == "not a regular file."
    assert refusal(tmp_path / "pipe") == "not a regular file."
    assert refusal(Path("/dev/zero")) == "not a regular file."


def test_a_path_with_control_characters_reaches_no_terminal(tmp_path: Path) -> None:
    with pytest.raises(ArtefactError) as caught:
        read(f"{tmp_path}/\x1b[2J\n.npz")
    assert str(caught.value).isprintable()


def test_a_file_that_is_cut_while_it_is_read_is_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.npz"
    write(path, "data", {}, {"a": np.zeros(1000)})
    honest = os.fstat

    def fstat_then_cut(descriptor: int) -> os.stat_result:
        status = honest(descriptor)
        os.truncate(path, 100)
        return status

    monkeypatch.setattr(os, "fstat", fstat_then_cut)
    assert "cut short while it was read" in refusal(path)


def test_a_file_that_is_cut_before_it_is_mapped_is_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.npz"
    write(path, "data", {}, {"a": np.zeros(1000)})
    honest = mmap.mmap

    def cut_then_map(descriptor: int, length: int, **options: int) -> mmap.mmap:
        os.truncate(path, 100)
        return honest(descriptor, length, **options)

    monkeypatch.setattr(mmap, "mmap", cut_then_map)
    assert "cut short while it was read" in refusal(path, mapped=True)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (b'{"a":1,"a":2}', "canonical"), (b'{"b":1,"a":2}', "canonical"), (b"[1, 2]", "canonical"),
        (b"NaN", "canonical"), (b"1e999", "canonical"), (b'"\\ud800"', "canonical"),
        (b"[1", "not JSON"), (b"\xff", "not JSON"), (b"1" * 5000, "not JSON"),
        (b"[" * 100 + b"]" * 100, ""), (b"[" * 50_000 + b"]" * 50_000, "nested too deeply"),
        (b"1" * 100_001, "too large"), (b"[" * 60_001, "too large"),
    ],
)  # fmt: skip
def test_json_is_read_in_one_form_alone(text: bytes, fault: str) -> None:
    if not fault:
        assert canonical.dumps(canonical.loads(text, 100_000, 60_000)) == text
        return
    with pytest.raises(ValueError, match=fault):
        canonical.loads(text, 100_000, 60_000)
