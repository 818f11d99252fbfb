"""Every error that a user can cause, as one line: what, where, what to do.

The command line prints the message and exits 1; a library caller catches `RnncliError`.
"""


class RnncliError(Exception):
    """Something the user can mend; the message is one line."""


class ConfigError(RnncliError):
    """Options or settings that contradict each other or make no sense."""


class DataError(RnncliError):
    """Input text or tokens that cannot be used as they are."""


class ArtefactError(RnncliError):
    """A .npz file that is damaged, of another kind, or of a newer format."""


class ChangedError(ArtefactError):
    """A file that was cut or changed while it was in use."""


class DivergenceError(RnncliError):
    """A loss or gradient that is no longer finite."""


class MissingExtra(RnncliError):
    """An optional dependency that is not installed."""


def escaped(text: str) -> str:
    r"""Make a text safe for a terminal: spell out control characters but line breaks and tabs.

    Example: "\x1b[2J a" -> "\\x1b[2J a"
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else _spelled(c) for c in text)


def shown(text: object, limit: int = 60) -> str:
    r"""Put a text into a message: one line, at most `limit` long, control characters spelled out.

    Example: "two\nlines" -> "two\\nlines"
    """
    line = str(text)
    if len(line) > limit:
        line = line[: limit - 1] + "…"
    return "".join(c if c.isprintable() else _spelled(c) for c in line)


def _spelled(character: str) -> str:
    return character.encode("unicode_escape").decode()
