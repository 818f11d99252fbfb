"""What `rnncli eval` scores, with what it compares, and how it shows the figures."""

from __future__ import annotations

from dataclasses import dataclass

from rnncli.config.settings import Settings, setting
from rnncli.errors import ConfigError

SPLITS = ("train", "valid", "test")
MIXES = ("kn1", "kn2", "kn3", "kn4", "kn5")


@dataclass(frozen=True)
class Scoring(Settings):
    """The options of `rnncli eval`, and which of them go together."""

    split: str = setting("text", "test", "Which part of the data file.", choices=SPLITS)
    text: str | None = setting(
        "text", None, "Score a text file, a document a line; - is standard input.", kind="file"
    )
    encoding: str = setting("text", "utf-8", "Of the text file.")
    baselines: bool = setting(
        "comparison", False, "Beside it what simpler models say: uniform, unigram, Kneser-Ney."
    )
    mix: str | None = setting(
        "comparison", None, "Mix with a Kneser-Ney model of order N, 1 to 5.", choices=MIXES,
        metavar="knN",
    )  # fmt: skip
    unseen: int | None = setting(
        "comparison", None, "Words that share <unk> [those of the corpus].", least=1
    )
    per: str | None = setting(
        "output", None, "A row each: log-probability, tokens, unknown ones among them.",
        choices=("line", "document", "token"),
    )  # fmt: skip
    log_base: float | None = setting(
        "output", None, "Of the log-probabilities of --per [e].", above=1, kind="base"
    )
    kenlm: bool = setting("output", False, "Print what KenLM's query prints.")
    color: bool = setting("output", False, "Print the text, each token coloured by its surprise.")
    json: bool = setting("output", False, "Print JSON on standard output.")

    def __post_init__(self) -> None:
        super().__post_init__()
        beside, chosen = self.baselines or self.mix, self.chosen
        for wrong, message in (
            (len(chosen) > 1, f"{' does not go with '.join(chosen[:2])}."),
            (self.json and (self.kenlm or self.color),
             f"--json does not go with {[*chosen, ''][0]}."),
            (self.log_base is not None and not self.per, "--log-base is for --per."),
            (self.unseen is not None and chosen and not beside,
             f"--unseen does not go with {[*chosen, ''][0]}."),
            (self.text is not None and beside,
             "--baselines and --mix need a data file, with its training split."),
            (self.per == "line" and self.text is None,
             "--per line is for --text; a data file has documents and tokens."),
        ):  # fmt: skip
            if wrong:
                raise ConfigError(message)

    @property
    def chosen(self) -> list[str]:
        """Name the options given that decide what is printed: one at most may be."""
        used = {
            "--per": self.per, "--kenlm": self.kenlm, "--color": self.color,
            "--baselines or --mix": self.baselines or self.mix,
        }  # fmt: skip
        return [name for name, value in used.items() if value]
