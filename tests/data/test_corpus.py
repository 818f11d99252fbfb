"""Reading files: every format gives the same documents, every fault is named where it is."""

import gzip
import io
import json
import sys

import pytest

from rnncli.config.reading import FORMATS, ReadOptions
from rnncli.data import corpus
from rnncli.data.corpus import documents
from rnncli.data.document import Document, Skipped
from rnncli.errors import ConfigError, DataError
from rnncli.files import lines
from rnncli.files.lines import Lines

ODD = ["plain", 'with "quotes", and commas', "two\nlines", "ünï 👩‍👩‍👧 中文"]
ODD += ["x\r\ny", "NA", "null"]


def csv_text(rows, header="id,text"):
    lines = [header] if header else []
    lines += [f'{k},"{row.replace(chr(34), 2 * chr(34))}"' for k, row in enumerate(rows)]
    return "\n".join(lines) + "\n"


def write(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def texts(path, skipped=None, **reading):
    found = documents([path], ReadOptions(**reading), skipped or Skipped())
    return [document.text for document in found]


def fault(path, **reading):
    with pytest.raises(DataError) as caught:
        texts(path, **reading)
    return str(caught.value).replace(str(path), path.name)


def skipping(path, **reading):
    skipped = Skipped("skip")
    kept = texts(path, skipped, **reading)
    first = {why: str(place).replace(str(path), path.name) for why, place in skipped.first.items()}
    return kept, skipped.counts, first


MEND = "Mend it, or leave it out: --on-bad-row skip."


def test_csv_gives_back_what_was_quoted(tmp_path):
    assert texts(write(tmp_path, "a.csv", csv_text(ODD))) == ODD


def test_tsv_and_another_delimiter_give_the_same(tmp_path):
    plain = [text for text in ODD if "," not in text]
    tabs = write(tmp_path, "a.tsv", csv_text(plain).replace(",", "\t"))
    assert texts(tabs) == plain
    semicolons = write(tmp_path, "b.csv", csv_text(plain).replace(",", ";"))
    assert texts(semicolons, delimiter=";") == plain


def test_gzip_is_known_by_its_bytes_whatever_the_name(tmp_path):
    packed = gzip.compress(csv_text(ODD).encode())
    assert texts(write(tmp_path, "a.csv.gz", packed)) == ODD
    assert texts(write(tmp_path, "a.csv", packed)) == ODD


def test_a_byte_order_mark_is_no_part_of_the_header(tmp_path):
    path = write(tmp_path, "a.csv", b"\xef\xbb\xbftext,n\nhello,1\n")
    assert texts(path, column="text") == ["hello"]


def test_utf16_and_latin1_are_read_when_named(tmp_path):
    assert texts(write(tmp_path, "a.csv", csv_text(ODD).encode("utf-16")), encoding="utf-16") == ODD
    latin = write(tmp_path, "b.txt", "caf\xe9\n".encode("latin-1"))
    assert texts(latin, encoding="latin-1") == ["café"]


def test_lines_and_json_lines_are_a_document_each(tmp_path):
    assert texts(write(tmp_path, "a.txt", "one\r\n\n  \ntwo, 2\nlast")) == ["one", "two, 2", "last"]
    lines = "\n".join(json.dumps({"id": 1, "body": text}) for text in ODD)
    assert texts(write(tmp_path, "a.jsonl", lines)) == ODD
    assert texts(write(tmp_path, "b.jsonl", '{"k": "x", "l": "y"}\n'), column="l") == ["y"]


def test_standard_input_is_csv_unless_told(tmp_path, monkeypatch):
    class Standard:
        def __init__(self, data):
            self.buffer = io.BytesIO(data)

    monkeypatch.setattr(sys, "stdin", Standard(csv_text(ODD).encode()))
    assert texts("-") == ODD
    monkeypatch.setattr(sys, "stdin", Standard(gzip.compress(b"a,b\nc\n")))
    assert texts("-", format="txt") == ["a,b", "c"]


def test_several_files_follow_one_another_and_the_limit_counts_over_all(tmp_path):
    a, b = write(tmp_path, "a.txt", "1\n2\n"), write(tmp_path, "b.csv", "t\n3\n4\n")
    found = list(documents([a, b], ReadOptions(limit=3), Skipped()))
    assert [document.text for document in found] == ["1", "2", "3"]
    assert [(d.row, d.line) for d in found] == [(0, 1), (0, 2), (1, 2)]


def test_a_row_beyond_the_limit_is_never_looked_at(tmp_path):
    path = write(tmp_path, "a.csv", "t\ngood\nbad,row\n")
    assert texts(path, limit=1) == ["good"]


@pytest.mark.parametrize(
    ("header", "column", "expected"),
    [
        ("only", None, 0),
        ("id,text,body", None, 2),
        ("title,comment,id", None, 1),
        (" Text ,id,x", None, 0),
        ("id,x,y", "y", 2),
        ("id,x,y", "2", 1),
        ("id,x,y", 3, 2),
        ("id,x,1", "1", 2),  # a name goes before a number
    ],
)
def test_the_column_is_found(tmp_path, header, column, expected):
    width = header.count(",") + 1
    row = ",".join(f"v{k}" for k in range(width))
    path = write(tmp_path, "a.csv", f"{header}\n{row}\n")
    assert texts(path, column=column) == [f"v{expected}"]


def test_without_a_header_the_first_row_is_data(tmp_path):
    assert texts(write(tmp_path, "a.csv", "a\nb\n"), header=False) == ["a", "b"]
    path = write(tmp_path, "b.csv", "a,b\nc,d\n")
    assert texts(path, header=False, column="2") == ["b", "d"]
    assert fault(path, header=False) == (
        "b.csv: no column of a known name (2 columns without names). Use --column."
    )


def test_a_missing_column_lists_those_there(tmp_path):
    path = write(tmp_path, "a.csv", "id,x\x1b[31m\n1,2\n")
    assert fault(path, column="body") == (
        'a.csv: no column "body" (found: id, x\\x1b[31m). Use --column.'
    )
    assert fault(path).startswith("a.csv: no column of a known name (found: id, ")


def test_a_column_named_twice_needs_its_number(tmp_path):
    path = write(tmp_path, "a.csv", "x,x\n1,2\n")
    with pytest.raises(ConfigError, match="'x' is there 2 times"):
        texts(path, column="x")
    assert texts(path, column="2") == ["2"]


BAD_CSV = {
    "quote": ('text,n\na,1\nb,2\n"open,3\nd,4\n', "row 3 (line 4): a quotation mark is not closed",
              "bad CSV", ["a", "b", "d"]),
    "after quote": ('text,n\n"a\nb"c,1\nd,2\n',
                    "row 1 (line 2): text after a closing quotation mark",
                    "bad CSV", ['b"c', "d"]),
    "ragged": ("text,n\na,1\nb\nc,3\n", "row 2 (line 3): 1 fields where there should be 2",
               "ragged row", ["a", "c"]),
    "byte": (b'text,n\n"x\ny",1\nb\xe9,2\nc,3\n',
             "row 2 (line 4): byte 0xe9 at offset 16 is not utf-8 (see --encoding)",
             "undecodable byte", ["x\ny", "c"]),
    "byte after mark": (b"\xef\xbb\xbft\n\xc3\xa9\n\xff\nc\n",
                        "row 2 (line 3): byte 0xff at offset 8 is not utf-8 (see --encoding)",
                        "undecodable byte", ["é", "c"]),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_CSV)
def test_a_bad_row_is_named_or_left_out_alone(tmp_path, case):
    content, message, reason, rest = BAD_CSV[case]
    path = write(tmp_path, "c.csv", content)
    assert fault(path) == f"c.csv, {message}. {MEND}"
    kept, counts, first = skipping(path)
    assert kept == rest
    assert counts == {reason: 1}
    assert first == {reason: "c.csv, " + message.split(":")[0]}


def test_an_open_quote_loses_one_row_not_the_rest(tmp_path):
    rows = [f"{k},row {k}" for k in range(1000)]
    rows[5] = '5,"row 5'
    path = write(tmp_path, "c.csv", "id,text\n" + "\n".join(rows) + "\n")
    kept, counts, first = skipping(path)
    assert kept == [f"row {k}" for k in range(1000) if k != 5]
    assert counts == {"bad CSV": 1}
    assert first == {"bad CSV": "c.csv, row 6 (line 7)"}


def test_an_open_quote_is_given_up_at_the_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(Lines, "limit", 1000)
    body = "".join(f"{k},line\n" for k in range(5000))
    path = write(tmp_path, "c.csv", 'id,text\n0,"' + body)
    read = []
    with pytest.raises(DataError) as caught:
        list(documents([path], ReadOptions(), Skipped(), lambda done, total: read.append(done)))
    assert "row 1 (line 2): the row is longer than" in str(caught.value)
    assert "a quotation mark is not closed" in str(caught.value)
    kept, counts, _ = skipping(path)
    assert len(kept) == 4999
    assert counts == {"row too long": 1}


@pytest.mark.parametrize("name", ["a.txt", "a.csv"])
def test_an_endless_line_is_one_bad_row(tmp_path, monkeypatch, name):
    monkeypatch.setattr(Lines, "limit", 1000)
    path = write(tmp_path, name, "text\na\n" + "x" * 5500 + "\nb\n")
    line = "row 2 (line 3)" if name == "a.csv" else "line 3"
    assert fault(path).startswith(f"{name}, {line}: the ")
    kept, counts, _ = skipping(path)
    assert kept[-2:] == ["a", "b"]
    assert counts == {"row too long": 1}


BAD_JSON = {
    '{"text": ': ("bad JSON", "not JSON: Expecting value"),
    "[1]": ("bad JSON", "not a JSON object"),
    '{"other": "x"}': ("missing key", 'no key "text" (found: other)'),
    '{"text": 5}': ("not text", '"text" holds no text'),
    '{"text": "\\ud800"}': ("undecodable byte", '"text" holds half a surrogate pair'),
    "[" * 100_000: ("bad JSON", "not JSON: too deep"),
}


@pytest.mark.parametrize("line", BAD_JSON)
def test_a_bad_json_line_is_named_or_left_out(tmp_path, line):
    reason, detail = BAD_JSON[line]
    lines = ['{"text": "a"}', line, '{"text": null}', '{"text": "b"}']
    path = write(tmp_path, "a.jsonl", "\n".join(lines))
    assert fault(path) == f"a.jsonl, line 2: {detail}. {MEND}"
    kept, counts, _ = skipping(path)
    assert kept == ["a", "b"]
    assert counts == {reason: 1, "blank": 1}


def test_json_without_a_known_key_lists_the_keys(tmp_path):
    path = write(tmp_path, "a.jsonl", '{"a": "x", "b": "y"}\n')
    assert fault(path) == "a.jsonl, line 1: no key of a known name (found: a, b). Use --column."


def test_blank_documents_are_counted_with_their_first_place(tmp_path):
    path = write(tmp_path, "a.csv", "id,text\n1,\n2,x\n3,  \n")
    kept, counts, first = skipping(path)
    assert (kept, counts, first) == (["x"], {"blank": 2}, {"blank": "a.csv, row 1 (line 2)"})


def test_a_whole_file_comes_in_pieces_that_join_to_it(tmp_path, monkeypatch):
    monkeypatch.setattr(lines, "BLOCK", 50)
    text = "".join(f"line {k} é\r\n" for k in range(100)) + "x" * 120 + " end"
    found = list(
        documents([write(tmp_path, "a.txt", text)], ReadOptions(whole_file=True), Skipped())
    )
    assert "".join(document.text for document in found) == text.replace("\r\n", "\n")
    assert [document.more for document in found] == [True] * (len(found) - 1) + [False]
    assert len(found) > 10
    assert max(len(document.text) for document in found) < 250
    assert all(document.text[-1].isspace() for document in found[:-1])


def test_a_bad_byte_in_a_whole_file_is_named(tmp_path):
    path = write(tmp_path, "a.txt", b"one\ntwo\nth\xffree\n")
    assert fault(path, whole_file=True) == (
        "a.txt, line 3: byte 0xff at offset 10 is not utf-8 (see --encoding)."
    )


def test_damaged_gzip_data_is_one_line(tmp_path):
    packed = gzip.compress("".join(f"line {k * k}\n" for k in range(50_000)).encode())
    path = write(tmp_path, "a.txt.gz", packed[: len(packed) // 2])
    assert "the gzip data is damaged or cut short here." in fault(path)
    bent = bytearray(packed)
    bent[len(bent) // 2] ^= 0xFF
    assert "the gzip data is damaged or cut short here." in fault(
        write(tmp_path, "b.txt", bytes(bent))
    )


def test_a_wrong_codec_is_one_line(tmp_path):
    path = write(tmp_path, "a.txt", b"abc")
    assert fault(path, encoding="utf-16") == "a.txt, line 1: not utf-16. Use --encoding."


def test_files_that_cannot_be_read_are_one_line(tmp_path):
    assert fault(tmp_path / "none.csv") == "none.csv: No such file or directory."
    (tmp_path / "folder.csv").mkdir()
    assert fault(tmp_path / "folder.csv") == "folder.csv: Is a directory."
    with pytest.raises(ConfigError, match=r"a\.xyz: the name ends in none of"):
        texts(write(tmp_path, "a.xyz", "x"))


@pytest.mark.parametrize(
    "options",
    [{"format": "xml"}, {"delimiter": "ab"}, {"delimiter": '"'}, {"encoding": "none-8"},
     {"limit": 0}],
)  # fmt: skip
def test_impossible_settings_are_refused(options):
    with pytest.raises(ConfigError):
        ReadOptions(**options)


@pytest.mark.parametrize("packed", [False, True])
def test_progress_ends_at_the_size_as_stored(tmp_path, packed):
    data = csv_text([f"text {k * k}" for k in range(100_000)]).encode()
    data = gzip.compress(data) if packed else data
    path = write(tmp_path, "a.csv", data)
    seen = []
    for _ in documents([path], ReadOptions(), Skipped(), lambda *at: seen.append(at)):
        pass
    assert seen == sorted(seen)
    assert seen[-1] == (len(data), len(data))


def test_where_says_file_row_and_line():
    assert str(Document("x", "a.csv", 3, 5).where) == "a.csv, row 3 (line 5)"
    assert str(Document("x", "a.txt", 0, 5).where) == "a.txt, line 5"


def test_the_option_names_the_formats_of_the_table():
    assert tuple(corpus.FORMATS) == FORMATS


def test_a_new_format_is_a_row(tmp_path, monkeypatch):
    def upper(source):
        for line in source.lines:
            yield Document(line.strip().upper(), source.lines.name, 0, source.lines.number)

    monkeypatch.setitem(corpus.FORMATS, "loud", corpus.Format(upper))
    assert texts(write(tmp_path, "a.loud.gz", "a b\nc\n")) == ["A B", "C"]
    with pytest.raises(ConfigError, match=r"none of \.csv, .*, \.loud \(or"):
        texts(write(tmp_path, "a.quiet", "a"))
