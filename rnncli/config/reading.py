"""How text is read, cut into tokens and split: the options of `rnncli tokenize`."""

from __future__ import annotations

from dataclasses import dataclass

from rnncli.config.settings import Settings, setting
from rnncli.errors import ConfigError, shown

FORMATS = ("csv", "tsv", "txt", "jsonl")
LEVELS = ("word", "char", "byte")
UNITS = ("sentence", "document", "stream")


@dataclass(frozen=True)
class ReadOptions(Settings):
    """How input is read; None means: found out from the file."""

    column: str | int | None = setting(
        "input", None, "Column of the text: a name, or a number from 1; for JSON Lines a key [the "
        "only column, else body, text, comment, content or title].", kind="column",
    )  # fmt: skip
    delimiter: str | None = setting(
        "input", None, "Between columns [comma; tab for .tsv].", kind="delimiter"
    )
    encoding: str = setting("input", "utf-8", "Of the input; a byte order mark is dropped.")
    header: bool = setting("input", True, "The first row names the columns.")
    format: str | None = setting(
        "input", None, "Of the input [by the file's name; csv for standard input].", choices=FORMATS
    )
    whole_file: bool = setting("input", False, "A text file is one text, not one a line.")
    limit: int | None = setting("input", None, "Read at most N documents.", least=1, metavar="N")

    def __post_init__(self) -> None:
        super().__post_init__()
        delimiter = self.delimiter
        if delimiter is not None and (len(delimiter) != 1 or delimiter in '\r\n" '):
            raise ConfigError(f"delimiter {shown(delimiter)!r} is not one usable character.")
        try:
            "".encode(self.encoding)
        except (LookupError, ValueError):
            raise ConfigError(f"there is no text encoding {shown(self.encoding)!r}.") from None


@dataclass(frozen=True)
class Tokenizing(Settings):
    """How text is cut into tokens, which of them have an id, and how it is split."""

    on_bad_row: str = setting(
        "input", "error", "What to do with a row that cannot be read.", choices=("error", "skip")
    )
    level: str | None = setting("tokens", None, "What a token is [word].", choices=LEVELS)
    unit: str | None = setting(
        "tokens", None, "What is wrapped in <s> and </s>; a stream is one running text without "
        "them [document; stream with --whole-file].", choices=UNITS,
    )  # fmt: skip
    lower: bool | None = setting("tokens", None, "Lower-case the text [for words].")
    vocab_size: int | None = setting(
        "vocabulary", None, "Size of the vocabulary, special tokens included; 0: all [8000 for "
        "words, all for characters and bytes].", least=0,
    )  # fmt: skip
    min_count: int | None = setting(
        "vocabulary", None, "Rarer tokens become <unk> [1; 2 for words where otherwise all had a "
        "place, and nothing would teach a model <unk>].", least=1,
    )  # fmt: skip
    vocab: str | None = setting(
        "vocabulary", None, "Reuse vocabulary and rule of a data or model file.", kind="file"
    )
    split: tuple[float, ...] = setting(
        "splits", (0.9, 0.05, 0.05), "Shares of training, validation and test.", kind="shares"
    )
    seed: int = setting("splits", 0, "Seed of everything that is random.", least=0)
    workers: int | None = setting(
        "output", None, "Processes that read and count; the bytes written are the same. A packed "
        "file is read by one, a stream too [the cores for more than 32 MiB, else 1].", least=1,
    )  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("level", "unit", "lower", "vocab_size", "min_count"):
            if self.vocab and getattr(self, name) is not None:
                flag = name.replace("_", "-")
                raise ConfigError(f"--vocab brings its own rule: leave out --{flag}.")
