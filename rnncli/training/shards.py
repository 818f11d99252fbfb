"""How a batch is shared: every size-th sequence is a shard, whoever computes it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from rnncli.data.batches import BatchPlan
from rnncli.nn.packed import Batch, Steps


def shard_of(work: Batch, rank: int, size: int) -> Batch:
    """Return the part of a batch that shard `rank` of `size` computes: every size-th sequence."""
    if size == 1:
        return work
    steps, mine = work.steps, np.arange(rank, work.steps.B, size)
    sizes = [int(np.count_nonzero(mine < n)) for n in steps.sizes]
    at = np.concatenate([c.start + mine[:n] for c, n in zip(steps.columns, sizes, strict=True)])
    kept = Steps(tuple(n for n in sizes if n))
    return Batch(work.x[at], work.y[at], kept, int(np.count_nonzero(mine < work.carried)))


@dataclass(frozen=True)
class ShardedPlan:
    """What rank `rank` of `size` computes of a plan: of each batch its share, where it has one."""

    plan: BatchPlan
    rank: int
    size: int

    def length(self, epoch: int) -> int:
        """Return the number of batches, those that have no part for this shard too."""
        return self.plan.length(epoch)

    def targets(self, epoch: int) -> int:
        """Return the number of targets in the whole epoch."""
        return self.plan.targets(epoch)

    def batches(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yield this shard's part of each batch that has one."""
        for work in self.plan.batches(epoch, start):
            if self.rank < work.steps.B:
                yield shard_of(work, self.rank, self.size)
