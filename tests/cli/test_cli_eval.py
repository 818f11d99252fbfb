"""`rnncli eval` as its users meet it: rows, baselines, mixtures, two models, painted text."""

import gzip
import json
import math
import re
from itertools import pairwise

import numpy as np
import pytest
from commands import TINY, good, refused, run, sentences

from rnncli.data.dataset import Dataset
from rnncli.files.lines import Lines
from rnncli.lm import language_model
from rnncli.lm.ngram import KneserNey
from rnncli.score import known_entropy


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Three models of little sentences: words, the same shorter trained, and characters."""
    folder = tmp_path_factory.mktemp("files")
    (folder / "text.txt").write_text(sentences(300))
    good("tokenize", folder / "text.txt", "-o", folder / "d.npz", "--split", "0.6,0.2,0.2")
    good("train", folder / "d.npz", "-o", folder / "m.npz", "--hidden", 24, "--max-steps", 120)
    good("train", folder / "d.npz", "-o", folder / "poor.npz", *TINY, "--max-steps", 15)
    good("tokenize", folder / "text.txt", "-o", folder / "c.npz", "--whole-file", "--level", "char")
    good("train", folder / "c.npz", "-o", folder / "cm.npz", *TINY, "--max-steps", 30)
    good("train", folder / "d.npz", "-o", folder / "carried.npz", *TINY, "--max-steps", 5,
         "--batching", "consecutive")  # fmt: skip
    lines = (folder / "text.txt").read_text().splitlines()[:40]
    lines[3], lines[7], lines[11] = "", " \t ", "xylophone zzyzx"
    (folder / "lines.txt").write_text("\n".join(lines) + "\n")
    return folder


def figures(*words, text=""):
    return json.loads(good("eval", *words, "--json", text=text).out)


# --- --per ---


@pytest.mark.parametrize("model", ["m.npz", "cm.npz", "carried.npz"])
def test_one_line_in_one_line_out_and_the_sums_agree(files, model):
    words = (files / model, "--text", files / "lines.txt")
    rows = [line.split("\t") for line in good("eval", *words, "--per", "line").out.splitlines()]
    assert len(rows) == 40
    card = figures(*words)
    documents = [
        json.loads(line)
        for line in good("eval", *words, "--per", "document", "--json").out.splitlines()
    ]
    tokens = good("eval", *words, "--per", "token").out.splitlines()
    assert sum(float(row[0]) for row in rows) == pytest.approx(-card["nats"], abs=1e-6)
    assert sum(row["logprob"] for row in documents) == pytest.approx(-card["nats"], abs=1e-6)
    assert sum(float(row.split("\t")[2]) for row in tokens) == pytest.approx(
        -card["nats"], abs=1e-6
    )
    assert sum(int(row[1]) for row in rows) == len(tokens) == card["tokens"]
    assert sum(int(row[2]) for row in rows) == sum(int(row[-1]) for row in tokens) == card["oov"]
    assert len(documents) == (1 if model == "cm.npz" else 38)


def test_blank_lines_and_unknown_words_have_rows_of_their_own(files):
    rows = good("eval", files / "m.npz", "--text", files / "lines.txt", "--per", "line")
    rows = rows.out.splitlines()
    assert rows[3] == rows[7] == "0\t0\t0"
    assert rows[11].split("\t")[1:] == ["3", "2"]
    found = good("eval", files / "m.npz", "--text", files / "lines.txt", "--per", "line", "--json")
    parsed = [json.loads(line) for line in found.out.splitlines()]
    assert [row["line"] for row in parsed] == list(range(1, 41))
    assert (parsed[3]["tokens"], parsed[3]["perplexity"]) == (0, None)
    assert parsed[11]["perplexity"] == pytest.approx(math.exp(-parsed[11]["logprob"] / 3))
    assert (parsed[11]["tokens"], parsed[11]["oov"]) == (3, 2)


def test_the_rows_of_tokens_say_what_stood_there(files):
    text = "The  cat\n\nsees a\tZEBRA.\n"
    rows = good("eval", files / "m.npz", "--text", "-", "--per", "token", text=text).out
    rows = [row.split("\t") for row in rows.splitlines()]
    assert [row[:2] for row in rows] == [
        ["1", "the"], ["1", "cat"], ["1", "</s>"],
        ["3", "sees"], ["3", "a"], ["3", "zebra"], ["3", "."], ["3", "</s>"],
    ]  # fmt: skip
    assert [row[3] for row in rows] == list("00000100")
    rows = good("eval", files / "cm.npz", "--text", "-", "--per", "token", text="a\t\x1bb\n").out
    assert [row.split("\t")[1] for row in rows.splitlines()] == ["\\t", "\\x1b", "b", "\\n"]


@pytest.mark.parametrize(("base", "unit"), [("2", math.log(2)), ("10", math.log(10)), ("e", 1.0)])
def test_the_base_of_logarithms(files, base, unit):
    for per in ("line", "token"):
        words = ("eval", files / "m.npz", "--text", files / "lines.txt", "--per", per, "--json")
        plain, based = good(*words).out, good(*words, "--log-base", base).out
        for a, b in zip(plain.splitlines(), based.splitlines(), strict=True):
            assert json.loads(b)["logprob"] * unit == pytest.approx(json.loads(a)["logprob"])


def test_a_data_file_has_rows_of_documents_and_tokens(files):
    split = Dataset.open(files / "d.npz").splits["valid"]
    words = ("eval", files / "m.npz", files / "d.npz", "--split", "valid", "--per")
    rows = [row.split("\t") for row in good(*words, "document").out.splitlines()]
    card = figures(files / "m.npz", files / "d.npz", "--split", "valid")
    assert [int(row[0]) for row in rows] == (split.rows + 1).tolist()
    assert sum(float(row[1]) for row in rows) == pytest.approx(-card["nats"], abs=1e-6)
    lines = (files / "text.txt").read_text().splitlines()
    told = good(*words, "token").out.splitlines()
    first = [row.split("\t") for row in told if row.split("\t")[0] == rows[0][0]]
    line = " ".join(row[1] for row in first).replace(" .", ".").removesuffix(" </s>")
    assert line == lines[int(rows[0][0]) - 1].lower()
    whole = good("eval", files / "cm.npz", files / "c.npz", "--per", "document").out
    assert len(whole.splitlines()) == 1


def test_pools_of_lines_change_rounding_only(files, monkeypatch):
    words = ("eval", files / "m.npz", "--text", files / "lines.txt", "--per", "line")
    whole = good(*words).out.splitlines()
    for name, value in (("POOL", 7), ("LETTERS", 100)):
        monkeypatch.setattr(f"rnncli.score.scoring.{name}", value)
        for a, b in zip(good(*words).out.splitlines(), whole, strict=True):
            assert float(a.split("\t")[0]) == pytest.approx(float(b.split("\t")[0]), rel=1e-5)
            assert a.split("\t")[1:] == b.split("\t")[1:]


def test_lines_end_where_wc_says(files):
    for text, count in (("a\rb\r\nc\x0bd\u2028e\n", 2), ("the cat", 1), ("\n\n\n", 3), ("", 0)):
        rows = good("eval", files / "m.npz", "--text", "-", "--per", "line", text=text).out
        assert len(rows.splitlines()) == count


# --- the card ---


def test_kenlm_s_four_lines(files):
    card = figures(files / "m.npz", "--text", files / "lines.txt")
    lines = good("eval", files / "m.npz", "--text", files / "lines.txt", "--kenlm").out.splitlines()
    assert [line.split("\t")[0] for line in lines] == [
        "Perplexity including OOVs:", "Perplexity excluding OOVs:", "OOVs:", "Tokens:",
    ]  # fmt: skip
    values = [float(line.split("\t")[1]) for line in lines]
    names = ("perplexity", "perplexity_excluding_oov", "oov", "tokens")
    assert values == pytest.approx([card[name] for name in names], rel=1e-5)


def test_the_perplexity_of_an_open_vocabulary(files, tmp_path):
    (tmp_path / "t.txt").write_text("the cat sees a dog.\n" * 20 + "one two three\nfour one\n")
    good("tokenize", tmp_path / "t.txt", "-o", tmp_path / "d.npz", "--vocab", files / "m.npz",
         "--split", "1")  # fmt: skip
    words = (files / "m.npz", tmp_path / "d.npz", "--split", "train")
    found = figures(*words)
    assert (found["unseen"], found["oov"]) == (4, 5)
    exponent = (found["nats"] + 5 * math.log(4)) / found["tokens"]
    assert found["perplexity_open"] == pytest.approx(math.exp(exponent))
    more = figures(*words, "--unseen", 1000)["perplexity_open"]
    exponent = (found["nats"] + 5 * math.log(1000)) / found["tokens"]
    assert more == pytest.approx(math.exp(exponent))
    assert "if <unk> is 4 words" in good("eval", *words).out
    assert "perplexity_open" not in figures(files / "m.npz", "--text", files / "lines.txt")


def test_the_distance_to_a_known_entropy_is_shown_for_that_very_split_only(files, monkeypatch):
    dataset = Dataset.open(files / "d.npz")
    key = known_entropy.fingerprint(dataset.tokenizer, dataset.splits["test"].ids)
    monkeypatch.setattr(known_entropy, "_known", lambda: {key: 0.25})
    found = figures(files / "m.npz", files / "d.npz")
    assert found["entropy"] == 0.25
    out = good("eval", files / "m.npz", files / "d.npz", "--baselines").out
    assert re.search(rf"above it +{found['nats_per_token'] - 0.25:.4f}\n", out)
    assert f"{math.log(len(dataset.tokenizer) - 1) - 0.25:.4f}\n" in out
    assert "entropy" not in figures(files / "m.npz", files / "d.npz", "--split", "valid")
    assert "above" not in good("eval", files / "m.npz", "--text", files / "text.txt").out


# --- baselines and mixtures ---


def test_baselines_stand_beside_the_model(files):
    found = figures(files / "m.npz", files / "d.npz", "--baselines")
    dataset = Dataset.open(files / "d.npz")
    train, test = dataset.splits["train"], dataset.splits["test"]
    assert list(found["baselines"]) == ["uniform", "unigram", "kn2", "kn3", "kn4", "kn5"]
    model = KneserNey.train(train.ids, train.starts, len(dataset.tokenizer), 1, 3)
    nats = model.nats(test.ids, test.starts).nats
    expected = np.nanmean(nats)
    assert found["baselines"]["kn3"]["nats_per_token"] == pytest.approx(expected)
    assert found["baselines"]["uniform"]["perplexity"] == pytest.approx(len(dataset.tokenizer) - 1)
    assert {row["tokens"] for row in found["baselines"].values()} == {found["tokens"]}
    table = good("eval", files / "m.npz", files / "d.npz", "--baselines").out
    for name in ("uniform", "unigram", "Kneser-Ney 2", "Kneser-Ney 5", "m.npz"):
        assert name in table


@pytest.mark.parametrize("order", [1, 3])
def test_a_mixture_is_weighed_on_the_validation_split(files, order):
    found = figures(files / "poor.npz", files / "d.npz", "--mix", f"kn{order}")["mix"]
    dataset, language = Dataset.open(files / "d.npz"), language_model.load(files / "poor.npz")
    tokenizer, train = dataset.tokenizer, dataset.splits["train"]
    simple = KneserNey.train(train.ids, train.starts, len(tokenizer), tokenizer.bos, order)

    def cost(split, weight):
        part = dataset.splits[split]
        both = (p.nats(part.ids, part.starts).nats for p in (language.predictor(), simple))
        a, b = (nats.tolist() for nats in both)
        pairs = [(x, y) for x, y in zip(a, b, strict=True) if x == x]
        return -sum(
            math.log(weight * math.exp(-x) + (1 - weight) * math.exp(-y)) for x, y in pairs
        ) / len(pairs)

    best = min((k / 200 for k in range(1, 200)), key=lambda weight: cost("valid", weight))
    assert found["weight"] == pytest.approx(best, abs=0.006)
    assert found["nats_per_token"] == pytest.approx(cost("test", found["weight"]))
    out = good("eval", files / "poor.npz", files / "d.npz", "--mix", f"kn{order}").out
    assert f"{found['weight']:.3f} of it" in out


def test_what_is_unfair_is_said(files, tmp_path):
    good("tokenize", files / "lines.txt", "-o", tmp_path / "d.npz", "--vocab", files / "m.npz")
    words = ("eval", files / "m.npz", tmp_path / "d.npz", "--mix", "kn2")
    assert "another text" in good(*words).err
    assert "fitted to this very text" in good(*words, "--split", "valid").err
    assert "seen this very text" in good(*words, "--split", "train").err
    assert good(*words, "-q").err == ""
    assert good("eval", files / "m.npz", files / "d.npz", "--mix", "kn2").err == ""
    good("tokenize", files / "lines.txt", "-o", tmp_path / "one.npz", "--vocab", files / "m.npz",
         "--split", "1")  # fmt: skip
    words = ("eval", files / "m.npz", tmp_path / "one.npz", "--split", "train", "--mix", "kn2")
    assert 'no split "valid"' in refused(*words)


# --- ends ---


def ends_plainly(language, units):
    """The number of ends of units of ids, and the sum of the probability of one in each place."""
    ends, expected = 0, 0.0
    state = language.model.zero_state(1)
    for unit in units:
        if not language.carried:
            state = language.model.zero_state(1)
        for x, y in zip(unit, [*unit[1:], None], strict=True):
            z, state = language.model.step(np.array([x]), state)
            row = [math.exp(v) for v in z[:, 0].tolist()]
            if y is not None:
                ends += y == language.tokenizer.eos
                expected += row[language.tokenizer.eos] / math.fsum(row)
    return ends, expected


@pytest.mark.parametrize("model", ["m.npz", "carried.npz"])
def test_the_ends_there_stand_beside_those_expected(files, model):
    language, split = language_model.load(files / model), Dataset.open(files / "d.npz")
    part = split.splits["valid"]
    units = [part.ids[a:b].tolist() for a, b in pairwise(part.starts)]
    ends, expected = ends_plainly(language, units)
    words = (files / model, files / "d.npz", "--split", "valid")
    card = figures(*words)
    assert card["ends"] == ends == len(units)
    assert card["ends_expected"] == pytest.approx(expected, rel=1e-5)
    line = f"  ends (expected {card['ends_expected']:,.1f})"
    assert f"{line:<28}{ends:>12,}" in good("eval", *words).out.splitlines()


def test_a_mixture_expects_the_mean_of_what_its_parts_expect(files):
    words = (files / "m.npz", files / "d.npz", "--baselines", "--mix", "kn3")
    found = figures(*words)
    weight, parts = found["mix"]["weight"], (found, found["baselines"]["kn3"])
    expected = weight * parts[0]["ends_expected"] + (1 - weight) * parts[1]["ends_expected"]
    assert found["mix"]["ends_expected"] == pytest.approx(expected)
    assert {part["ends"] for part in (*parts, found["mix"])} == {found["ends"]}


def test_a_stream_has_no_ends(files):
    words = (files / "cm.npz", "--text", files / "lines.txt")
    assert not {"ends", "ends_expected"} & set(figures(*words))
    assert "ends" not in good("eval", *words).out


# --- two models ---


def test_two_models_and_whether_they_differ(files):
    words = (files / "m.npz", files / "poor.npz", files / "d.npz")
    found = figures(*words)
    each = [figures(words[k], words[2]) for k in (0, 1)]
    for row, alone in zip(found["models"], each, strict=True):
        assert row["nats_per_token"] == pytest.approx(alone["nats_per_token"])
    difference = found["difference"]
    expected = each[0]["nats_per_token"] - each[1]["nats_per_token"]
    assert difference["mean"] == pytest.approx(expected)
    assert difference["low"] < difference["mean"] < difference["high"] < 0
    assert (difference["certain"], difference["unit"]) == (True, "nats a token")
    out = good("eval", *words).out
    assert f"{words[0]} is better" in out
    assert "60 documents" in out
    same = good("eval", words[0], words[0], words[2]).out
    assert "difference +0.0000" in same
    assert "that may be chance" in same
    stream = good("eval", files / "cm.npz", files / "cm.npz", files / "c.npz").out
    assert "blocks of 256 tokens" in stream


def test_the_same_on_a_text_line_by_line(files):
    found = figures(files / "m.npz", files / "poor.npz", "--text", files / "lines.txt")
    first = figures(files / "m.npz", "--text", files / "lines.txt")
    assert found["models"][0]["nats_per_token"] == pytest.approx(first["nats_per_token"])
    assert found["difference"]["high"] < 0
    assert found["comparable"] is True


def test_models_that_cut_the_text_otherwise_compare_by_bytes_with_a_warning(files):
    words = (files / "m.npz", files / "cm.npz", "--text", files / "lines.txt")
    found, out = figures(*words), good("eval", *words).out
    assert out.startswith("The vocabularies or tokenisers differ")
    assert "nats a token" not in out
    assert "perplexity" not in out
    assert out.count("ppl|tok:") == 2
    assert found["difference"]["unit"] == "bits a byte"
    assert found["comparable"] is False
    assert "vocabularies" in found["warning"]
    size = (files / "lines.txt").stat().st_size
    nats = [row["nats"] for row in found["models"]]
    expected = (nats[0] - nats[1]) / math.log(2) / size
    rows = [row["bits_per_byte"] for row in found["models"]]
    assert found["difference"]["mean"] == pytest.approx(expected, rel=0.01)
    assert found["difference"]["mean"] == pytest.approx(rows[0] - rows[1], rel=0.01)
    line = refused("eval", files / "m.npz", files / "cm.npz", files / "d.npz")
    assert "--text" in line


# --- painted text ---


def test_the_text_is_painted_as_it_stands(files, monkeypatch):
    text = "The  Cat\n\nsees a ZEBRA.\n"
    for model in ("m.npz", "cm.npz"):
        done = good("eval", files / model, "--text", "-", "--color", text=text)
        bare = re.sub(r"\x1b\[[\d;]*m", "", done.out)
        assert bare.replace(" </s>", "").replace("↵", "") == text
        assert "\x1b[38;5;16;48;5;" in done.out
        assert "bits a token" in done.err
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in good("eval", files / "m.npz", "--text", "-", "--color", text=text).out


def test_a_split_is_painted_too(files):
    out = good("eval", files / "m.npz", files / "d.npz", "--color").out
    assert len(out.splitlines()) == 60
    out = good("eval", files / "cm.npz", files / "c.npz", "--color").out
    assert "↵" in out


# --- bad input and wrong use ---


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("m.npz",), "data file or --text"),
        (("m.npz", "m.npz", "m.npz", "d.npz"), "one model or two"),
        (("m.npz", "m.npz", "d.npz", "--text", "lines.txt"), "one model or two"),
        (("m.npz", "d.npz", "--per", "line"), "--per line is for --text"),
        (("m.npz", "d.npz", "--log-base", "2"), "--log-base is for --per"),
        (("m.npz", "d.npz", "--per", "token", "--log-base", "1"), "neither e nor a number"),
        (("m.npz", "d.npz", "--per", "token", "--log-base", "x"), "neither e nor a number"),
        (("m.npz", "d.npz", "--per", "token", "--log-base", "nan"), "neither e nor a number"),
        (("m.npz", "d.npz", "--per", "token", "--kenlm"), "--per does not go with --kenlm"),
        (("m.npz", "d.npz", "--color", "--baselines"), "--color does not go with --baselines"),
        (("m.npz", "m.npz", "d.npz", "--mix", "kn5"), "does not go with a second model"),
        (("m.npz", "d.npz", "--kenlm", "--json"), "--json does not go with --kenlm"),
        (("m.npz", "d.npz", "--color", "--json"), "--json does not go with --color"),
        (("m.npz", "d.npz", "--mix", "kn6"), "kn6"),
        (("m.npz", "d.npz", "--unseen", "0"), "0"),
        (("m.npz", "d.npz", "--unseen", "5", "--kenlm"), "--unseen does not go with --kenlm"),
        (("m.npz", "--text", "lines.txt", "--mix", "kn5"), "need a data file"),
    ],
)
def test_contradictions_are_refused_before_anything_is_read(files, monkeypatch, words, message):
    monkeypatch.chdir(files)
    monkeypatch.setattr(language_model, "load", lambda path: pytest.fail("a model was loaded"))
    ended = run("eval", *words)
    assert ended.code == 2
    assert ended.out == ""
    assert message in " ".join(ended.err.split())


@pytest.mark.parametrize("extra", [(), ("--per", "line"), ("--per", "token"), ("--color", "-q")])
def test_bad_bytes_are_one_clear_line(files, tmp_path, extra):
    (tmp_path / "t.txt").write_bytes(b"the cat\na \xe9 dog\n")
    done = run("eval", files / "m.npz", "--text", tmp_path / "t.txt", *extra)
    assert done.code == 1
    assert done.err.count("\n") == 1
    assert "t.txt, line 2: byte 0xe9 at offset 10 is not utf-8" in done.err
    latin = ("eval", files / "m.npz", "--text", tmp_path / "t.txt", "--encoding", "latin-1", *extra)
    assert good(*latin).out


def test_an_endless_line_is_one_clear_line(files, tmp_path, monkeypatch):
    monkeypatch.setattr(Lines, "limit", 1 << 20)
    (tmp_path / "t.txt").write_bytes(b"the cat\n" + b"a" * (3 << 20))
    for model in ("m.npz", "cm.npz"):
        line = refused("eval", files / model, "--text", tmp_path / "t.txt")
        assert "t.txt, line 2: the line is longer than 1 MiB" in line


def test_damaged_gzip_is_one_clear_line(files, tmp_path):
    (tmp_path / "t.gz").write_bytes(gzip.compress((files / "text.txt").read_bytes())[:-20])
    line = refused("eval", files / "m.npz", "--text", tmp_path / "t.gz")
    assert "gzip data is damaged" in line
    assert "no text encoding" in refused("eval", files / "m.npz", "--text", "-", "--encoding", "x")


def test_an_empty_text_has_no_card_but_no_rows_either(files):
    for extra in ((), ("--kenlm",), ("--json",)):
        assert "no text to score" in refused("eval", files / "m.npz", "--text", "-", *extra)
    assert "no text" in refused("eval", files / "m.npz", files / "poor.npz", "--text", "-")
    assert good("eval", files / "m.npz", "--text", "-", "--per", "line").out == ""


def test_a_word_that_stands_for_something_else_is_refused(files):
    line = refused("eval", files / "m.npz", "--text", "-", "--per", "line", text="a </s> b\n")
    assert "special token" in line


def test_a_data_file_in_the_place_of_a_model_is_refused(files):
    line = refused("eval", files / "d.npz", files / "m.npz")
    assert "a data file, but a model file is needed here" in line
