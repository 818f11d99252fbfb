"""What the guide promises, tried many times over: a table, and exit code 1 if anything failed.

    python tests/torture                     all rows in full: the soak alone takes an hour
    python tests/torture --scale 0.01        a hundredth of the counts
    python tests/torture damage kills -v     some rows, with all failures

`make test` runs the same rows with the quick counts. That of hostile is 0, for it measures time:
tests/files/test_artefact.py tries the same files. Row disk needs root.
"""

import argparse
import importlib.util
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import conftest  # noqa: F401  one BLAS thread, before anything loads numpy
import damage
import faults
import fuzz
import hostile
import inputs
import kills
import powercut
import stops
import terminal
from tally import Tally


class Row(NamedTuple):
    """A test: what is counted, how many with `make torture` and with `make test`, the function."""

    what: str
    full: int
    quick: int
    run: Callable[[int, Path], Tally]


def mpi(count: int, folder: Path) -> Tally:
    """A rank that raises or is killed, where there is MPI."""
    import mpi_torture  # type: ignore[import-not-found,unused-ignore]

    found = mpi_torture.main(count)
    return found if isinstance(found, Tally) else Tally(count, [str(found)] if found else [])


ROWS = {
    "damage": Row("damaged files", 200_000, 3000, damage.torture),
    "hostile": Row("hostile files", 1000, 0, hostile.torture),
    "kills": Row("SIGKILL while a file is saved", 1000, 20, kills.saves),
    "trains": Row("SIGKILL while rnncli trains", 200, 12, kills.trains),
    "power": Row("power cuts", 10_000, 300, powercut.torture),
    "calls": Row("calls to the system that fail", 10**6, 60, faults.calls),
    "limits": Row("limits on file size", 1000, 8, faults.limits),
    "disk": Row("disks too small (as root)", 24, 4, faults.disk),
    "resume": Row("configurations stopped and resumed", 500, 12, stops.resume),
    "signals": Row("SIGINT and SIGTERM", 200, 16, stops.signals),
    "pipes": Row("pipes", 24, 5, terminal.pipes),
    "mistakes": Row("files with a mistake", 1000, 24, inputs.mistakes),
    "tables": Row("generated tables", 20_000, 120, inputs.tables),
    "determinism": Row("surroundings, one hash", 64, 3, terminal.determinism),
    "control": Row("control characters", 256, 6, terminal.control),
    "targets": Row("outputs that are no files", 24, 24, faults.targets),
    "mpi": Row("ranks that fail", 20, 2, mpi),
    "artefact": Row("seconds of fuzzing the reader", 300, 1, fuzz.artefact),
    "tokenizer": Row("seconds of fuzzing the tokenizer", 300, 1, fuzz.tokenizer),
    "sampler": Row("seconds of fuzzing --match", 300, 1, fuzz.sampler),
    "soak": Row("seconds of train, stop, resume, sample", 3600, 2, stops.soak),
}


def main() -> int:
    """Run the rows that are named; 1 if one of them failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("rows", nargs="*", choices=[*ROWS, []], metavar="row", help=", ".join(ROWS))
    parser.add_argument("--scale", type=float, default=1.0, help="Share of the full counts.")
    parser.add_argument("-v", action="store_true", help="Show every failure.")
    options = parser.parse_args()
    print(f"{'test':<12}  {'of':<40}{'count':>9}{'failed':>8}{'seconds':>9}", flush=True)
    failed = 0
    for name in options.rows or ROWS:
        row = ROWS[name]
        if name == "mpi" and not importlib.util.find_spec("mpi4py"):
            print(f"{name:<12}  {row.what:<40}  mpi4py is not installed")
            continue
        begun = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            try:
                tally = row.run(max(1, round(row.full * options.scale)), Path(folder))
            except Exception as error:
                tally = Tally(0, [repr(error)])
        took, wrong = time.monotonic() - begun, len(tally.failures)
        print(f"{name:<12}  {row.what:<40}{tally.reached:>9,}{wrong:>8}{took:>9.1f}", flush=True)
        for failure in tally.failures[: None if options.v else 3]:
            print(f"    {failure}")
        failed += wrong
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
