"""A regular expression that text is held to while it is written.

Every search has a time limit, as a pattern can take longer than the age of the universe.
"""

from __future__ import annotations

from typing import Any

from rnncli.errors import ConfigError, shown

LIMIT = 1.0  # seconds a search may take


class Pattern:
    """A compiled pattern of the `regex` package; raises ConfigError if it is none, or too slow."""

    def __init__(self, source: str, limit: float = LIMIT) -> None:
        import regex

        self.source, self._limit = source, limit
        try:
            self._pattern: Any = regex.compile(source)
        except regex.error as error:
            raise ConfigError(f"{self.name} is not a pattern: {shown(error)}.") from None

    @property
    def name(self) -> str:
        """The pattern as an error message shows it."""
        return f'pattern "{shown(self.source)}"'

    def begins(self, text: str) -> bool:
        """Whether the whole of `text` matches, or could with more after it."""
        return self._search(self._pattern.fullmatch, text, partial=True) is not None

    def matches(self, text: str) -> bool:
        """Whether the whole of `text` matches."""
        return self._search(self._pattern.fullmatch, text) is not None

    def find(self, text: str) -> int | None:
        """Where in `text` the first match begins that is not empty, None for nowhere."""

        def first(text: str, **options: Any) -> int | None:
            found = self._pattern.finditer(text, **options)
            return next((m.start() for m in found if m.end() > m.start()), None)

        start: int | None = self._search(first, text)
        return start

    def _search(self, method: Any, text: str, **options: Any) -> Any:
        try:
            return method(text, timeout=self._limit, **options)
        except TimeoutError:
            raise ConfigError(
                f"{self.name} takes more than {self._limit:g} s on {len(text)} characters. "
                "Use one that backtracks less."
            ) from None
