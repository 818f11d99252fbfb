"""All parameters of a model as named views of one flat vector, and what is known of each.

Gradients and optimiser slots have the same layout, so clipping is one norm, a checkpoint one array
a slot. Knows nothing of cells or layers: names and shapes come from `nn.layout`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

Array = NDArray[Any]
Part = Literal["embedding", "input", "recurrence", "output"]
Role = Literal["weights", "projection", "bias", "gain"]


class Spec(NamedTuple):
    """What is known of a parameter beside its numbers.

    part: where it works: in the embedding, on the input of a recurrent layer, in its recurrence, or
        in the output layer.
    role: weights and projections are matrices (outputs, inputs); biases and gains are vectors.
    blocks: the gates stacked in its rows, each of which starts as a matrix of its own.
    tokens: it has a row for each token of the vocabulary.
    layer: the recurrent layer, from 0; None for the embedding and the output layer.
    """

    shape: tuple[int, ...]
    part: Part
    role: Role
    blocks: int = 1
    tokens: bool = False
    layer: int | None = None

    @property
    def looked_up(self) -> bool:
        """Whether rows are gathered by their token, which takes no arithmetic."""
        return self.tokens and self.part != "output"


class Matrix(NamedTuple):
    """A run of the flat vector that is a matrix."""

    place: slice
    shape: tuple[int, int]


class Params(Mapping[str, Array]):
    """`params["rnn.0.fwd.Wh"]` is a view of `params.flat`."""

    def __init__(
        self, shapes: Mapping[str, tuple[int, ...]], dtype: DTypeLike, flat: Array | None = None
    ) -> None:
        self.shapes = dict(shapes)
        total = sum(int(np.prod(shape)) for shape in self.shapes.values())
        self.flat = np.zeros(total, dtype) if flat is None else flat.astype(dtype, copy=False)
        if self.flat.shape != (total,):
            raise ValueError(f"{total} parameters, but a vector of shape {self.flat.shape}")
        self._look()

    def _look(self) -> None:
        """Set the views on the vector."""
        self._views: dict[str, Array] = {}
        start = 0
        for name, shape in self.shapes.items():
            end = start + int(np.prod(shape))
            self._views[name] = self.flat[start:end].reshape(shape)
            start = end

    def __getitem__(self, name: str) -> Array:
        return self._views[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._views)

    def __len__(self) -> int:
        return len(self._views)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle names and one vector, so that views stay views in another process."""
        return Params, (self.shapes, self.flat.dtype, self.flat)

    def like(self, flat: Array | None = None) -> Params:
        """Return the same layout over another vector (zeros by default)."""
        return Params(self.shapes, self.flat.dtype, flat)

    def move(self, place: Callable[[Array], Array]) -> None:
        """Go on with the copy of the vector that `place` makes; views taken before stay behind."""
        self.flat = place(self.flat)
        self._look()

    def under(self, prefix: str) -> dict[str, Array]:
        """Return the views whose names begin with `prefix.`, by the rest of their names.

        Example: "rnn.0.fwd" -> {"Wx": ..., "Wh": ..., "b": ...}
        """
        cut = len(prefix) + 1
        return {n[cut:]: v for n, v in self._views.items() if n.startswith(prefix + ".")}
