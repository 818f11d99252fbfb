"""`python tests/torture`: see torture.py."""

import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]
sys.path[1:1] = [str(TESTS), str(TESTS / "support")]

import torture  # noqa: E402

sys.exit(torture.main())
