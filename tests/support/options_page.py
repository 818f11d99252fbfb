"""The page of all options, rnncli/guide/options.md: run as a program, this file writes it."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "rnncli" / "guide" / "options.md"
HEAD = """# Options

Every option of every command, as `rnncli COMMAND --help` has it. `make docs` writes this page.

An option may also come from the environment (`RNNCLI_TRAIN_HIDDEN=512`), those of `train` from a
YAML file (`--config`), too.
"""


def page() -> str:
    """Return the page, from the commands as they are now."""
    import click
    from commands import good

    from rnncli.cli import COMMANDS, main

    parts = [HEAD]
    for name in COMMANDS:
        command = main.get_command(click.Context(main), name)
        assert command
        longer = any("--help-all" in option.opts for option in command.params)
        help_text = good(name, "--help-all" if longer else "--help").out
        parts.append(f"## {name}\n\n```\n{help_text.strip()}\n```\n")
    return "\n".join(line.rstrip() for line in "\n".join(parts).splitlines()) + "\n"


if __name__ == "__main__":
    os.environ["COLUMNS"] = "100"
    sys.path.insert(0, str(ROOT / "tests"))
    PAGE.write_text(page(), "utf-8")
