"""Event files, read back by a decoder written here."""

import re
import struct
import sys

import pytest
from commands import TINY, good, refused, sentences

from rnncli.errors import ArtefactError
from rnncli.training.tensorboard import Events


def crc32c(data):
    """The cyclic redundancy check of Castagnoli, bit by bit."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


@pytest.mark.parametrize(
    ("data", "crc"),
    [
        (b"", 0),
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),  # this and the next two: RFC 3720, appendix B.4
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
    ],
)
def test_the_checksum_is_that_of_castagnoli(data, crc):
    assert crc32c(data) == crc


def number(data, at):
    """A varint, and where it ends."""
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 0x80:
            return value, at


def message(data):
    """The fields of a protocol buffer: (number, value)."""
    at, out = 0, []
    while at < len(data):
        key, at = number(data, at)
        if key & 7 == 0:
            value, at = number(data, at)
        else:
            if key & 7 == 2:
                size, at = number(data, at)
            else:
                size = {1: 8, 5: 4}[key & 7]
            value, at = data[at : at + size], at + size
            assert len(value) == size
        out.append((key >> 3, value))
    return out


def read(path):
    """The events of a file: (step, {tag: value}, the other fields)."""
    data, at, out = path.read_bytes(), 0, []
    while at < len(data):
        (size,) = struct.unpack_from("<Q", data, at)
        body = data[at + 12 : at + 12 + size]
        for covered, found in ((data[at : at + 8], at + 8), (body, at + 12 + size)):
            (masked,) = struct.unpack_from("<I", data, found)
            rotated = (masked - 0xA282EAD8) % 2**32
            assert (rotated << 15 | rotated >> 17) % 2**32 == crc32c(covered)
        at += 12 + size + 4
        fields = dict(message(body))
        scalars = {}
        for kind, value in message(fields.pop(5, b"")):
            assert kind == 1
            parts = dict(message(value))
            scalars[parts[1].decode()] = struct.unpack("<f", parts[2])[0]
        assert len(fields.pop(1)) == 8
        out.append((fields.pop(2, 0), scalars, fields))  # a step of 0 is not written
    return out


def test_events_are_read_back(tmp_path):
    with Events(tmp_path / "a" / "b") as events:
        events.add(1, {"loss": 0.25, "rate": 1e-3})
        events.add(1 << 40, {"Verlust/größer": float("inf")})
    (path,) = (tmp_path / "a" / "b").iterdir()
    assert re.fullmatch(r"events\.out\.tfevents\.\d{10}\..+\.\d{9}\.\d+", path.name)
    start, first, second = read(path)
    assert start == (0, {}, {3: b"brain.Event:2"})
    assert first == (1, {"loss": 0.25, "rate": pytest.approx(1e-3)}, {})
    assert second == (1 << 40, {"Verlust/größer": float("inf")}, {})


def test_a_run_that_goes_on_says_from_which_step(tmp_path):
    with Events(tmp_path, 300):
        pass
    (path,) = tmp_path.iterdir()
    assert read(path)[1:] == [(301, {}, {7: b"\x08\x01"})]  # SessionLog, status START


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A small data file."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "t.txt").write_text(sentences(60))
    good("tokenize", folder / "t.txt", "-o", folder / "d.npz", "--split", "0.8,0.2")
    return folder / "d.npz"


def test_a_run_leaves_its_curves(data, tmp_path):
    words = ("train", data, "-o", tmp_path / "m.npz", *TINY, "--valid-every", 40, "--tensorboard",
             tmp_path / "events", "--schedule", "constant", "--max-steps")  # fmt: skip
    good(*words, 100)
    good(*words, 150, "--resume")
    first, second = (read(path) for path in sorted((tmp_path / "events").iterdir()))
    steps = [(step, set(scalars)) for step, scalars, _ in first if "loss/training" in scalars]
    measured = {"loss/training", "training/learning_rate", "training/gradient_norm",
                "training/tokens_per_second"}  # fmt: skip
    assert steps == [(50, measured), (100, measured)]
    assert [step for step, scalars, _ in first if "loss/validation" in scalars] == [40, 80, 100]
    assert [step for step, scalars, _ in second if scalars.keys() >= measured] == [150]
    assert second[1][0] == 101


def test_a_folder_that_cannot_be_written_is_known_before_the_work(data, tmp_path):
    (tmp_path / "file").write_text("")
    line = refused("train", data, "-o", tmp_path / "m.npz", *TINY, "--tensorboard",
                   tmp_path / "file")  # fmt: skip
    assert "file: cannot write: File exists." in line
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_without_the_extra_a_line_says_what_to_install(data, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    monkeypatch.delitem(sys.modules, "tensorboardX.event_file_writer", raising=False)
    words = ("train", data, "-o", tmp_path / "m.npz", *TINY, "--tensorboard", tmp_path / "events")
    assert refused(*words).endswith(
        "--tensorboard needs tensorboardX: pip install 'rnncli[tensorboard]'."
    )
    assert list(tmp_path.iterdir()) == []


def test_two_runs_of_a_second_have_a_file_each(tmp_path):
    for _ in range(2):
        with Events(tmp_path):
            pass
    assert len(list(tmp_path.iterdir())) == 2


def test_a_disk_that_is_full_ends_with_a_line(tmp_path, monkeypatch):
    with open("/dev/full", "wb", buffering=0) as full:
        monkeypatch.setattr("tensorboardX.record_writer.open_file", lambda path: full)
        with pytest.raises(ArtefactError, match="events: cannot write: No space left on device"):
            Events(tmp_path / "events")
