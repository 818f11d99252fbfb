"""The splitting rule by hand-worked examples, and encode / decode as inverses."""

import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnncli.data.tokenize import tokenize
from rnncli.errors import ArtefactError, ConfigError, DataError
from rnncli.text.encoder import ChunkEncoder
from rnncli.text.pretokenizer import Pretokenizer
from rnncli.text.sentences import sentences
from rnncli.text.tokenizer import Tokenizer
from rnncli.text.vocabulary import Vocabulary

# Spaces, marks, joiners, controls, scripts and surrogate-plane signs that trip splitters up.
TRICKY = [
    *"aAzZ09_ \t\n\r.,:;!?'\"`()[]{}<>@#$%&*-/\\+=~^|", "’", "“", "”", "—", "…", "é", "e\u0301",
    "\u0301", "İ", "Σ", "ß", "ſ", "Å", "\u212b", "\x00", "\x1c", "\x1f", "\x85", "\u00a0", "\u2028",
    "\u200b", "\u200c", "\u200d", "\ufeff", "\ufe0f", "中", "文", "、", "か", "\u3099", "ー", "ก",
    "ำ", "한", "\u1100", "\u1161", "\u0600", "א", "ب", "👩", "👍", "🏽", "🇺", "🇸", "❤", "½",
    "²", "٣", "\u0338",
    "n't", "'s", "don't", "http://", "www.", "x.y", "<unk>", "e.g.", "Mr.", "...", "--",
]  # fmt: skip
nasty = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"])),
    st.lists(st.sampled_from(TRICKY)).map("".join),
).filter(lambda text: "<s>" not in text.lower() and "</s>" not in text.lower())


WORDS = {
    "Don't can't won’t": ["do", "n't", "ca", "n't", "wo", "n’t"],
    "it's we're I've she'll he'd I'm": [
        *("it", "'s", "we", "'re", "i", "'ve", "she", "'ll", "he", "'d", "i", "'m")
    ],
    "rock'n'roll o'clock": ["rock", "'", "n", "'", "roll", "o", "'", "clock"],
    "Hello, world!": ["hello", ",", "world", "!"],
    "well-known -- state": ["well", "-", "known", "--", "state"],
    "Wait... what?!": ["wait", "...", "what", "?", "!"],
    "3.14 1,000.50 12:30 7. 3rd": ["3.14", "1,000.50", "12:30", "7", ".", "3rd"],
    "see http://a.b/c?x=1. (www.x.org)": ["see", "http://a.b/c?x=1", ".", "(", "www.x.org", ")"],
    "@Bob's #Tag a@b.c": ["@bob", "'s", "#tag", "a", "@", "b", ".", "c"],
    "snake_case x2 m²": ["snake_case", "x2", "m²"],
    "中文。カー": ["中", "文", "。", "カ", "ー"],
    "สวัสดี": ["ส", "วั", "ส", "ดี"],
    "한국어 هذا": ["한국어", "هذا"],
    "می\u200cخواهم": ["می\u200cخواهم"],
    "👩‍👩‍👧👍🏽🇺🇸🇬🇧❤️": ["👩‍👩‍👧", "👍🏽", "🇺🇸", "🇬🇧", "❤️"],
    "e\u0301te\u0301": ["été"],
    "a\x1cb\x85c\u2003d": ["a", "b", "c", "d"],
    "<unk>n't <b>": ["<unk>", "n't", "<", "b", ">"],
    "": [],
    " \n\t": [],
}


@pytest.mark.parametrize("text", WORDS)
def test_words_are_cut_as_worked_out_by_hand(text):
    assert Pretokenizer("word").tokens(text) == WORDS[text]


def test_capitals_stay_when_not_lowered():
    assert Pretokenizer("word", lower=False).tokens("DON'T He'LL É") == [
        "DO",
        "N'T",
        "He",
        "'LL",
        "É",
    ]


SENTENCES = {
    "Hi. You?": ["Hi. ", "You?"],
    "Mr. Smith met Dr. No, e.g. there. Good.": ["Mr. Smith met Dr. No, e.g. there. ", "Good."],
    "J. K. Rowling wrote.": ["J. K. Rowling wrote."],
    "Really?! Yes... maybe. 3.5 is.": ["Really?! ", "Yes... maybe. ", "3.5 is."],
    'He said "Stop." Then (quietly.) left.': ['He said "Stop." ', "Then (quietly.) left."],
    "one\ntwo\n\nthree\r\n \r\nfour": ["one\ntwo\n\n", "three\r\n \r\n", "four"],
    "好。吗？「是！」 对": ["好。", "吗？", "「是！」 ", "对"],
    "": [],
}


@pytest.mark.parametrize("text", SENTENCES)
def test_sentences_are_cut_as_worked_out_by_hand(text):
    assert sentences(text) == SENTENCES[text]


@given(nasty)
def test_sentences_join_to_the_text(text):
    assert "".join(sentences(text)) == text
    assert all(sentences(text))


def test_white_space_means_the_same_to_str_and_to_the_rules():
    spaces = [chr(code) for code in range(0x110000) if chr(code).isspace()]
    assert max(spaces) == "\u3000"
    for code in range(0x3001):
        between = chr(code)
        is_space = between in spaces
        assert (Pretokenizer("word").tokens(f"a{between}b") == ["a", "b"]) == is_space
        assert (sentences(f"Ab.{between}B") == [f"Ab.{between}", "B"]) == is_space, hex(code)


def test_units_are_sentences_or_the_whole():
    text = "  One. Two!\n\n "
    assert Pretokenizer("word", "sentence").units(text) == ["One.", "Two!"]
    assert Pretokenizer("word", "document").units(text) == [text]
    assert Pretokenizer("char", "document").units(" \n") == []


@pytest.mark.parametrize("level", ["char", "byte"])
@given(nasty)
def test_characters_and_bytes_decode_to_the_text(level, text):
    rule = Pretokenizer(level, lower=False)
    counts = dict.fromkeys(rule.tokens(text), 1)
    tokenizer = Tokenizer(rule, Vocabulary.from_counts(counts, rule, units=1))
    assert tokenizer.decode(tokenizer.encode(text)) == unicodedata.normalize("NFC", text)


@pytest.mark.parametrize("lower", [True, False])
@given(nasty)
def test_words_decode_to_text_with_the_same_tokens(lower, text):
    rule = Pretokenizer("word", lower=lower)
    tokens = rule.tokens(text)
    every_other = {token: 1 for token in tokens[::2] if token != "<unk>"}
    for known in (dict.fromkeys(set(tokens) - {"<unk>"}, 1), every_other):
        tokenizer = Tokenizer(rule, Vocabulary.from_counts(known, rule, units=1, size=0))
        ids = tokenizer.encode(text)
        again = tokenizer.encode(tokenizer.decode(ids))
        assert tokenizer.decode(ids) == tokenizer.decode(again)
        if known is not every_other:
            assert again.tolist() == ids.tolist()


@pytest.mark.parametrize("level", ["word", "char", "byte"])
@given(nasty)
def test_encoding_is_the_rule_and_a_lookup(level, text):
    rule = Pretokenizer(level)
    tokens = rule.tokens(text)
    counts = {token: 1 for token in tokens[::2] if token != "<unk>"}
    tokenizer = Tokenizer(rule, Vocabulary.from_counts(counts, rule, units=1, size=0))
    index = tokenizer.vocabulary.index
    for _ in range(2):  # the second time from the cache
        assert tokenizer.encode(text).tolist() == [index.get(token, 0) for token in tokens]


WRITTEN = [
    "don't say \"hello, world\" (or so): it's well-known...",
    "she said “yes” — and/or ‘no’; 50% of $5!",
    "see http://a.b/c?x=1, @bob's #tag & o'clock.",
    "中文，你好。 abc カー",
    "wow!!! 😂😂😂 a (b [c]) “d”",
    "i'll pay 5 €5",
]


@pytest.mark.parametrize("text", WRITTEN)
def test_words_are_written_the_way_people_write(text):
    tokenizer = Tokenizer.train([text])
    assert tokenizer.decode(tokenizer.encode(text)) == text


@pytest.mark.parametrize("level", ["word", "char", "byte"])
def test_text_fed_id_by_id_is_the_text_decoded_at_once(level):
    text = 'Naïve "café" — don\'t 中文 👩‍👩‍👧!'
    tokenizer = Tokenizer.train([text], level)
    ids = [1, *tokenizer.encode(text).tolist(), 2]
    decoder = tokenizer.decoder()
    parts = [decoder.feed(number) for number in ids]
    assert "".join(parts) + decoder.flush() == tokenizer.decode(ids)
    assert not any("\ufffd" in part for part in parts)


def test_a_cut_character_is_shown_when_flushed():
    tokenizer = Tokenizer.train(["é"], "byte")
    decoder = tokenizer.decoder()
    assert decoder.feed(int(tokenizer.encode("é")[0])) == ""
    assert decoder.flush() == "\ufffd"
    assert decoder.flush() == ""


def test_special_tokens_are_left_out_of_text_but_for_unknown():
    for level in ("word", "char", "byte"):
        tokenizer = Tokenizer.train(["ab"], level, vocab_size=5)
        assert tokenizer.decode([1, 0, 2]) == "<unk>"


def test_the_vocabulary_goes_by_count_then_token():
    tokenizer = Tokenizer.train(["b a c c", "d d b a e"], vocab_size=7, min_count=2)
    assert tokenizer.vocabulary.tokens == ("<unk>", "<s>", "</s>", "a", "b", "c", "d")
    assert tokenizer.vocabulary.counts.tolist() == [1, 2, 2, 2, 2, 2, 2]
    smaller = Tokenizer.train(["b a c c", "d d b a e"], vocab_size=5)
    assert smaller.vocabulary.tokens[3:] == ("a", "b")
    assert smaller.vocabulary.counts.tolist() == [5, 2, 2, 2, 2]


def test_a_stream_has_no_ends():
    tokenizer = Tokenizer.train(["a b"], unit="stream")
    assert tokenizer.vocabulary.tokens == ("<unk>", "a", "b")
    assert (tokenizer.unk, tokenizer.bos, tokenizer.eos) == (0, None, None)


def test_all_bytes_are_there_unless_a_size_is_given():
    assert len(Tokenizer.train(["x"], "byte")) == 259
    assert Tokenizer.train(["xxy"], "byte", vocab_size=4).vocabulary.tokens[3:] == ("x",)
    full = Tokenizer.train(["x"], "byte")
    assert full.decode(full.encode("né👍")) == "né👍"


def test_words_have_8000_tokens_by_default():
    assert len(Tokenizer.train([" ".join(f"w{k}" for k in range(9000))])) == 8000
    assert len(Tokenizer.train([" ".join(f"w{k}" for k in range(9000))], vocab_size=0)) == 9003


def test_special_tokens_in_text_are_refused_for_words_alone():
    with pytest.raises(DataError, match='special token "<s>" in the text'):
        Tokenizer.train(["a <s> b"])
    tokenizer = Tokenizer.train(["a b"])
    with pytest.raises(DataError, match='special token "</s>" in the text'):
        tokenizer.encode("a </s>")
    assert tokenizer.encode("a <unk>").tolist() == [3, 0]
    chars = Tokenizer.train(["a <s> b"], "char")
    assert chars.decode(chars.encode("<s>")) == "<s>"


@pytest.mark.parametrize("level", ["word", "char", "byte"])
def test_half_a_surrogate_pair_is_refused(level, tmp_path):
    wrong = r"\\ud800 in the text is not a Unicode character"
    with pytest.raises(DataError, match=wrong):
        Tokenizer.train(["abc"], level).encode("a\ud800")
    with pytest.raises(DataError, match=wrong):
        Tokenizer.train(["abc a\ud800"], level)
    with pytest.raises(DataError, match=r"text 2: half a surrogate pair in the text"):
        tokenize(["abc", "a\ud800"], Pretokenizer(level), tmp_path / "d.npz")


@pytest.mark.parametrize("bad", [-1, 5])
def test_an_id_without_a_token_is_refused(bad):
    with pytest.raises(DataError, match=f"id {bad} is not in the vocabulary of 5"):
        Tokenizer.train(["a b"]).decode([bad])


def test_impossible_rules_and_sizes_are_refused():
    for arguments in ({"level": "syllable"}, {"unit": "page"}, {"version": 2}):
        with pytest.raises(ConfigError):
            Pretokenizer(**arguments)
    with pytest.raises(ConfigError, match="a vocabulary of 3 has no room"):
        Tokenizer.train(["a"], vocab_size=3)
    with pytest.raises(DataError, match="no tokens"):
        Tokenizer.train([" "])


def test_the_cache_stays_within_its_bounds(monkeypatch):
    tokenizer = Tokenizer.train(["a b"])
    assert isinstance(tokenizer._encode, ChunkEncoder)
    chunks = tokenizer._encode._cache
    monkeypatch.setattr(type(chunks), "entries", 10)
    expected = tokenizer.encode("a").tolist() + [0] * 100 + tokenizer.encode("b").tolist()
    text = " ".join(["a", *(f"w{k}" for k in range(100)), "b"])
    for _ in range(2):
        assert tokenizer.encode(text).tolist() == expected
        assert len(chunks) <= 10
    tokenizer.encode("y" * 1000)
    assert "y" * 1000 not in chunks


def test_the_signature_and_the_hash_tell_rules_and_vocabularies_apart():
    assert Tokenizer.train(["a"]).signature == "word+lower+nfc:document:v1"
    assert Tokenizer.train(["a"], "char", unit="stream").signature == "char+nfc:stream:v1"
    made = [Tokenizer.train(*arguments) for arguments in
            ((["ab c"],), (["a bc"],), (["ab c"], "char"), (["ab c"], "byte"))]  # fmt: skip
    assert len({tokenizer.fingerprint for tokenizer in made}) == 4
    assert made[0].fingerprint == Tokenizer.train(["c ab ", ""]).fingerprint


def stored(tokenizer):
    return {"tokenizer": tokenizer.to_header()}, dict(tokenizer.to_arrays())


@pytest.mark.parametrize("level", ["word", "char", "byte"])
@pytest.mark.parametrize("unit", ["document", "stream"])
def test_a_stored_tokenizer_comes_back(level, unit):
    tokenizer = Tokenizer.train(["naïve 中文 👍 a"], level, unit=unit)
    header, arrays = stored(tokenizer)
    again = Tokenizer.from_artefact(header, arrays, "m.npz")
    assert again.vocabulary.tokens == tokenizer.vocabulary.tokens
    assert again.vocabulary.counts.tolist() == tokenizer.vocabulary.counts.tolist()
    assert (again.pretokenizer, again.fingerprint) == (
        tokenizer.pretokenizer,
        tokenizer.fingerprint,
    )


def replaced(name, change):
    def damage(header, arrays):
        arrays[name] = change(arrays[name].copy())

    return damage


def put(index, value):
    def change(array):
        array[index] = value
        return array

    return change


DAMAGE = {
    "no tokenizer": lambda header, arrays: header.clear(),
    "level": lambda header, arrays: header["tokenizer"].update(level="x\x1b"),
    "version": lambda header, arrays: header["tokenizer"].update(version=9),
    "lower": lambda header, arrays: header["tokenizer"].update(lower=1),
    "hash": lambda header, arrays: header["tokenizer"].update(hash="0"),
    "size": lambda header, arrays: header["tokenizer"].update(size=0),
    "no text": lambda header, arrays: arrays.pop("vocab.text"),
    "dtype": replaced("vocab.ends", lambda array: array.astype(np.float64)),
    "shape": replaced("vocab.ends", lambda array: array[None]),
    "no ends": replaced("vocab.ends", lambda array: array[:0]),
    "descending": replaced("vocab.ends", put(3, 0)),
    "negative": replaced("vocab.ends", put(0, -1)),
    "short": replaced("vocab.text", lambda array: array[:-1]),
    "not UTF-8": replaced("vocab.text", put(-1, 0xFF)),
    "special": replaced("vocab.text", put(1, ord("x"))),
    "twice": replaced("vocab.text", put(-1, ord("a"))),
    "space": replaced("vocab.text", put(-1, ord(" "))),
    "counts": replaced("vocab.counts", lambda array: array[:-1]),
    "below 0": replaced("vocab.counts", put(0, -1)),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_a_damaged_vocabulary_is_refused_by_name(case):
    header, arrays = stored(Tokenizer.train(["a b c"]))
    DAMAGE[case](header, arrays)
    with pytest.raises(ArtefactError, match=r"^m\.npz: ") as caught:
        Tokenizer.from_artefact(header, arrays, "m.npz")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("unit", ["document", "sentence", "stream"])
def test_marks_are_put_on_and_counted_in_one_place(unit):
    tokenizer = Tokenizer.train(["b a b a c"], "char", unit=unit)
    ids = tokenizer.encode("abba")
    whole = tokenizer.wrap(ids)
    assert tokenizer.is_stream == (unit == "stream")
    assert whole.dtype == ids.dtype
    assert whole.tolist() == ([*ids] if unit == "stream" else [1, *ids, 2])
    assert tokenizer.counted(whole).tolist() == [token != tokenizer.bos for token in whole]
