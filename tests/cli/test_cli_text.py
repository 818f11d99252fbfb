"""`rnncli tokenize`, `sample` and `eval` as their users meet them."""

import gzip
import json
import math

import pytest
from commands import TINY, good, refused, run, sentences

from rnncli.data.dataset import Dataset
from rnncli.lm import language_model
from rnncli.score.evaluate import evaluate


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A table, its data file, and a model that knows something of it; the same as characters."""
    folder = tmp_path_factory.mktemp("files")
    lines = sentences(120).splitlines()
    rows = "".join(f'{number},"{line}",x\n' for number, line in enumerate(lines))
    (folder / "table.csv").write_text("id,body,note\n" + rows)
    (folder / "text.txt").write_text("\n".join(lines))
    good("tokenize", folder / "table.csv", "-o", folder / "d.npz")
    good("train", folder / "d.npz", "-o", folder / "m.npz", "--hidden", 24, "--epochs", 30)
    good("tokenize", folder / "text.txt", "-o", folder / "c.npz", "--whole-file", "--level", "char")
    good("train", folder / "c.npz", "-o", folder / "cm.npz", *TINY, "--max-steps", 30)
    return folder


def vocabulary(path):
    return Dataset.open(path).tokenizer.vocabulary


# --- tokenize ---

BODIES = ("body", "text", "comment", "content", "title")  # the order in which they are looked for


def test_the_column_of_the_text_is_found_or_asked_for(tmp_path):
    def table(header, *rows):
        (tmp_path / "t.csv").write_text("\n".join([header, *rows]) + "\n")
        return ("tokenize", tmp_path / "t.csv", "-o", tmp_path / "d.npz", "--min-count", 1,
                "--split", "1")  # fmt: skip

    for header in ("a,body", "only", "a,text,b", "title,comment", "x,content", "title,body,text"):
        columns = header.split(",")
        right = next(name for name in (*BODIES, "only") if name in columns)
        good(*table(header, ",".join("yes" if name == right else "no" for name in columns)))
        assert vocabulary(tmp_path / "d.npz").tokens[3:] == ("yes",)
    words = table("author,score,reply", "me,3,hello there")
    line = refused(*words)
    assert "author, score, reply" in line
    assert "--column" in line
    good(*words, "--column", "reply")
    assert "hello" in vocabulary(tmp_path / "d.npz").tokens
    good(*words, "--column", 1)
    assert "me" in vocabulary(tmp_path / "d.npz").tokens
    line = refused(*words, "--column", "body")
    assert 'no column "body" (found: author, score, reply)' in line


def test_words_seen_once_teach_the_model_unk_unless_told_otherwise(tmp_path):
    (tmp_path / "t.txt").write_text("a b c\na b d\na e b\n")
    words = ("tokenize", tmp_path / "t.txt", "-o", tmp_path / "d.npz", "--split", "1")
    done = good(*words)
    assert set(vocabulary(tmp_path / "d.npz").tokens[3:]) == {"a", "b"}
    assert "words seen once are <unk>" in done.err
    assert "--min-count 1" in done.err
    for more in (
        ("--min-count", 1),  # as asked for
        ("--vocab-size", 8),  # room for all of them
        ("--level", "char"),
        ("--vocab-size", 0),  # all of them
    ):
        done = good(*words, *more)
        kept = set(vocabulary(tmp_path / "d.npz").tokens[3:])
        if more == ("--vocab-size", 8):
            assert kept == {"a", "b"}
        else:
            assert {"c", "d", "e"} <= kept
            assert "words seen once" not in done.err
    good(*words, "--vocab-size", 7)  # a word less than there are: <unk> is there anyway
    assert len(vocabulary(tmp_path / "d.npz").tokens) == 7
    good(*words, "--min-count", 3)
    assert set(vocabulary(tmp_path / "d.npz").tokens[3:]) == {"a", "b"}
    (tmp_path / "t.txt").write_text("every word here stands once\n")
    good(*words)
    assert len(vocabulary(tmp_path / "d.npz").tokens) == 8


def test_the_report_goes_to_standard_error_and_json_to_standard_output(files, tmp_path):
    words = ("tokenize", files / "table.csv", "-o", tmp_path / "d.npz")
    done = good(*words)
    assert done.out == ""
    assert "120 documents" in done.err
    assert "left out" not in done.err
    assert "\r" not in done.err
    report = json.loads(good(*words, "--json", "-q").out)
    assert (report["documents"], report["unit"]) == (120, "document")
    assert set(report["splits"]) == {"train", "valid", "test"}
    assert report["min_count"] == 1
    assert good(*words, "-q")[1:] == ("", "")


def test_the_same_input_gives_the_same_bytes(files, tmp_path):
    for name in "ab":
        good("tokenize", files / "table.csv", "-o", tmp_path / name, "-q")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    good("tokenize", files / "table.csv", "-o", tmp_path / "c", "--seed", 1)
    assert (tmp_path / "c").read_bytes() != (tmp_path / "a").read_bytes()


def test_standard_input_gzip_and_files_say_the_same(files, tmp_path):
    text = (files / "table.csv").read_text()
    (tmp_path / "table.csv.gz").write_bytes(gzip.compress(text.encode()))
    (tmp_path / "table.tsv").write_text(text.replace(",", "\t"))
    rows = [dict(zip(("id", "body", "note"), line.split(",", 2), strict=True))
            for line in text.replace('"', "").splitlines()[1:]]  # fmt: skip
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    made = {
        "file": ("tokenize", files / "table.csv"),
        "gzip": ("tokenize", tmp_path / "table.csv.gz"),
        "tabs": ("tokenize", tmp_path / "table.tsv"),
        "given tabs": ("tokenize", tmp_path / "table.tsv", "--format", "csv", "--delimiter", "\\t"),
        "json": ("tokenize", tmp_path / "t.jsonl"),
    }
    counts = {}
    for name, words in made.items():
        good(*words, "-o", tmp_path / "d.npz", "-q")
        data = Dataset.open(tmp_path / "d.npz")
        counts[name] = (data.tokenizer.fingerprint, data.splits["train"].ids.tobytes())
    assert len(set(counts.values())) == 1


def test_rows_that_cannot_be_read_are_left_out_on_request_and_counted(tmp_path):
    (tmp_path / "t.csv").write_text("a,text\n1,fine\n2\n3,fine too\n4,a <s> here\n")
    words = ("tokenize", tmp_path / "t.csv", "-o", tmp_path / "d.npz", "--min-count", 1)
    assert "t.csv, row 2 (line 3)" in refused(*words)
    done = good(*words, "--on-bad-row", "skip")
    assert "left out: 1 x" in done.err
    assert "2 documents" in done.err


def test_a_vocabulary_can_be_reused(files, tmp_path):
    (tmp_path / "new.txt").write_text("the cat sees a zebra.\n" * 9)
    words = ("tokenize", tmp_path / "new.txt", "-o", tmp_path / "d.npz", "--vocab")
    for source in ("d.npz", "m.npz"):
        good(*words, files / source)
        assert vocabulary(tmp_path / "d.npz").fingerprint == vocabulary(files / "d.npz").fingerprint
        scored = json.loads(good("eval", files / "m.npz", tmp_path / "d.npz", "--json").out)
        assert scored["oov"] == scored["tokens"] / 7  # zebra; a full stop and </s> count too
    wrong = run(*words, files / "d.npz", "--level", "char")
    assert wrong.code == 2
    assert "--vocab brings its own rule: leave out --level." in wrong.err
    assert "leave out --min-count" in run(*words, files / "d.npz", "--min-count", 2).err


# --- sample ---


def test_a_model_alone_is_enough_to_write_and_to_score(files, tmp_path, monkeypatch):
    (tmp_path / "m.npz").write_bytes((files / "m.npz").read_bytes())
    monkeypatch.chdir(tmp_path)
    assert good("sample", "m.npz", "--prefix", "the cat").out.startswith("the cat ")
    assert "perplexity" in good("eval", "m.npz", "--text", "-", text="the cat sees a dog.\n").out
    assert [p.name for p in tmp_path.iterdir()] == ["m.npz"]


def test_the_same_seed_gives_the_same_text_however_many_are_asked_for(files):
    model = files / "m.npz"
    five = good("sample", model, "-n", 5, "--seed", 3).out.splitlines()
    assert len(five) == 5
    assert good("sample", model, "-n", 2, "--seed", 3).out.splitlines() == five[:2]
    assert good("sample", model, "--seed", 3).out.splitlines() == five[:1]
    assert good("sample", model, "-n", 5, "--seed", 4).out.splitlines() != five


def test_json_says_what_was_written_and_how_likely_it_was(files):
    words = ("sample", files / "m.npz", "-n", 3, "--prefix", "my aunt", "--length", 9)
    rows = [json.loads(line) for line in good(*words, "--json").out.splitlines()]
    assert [row["text"] for row in rows] == good(*words).out.splitlines()
    for row in rows:
        assert row["text"].startswith("my aunt")
        assert row["prefix"] == "my aunt"
        assert row["logprob"] < 0
        assert 1 <= row["tokens"] <= 9
        assert row["stopped"] in ("end", "length")


def test_temperature_zero_is_the_likeliest_text(files):
    words = ("sample", files / "m.npz", "--temperature", 0)
    assert good(*words).out == good(*words, "--seed", 9).out


def test_length_counts_tokens_after_the_prefix(files):
    words = ("sample", files / "cm.npz", "--prefix", "the ", "--length", 11, "--no-stop-at-end")
    assert len(good(*words).out) == len("the ") + 11 + 1


def test_what_narrows_the_choice_is_an_option(files):
    def texts(*words):
        return good("sample", files / "m.npz", "-n", 20, "--length", 12, *words).out.splitlines()

    plain = texts()
    assert texts("--top-k", 1) == texts("--temperature", 0) == texts("--min-p", 1)
    for words in (("--top-p", 0.3), ("--min-p", 0.3), ("--typical", 0.3), ("--repetition", 3)):
        assert texts(*words) != plain
    for text in texts("--no-repeat", 1, "--temperature", 2):
        written = text.split()
        assert len(set(written)) == len(written)
    assert all(json.loads(row)["tokens"] >= 6 for row in texts("--min-length", 6, "--json"))


def test_a_text_stops_where_it_is_told_to_and_matches_what_it_must(files):
    word = vocabulary(files / "d.npz").tokens[4]
    printed = good("sample", files / "m.npz", "-n", 30, "--stop", word, "--json").out
    rows = [json.loads(line) for line in printed.splitlines()]
    assert all(word not in row["text"] for row in rows)
    assert any(row["stopped"] == "stop" for row in rows)
    lines = good("sample", files / "m.npz", "-n", 10, "--match", "[a-m].*").out.splitlines()
    assert len(lines) == 10
    assert all("a" <= line[0] <= "m" for line in lines)
    line = refused("sample", files / "m.npz", "--match", "[0-9]{9}")
    assert "no token goes on" in line


def test_a_beam_shows_the_most_probable_texts_and_leaves_nothing_to_chance(files):
    words = ("sample", files / "m.npz", "--beam", 8, "-n", 3, "--length", 9)
    rows = [json.loads(line) for line in good(*words, "--json").out.splitlines()]
    assert len(rows) == 3
    assert good(*words).out.splitlines() == [row["text"] for row in rows]
    greedy = json.loads(
        good("sample", files / "m.npz", "--temperature", 0, "--length", 9, "--json").out
    )

    assert rows[0]["logprob"] >= greedy["logprob"] - 1e-9
    assert sorted(rows, key=lambda row: -row["logprob"]) == rows
    ended = run(*words, "--temperature", 0.5)
    assert ended.code == 2
    assert "--beam does not go with --temperature" in ended.err


def test_unknown_words_of_a_prefix_are_named(files):
    done = good("sample", files / "m.npz", "--prefix", "the zebra")
    assert done.err == "not in the vocabulary, read as <unk>: zebra\n"
    assert good("sample", files / "m.npz", "--prefix", "the zebra", "-q").err == ""
    assert "special token" in refused("sample", files / "m.npz", "--prefix", "a </s> b")


# --- eval ---

KEYS = {"nats_per_token", "perplexity", "perplexity_excluding_oov", "bits_per_char",
        "bits_per_byte", "tokens", "oov", "chars", "signature"}  # fmt: skip


def test_the_figures_are_those_of_the_library(files):
    found = json.loads(good("eval", files / "m.npz", files / "d.npz", "--json").out)
    assert set(found) >= KEYS
    score = evaluate(language_model.load(files / "m.npz"), files / "d.npz")
    assert found["nats_per_token"] == pytest.approx(score.nats / score.tokens)
    assert found["perplexity"] == pytest.approx(math.exp(score.nats / score.tokens))
    assert found["bits_per_char"] == pytest.approx(score.nats / math.log(2) / score.chars)
    assert found["signature"].startswith("ppl|tok:word+lower+nfc:document:v1|vocab:")
    assert found["perplexity"] < 20  # it has learned something: the vocabulary is of 30 words


def test_the_table_shows_the_same_figures(files):
    words = ("eval", files / "m.npz", files / "d.npz")
    found = json.loads(good(*words, "--json").out)
    table = good(*words).out
    for value, places in ((found["perplexity"], 2), (found["nats_per_token"], 4)):
        assert f"{value:,.{places}f}" in table
    assert table.splitlines()[-1] == found["signature"]


def test_splits_and_texts_can_be_scored(files):
    sizes = {}
    for split in ("train", "valid", "test"):
        row = json.loads(
            good("eval", files / "m.npz", files / "d.npz", "--split", split, "--json").out
        )
        sizes[split] = row["tokens"]
    whole = json.loads(good("eval", files / "m.npz", "--text", files / "text.txt", "--json").out)
    assert whole["tokens"] == sum(sizes.values())
    assert sizes["train"] > sizes["valid"] > 0
    assert whole["chars"] == len((files / "text.txt").read_text()) - 119  # the line ends


def test_text_and_standard_input_give_the_same_figures(files):
    text = (files / "text.txt").read_text()
    for model in ("m.npz", "cm.npz"):
        from_file = good("eval", files / model, "--text", files / "text.txt", "--json").out
        assert good("eval", files / model, "--text", "-", "--json", text=text).out == from_file


def test_data_with_another_vocabulary_is_refused_with_both_hashes(files):
    line = refused("eval", files / "m.npz", files / "c.npz")
    model, data = (Dataset.open(files / f"{name}.npz").tokenizer.fingerprint for name in "dc")
    assert model[:12] in line
    assert data[:12] in line
    assert "--vocab" in line


def test_a_split_that_is_not_there_is_refused(files, tmp_path):
    good("tokenize", files / "table.csv", "-o", tmp_path / "d.npz", "--split", "1", "--vocab",
         files / "m.npz")  # fmt: skip
    line = refused("eval", files / "m.npz", tmp_path / "d.npz")
    assert 'no split "test" (it has train)' in line


def test_no_text_has_no_score(files, tmp_path):
    (tmp_path / "one.txt").write_text("the cat\n")
    good("tokenize", tmp_path / "one.txt", "-o", tmp_path / "d.npz", "--vocab", files / "m.npz")
    line = refused("eval", files / "m.npz", tmp_path / "d.npz")
    assert "nothing to predict in its split test" in line
    assert "no text to score" in refused("eval", files / "m.npz", "--text", "-", text="\n\n")
    assert run("eval", files / "m.npz", "--text", "-", text="").code == 1
