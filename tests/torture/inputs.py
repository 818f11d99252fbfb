"""Files with mistakes in them: each is refused in a line that names the place; and generated ones,
whose counts have to be those of a slow count by hand.

    python tests/torture mistakes tables
"""

import csv
import io
import json
import random
import unicodedata
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from commands import good, run, sentences
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from tally import Tally, one_line

from rnncli.config.reading import ReadOptions
from rnncli.data.corpus import documents
from rnncli.data.document import Skipped
from rnncli.data.tokenize import tokenize
from rnncli.errors import DataError
from rnncli.text.pretokenizer import Pretokenizer

WRONG = {  # kind of option -> values that YAML may give it by mistake
    "whole": ["no", "x", "1.5", "[1]", "{a: 1}", "null", "-3", "1e99", "'7 '", "2020-01-01"],
    "number": ["no", "x", "[1]", "{a: 1}", "null", ".nan", "-3", "2020-01-01"],
    "choice": ["no", "lstn", "1", "[lstm]", "{a: 1}", "null", "'lstm '"],
    "flag": ["x", "1", "[true]", "'yes'", "null", "0.5"],
}
OPTIONS = {
    "hidden": "whole", "batch": "whole", "bptt": "whole", "epochs": "whole", "layers": "whole",
    "lr": "number", "dropout": "number", "cell": "choice", "optimizer": "choice",
    "schedule": "choice", "tied": "flag", "layer_norm": "flag",
}  # fmt: skip
YAML = {
    "cell: gru\ncell: lstm": "there twice",
    "hidden: 5\nHidden: 6": "Hidden",
    "hiden: 5": "hiden",
    "- hidden: 5": "key: value",
    "hidden: [": "not YAML",
    "hidden: 5\n\tbatch: 3": "not YAML",
    "hidden: !!python/object/apply:os.system ['true']": "not YAML",
    "hidden: &a [*a]": "not YAML",
    "[a]: 5": "a key must be a word",
    "a: " + "[" * 4000: "not YAML",
    "a: " + "{a: " * 4000: "not YAML",
    "hidden: \x00": "not YAML",
    "just text": "key: value",
    "? \n: 5": "",
}  # fmt: skip
CSV = {  # -> the row that is named
    'text\nfine\n"open\n': "row 2",
    'text\nfine\n"a"b\n': "row 2",
    "id,text\n1,a\n2\n": "row 2",
    "id,text\n1,a\n2,b,c\n": "row 2",
    "id,id2\n1,a\n": "no column",
    "": "no tokens",
    "text\n": "no tokens",
    "text\n \n": "no tokens",
    "text\nfine\n<s>\n": "row 2",
    "text\nfine\nb</s>\n": "row 2",
    "text\n" + "a" * (16 << 20) + "b\n": "row 1",
}
JSONL = {
    '{"text": "a"}\n{"text": }\n': "line 2",
    '{"text": "a"}\n{"text": 5}\n': "line 2",
    '{"text": "a"}\n{"body": "a"}\n': "line 2",
    '{"text": "a"}\n["text"]\n': "line 2",
    '{"text": "a"}\nnull\n': "line 2",
    '{"text": "a"}\n' + "[" * 100_000 + "\n": "line 2",
    '{"text": "a"}\n{"text": "\\ud800"}\n': "line 2",
    '{"text": "a"} {"text": "b"}\n': "line 1",
    '{"text": NaN}\n': "line 1",
    '{"text": "<unk>", "text": 5}\n': "line 1",
    '{"text": ' + "9" * 5000 + "}\n": "line 1",
}
BYTES = {
    ("x.txt", b"fine\n\xff\xfe\n"): "line 2",
    ("x.csv", b"text\nfine\ncaf\xe9\n"): "row 2",
    ("x.jsonl", b'{"text": "a"}\n{"text": "\xe9"}\n'): "line 2",
    ("x.txt.gz", b"\x1f\x8b\x08\x00junk"): "gzip",
    ("x.csv", b"\x1f\x8b\x08"): "gzip",
    ("x.txt", b"\xff\xfea\x00b\x00"): "line 1",
    ("x.pdf", b"fine"): "--format",
}


def _mistakes(folder: Path) -> Iterator[tuple[str, tuple[Any, ...], str]]:
    """What is given, the command, and what its one line has to name."""
    data = folder / "d.npz"
    (folder / "t.txt").write_text(sentences(40))
    good("tokenize", folder / "t.txt", "-o", data)

    def table(name: str, content: bytes, named: str) -> tuple[str, tuple[Any, ...], str]:
        (folder / name).write_bytes(content)
        return f"{name}: {content[:60]!r}", ("tokenize", folder / name, "-o", folder / "o"), named

    def yaml(text: str, named: str) -> tuple[str, tuple[Any, ...], str]:
        (folder / "run.yaml").write_text(text)
        words = ("train", data, "-o", folder / "o", "--config", folder / "run.yaml")
        return f"YAML {text[:60]!r}", (*words, "--max-steps", 1), named

    for content, named in CSV.items():
        yield table("x.csv", content.encode(), named)
    for content, named in JSONL.items():
        yield table("x.jsonl", content.encode(), named)
    for (name, raw), named in BYTES.items():
        yield table(name, raw, named)
    for text, named in YAML.items():
        yield yaml(text, named)
    for option, kind in OPTIONS.items():
        for value in WRONG[kind]:
            yield yaml(f"{option}: {value}", option)


def mistakes(count: int, folder: Path) -> Tally:
    """Mistakes made by hand, about `count` of them: one line that names row, line or key."""
    tally, every = Tally(), list(_mistakes(folder))
    stride = max(1, len(every) // count)
    for number, (what, words, named) in enumerate(_mistakes(folder)):
        if number % stride:
            continue
        done = run(*words)
        lines = done.err.splitlines()
        fine = done.code == 1 and len(lines) == 1 and named in lines[0] and not done.out
        tally.check(fine and not (folder / "o").exists(), f"{what}: exit {done.code}, {done.err!r}")
        (folder / "o").unlink(missing_ok=True)
    return tally


cells = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
marks = st.text(st.sampled_from("abé ,;\"\t\n\r'<>"), max_size=12)


def tables(count: int, folder: Path) -> Tally:
    """`count` generated tables, sound and spoilt: the texts and the counts are those by hand."""
    tally = Tally()

    @seed(tally.reached)
    @settings(max_examples=count, deadline=None, database=None, phases=[Phase.generate],
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(
        st.lists(st.tuples(cells, st.one_of(cells, marks)), min_size=1, max_size=8),
        st.sampled_from([",", "\t", ";"]),
        st.sampled_from(["csv", "jsonl", "spoilt"]),
        st.randoms(use_true_random=False),
    )
    def one(rows: list[tuple[str, str]], delimiter: str, kind: str, draw: random.Random) -> None:
        try:
            _table(rows, delimiter, kind, draw, folder / "x")
            tally.check(True, "")
        except Exception as error:
            tally.check(False, f"{kind} {rows!r} {delimiter!r}: {error!r}")

    one()
    return tally


def _table(
    rows: list[tuple[str, str]], delimiter: str, kind: str, draw: random.Random, path: Path
) -> None:
    if kind == "jsonl":
        text = "".join(json.dumps({"id": a, "text": b}) + "\n" for a, b in rows)
    else:
        out = io.StringIO(newline="")
        csv.writer(out, delimiter=delimiter, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows(
            [("id", "text"), *rows]
        )
        text = out.getvalue()
    raw = text.encode()
    if kind == "spoilt":
        for _ in range(draw.randrange(1, 4)):
            at = draw.randrange(len(raw) + 1)
            raw = raw[:at] + draw.choice([b'"', b"\xff", b",", b"\n", b"\0", b""]) + raw[at + 1 :]
    path.write_bytes(raw)
    style = "jsonl" if kind == "jsonl" else "csv"
    reading = ReadOptions("text", None if kind == "jsonl" else delimiter, format=style)
    try:
        found = [document.text for document in documents([path], reading, Skipped())]
    except DataError as error:
        if kind != "spoilt":
            raise
        one_line(error, path)
        return
    if kind != "spoilt":
        wanted = [b for _, b in rows if b and not b.isspace()]
        assert found == wanted, (found, wanted)
    counts = Counter(c for text in found for c in unicodedata.normalize("NFC", text))
    try:
        made = tokenize(found, Pretokenizer("char", "document", False), path.with_suffix(".npz"),
                        split=(1, 0, 0), vocab_size=0)  # fmt: skip
    except DataError:
        assert not counts
        return
    assert (made.tokens, made.distinct) == (counts.total(), len(counts)), (made, counts)
