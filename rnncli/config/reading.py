"""How text is read: the options of input."""

from __future__ import annotations

from dataclasses import dataclass

from rnncli.errors import ConfigError, shown

FORMATS = ("csv", "tsv", "txt", "jsonl")


@dataclass(frozen=True)
class ReadOptions:
    """How input is read; None means: found out from the file."""

    column: str | int | None = None  # a name, or a number counted from 1
    delimiter: str | None = None
    encoding: str = "utf-8"
    header: bool = True
    format: str | None = None  # one of FORMATS; by the file name, csv for standard input
    whole_file: bool = False  # a file is one document, not one a line
    limit: int | None = None  # documents

    def __post_init__(self) -> None:
        if self.format not in (None, *FORMATS):
            raise ConfigError(f"format {shown(self.format)!r} is none of {', '.join(FORMATS)}.")
        delimiter = self.delimiter
        if delimiter is not None and (len(delimiter) != 1 or delimiter in '\r\n" '):
            raise ConfigError(f"delimiter {shown(delimiter)!r} is not one usable character.")
        try:
            "".encode(self.encoding)
        except (LookupError, ValueError):
            raise ConfigError(f"there is no text encoding {shown(self.encoding)!r}.") from None
        if self.limit is not None and self.limit < 1:
            raise ConfigError("a limit of documents is at least 1.")
