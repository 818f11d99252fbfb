"""A trained network is given another vocabulary: what each token has learned goes with it.

Only the tables with a row for each token change; everything between them stays as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from rnncli.nn.layout import layout, shapes
from rnncli.nn.model import Model
from rnncli.nn.params import Params


class Match(NamedTuple):
    """Where the tokens of a new vocabulary stand in the old one."""

    rows: tuple[int, ...]  # of each new token: its id in the old vocabulary, -1 where it has none
    lost: int  # tokens of the old vocabulary that the new one has not

    @property
    def new(self) -> int:
        """The number of tokens that the old vocabulary has not."""
        return self.rows.count(-1)

    @property
    def kept(self) -> int:
        """The number of tokens of both."""
        return len(self.rows) - self.new


def match(old: Sequence[str], new: Sequence[str]) -> Match:
    """Match two vocabularies token by token; each token is once in its vocabulary.

    Example: old a b c, new c x a -> rows (2, -1, 0), lost 1
    """
    index = {token: row for row, token in enumerate(old)}
    rows = tuple(index.get(token, -1) for token in new)
    return Match(rows, len(old) - sum(row >= 0 for row in rows))


def carried_over(model: Model, rows: Sequence[int]) -> Model:
    """Rebuild the network of a model for a vocabulary of len(rows) tokens.

    rows: for each token its row in the model's tables; -1: the mean of them all.
    """
    config = replace(model.config, inputs=len(rows))
    params = Params(shapes(config), model.dtype)
    for name, spec in layout(config).items():
        values = model.params[name]
        if spec.tokens:
            params[name][:] = values[list(rows)]
            params[name][[row < 0 for row in rows]] = values.mean(axis=0)
        else:
            params[name][:] = values
    return Model(config, params)
