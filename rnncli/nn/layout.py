"""The parameters of a network by name, and what each of them is.

A parameter's name is for people and files. Whatever a program wants to know of a parameter stands
in its `Spec`: the initialiser, the rule `muon`, `nn.cost`, `nn.transfer` and the reports read that,
and nobody takes a name apart.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from numpy.typing import NDArray

from rnncli.config.settings import Config
from rnncli.nn.params import Params

Array = NDArray[Any]
Part = Literal["embedding", "input", "recurrence", "output"]
Role = Literal["weights", "projection", "bias", "gain"]
DIRECTIONS = ("fwd", "bwd")


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


def layout(config: Config) -> dict[str, Spec]:
    """Return the name and the `Spec` of every parameter, in the order of the flat vector."""
    out: dict[str, Spec] = {}
    if config.embed:
        shape = config.inputs, config.embed
        out["embed.W"] = Spec(shape, "embedding", "weights", tokens=True)
    for layer in range(config.layers):
        H = config.units(layer)
        P, G = config.proj or H, config.gates
        below = config.proj or config.units(layer - 1)
        D = config.directions * below if layer else config.embed or config.inputs
        cell: dict[str, Spec] = {}
        if config.one_hot and layer == 0:
            cell["Wx"] = Spec((D, G * H), "input", "weights", tokens=True)
        else:
            cell["Wx"] = Spec((G * H, D), "input", "weights", G)
        cell["Wh"] = Spec((G * H, P), "recurrence", "weights", G)
        if config.layer_norm and config.cell == "rnn":  # the bias follows the norm
            cell["bh"] = Spec((G * H,), "recurrence", "bias", G)
        else:
            cell["b"] = Spec((G * H,), "input", "bias", G)
        if config.cell == "gru":
            cell["bn"] = Spec((H,), "recurrence", "bias")
        if config.proj:
            cell["Wp"] = Spec((P, H), "recurrence", "projection")
        if config.layer_norm:
            cell["gh"] = Spec((G * H,), "recurrence", "gain", G)
            if config.cell != "rnn":
                cell["gx"] = Spec((G * H,), "input", "gain", G)
            if config.cell == "lstm":
                cell["gc"] = Spec((H,), "recurrence", "gain")
                cell["bc"] = Spec((H,), "recurrence", "bias")
        for s in range(config.directions):
            for name, spec in cell.items():
                out[f"{_prefix(layer, s)}.{name}"] = spec._replace(layer=layer)
    tokens = config.head == "tokens"
    if not config.tied:
        out["head.W"] = Spec((config.classes, config.width), "output", "weights", tokens=tokens)
    out["head.b"] = Spec((config.classes,), "output", "bias", tokens=tokens)
    return out


def shapes(config: Config) -> dict[str, tuple[int, ...]]:
    """Return every parameter's name and shape, in the order of the flat vector."""
    return {name: spec.shape for name, spec in layout(config).items()}


def cell_weights(params: Params, layer: int, direction: int = 0) -> dict[str, Array]:
    """Return the views of one layer and direction (0 forward, 1 backward) by their short names.

    Example: layer 0 -> {"Wx": ..., "Wh": ..., "b": ...}
    """
    return params.under(_prefix(layer, direction))


def _prefix(layer: int, direction: int) -> str:
    return f"rnn.{layer}.{DIRECTIONS[direction]}"
