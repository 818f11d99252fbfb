"""How text is written: the options of `rnncli sample`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from rnncli.config.settings import Settings, setting
from rnncli.errors import ConfigError


@dataclass(frozen=True)
class Filters(Settings):
    """What is done to the model's distribution before a token is drawn.

    Applied in the order: banned, repetition, no_repeat, temperature, top_k, top_p, min_p, typical.
    Each filter leaves one token or more; of equal tokens the one with the lower id goes first.
    """

    temperature: float = setting(
        "choice of a token", 1.0, "Below 1 safer, above 1 wilder; 0: always the likeliest.", least=0
    )
    top_k: int = setting("choice of a token", 0, "Only the K likeliest tokens; 0: all.", least=0)
    top_p: float = setting(
        "choice of a token", 1.0, "Only the likeliest tokens that together have this probability.",
        above=0, most=1,
    )  # fmt: skip
    min_p: float = setting(
        "choice of a token", 0.0, "Only tokens at least this times as probable as the likeliest.",
        least=0, most=1,
    )  # fmt: skip
    typical: float = setting(
        "choice of a token", 1.0,
        "Only the most typical tokens that together have this probability.", above=0, most=1,
    )  # fmt: skip
    repetition: float = setting(
        "choice of a token", 1.0, "Above 1: tokens that were written become less likely.", above=0
    )
    no_repeat: int = setting("choice of a token", 0, "Write no N tokens in a row twice.", least=0)
    banned: tuple[int, ...] = field(default=(), metadata={})  # ids: for the library


@dataclass(frozen=True)
class Constraints(Settings):
    """What a text has to be, whatever the model would rather write: length, end, words, pattern.

    With `match`, the whole of a text is held to a pattern (the space that joins a word to the
    prefix is not counted): a token that cannot lead to a match is drawn again, and the text ends
    where it matches and the model would leave the pattern; of bytes, only ASCII is then written. A
    text that has no match after `length` tokens, or is without one of the strings of
    `must_include`, is drawn again as a whole. Where only `must_include` binds a text, it has the
    model's own distribution, given that it includes them.
    """

    length: int | None = setting(
        "length and end", None, "Tokens at most [1000 for characters, else 200].", least=1
    )
    min_length: int = setting("length and end", 0, "Tokens at least.", least=0)
    stop_at_end: bool = setting("length and end", True, "Stop where the text ends.")
    allow_unk: bool = setting(
        "words and patterns", False, "Let <unk> be written.", flag="--unk/--no-unk"
    )
    ban: Sequence[str] = setting(
        "words and patterns", (), "Never write this token; may be repeated.", kind="text"
    )
    stop: Sequence[str] = setting(
        "length and end", (), "End before this text; may be repeated.", kind="text"
    )
    stop_regex: str = setting("length and end", "", "End before what this pattern finds.")
    match: str = setting(
        "words and patterns", "", "Write only what this pattern matches as a whole."
    )
    must_include: Sequence[str] = setting(
        "words and patterns", (),
        "Draw texts until one has these tokens in a row; may be repeated.", kind="text",
    )  # fmt: skip
    tries: int = setting(
        "words and patterns", 1000,
        "How many texts --match and --must-include may draw for one.", least=1,
    )  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.length is not None and self.min_length > self.length:
            raise ConfigError(
                f"min_length must be {self.length} at most, the length, not {self.min_length}."
            )
        for name in ("ban", "stop", "must_include"):
            strings = getattr(self, name)
            if isinstance(strings, str) or "" in strings:
                raise ConfigError(f"{name} must be a list of strings, none of them empty.")

    def fitted(self, length: int) -> Constraints:
        """Return the same with a length, if there is none: this one, or `min_length`."""
        return replace(self, length=self.length or max(self.min_length, length))


@dataclass(frozen=True)
class Writing(Settings):
    """What else `rnncli sample` can do: where a text begins, how many, search, mixture, output."""

    prefix: Sequence[str] = setting(
        "texts", (), "What the text begins with; may be repeated; - is standard input.", kind="text"
    )
    prefix_file: str | None = setting(
        "texts", None, "A prefix a line; - is standard input.", kind="file"
    )
    num: int = setting("texts", 1, "How many texts.", least=1, flag="-n --num")
    seed: int = setting("texts", 0, "Seed of everything that is random.", least=0)
    mix: Sequence[tuple[str, float]] = setting(
        "texts", (), "Give another model this share of each probability, as other.npz:0.3; may be "
        "repeated.", kind="model:share",
    )  # fmt: skip
    beam: int | None = setting(
        "search", None, "Draw nothing: search for the most probable texts, the WIDTH best "
        "beginnings at a time. --num of them are printed, best first.", least=1, metavar="WIDTH",
    )  # fmt: skip
    length_penalty: float = setting(
        "search", 0.0, "With --beam: the best text has the highest log-probability / tokens ** "
        "ALPHA; 0: the most probable text, 1: the highest mean of a token.",
        least=0, most=1, metavar="ALPHA",
    )  # fmt: skip
    against: str | None = setting(
        "copies", None, "Say what each text copies from the training split of this data file (64 "
        "bytes of memory a token of it).", kind="file", metavar="DATA",
    )  # fmt: skip
    max_copy: int | None = setting(
        "copies", None, "With --against: never write more than N tokens in a row that stand there "
        "(32 bytes a token).", least=1, metavar="N",
    )  # fmt: skip
    separator: str | None = setting(
        "output", None, "What ends a text; \\n, \\t and \\0 may be spelled out [a line end]."
    )
    alternatives: int = setting(
        "output", 0, "With --json: the K likeliest tokens in each place.", least=0, metavar="K"
    )
    json: bool = setting("output", False, "Print JSON on standard output.")

    def __post_init__(self) -> None:
        super().__post_init__()
        beam, num = self.beam, self.num
        for wrong, message in (
            (
                beam and num > beam,
                f"a search of --beam {beam} finds {beam} texts at most, not {num}.",
            ),
            (self.length_penalty and not beam, "--length-penalty goes with --beam."),
            (self.max_copy and not self.against, "--max-copy needs --against DATA."),
            (beam and self.max_copy, "--beam does not go with --max-copy."),
            (self.alternatives and not self.json, "--alternatives goes with --json."),
            (self.json and self.separator is not None, "--json does not go with --separator."),
        ):
            if wrong:
                raise ConfigError(message)
