"""`rnncli guide`: the pages of the guide, which are part of the package."""

from __future__ import annotations

import difflib
import re
import sys
from pathlib import Path

import click

from rnncli.errors import shown

PAGES = Path(__file__).parents[1] / "guide"


@click.command()
@click.argument("topic", required=False)
def guide(topic: str | None) -> None:
    """Read the guide: its topics, or the page of a TOPIC.

    A page opens in the pager of the terminal, and is printed where there is none.

    \b
    rnncli guide
    rnncli guide troubles
    rnncli guide options | grep -- --temperature
    """
    names = sorted(path.stem for path in PAGES.glob("*.md") if path.stem != "README")
    if topic is None:
        click.echo(plain((PAGES / "README.md").read_text("utf-8")))
        return
    if topic not in names:
        near = difflib.get_close_matches(topic, names, 1)
        hint = f"Is {near[0]} meant?" if near else f"There are {', '.join(names)}."
        raise click.UsageError(f'There is no page "{shown(topic, 100)}". {hint}')
    page = plain((PAGES / f"{topic}.md").read_text("utf-8"))
    if sys.stdout.isatty():
        click.echo_via_pager(page + "\n")
    else:
        click.echo(page)


def plain(page: str) -> str:
    """Return a page as text for a terminal: its links as words, without comments.

    Example: "see [the terms](glossary.md)" -> "see the terms (rnncli guide glossary)".
    """
    page = re.sub(r"<!--.*?-->\n*", "", page, flags=re.DOTALL)
    page = re.sub(r"^- \[([\w-]+)\]\(\1\.md\)", r"- \1", page, flags=re.MULTILINE)
    page = re.sub(r"\[([\w-]+)\]\(\1\.md(?:#[\w-]+)?\)", r"`rnncli guide \1`", page)
    page = re.sub(r"\[([^]]+)\]\(([\w-]+)\.md(?:#[\w-]+)?\)", r"\1 (rnncli guide \2)", page)
    return re.sub(r"\[([^]]+)\]\([^)]+\)", r"\1", page).strip()
