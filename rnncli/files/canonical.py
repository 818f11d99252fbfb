"""JSON in one form: the same value is the same bytes, and reading takes bounded memory."""

import json
from collections.abc import Callable
from typing import Any, TypeAlias

JSON: TypeAlias = Any  # null, bool, int, float, str, and lists and string-keyed dicts of them


def dumps(value: JSON) -> bytes:
    """Return the canonical JSON of a value; ValueError for what JSON does not have, such as NaN.

    Example: {"b": 1, "a": None} -> b'{"a":null,"b":1}'
    """
    text = json.dumps(
        value, sort_keys=True, allow_nan=False, ensure_ascii=False, separators=(",", ":")
    )
    return text.encode()


def bounded(
    text: bytes, size: int, values: int, pairs: Callable[[list[tuple[str, Any]]], Any] | None = None
) -> JSON:
    """Return the value of JSON of at most `size` bytes and about `values` values.

    ValueError for anything else. A value of 3 bytes can take 100 in memory, so both are limited.
    `pairs` makes an object of its names and values, as in `json.loads`.
    """
    if len(text) > size or sum(text.count(mark) for mark in b"[{,:") > values:
        raise ValueError("the header is too large")
    try:
        return json.loads(text.decode(), object_pairs_hook=pairs)
    except RecursionError:
        raise ValueError("the header is nested too deeply") from None
    except ValueError:
        raise ValueError("the header is not JSON with each name once") from None


def loads(text: bytes, size: int, values: int) -> JSON:
    """Return the value of bounded JSON that is canonical; ValueError for anything else.

    This bars NaN, 1e999, lone surrogates, keys that are not strings, and keys that come twice.
    """
    value = bounded(text, size, values)
    try:
        same = dumps(value) == text
    except RecursionError:
        raise ValueError("the header is nested too deeply") from None
    except ValueError:
        same = False
    if not same:
        raise ValueError("the header is not canonical JSON")
    return value
