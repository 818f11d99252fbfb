"""What a network costs by count: its parameters, and the arithmetic that a token takes."""

from __future__ import annotations

import math
from typing import NamedTuple

from rnncli.config.network import Config
from rnncli.nn.layout import layout
from rnncli.nn.params import Part


class Cost(NamedTuple):
    """One part of a network.

    parameters: how many it holds.
    products: multiplications (each with an addition) that one token takes in a forward pass; a row
        that is looked up takes none.
    """

    part: Part
    layer: int | None  # the recurrent layer, from 0
    parameters: int
    products: int


def costs(config: Config) -> list[Cost]:
    """Count each part of each layer, from the input to the output."""
    found: dict[tuple[Part, int | None], Cost] = {}
    for spec in layout(config).values():
        key, size = (spec.part, spec.layer), math.prod(spec.shape)
        before = found.get(key, Cost(*key, 0, 0))
        work = 0 if spec.looked_up or spec.role in ("bias", "gain") else size
        if config.tied and spec.part == "output":  # its weights are the embedding's
            work = config.classes * config.width
        found[key] = Cost(*key, before.parameters + size, before.products + work)
    return list(found.values())


def parameters(config: Config) -> dict[str, int]:
    """Count the parameters of the embedding, the recurrent layers and the output layer."""
    counts = dict.fromkeys(("embedding", "recurrent", "output"), 0)
    for cost in costs(config):
        counts[cost.part if cost.layer is None else "recurrent"] += cost.parameters
    return counts


def flops(config: Config) -> dict[str, int]:
    """Count the operations that a token takes in training, in the recurrent and output layers.

    A matrix product takes six for each weight: a multiplication and an addition forward, for the
    gradient of the weights, and for that of the input.
    """
    counts = {"recurrent": 0, "output": 0}
    for cost in costs(config):
        if cost.part != "embedding":
            counts["output" if cost.layer is None else "recurrent"] += 6 * cost.products
    return counts
