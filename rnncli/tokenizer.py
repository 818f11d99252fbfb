"""Text to ids and back: the splitting rule, the vocabulary, and the two together.

A `Rule` says where text is cut (word, character or byte), a `Vocabulary` which pieces have an id,
a `Tokenizer` encodes and decodes with both. Everything here is one text at a time; it does not know
of files, of whole corpora, or of models.
"""

import codecs
import hashlib
import sys
import unicodedata
from array import array
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import islice, pairwise
from typing import Any, Protocol

import numpy as np
import regex
from numpy.typing import NDArray

from rnncli.errors import ArtefactError, ConfigError, DataError, shown

LEVELS = ("word", "char", "byte")
UNITS = ("document", "sentence", "stream")
UNK, BOS, EOS = SPECIALS = ("<unk>", "<s>", "</s>")
_ENDS = (BOS, EOS)
_UTF32 = f"utf-32-{sys.byteorder[0]}e"  # le or be: that of this machine
WORD_VOCABULARY = 8000  # tokens, special ones included, when no size is given

# Scripts written without spaces: each character is a token.
_DENSE = r"\p{Han}\p{Hiragana}\p{scx=Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
# What a word begins with, and what it is made of; joiners hold Persian and Indic words together.
_L = rf"[[\p{{L}}\p{{N}}_]--[{_DENSE}]]"
_M = rf"[[\p{{M}}\u200c\u200d]--[{_DENSE}]]"
_W = rf"[[\p{{L}}\p{{N}}_\p{{M}}\u200c\u200d]--[{_DENSE}]]"

# Applied to chunks between white space, so no token ever holds or crosses white space.
_TOKEN = regex.compile(
    rf"""
      <unk> | </?s>
    | (?i:https?://|www\.) [!-~--[<>"'`]]* [A-Za-z0-9/_=&\#~-]      # address, ASCII, no last dot
    | (?<!{_W}) [@\#] {_L} {_W}*                                   # name or tag
    | (?> \d+ (?:[.,:]\d+)* ) (?! {_W} )                            # 3  1,000.50  12:30
    | (?<= {_L} {_M}* | <unk> ) (?i: n['’]t | ['’](?:s|re|ve|ll|d|m) ) (?! {_W} )
    | {_L} {_W}*? (?= (?i:n['’]t) (?! {_W} ) )                           # the do of don't
    | {_L} {_W}*
    | \.+ | -+
    | \X                                                            # sign, emoji, Han: one grapheme
    """,
    regex.VERBOSE | regex.VERSION1,
)

# regex counts U+001C..U+001F as no white space, str.split() does; here they agree.
_SPACE = r"[\s\x1c-\x1f]"
_CLOSING = r"[\"'”’»)\]」』）]"
_ABBREVIATION = r"\b(?:Mr|Mrs|Ms|Dr|Prof|St|Jr|Sr|vs|cf|e\.g|i\.e|\p{Lu})"
_SENTENCE_END = regex.compile(
    rf"""
      (?<! [.!?…] )                              # at the start of a run of marks
      (?: (?<! {_ABBREVIATION} ) \. (?! [.!?…] ) | (?! \. (?! [.!?…] ) ) [.!?…]++ )
      {_CLOSING}*+ {_SPACE}++ (?! \p{{Ll}} )     # a small letter goes on with the sentence
    | [。！？]++ {_CLOSING}*+ {_SPACE}*+
    | (?> \r\n | [\n\r] ) [ \t]*+ (?> \r\n | [\n\r] ) {_SPACE}*+     # a blank line
    """,
    regex.VERBOSE | regex.VERSION1,
)


@dataclass(frozen=True)
class Rule:
    """How text is cut into units, and a unit into tokens."""

    level: str = "word"
    unit: str = "document"
    lower: bool = True
    version: int = 1

    def __post_init__(self) -> None:
        for name, value, allowed in (("level", self.level, LEVELS), ("unit", self.unit, UNITS)):
            if value not in allowed:
                raise ConfigError(f"{name} {shown(value)!r} is none of {', '.join(allowed)}.")
        if self.version != 1:
            raise ConfigError(f"this version knows tokenising rule 1, not {self.version}.")

    @property
    def specials(self) -> tuple[str, ...]:
        """Special tokens in id order; a stream has no ends to mark."""
        return SPECIALS[:1] if self.unit == "stream" else SPECIALS

    @property
    def signature(self) -> str:
        """Short name of the rule for reports, such as `word+lower+nfc:document:v1`."""
        lower = "+lower" if self.lower else ""
        return f"{self.level}{lower}+nfc:{self.unit}:v{self.version}"

    def normal(self, text: str) -> str:
        """`text` in lower case (if the rule says so) and in Unicode form NFC."""
        return unicodedata.normalize("NFC", text.lower() if self.lower else text)

    def units(self, text: str) -> list[str]:
        """The sentences of `text`, or the whole of it; blank ones are left out."""
        pieces = sentences(text) if self.unit == "sentence" else [text]
        if self.unit == "sentence":
            pieces = [piece.strip() for piece in pieces]
        return [piece for piece in pieces if piece and not piece.isspace()]

    def tokens(self, text: str) -> list[str]:
        """`text` as tokens, before any vocabulary; a byte is the character of that number."""
        if self.level == "char":
            return list(self.normal(text))
        if self.level == "byte":
            return list(self.normal(text).encode().decode("latin-1"))
        return [token for chunk in text.split() for token in _TOKEN.findall(self.normal(chunk))]


def sentences(text: str) -> list[str]:
    """`text` cut after each sentence; white space stays, so the pieces join to `text`.

    Example: "Hi. You?" -> ["Hi. ", "You?"]
    """
    cuts = [0, *(match.end() for match in _SENTENCE_END.finditer(text)), len(text)]
    return [text[a:b] for a, b in pairwise(cuts) if a < b]


class Numbers(dict[str, int]):
    """Token -> number in order of first sight, after those of the special tokens."""

    def __missing__(self, token: str) -> int:
        if token in SPECIALS:
            raise DataError(f'special token "{token}" in the text')
        number = self[token] = len(SPECIALS) + len(self)
        return number


class _Ids(dict[str, int]):
    """Token -> id, and `<unk>` for all others."""

    def __init__(self, index: Mapping[str, int]) -> None:
        super().__init__({token: number for token, number in index.items() if token not in _ENDS})

    def __missing__(self, token: str) -> int:
        if token in _ENDS:
            raise DataError(f'special token "{token}" in the text. Remove or rename it.')
        return 0


class Coder:
    """Text -> numbers of its tokens as uint32 bytes; each distinct piece is looked up only once."""

    def __init__(self, rule: Rule, numbers: Mapping[str, int]) -> None:
        self._rule = rule
        self._number = numbers.__getitem__
        self._chunk = _Chunks(self._split).__getitem__
        self._chars = _Chars(self._number)

    def _split(self, chunk: str) -> bytes:
        if chunk.isascii() and chunk.isalpha():  # one word: the rule is not needed
            return array("I", [self._number(self._rule.normal(chunk))]).tobytes()
        return array("I", map(self._number, self._rule.tokens(chunk))).tobytes()

    def __call__(self, text: str) -> bytes:
        if self._rule.level == "word":
            return b"".join(map(self._chunk, text.split()))
        text = self._rule.normal(text)
        if self._rule.level == "byte":
            text = text.encode().decode("latin-1")
        # The number of a character becomes a code point, and UTF-32 is code points as uint32.
        return text.translate(self._chars).encode(_UTF32, "surrogatepass")


class _Chars(dict[int, int]):
    """Code point -> number of that character."""

    def __init__(self, number: Callable[[str], int]) -> None:
        self._number = number

    def __missing__(self, code: int) -> int:
        if 0xD800 <= code < 0xE000:
            raise UnicodeEncodeError("utf-8", chr(code), 0, 1, "half a surrogate pair")
        number = self[code] = self._number(chr(code))
        return number


class _Chunks(dict[str, bytes]):
    """Cache of encoded chunks, emptied when full so that its memory is bounded."""

    entries = 1 << 19
    longest = 64  # characters; longer chunks hardly come twice

    def __init__(self, encode: Callable[[str], bytes]) -> None:
        self._encode = encode

    def __missing__(self, chunk: str) -> bytes:
        ids = self._encode(chunk)
        if len(chunk) <= self.longest:
            if len(self) >= self.entries:
                self.clear()
            self[chunk] = ids
        return ids


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """The tokens that have an id (its position; special ones first) and how often each was seen."""

    tokens: tuple[str, ...]
    counts: NDArray[np.int64]

    @classmethod
    def from_counts(
        cls,
        counts: Mapping[str, int],
        rule: Rule,
        *,
        units: int,
        size: int | None = None,
        min_count: int = 1,
    ) -> "Vocabulary":
        """The most frequent tokens; ties go by the token itself.

        `size` counts the special tokens too; 0 means no limit; None means 8000 for words and no
        limit for characters and bytes, where all 256 bytes are then present.
        """
        if size is None and rule.level == "byte":
            counts = {chr(byte): counts.get(chr(byte), 0) for byte in range(256)}
            min_count = 0
        if size is None:
            size = WORD_VOCABULARY if rule.level == "word" else 0
        room = size - len(rule.specials)
        if size and room < 1:
            raise ConfigError(f"a vocabulary of {size} has no room beside {len(rule.specials)} "
                              "special tokens. Use a larger --vocab-size.")  # fmt: skip
        order = sorted(counts, key=lambda token: (-counts[token], token))
        kept = [t for t in islice(order, room if size else None) if counts[t] >= min_count]
        numbers = [counts[token] for token in kept]
        unknown = sum(counts.values()) - sum(numbers)
        special = [unknown, units, units][: len(rule.specials)]
        return cls((*rule.specials, *kept), np.array(special + numbers, np.int64))

    def __len__(self) -> int:
        return len(self.tokens)

    @cached_property
    def index(self) -> dict[str, int]:
        """Token -> id."""
        return {token: number for number, token in enumerate(self.tokens)}

    @cached_property
    def hash(self) -> str:
        """SHA-256 (hex) of the tokens in order."""
        arrays = self.to_arrays()
        data = arrays["vocab.ends"].astype("<i8").tobytes() + arrays["vocab.text"].tobytes()
        return hashlib.sha256(data).hexdigest()

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Members for a file: the tokens' UTF-8 end to end, where each ends, and the counts."""
        encoded = [token.encode() for token in self.tokens]
        return {
            "vocab.text": np.frombuffer(b"".join(encoded), np.uint8),
            "vocab.ends": np.cumsum([len(token) for token in encoded], dtype=np.int64),
            "vocab.counts": self.counts,
        }

    @classmethod
    def from_arrays(
        cls, arrays: Mapping[str, NDArray[Any]], rule: Rule, where: str
    ) -> "Vocabulary":
        """The inverse of `to_arrays`; raises ArtefactError, naming `where`, if it is unsound."""
        for name, dtype in _MEMBERS.items():
            if name not in arrays:
                raise ArtefactError(f"{where}: no array {name}.")
            if arrays[name].dtype != dtype or arrays[name].ndim != 1:
                raise ArtefactError(f"{where}: {name} is not a vector of {np.dtype(dtype)}.")
        text, ends, counts = (arrays[name] for name in _MEMBERS)

        def check(sound: bool, fault: str) -> None:
            if not sound:
                raise ArtefactError(f"{where}: damaged vocabulary: {fault}.")

        starts = np.concatenate([[0], ends[:-1]])
        check(len(ends) > 0 and int(ends[-1]) == len(text), "its text has another length")
        check(bool((starts < ends).all() and ends[0] > 0), "token ends are not ascending")
        check(len(counts) == len(ends) and bool((counts >= 0).all()), "counts do not fit")
        data = text.tobytes()
        try:
            bounds = zip(starts.tolist(), ends.tolist(), strict=True)
            tokens = tuple(data[a:b].decode() for a, b in bounds)
        except UnicodeDecodeError:
            raise ArtefactError(f"{where}: damaged vocabulary: not UTF-8.") from None
        special = len(rule.specials)
        check(tokens[:special] == rule.specials, "special tokens are not in their place")
        check(len(set(tokens)) == len(tokens), "a token is there twice")
        if rule.level == "word":
            check(all(token.split() == [token] for token in tokens), "a word holds white space")
        else:
            top = "\xff" if rule.level == "byte" else "\U0010ffff"
            check(all(len(t) == 1 and t <= top for t in tokens[special:]),
                  f"a token is not one {rule.level}")  # fmt: skip
        return cls(tokens, counts)


_MEMBERS = {"vocab.text": np.uint8, "vocab.ends": np.int64, "vocab.counts": np.int64}


class Decoder(Protocol):
    """Text from ids as they come: the `feed`s and the `flush` joined are the whole text."""

    def feed(self, token_id: int) -> str: ...
    def flush(self) -> str: ...


class Tokenizer:
    """A rule and a vocabulary: text to ids and back."""

    def __init__(self, rule: Rule, vocabulary: Vocabulary) -> None:
        self.rule = rule
        self.vocabulary = vocabulary
        marked = rule.unit != "stream"
        self.unk: int = 0
        self.bos: int | None = 1 if marked else None
        self.eos: int | None = 2 if marked else None
        self._coder = Coder(rule, _Ids(vocabulary.index))

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        level: str = "word",
        vocab_size: int | None = None,
        *,
        min_count: int = 1,
        unit: str = "document",
        lower: bool | None = None,
    ) -> "Tokenizer":
        """A tokenizer whose vocabulary is that of `texts`; words are lowered unless told not to."""
        rule = Rule(level, unit, level == "word" if lower is None else lower)
        pieces: Counter[str] = Counter()
        units = 0
        for text in texts:
            for part in rule.units(text):
                units += 1
                pieces.update(part.split() if level == "word" else rule.tokens(part))
        counts: Counter[str] = pieces
        if level == "word":
            counts = Counter()
            for chunk, times in pieces.items():
                for token in rule.tokens(chunk):
                    counts[token] += times
        reserved = [token for token in SPECIALS if token in counts]
        if reserved:
            raise DataError(f'special token "{reserved[0]}" in the text. Remove or rename it.')
        if not counts:
            raise DataError("no tokens in the texts.")
        return cls(rule, Vocabulary.from_counts(counts, rule, units=units, size=vocab_size,
                                                min_count=min_count))  # fmt: skip

    def __len__(self) -> int:
        return len(self.vocabulary)

    def encode(self, text: str) -> NDArray[np.uint32]:
        """Ids of one unit of text, without `<s>` and `</s>`; unknown tokens are `unk`."""
        try:
            return np.frombuffer(self._coder(text), np.uint32)
        except UnicodeEncodeError as error:
            bad = shown(error.object[error.start : error.start + 1])
            raise DataError(f"{bad} in the text is not a Unicode character.") from None

    def decode(self, ids: Iterable[int]) -> str:
        """The text of `ids`; `<s>` and `</s>` are left out, `<unk>` is shown."""
        decoder = self.decoder()
        return "".join([decoder.feed(int(number)) for number in ids]) + decoder.flush()

    def decoder(self) -> Decoder:
        """A decoder for ids that come one at a time."""
        if self.rule.level == "word":
            return _WordDecoder(self)
        return _ByteDecoder(self) if self.rule.level == "byte" else _CharDecoder(self)

    def token(self, token_id: int) -> str:
        """The token of an id; raises DataError for an id that has none."""
        if not 0 <= token_id < len(self.vocabulary):
            raise DataError(f"id {token_id} is not in the vocabulary of {len(self.vocabulary)}.")
        return self.vocabulary.tokens[token_id]

    @property
    def signature(self) -> str:
        """The rule's signature."""
        return self.rule.signature

    @cached_property
    def hash(self) -> str:
        """SHA-256 (hex) of rule and vocabulary: equal if and only if the ids mean the same."""
        return hashlib.sha256(f"{self.signature} {self.vocabulary.hash}".encode()).hexdigest()

    def to_header(self) -> dict[str, Any]:
        """What stands under `tokenizer` in the header of a data or model file."""
        rule = self.rule
        return {"level": rule.level, "unit": rule.unit, "lower": rule.lower,
                "version": rule.version, "size": len(self), "hash": self.hash}  # fmt: skip

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """The vocabulary as members `vocab.text`, `vocab.ends`, `vocab.counts`."""
        return self.vocabulary.to_arrays()

    @classmethod
    def from_artefact(
        cls, header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], where: str
    ) -> "Tokenizer":
        """The tokenizer of a file: its whole `header` (the part `tokenizer` is used) and arrays.

        Raises ArtefactError, which names the file `where`, if anything does not fit.
        """
        part = header.get("tokenizer")
        if not isinstance(part, dict):
            raise ArtefactError(f"{where}: the header has no tokenizer.")
        for name, kind in (("level", str), ("unit", str), ("lower", bool), ("version", int)):
            if type(part.get(name)) is not kind:
                raise ArtefactError(f"{where}: tokenizer {name} is missing or no {kind.__name__}.")
        try:
            rule = Rule(part["level"], part["unit"], part["lower"], part["version"])
        except ConfigError as error:
            raise ArtefactError(f"{where}: {error}") from None
        tokenizer = cls(rule, Vocabulary.from_arrays(arrays, rule, where))
        if part.get("size") != len(tokenizer) or part.get("hash") != tokenizer.hash:
            raise ArtefactError(f"{where}: header and vocabulary do not belong together.")
        return tokenizer


class _CharDecoder:
    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer

    def feed(self, token_id: int) -> str:
        token = self._tokenizer.token(token_id)
        return "" if token in _ENDS else token

    def flush(self) -> str:
        return ""


class _ByteDecoder:
    """Holds the bytes of a character back until it is whole; broken ones become U+FFFD."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, token_id: int) -> str:
        token = self._tokenizer.token(token_id)
        if token in SPECIALS:
            return self.flush() + (UNK if token == UNK else "")
        return self._utf8.decode(token.encode("latin-1"))

    def flush(self) -> str:
        rest = self._utf8.decode(b"", final=True)
        self._utf8.reset()
        return rest


_CLITIC = regex.compile(r"(?i)n['’]t|['’](?:s|re|ve|ll|d|m)")
_WORDLIKE = regex.compile(rf"[@\#]?{_L}|<unk>", regex.VERSION1)
_DENSELIKE = regex.compile(rf"[{_DENSE}\u3000-\u303f\uff01-\uff65]", regex.VERSION1)
_CLOSER = regex.compile(r"[\p{Pe}\p{Pf},.;:!?%…°‰′″]")
_OPENER = regex.compile(r"[\p{Ps}\p{Pi}¿¡]")
_MONEY = regex.compile(r"\p{Sc}")


class _WordDecoder:
    """Puts spaces back the way people write, and never so that tokens would run together.

    A space is left out where custom says so (`joins`), and only if the rule cuts the joined text
    into the very same tokens: encode(decode(ids)) is ids for all ids that come from text.
    """

    context = 16  # tokens of the current chunk that a cut can depend on

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._chunk: deque[str] = deque(maxlen=self.context)  # tokens since the last space
        self._inside: set[str] = set()  # quotation marks that are open
        self._glue = ""  # what the next token must be to follow without a space

    def feed(self, token_id: int) -> str:
        token = self._tokenizer.token(token_id)
        if token in _ENDS:
            return ""
        first = not self._chunk
        joined = not first and self._joins(token) and self._same([*self._chunk, token])
        self._glue = self._glue_after(token, joined)
        if not joined:
            self._chunk.clear()
        self._chunk.append(token)
        return token if joined or first else " " + token

    def flush(self) -> str:
        return ""

    def _same(self, tokens: list[str]) -> bool:
        return self._tokenizer.rule.tokens("".join(tokens)) == tokens

    def _joins(self, token: str) -> bool:
        """Whether custom writes `token` without a space before it."""
        last = self._chunk[-1]
        if self._glue == "any" or (self._glue == "word" and _WORDLIKE.match(token)):
            return True
        if token in ('"', "'", "`"):
            return token in self._inside or (token == "'" and _elided(last))
        if _CLITIC.fullmatch(token):
            return True
        if _DENSELIKE.match(last) and _DENSELIKE.match(token):
            return True
        if token in ("-", "/"):
            return bool(_WORDLIKE.match(last))
        return bool(_CLOSER.match(token)) or (token == last and not _WORDLIKE.match(token))

    def _glue_after(self, token: str, joined: bool) -> str:
        if token in ('"', "'", "`"):
            if token == "'" and joined and token not in self._inside:
                return "word"  # o'clock
            self._inside ^= {token}
            return "any" if token in self._inside else ""
        if token == "’" and joined and self._chunk and _elided(self._chunk[-1]):
            return "word"
        if _OPENER.match(token):
            return "any"
        if (token in ("-", "/") and joined) or (_MONEY.match(token) and not joined):
            return "word"
        return ""


def _elided(word: str) -> bool:
    """Whether an apostrophe after `word` belongs to it: o'clock, l'eau."""
    return len(word) == 1 and word.isalpha() and word.lower() not in ("a", "i")
