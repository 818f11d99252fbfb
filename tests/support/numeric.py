"""Numeric gradients as an assertion: what `rnncli.nn.gradcheck` finds, with all the numbers."""

from collections.abc import Callable, Mapping

from rnncli.nn.gradcheck import Array, check


def assert_gradients(
    f: Callable[[], float],
    arrays: Mapping[str, Array],
    gradients: Mapping[str, Array],
    *,
    tolerance: float = 1e-6,
    seed: int = 0,
    every: int = 60,
    entries: int = 20,
    directions: int = 2,
) -> None:
    """Raise AssertionError with both numbers for each array in which `check` finds more error."""
    worst = check(
        f, arrays, gradients, seed=seed, every=every, entries=entries, directions=directions
    )
    wrong = [
        f"{name} {at.where}: claimed {at.claimed:.10g}, measured {at.measured:.10g} "
        f"(relative error {at.error:.2g})"
        for name, at in worst.items()
        if not at.error <= tolerance
    ]
    if wrong:
        raise AssertionError(f"wrong gradient, {len(wrong)} of {len(worst)}:\n" + "\n".join(wrong))
