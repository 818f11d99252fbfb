"""The .safetensors container: the official writer's bytes, and a reader that takes nothing else."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest
from safetensors import numpy as official

from rnncli.errors import ArtefactError
from rnncli.files.safetensors import MAX_HEADER, read, write

DATA = Path(__file__).parents[1] / "frozen"
FROZEN = ["char_lstm.safetensors", "char_gru.safetensors"]  # of the official writer


def raw(header, data=b"", pad=True):
    """A file by hand."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    if pad:
        text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def entry(dtype, shape, start, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


@pytest.mark.parametrize("name", FROZEN)
def test_our_bytes_are_those_of_the_official_writer(name, tmp_path):
    tensors, metadata = read(DATA / name)
    write(tmp_path / "ours.safetensors", dict(reversed(tensors.items())), metadata)
    assert (tmp_path / "ours.safetensors").read_bytes() == (DATA / name).read_bytes()


def test_both_precisions_and_every_shape_come_back(tmp_path):
    rng = np.random.default_rng(0)
    tensors: dict[str, np.ndarray] = {
        "b": rng.standard_normal((2, 3)).astype(np.float32),
        "a": rng.standard_normal(5),
        "transposed": rng.standard_normal((3, 4)).T,
        "scalar": np.array(2.5),
        "none": np.zeros((0, 3), np.float32),
        "ünï": np.arange(3.0),
    }
    write(tmp_path / "t", tensors, {"note": 'a "quoted"\nline \x07 猫'})
    back, metadata = read(tmp_path / "t")
    assert metadata == {"note": 'a "quoted"\nline \x07 猫'}
    assert back.keys() == tensors.keys()
    for name, value in tensors.items():
        assert back[name].dtype == value.dtype
        np.testing.assert_array_equal(back[name], value)


def test_the_official_package_reads_ours_and_we_read_its(tmp_path):
    rng = np.random.default_rng(1)
    tensors = {f"t{k}": rng.standard_normal((k, 3)).astype("f4" if k % 2 else "f8")
               for k in range(5)}  # fmt: skip
    write(tmp_path / "ours", tensors, {"format": "pt", "x": "ß\n"})
    official.save_file(tensors, tmp_path / "theirs", {"format": "pt"})
    for found in (official.load_file(tmp_path / "ours"), read(tmp_path / "theirs")[0]):
        assert found.keys() == tensors.keys()
        for name, value in tensors.items():
            np.testing.assert_array_equal(found[name], value)


def test_half_precision_is_read_as_single(tmp_path):
    values = [1.0, -2.5, 0.15625, 3e-8, 65504.0]
    half = np.array(values, np.float16)
    upper = [0x3F80, 0xC020, 0x3E20, 0x7F80]  # 1, -2.5, 0.15625, infinity as bfloat16
    header = {"h": entry("F16", [5], 0, 10), "b": entry("BF16", [2, 2], 10, 18)}
    (tmp_path / "t").write_bytes(raw(header, half.tobytes() + struct.pack("<4H", *upper)))
    tensors, _ = read(tmp_path / "t")
    assert tensors["h"].dtype == tensors["b"].dtype == np.float32
    np.testing.assert_array_equal(tensors["h"], half.astype(np.float32))
    np.testing.assert_array_equal(tensors["b"], [[1.0, -2.5], [0.15625, np.inf]])


GOOD = {"a": entry("F32", [2], 0, 8), "b": entry("F64", [1], 8, 16)}
BAD = {
    "not a safetensors file": [
        b"", b"12345678", b"hello world", raw(b"[]"), raw(b" {}"),
        struct.pack("<Q", 1 << 60) + b"{}", raw(GOOD, bytes(16))[:40],
    ],
    "a pickle of PyTorch": [b"PK\3\4" + bytes(50), b"\x80\x02" + bytes(50)],
    "its header has": [struct.pack("<Q", MAX_HEADER + 1) + b"{" + b" " * (MAX_HEADER + 9)],
    "too large": [raw(b'{"a":[' + b"0," * 2_000_001)],
    "not JSON": [
        raw(b'{"a": '), raw(b"{" + b'"a":[' * 200_000), raw(b'{"\xff": 1}'),
        raw(b'{"a": 1, "a": 1}'), raw(b"{} {}"),
    ],
    "metadata": [raw({"__metadata__": {"a": 1}}), raw({"__metadata__": ["a"]})],
    "not of the format": [
        raw({"a": 1}), raw({"a": {}}), raw({"a": {**GOOD["a"], "more": 1}}, bytes(8)),
        raw({"a": entry("F32", 2, 0, 8)}, bytes(8)),
        raw({"a": entry("F32", [2.0], 0, 8)}, bytes(8)),
        raw({"a": entry("F32", [True], 0, 4)}, bytes(4)),
        raw({"a": {**GOOD["a"], "data_offsets": 8}}, bytes(8)),
        raw({"a": {**GOOD["a"], "data_offsets": [0, 8, 8]}}, bytes(8)),
        raw({"a": entry("F32", [1] * 9, 0, 4)}, bytes(4)),
    ],
    "one of F64": [
        raw({"a": entry("I64", [1], 0, 8)}, bytes(8)), raw({"a": entry([], [1], 0, 8)}, bytes(8)),
    ],
    "place": [
        raw(GOOD, bytes(15)), raw({"a": entry("F32", [3], 0, 8)}, bytes(8)),
        raw({"a": entry("F32", [-2], 8, 0)}, bytes(8)),
        raw({"a": entry("F32", [2], -8, 0)}, bytes(8)),
        raw({"a": entry("F32", [1 << 40, 1 << 40], 0, 8)}, bytes(8)),
    ],
    "overlap": [
        raw(GOOD, bytes(17)), raw({"a": entry("F32", [2], 1, 9)}, bytes(9)),
        raw({"a": entry("F32", [2], 0, 8), "b": entry("F32", [2], 4, 12)}, bytes(12)),
        raw({"a": entry("F32", [1], 0, 4), "b": entry("F32", [1], 8, 12)}, bytes(12)),
        raw({"a": entry("F32", [2], 0, 8), "b": entry("F32", [2], 0, 8)}, bytes(8)),
        raw({}, b"x"),
    ],
}  # fmt: skip


def test_the_good_file_is_good(tmp_path):
    (tmp_path / "t").write_bytes(raw(GOOD, bytes(16)))
    assert read(tmp_path / "t")[0].keys() == GOOD.keys()


@pytest.mark.parametrize("fault", BAD)
def test_an_unsound_file_is_refused_in_one_line(fault, tmp_path):
    for number, data in enumerate(BAD[fault]):
        (tmp_path / "t").write_bytes(data)
        with pytest.raises(ArtefactError, match=fault) as error:
            read(tmp_path / "t")
        assert "\n" not in str(error.value), number


def test_every_byte_of_the_header_is_looked_at(tmp_path):
    """A header with another byte is refused, or says something else; it is never a traceback."""
    whole = (DATA / FROZEN[1]).read_bytes()
    length = int.from_bytes(whole[:8], "little")
    tensors, metadata = read(DATA / FROZEN[1])
    shapes = {name: value.shape for name, value in tensors.items()}
    for at in [*range(8), *range(8, 8 + length, 7)]:
        (tmp_path / "t").write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        try:
            found, said = read(tmp_path / "t")
        except ArtefactError:
            continue
        same = {name: value.shape for name, value in found.items()} == shapes and said == metadata
        assert not same or whole[at : at + 1] == b" ", at


def test_what_is_no_file_is_refused(tmp_path):
    with pytest.raises(ArtefactError, match="not a regular file"):
        read(tmp_path)
    with pytest.raises(ArtefactError, match="No such file"):
        read(tmp_path / "none")


def test_a_header_that_could_not_be_read_is_not_written(tmp_path):
    (tmp_path / "t").write_text("old")
    with pytest.raises(ArtefactError, match="too large"):
        write(tmp_path / "t", {}, {"x": "y" * MAX_HEADER})
    assert (tmp_path / "t").read_text() == "old"
