"""The bench's list of products has the engine's count; what it measures, no test can know."""

import json
import math
import subprocess
import sys

import pytest
import speed
from commands import ROOT
from products import products
from shapes import CELLS, SHAPES, SHARDS, flops


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("shape", SHAPES)
def test_the_products_that_are_listed_add_up_to_the_operations_that_are_counted(shape, cell):
    V, H, _, T, B = SHAPES[shape]
    G, N = {"lstm": 4, "gru": 3}[cell] * H, T * B // SHARDS
    operations = sum(2 * times * math.prod(sizes) for times, *sizes in products(shape, cell))
    wanted = flops(shape, cell) * N
    if V < N:  # once for each token of the vocabulary, and rows are picked by a product
        wanted += 6 * G * H * (V - N) + (4 * G * V * N if V <= 256 else 0)
    assert operations == wanted


def test_what_falls_short_is_said_beside_the_row():
    row = {"shape": "words-650x2", "cell": "lstm", "kind": "train", "ours": 90, "products": 120,
           "torch": 100, "ratio": 0.9, "memory_ratio": 0.6, "ours_mib": 400}  # fmt: skip
    weights = 2 * 10000 * 650 + 2 * 4 * 650 * 2 * 650
    assert speed._below(row, "torch")["below"] == (
        "ratio below 1.0: 75% of the time is matrix products, which alone would be 1.20 times as "
        "fast as all of torch; memory above 0.5: parameters and 2 gradients, one of each shard, "
        f"are {3 * weights * 4 >> 20} of 400 MiB"
    )
    assert not speed._below({**row, "ratio": 1.0, "memory_ratio": 0.5}, "torch")
    row = {"kind": "generate-1", "ratio": 4.9, "us": 100.0, "gb_s": 25.0}
    assert speed._below(row, "torch")["below"].startswith("ratio below 5.0: 100.0 us a token")
    assert not speed._below(row, None)


def bench(*words):
    """What `python tests/bench words...` prints, as JSON."""
    command = [sys.executable, ROOT / "tests" / "bench", *map(str, words), "--json"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_shape_is_measured(tmp_path):
    results = tmp_path / "results.jsonl"
    rows = bench("char-128", "--rounds", 1, "--seconds", 0.1, "--results", results)
    assert [(row["cell"], row["kind"]) for row in rows] == [
        (cell, kind) for cell in CELLS for kind in speed.KINDS
    ]
    assert all(row["ours"] > 0 and row["ours_mib"] > 1 for row in rows)
    assert json.loads(results.read_text())["rows"] == rows


def test_tokenizing_is_measured():
    (row,) = bench(
        "--tokenize", ROOT / "corpora" / "comments.csv", "--megabytes", 1, "--workers", 1
    )
    assert row["megabytes"] >= 1
    assert row["mb_per_s"] > 0
    assert row["peak_mib"] > 1


def test_a_start_is_measured(monkeypatch):
    monkeypatch.setattr(speed, "STARTS", 1)
    assert list(speed.starting(None)) == ["help", "sample_100", "import_numpy"]
