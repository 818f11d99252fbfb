"""Tokenising a corpus: the same as a plain reference in two passes, whatever the block sizes."""

import json
import os
import subprocess
import sys
import tracemalloc
from collections import Counter

import numpy as np
import pytest
from commands import ROOT
from hypothesis import given
from hypothesis import strategies as st

from rnncli.config.reading import ReadOptions
from rnncli.data import splits, spool
from rnncli.data import tokenize as tokenizing
from rnncli.data.corpus import documents
from rnncli.data.dataset import SPLITS, Dataset
from rnncli.data.document import Document, Skipped
from rnncli.data.splits import quotas
from rnncli.data.tokenize import tokenize
from rnncli.errors import ArtefactError, ConfigError, DataError
from rnncli.files import artefact as artefacts
from rnncli.text.pretokenizer import Pretokenizer
from rnncli.text.tokenizer import Tokenizer

RNG = np.random.default_rng(5)
LEXICON = ["The", "cat", "don't", "Sat.", "on,", "mat!", "Ünï", "中文", "👍", "e.g.", "3.5", "why?"]
TEXTS = [" ".join(RNG.choice(LEXICON, RNG.integers(1, 30)).tolist()) for _ in range(200)]
TEXTS[3] = "one\ntwo\n\nThree four. Five"


def units_of(texts, rule):
    return [(row, unit) for row, text in enumerate(texts) for unit in rule.units(text)]


def contents(data, name):
    """Units of a split as (row, tokens) with the marks taken off."""
    split, tokens = data.splits[name], data.tokenizer.vocabulary.tokens
    pairs = zip(split.starts[:-1].tolist(), split.starts[1:].tolist(), strict=True)
    units = []
    for row, (start, stop) in zip(split.rows.tolist(), pairs, strict=True):
        ids = split.ids[start:stop].tolist()
        assert (ids[0], ids[-1]) == (1, 2)
        units.append((row, [tokens[number] for number in ids[1:-1]]))
    return units


@pytest.mark.parametrize("blocks", [(1 << 16, 1 << 20), (7, 11)])
@pytest.mark.parametrize("unit", ["document", "sentence"])
@pytest.mark.parametrize("level", ["word", "char", "byte"])
def test_units_are_those_of_a_plain_reference(tmp_path, monkeypatch, level, unit, blocks):
    monkeypatch.setattr(spool, "UNITS", blocks[0])
    monkeypatch.setattr(splits, "TOKENS", blocks[1])
    rule = Pretokenizer(level, unit, level == "word")
    path = tmp_path / "d.npz"
    summary = tokenize(TEXTS, rule, path, vocab_size=12, split=(0.7, 0.2, 0.1), seed=3)
    data = Dataset.open(path)

    expected = units_of(TEXTS, rule)
    assert [len(data.splits[name].starts) - 1 for name in SPLITS] == quotas(
        len(expected), (0.7, 0.2, 0.1)
    )
    # The vocabulary is that of the training units alone.
    spare = Counter()
    for row, unit_text in expected:
        spare[row, tuple(rule.tokens(unit_text))] += 1
    kept = set(data.tokenizer.vocabulary.tokens[3:])
    masked = Counter()
    for (row, tokens), number in spare.items():
        masked[row, tuple(t if t in kept else "<unk>" for t in tokens)] += number
    found = [unit for name in SPLITS for unit in contents(data, name)]
    assert Counter((row, tuple(tokens)) for row, tokens in found) == masked

    counts = dict(zip(data.tokenizer.vocabulary.tokens, data.tokenizer.vocabulary.counts.tolist(),
                      strict=True))  # fmt: skip
    train = Counter(token for _, tokens in contents(data, "train") for token in tokens)
    train.update({"<s>": data.splits["train"].units, "</s>": data.splits["train"].units})
    assert counts == {token: train[token] for token in counts}
    for name in SPLITS:
        split, figures = data.splits[name], summary.splits[name]
        assert (split.ids == 0).sum() == split.unknown == figures.unknown
        assert len(set(split.rows.tolist())) == split.documents == figures.documents
        assert np.all(np.diff(split.rows) >= 0)
    parts = data.splits.values()
    assert sum(part.chars for part in parts) == sum(len(text) for _, text in expected)
    assert sum(part.bytes for part in parts) == sum(len(text.encode()) for _, text in expected)
    tokens = [token for _, text in expected for token in rule.tokens(text)]
    assert (summary.documents, summary.units) == (len(TEXTS), len(expected))
    assert (summary.tokens, summary.distinct) == (len(tokens), len(set(tokens)))


def test_the_most_frequent_training_tokens_are_kept(tmp_path):
    path = tmp_path / "d.npz"
    summary = tokenize(TEXTS, Pretokenizer(), path, vocab_size=0, split=(0.5, 0.5), seed=1)
    data = Dataset.open(path)
    train = Counter(t for _, tokens in contents(data, "train") for t in tokens if t != "<unk>")
    ranked = sorted(train.items(), key=lambda item: (-item[1], item[0]))
    assert data.tokenizer.vocabulary.tokens[3:] == tuple(token for token, _ in ranked)
    assert summary.rarest == ranked[-1]
    assert summary.kept == len(ranked)
    small = tokenize(TEXTS, Pretokenizer(), path, vocab_size=8, split=(0.5, 0.5), seed=1)
    assert Dataset.open(path).tokenizer.vocabulary.tokens[3:] == tuple(t for t, _ in ranked[:5])
    missing = sum(train.values()) - sum(number for _, number in ranked[:5])
    assert small.splits["train"].unknown == missing
    assert small.splits["train"].rate == missing / sum(train.values())


def test_the_table_is_the_unknown_rate_of_each_size(tmp_path, monkeypatch):
    monkeypatch.setattr(tokenizing, "SIZES", (4, 6, 9, 1000))
    summary = tokenize(
        TEXTS, Pretokenizer(), tmp_path / "d.npz", vocab_size=0, split=(0.8, 0.1, 0.1)
    )
    assert [size for size, _, _ in summary.table] == [4, 6, 9]
    for size, train, held in summary.table:
        again = tokenize(
            TEXTS, Pretokenizer(), tmp_path / "e.npz", vocab_size=size, split=(0.8, 0.1, 0.1)
        )
        figures = again.splits
        assert train == pytest.approx(figures["train"].rate, abs=1e-12)
        others = [figures["valid"], figures["test"]]
        text = sum(part.tokens - 2 * part.units for part in others)
        assert held == pytest.approx(sum(part.unknown for part in others) / text, abs=1e-12)


@pytest.mark.parametrize("level", ["word", "char", "byte"])
@pytest.mark.parametrize("block", [1 << 20, 13])
def test_a_stream_is_the_running_text_cut_by_position(tmp_path, monkeypatch, level, block):
    monkeypatch.setattr(splits, "TOKENS", block)
    rule = Pretokenizer(level, "stream", False)
    path = tmp_path / "d.npz"
    tokenize(TEXTS, rule, path, vocab_size=0, split=(0.6, 0.3, 0.1))
    data = Dataset.open(path)
    text = "\n".join(TEXTS)
    expected = [token if token in data.tokenizer.vocabulary.index else "<unk>"
                for token in rule.tokens(text)]  # fmt: skip
    ids = np.concatenate([data.splits[name].ids for name in SPLITS])
    assert [data.tokenizer.vocabulary.tokens[number] for number in ids] == expected
    sizes = [len(data.splits[name].ids) for name in SPLITS]
    assert sizes == quotas(len(expected), (0.6, 0.3, 0.1))
    for name in SPLITS:
        split = data.splits[name]
        assert split.starts.tolist() == [0, len(split.ids)]
        assert len(split.rows) == 0
    if level == "char":
        assert [data.splits[name].chars for name in SPLITS] == sizes
    if level == "byte":
        assert [data.splits[name].bytes for name in SPLITS] == sizes
    assert sum(part.bytes for part in data.splits.values()) == len(text.encode())


@pytest.mark.parametrize("unit", ["document", "sentence", "stream"])
def test_a_text_in_pieces_is_the_text_in_one(tmp_path, unit):
    text = "First one. Second\ngoes on. mr. X said\nno.\n\nLast! end? yes"
    whole, pieces = tmp_path / "whole.npz", tmp_path / "pieces.npz"
    cuts = [k + 1 for k, c in enumerate(text) if c in " \n"]
    bounds = list(zip([0, *cuts], [*cuts, len(text)], strict=True))
    parts = [Document(text[a:b], more=b < len(text)) for a, b in bounds]
    rule = Pretokenizer("char", unit)
    tokenize([text, "Other."], rule, whole, split=(1.0,))
    tokenize([*parts, "Other."], rule, pieces, split=(1.0,))
    assert whole.read_bytes() == pieces.read_bytes()


def test_a_file_that_ends_in_a_line_end_is_still_one_document(tmp_path):
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text("Some words. More\nwords.\n")
    found = documents(
        [tmp_path / "a.txt", tmp_path / "b.txt"], ReadOptions(whole_file=True), Skipped()
    )
    summary = tokenize(found, Pretokenizer("word", "sentence"), tmp_path / "d.npz", split=(1.0,))
    assert (summary.documents, summary.units) == (2, 4)
    assert Dataset.open(tmp_path / "d.npz").splits["train"].rows.tolist() == [0, 0, 1, 1]


def dealt(tmp_path, seed, level="word"):
    path = tmp_path / "deal.npz"
    texts = [f"u{k}" for k in range(1000)]
    tokenize(texts, Pretokenizer(level), path, vocab_size=0, split=(0.8, 0.15, 0.05), seed=seed)
    return {name: part.rows.tolist() for name, part in Dataset.open(path).splits.items()}


def test_splits_are_exact_disjoint_and_by_seed(tmp_path):
    splits = dealt(tmp_path, 1)
    assert [len(rows) for rows in splits.values()] == [800, 150, 50]
    assert sorted(row for rows in splits.values() for row in rows) == list(range(1000))
    assert dealt(tmp_path, 1) == splits
    assert dealt(tmp_path, 2) != splits
    assert dealt(tmp_path, 1, "char") == splits


def test_every_unit_is_as_likely_in_a_split(tmp_path, monkeypatch):
    monkeypatch.setattr(spool, "UNITS", 8)
    times = np.zeros(40)
    for seed in range(300):
        path = tmp_path / "d.npz"
        tokenize(["x"] * 40, Pretokenizer(), path, split=(0.75, 0.25), seed=seed)
        times[Dataset.open(path).splits["valid"].rows] += 1
    # Each place is binomial(300, 1/4): mean 75, deviation 7.5.
    assert times.sum() == 300 * 10
    assert np.all(np.abs(times - 75) < 4.5 * 7.5)


@given(st.integers(0, 10**9), st.lists(st.integers(0, 100), min_size=1, max_size=3))
def test_quotas_are_whole_and_leave_no_wanted_split_empty(total, weights):
    weights[0] += 1
    split = [weight / sum(weights) for weight in weights]
    parts = quotas(total, split)
    assert sum(parts) == total
    wanted = [share > 0 for share in [*split, 0, 0][:3]]
    assert all(part == 0 for part, want in zip(parts, wanted, strict=True) if not want)
    if total >= sum(wanted):
        assert all(part > 0 for part, want in zip(parts, wanted, strict=True) if want)
    if total > 1000:
        for part, share in zip(parts, split, strict=False):
            assert abs(part - share * total) <= 2


def test_another_vocabulary_is_reused(tmp_path):
    first, second = tmp_path / "a.npz", tmp_path / "b.npz"
    tokenize(["a b b", "c b"], Pretokenizer(), first, min_count=1, split=(1.0,))
    old = Dataset.open(first).tokenizer
    summary = tokenize(["b z", "z. A"], Pretokenizer("word", "sentence"), second, vocabulary=old,
                       split=(1.0,))  # fmt: skip
    data = Dataset.open(second)
    assert data.tokenizer.vocabulary.fingerprint == old.vocabulary.fingerprint
    assert data.splits["train"].ids.tolist() == [1, 3, 0, 2, 1, 0, 0, 2, 1, 4, 2]
    assert summary.unknown_rate == 3 / 5
    for rule in (
        Pretokenizer("char"),
        Pretokenizer("word", lower=False),
        Pretokenizer("word", "stream"),
    ):
        with pytest.raises(ConfigError, match="the vocabulary was made as"):
            tokenize(["x"], rule, second, vocabulary=old)
    with pytest.raises(ConfigError, match="leave vocab-size"):
        tokenize(["x"], Pretokenizer(), second, vocabulary=old, vocab_size=9)


def test_a_reused_vocabulary_gives_the_ids_of_encode(tmp_path):
    old = Tokenizer.train(TEXTS[:20])
    tokenize(TEXTS, Pretokenizer(), tmp_path / "d.npz", vocabulary=old, split=(1.0,))
    train = Dataset.open(tmp_path / "d.npz").splits["train"]
    expected = [number for text in TEXTS for number in [1, *old.encode(text).tolist(), 2]]
    assert train.ids.tolist() == expected


def test_special_tokens_are_an_error_or_left_out_with_their_document(tmp_path):
    path = tmp_path / "c.csv"
    path.write_text("text\nfine\nOne. two <s> x\nalso fine\n")
    out = tmp_path / "d.npz"
    rule = Pretokenizer("word", "sentence")
    with pytest.raises(DataError) as caught:
        tokenize(documents([path], ReadOptions(), Skipped()), rule, out)
    assert str(caught.value) == (
        f'{path}, row 2 (line 3): special token "<s>" in the text. '
        "Mend it, or leave it out: --on-bad-row skip."
    )
    assert sorted(file.name for file in tmp_path.iterdir()) == ["c.csv"]
    skipped = Skipped("skip")
    summary = tokenize(documents([path], ReadOptions(), skipped), rule, out, skipped=skipped)
    assert summary.documents == 2
    assert summary.skipped == {"special token": (1, f"{path}, row 2 (line 3)")}
    assert tokenize(["a <s> b"], Pretokenizer("char"), out).tokens == 7


def test_no_tokens_is_an_error_and_leaves_no_file(tmp_path):
    for texts in ([], ["", " \n"]):
        for unit in ("document", "sentence", "stream"):
            with pytest.raises(DataError, match=r"^no tokens in the input"):
                tokenize(texts, Pretokenizer("word", unit), tmp_path / "d.npz")
    path = tmp_path / "a.txt"
    path.write_text("\n\n \n")
    skipped = Skipped()
    with pytest.raises(DataError, match=r"^no tokens in the input \(3 rows left out\)\.$"):
        tokenize(
            documents([path], ReadOptions(), skipped),
            Pretokenizer(),
            tmp_path / "d.npz",
            skipped=skipped,
        )
    assert [file.name for file in tmp_path.iterdir()] == ["a.txt"]


def test_an_interruption_leaves_no_file_and_the_old_one_whole(tmp_path):
    def interrupted():
        yield "some words"
        raise KeyboardInterrupt

    out = tmp_path / "d.npz"
    tokenize(["old"], Pretokenizer(), out)
    before = out.read_bytes()
    with pytest.raises(KeyboardInterrupt):
        tokenize(interrupted(), Pretokenizer(), out)
    assert out.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["d.npz"]


def test_a_folder_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(DataError, match="cannot be written to: No such file or directory"):
        tokenize(["a"], Pretokenizer(), tmp_path / "none" / "d.npz")


@pytest.mark.parametrize(
    "options",
    [{"split": (0.5, 0.4)}, {"split": (0, 1)}, {"split": (2, -1)}, {"split": ()},
     {"split": (0.25,) * 4}, {"vocab_size": -1}, {"vocab_size": 3}, {"min_count": 0},
     {"seed": -1}],
)  # fmt: skip
def test_impossible_options_are_refused(tmp_path, options):
    with pytest.raises(ConfigError):
        tokenize(["a b c"], Pretokenizer(), tmp_path / "d.npz", **options)
    assert list(tmp_path.iterdir()) == []


def test_the_same_input_gives_the_same_bytes_everywhere(tmp_path):
    script = (
        "import sys; from rnncli.config.reading import *; from rnncli.data.corpus import *;"
        "from rnncli.data.tokenize import *; from rnncli.text.tokenizer import *;"
        "a, b = sys.argv[1:];"
        "tokenize(documents([a], ReadOptions(), Skipped()), Pretokenizer(), b, inputs=[a], seed=4)"
    )
    results = set()
    for k, locale in enumerate(("C", "C.UTF-8", "tr_TR.UTF-8")):
        folder = tmp_path / f"folder{k}"
        folder.mkdir()
        rows = [json.dumps({"text": text}, ensure_ascii=False) for text in TEXTS]
        (folder / "a.jsonl").write_text("\n".join(rows), encoding="utf-8")
        environment = os.environ | {"PYTHONHASHSEED": str(k), "LC_ALL": locale}
        environment["PYTHONPATH"] = str(ROOT)
        arguments = [sys.executable, "-c", script, str(folder / "a.jsonl"), str(folder / "d.npz")]
        subprocess.run(arguments, env=environment, check=True, cwd=folder)
        results.add((folder / "d.npz").read_bytes())
    assert len(results) == 1
    assert artefacts.read(tmp_path / "folder0" / "d.npz").header["inputs"] == ["a.jsonl"]


def test_memory_does_not_grow_with_the_corpus(tmp_path, monkeypatch):
    monkeypatch.setattr(spool, "UNITS", 64)
    monkeypatch.setattr(splits, "TOKENS", 1024)
    monkeypatch.setattr(spool, "_BUFFER", 1 << 14)

    def peak(times):
        texts = (TEXTS[k % len(TEXTS)] for k in range(times))
        tracemalloc.start()
        tokenize(texts, Pretokenizer(), tmp_path / "d.npz")
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    peak(400)
    small, large = peak(400), peak(8000)
    assert os.path.getsize(tmp_path / "d.npz") > 250_000
    assert large < small + 50_000


def test_ids_are_as_narrow_as_the_vocabulary_allows(tmp_path):
    words = [f"w{k}" for k in range(1 << 16)]
    tokenize([" ".join(words)], Pretokenizer(), tmp_path / "d.npz", vocab_size=0, split=(1.0,))
    assert Dataset.open(tmp_path / "d.npz").splits["train"].ids.dtype == np.uint32
    tokenize([" ".join(words[3:])], Pretokenizer(), tmp_path / "d.npz", vocab_size=0, split=(1.0,))
    train = Dataset.open(tmp_path / "d.npz").splits["train"]
    assert train.ids.dtype == np.uint16
    assert int(train.ids.max()) == (1 << 16) - 1


def test_the_summary_is_json(tmp_path):
    summary = tokenize(TEXTS, Pretokenizer(), tmp_path / "d.npz")
    assert json.loads(json.dumps(summary.to_json()))["units"] == len(TEXTS)


def member(name, change):
    def damage(header, arrays):
        array = np.array(arrays[name])
        arrays[name] = change(array)

    return damage


def put(index, value):
    def change(array):
        array[index] = value
        return array

    return change


DAMAGE = {
    "splits": lambda header, arrays: header.pop("splits"),
    "split name": lambda header, arrays: header["splits"].update(other={}),
    "figures": lambda header, arrays: header["splits"]["train"].pop("chars"),
    "negative": lambda header, arrays: header["splits"]["train"].update(bytes=-1),
    "array": lambda header, arrays: arrays.pop("valid.rows"),
    "dtype": member("train.ids", lambda array: array.astype(np.float32)),
    "ids": member("train.ids", put(1, 500)),
    "bos": member("train.ids", put(0, 0)),
    "eos": member("train.ids", put(-1, 0)),
    "starts": member("train.starts", put(0, 1)),
    "ends": member("train.starts", put(-1, 1)),
    "descending": member("train.starts", lambda array: np.append(np.insert(array, 1, 99), 0)),
    "short unit": member("train.starts", put(1, 1)),
    "rows": member("train.rows", put(0, 1 << 40)),
    "row below 0": member("train.rows", put(0, -1)),
    "rows number": member("train.rows", lambda array: array[1:]),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_a_data_file_that_makes_no_sense_is_refused_by_name(tmp_path, case):
    path = tmp_path / "d.npz"
    tokenize(["a b", "c d", "e f"] * 5, Pretokenizer(), path)
    artefact = artefacts.read(path)
    header, arrays = artefact.header, dict(artefact.arrays)
    DAMAGE[case](header, arrays)
    artefacts.write(path, "data", header, arrays)
    with pytest.raises(ArtefactError) as caught:
        Dataset.open(path)
    assert str(caught.value).startswith(f"{path}: ")
