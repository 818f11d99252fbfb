"""Regular expressions that are compiled at their first use, not at import."""

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import regex


def when_needed(source: str, verbose: bool = False) -> Callable[[], "regex.Pattern[str]"]:
    """Return a function that returns the compiled pattern: characters and bytes need none."""

    def compiled() -> "regex.Pattern[str]":
        import regex  # takes a tenth of the time of a short command

        return regex.compile(source, regex.VERSION1 | (regex.VERBOSE if verbose else 0))

    return cache(compiled)
