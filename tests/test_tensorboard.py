"""Event files: known checksums, frozen bytes, a decoder written here, and TensorBoard's own."""

import re
import struct
import warnings

import pytest
from commands import TINY, good, refused, sentences

from rnncli.tensorboard import Events, crc32c, event, field, record, summary


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


def test_a_record_is_these_bytes():
    value = field(1, b"loss") + b"\x15" + struct.pack("<f", 0.5)
    assert summary({"loss": 0.5}) == b"\x0a\x0b" + value
    # wall time 1.0, step 300 = 0xac 0x02, the summary in field 5
    data = b"\x09\x00\x00\x00\x00\x00\x00\xf0\x3f\x10\xac\x02\x2a\x0d" + summary({"loss": 0.5})
    assert event(1.0, 300, [(5, summary({"loss": 0.5}))]) == data
    assert record(data) == (
        bytes.fromhex("1b00000000000000") + bytes.fromhex("1a0d9e13") + data
        + bytes.fromhex("4e5c1fd1")
    )  # fmt: skip


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
        out.append((fields.pop(2), scalars, fields))
    return out


def test_events_are_read_back(tmp_path):
    with Events(tmp_path / "a" / "b") as events:
        events.add(1, {"loss": 0.25, "rate": 1e-3})
        events.add(1 << 40, {"Verlust/größer": float("inf")})
    (path,) = (tmp_path / "a" / "b").iterdir()
    assert re.fullmatch(r"events\.out\.tfevents\.\d{10}\.\d{6}\..+\.\d+", path.name)
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
    assert "file: cannot write there: File exists." in line
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_tensorboard_reads_them(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        name = "tensorboard.backend.event_processing.event_accumulator"
        reader = pytest.importorskip(name)
        with Events(tmp_path) as events:
            for step in range(50, 501, 50):
                events.add(step, {"loss/training": step / 100})
        with Events(tmp_path, 300) as events:  # after a crash: what was not saved is taken back
            for step in range(350, 501, 50):
                events.add(step, {"loss/training": step / 1000})
        found = reader.EventAccumulator(str(tmp_path))
        found.Reload()
    assert found.Tags()["scalars"] == ["loss/training"]
    values = [(point.step, round(point.value, 6)) for point in found.Scalars("loss/training")]
    assert values == [(step, step / (100 if step <= 300 else 1000)) for step in range(50, 501, 50)]
