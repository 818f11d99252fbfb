"""What a network writes while it is trained."""

from __future__ import annotations

import re
from dataclasses import dataclass

from rnncli.config.settings import Settings, setting
from rnncli.errors import ConfigError, shown


@dataclass(frozen=True)
class Samples(Settings):
    """What a network writes while it is trained: shown, and of no effect on the training."""

    sample_every: str | int | None = setting(
        "samples while training",
        None,
        "Write text as it learns: every N steps, or every N epochs (40e).",
        kind="steps",
    )
    sample_prefix: tuple[str, ...] = setting(
        "samples while training", (), "What those texts begin with; may be repeated.", kind="text"
    )
    sample_length: int = setting("samples while training", 50, "Tokens of those texts.", least=1)
    sample_temperature: float = setting(
        "samples while training",
        0.8,
        "Temperature of those texts; 0 for the likeliest token.",
        least=0,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        every = self.sample_every
        if every is not None and not re.fullmatch(r"[1-9][0-9]*e?", str(every)):
            raise ConfigError(
                f"sample_every takes steps (500) or epochs (40e), not {shown(str(every))}."
            )

    def due(self, *, step: int = 0, epoch: int = 0) -> bool:
        """Whether texts are due after this step, or at the end of this epoch (both from 1)."""
        every = str(self.sample_every or "")
        count = epoch if every.endswith("e") else step
        return bool(every) and count > 0 and count % int(every.rstrip("e")) == 0
