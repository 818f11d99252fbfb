"""What `rnncli sample` reads beside the model, and how it shows what was written."""

from __future__ import annotations

import re
import sys
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any

import click

from rnncli.cli.terminal import echo_json, note
from rnncli.errors import DataError, escaped, shown

if TYPE_CHECKING:
    from rnncli.generation.novelty import Copy, Guard, Training
    from rnncli.generation.text import Prefix, Sample
    from rnncli.lm.language_model import LanguageModel
    from rnncli.lm.predictor import Predictor
    from rnncli.text.tokenizer import Tokenizer

LONGEST = 1 << 20  # bytes of a prefix


def unescaped(text: str) -> str:
    r"""Read a separator as it is meant: \n, \t, \0 and \\ spelled out are one character."""
    names = {"n": "\n", "t": "\t", "0": "\0", "\\": "\\"}
    return re.sub(r"\\([nt0\\])", lambda match: names[match[1]], text)


def prefixes(given: Sequence[str], path: str | None) -> list[str]:
    """All prefixes: those of `--prefix`, of which - is standard input, and the lines of a file."""
    if [*given, path].count("-") > 1:
        raise click.UsageError("standard input can be read once: - is there twice.")
    texts = ["\n".join(_lines("-")) if text == "-" else text for text in given]
    if path is not None:
        lines = _lines(path)
        if not lines:
            raise DataError(f"{path}: no line, so no prefix.")
        texts += lines
    return texts or [""]


def _lines(path: str) -> list[str]:
    """Return the lines of a UTF-8 file without their ends; an empty one is an empty prefix."""
    from rnncli.files.lines import text_lines

    return [line.removesuffix("\n") for line in text_lines(path, limit=LONGEST)]


def read_also(path: str, language: LanguageModel) -> LanguageModel:
    """Another model, over the same vocabulary."""
    from rnncli.lm.language_model import load

    other = load(path)
    language.tokenizer.require(other.tokenizer, path)
    return other


def novelty(
    against: str | None, max_copy: int | None, language: LanguageModel, seen: bool
) -> tuple[Training | None, Guard | None]:
    """Return what says what a text copies, if that is `seen`, and what keeps it from copying."""
    if against is None:
        return None, None
    from rnncli.data.dataset import Dataset
    from rnncli.generation.novelty import Guard, Training

    data = Dataset.open(against)
    language.tokenizer.require(data.tokenizer, against)
    split = data.splits["train"]
    training = Training(split.ids, split.starts, split.rows) if seen else None
    return training, Guard(split.ids, max_copy) if max_copy else None


def tell_unknown(
    tokenizer: Tokenizer, starts: list[Prefix], ban: Sequence[str], quiet: bool
) -> None:
    """Name the words of prefixes and bans that the model does not know."""
    from rnncli.generation.constraints import banned_ids

    unknown = dict.fromkeys(token for start in starts for token in start.unknown)
    strange = [token for token in ban if not banned_ids(tokenizer, [token])]
    for tokens, what in ((list(unknown), "read as <unk>"), (strange, "never written anyway")):
        if tokens:
            note(f"not in the vocabulary, {what}: {', '.join(map(shown, tokens[:10]))}", quiet)


class Printer:
    """Shows each sample on standard output: as text, or as a row of JSON.

    `predictor` and `alternatives` are what a row needs; `training` says what was copied.
    """

    def __init__(
        self, tokenizer: Tokenizer, predictor: Predictor, separator: str, alternatives: int,
        training: Training | None, quiet: bool,
    ) -> None:  # fmt: skip
        self.tokenizer, self.predictor, self.separator = tokenizer, predictor, separator
        self.alternatives, self.training, self.quiet = alternatives, training, quiet
        self.plain = escaped if sys.stdout.isatty() else str
        self.shown = 0

    def stream(self, prefix: str, pieces: Generator[str, None, Sample]) -> None:
        """Show a text as it is written."""
        click.echo(self.plain(prefix), nl=False)
        while True:
            try:
                click.echo(self.plain(next(pieces)), nl=False)
            except StopIteration as end:
                click.echo(self.separator, nl=False)
                self._copied(end.value)
                return

    def text(self, prefix: str, sample: Sample) -> None:
        """Show a whole text."""
        click.echo(self.plain(prefix + sample.text) + self.separator, nl=False)
        self._copied(sample)

    def row(self, prefix: str, sample: Sample) -> None:
        """Show a text as JSON, with what the model thought of each token."""
        from rnncli.score.choices import choices

        start = sample.start
        assert start is not None
        last, alternatives = start.prefix.ids[-1], self.alternatives
        found = choices(self.predictor, start.before, last, sample.ids, alternatives)
        sample, token = sample.rescored([choice.logprob for choice in found]), self.tokenizer.token
        row = {"text": prefix + sample.text, "prefix": prefix, "logprob": sample.logprob,
               "logprob_per_token": sample.logprob / len(sample.ids) if sample.ids else None,
               "tokens": len(sample.ids), "stopped": sample.stopped}  # fmt: skip
        each: list[dict[str, Any]] = [
            {"token": token(choice.token), "logprob": choice.logprob, "rank": choice.rank}
            for choice in found
        ]
        for entry, choice in zip(each, found, strict=True) if self.alternatives else ():
            entry["alternatives"] = [
                {"token": token(other), "logprob": logprob}
                for other, logprob in choice.alternatives
            ]
        row["logprobs"] = each
        if self.training is not None:
            copy, document, run = self._copy(sample, self.training)
            row["copied"] = {"tokens": copy.length, "text": run, "document": document,
                             "position": copy.position}  # fmt: skip
        echo_json(row)

    def _copied(self, sample: Sample) -> None:
        """Say on standard error what the text has from the training text."""
        self.shown += 1
        if self.training is None:
            return
        copy, document, run = self._copy(sample, self.training)
        where = f"token {copy.position:,}" if document is None else f"document {document:,}"
        note(f'text {self.shown}: copies {copy.length} tokens in a row from {where}: '
             f'"{shown(run, 200)}"', self.quiet)  # fmt: skip

    def _copy(self, sample: Sample, training: Training) -> tuple[Copy, int | None, str]:
        """Find the longest copied run, the document that has it (counted from 1), and its text."""
        copy = training.longest(sample.body)
        run = self.tokenizer.decode(sample.body[copy.start : copy.start + copy.length])
        return copy, None if copy.row is None else copy.row + 1, run
