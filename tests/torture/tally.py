"""What a test that runs many times has found: how often it ran, and each failure in a line."""

from dataclasses import dataclass, field


@dataclass
class Tally:
    """Counts what was tried and keeps what went wrong."""

    reached: int = 0
    failures: list[str] = field(default_factory=list)

    def failed(self, what: str) -> None:
        """Keep a failure."""
        self.failures.append(what)

    def check(self, fine: object, what: object) -> None:
        """One more try, and whether it went well."""
        self.reached += 1
        if not fine:
            self.failed(str(what))


def one_line(error: Exception, name: object = "") -> None:
    """Raise AssertionError unless the message is one line, fit for a terminal, with the name."""
    if not (str(error).isprintable() and str(name) in str(error)):
        raise AssertionError(f"a bad message: {error!r}")
