"""One BLAS thread, as the commands have it, and Ctrl-C: set before anything loads numpy.

And which tests may be skipped.
"""

import os
import signal

import pytest

for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as in what a shell runs in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)  # and so in what the tests start

MAY_BE_SKIPPED = (  # where CI is true; any other skip is a failure there
    "could not import 'torch'",
    "could not import 'selenium'",
    "chromium and its driver are not installed",
    "no disk can be mounted",
)
SLOW = (  # half of the time of the tests that `make fast` would run
    "tests/bench/",
    "tests/corpora/",
    "test_a_killed_run_resumes",
    "test_a_stopped_run_resumes",
    "test_draws_f",
    "test_every_kind_of_network_passes",
    "test_every_setting_is_read_from_a_file",
    "test_texts_that_are_as_many_are_as_probable",
)


def pytest_collection_modifyitems(items):
    """Mark the tests that `make fast` leaves out for their time alone."""
    for item in items:
        if any(name in item.nodeid for name in SLOW):
            item.add_marker("slow")


def _judged(report):
    """Turn a skip that is not on the list into a failure, if this is CI."""
    if report.skipped and os.environ.get("CI") and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if not any(known in reason for known in MAY_BE_SKIPPED):
            report.outcome = "failed"
            report.longrepr = f"not on the list of tests/conftest.py: {reason}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    """Judge a test that is skipped."""
    return _judged((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report():
    """Judge a file that is skipped."""
    return _judged((yield))
