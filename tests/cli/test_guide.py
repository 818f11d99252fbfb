"""The guide: each page's commands run, its links lead somewhere, and nothing goes unnamed."""

import re
from pathlib import Path

import click
import options_page
import pages
import pytest
from commands import good, run

from rnncli.cli import COMMANDS, main
from rnncli.cli.guide import plain

TOPICS = sorted(page.stem for page in pages.GUIDE.glob("*.md") if page.stem != "README")
NOT_RUN = {  # page -> why blocks of it are not run; none but these
    "convert": ["needs a file of another program", "needs texts that you have"],
    "machines": ["installs a package"],
    "train": ["needs a text to download"],
}


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pages.workshop(tmp_path_factory.mktemp("workshop"))


@pytest.mark.pages
@pytest.mark.parametrize(
    "topic", [t for t in TOPICS if pages.runnable(pages.GUIDE / f"{t}.md")]
)  # fmt: skip
def test_the_commands_of_a_page_run(topic: str, workshop: Path, tmp_path: Path) -> None:
    page = pages.GUIDE / f"{topic}.md"
    folder = pages.at_work(page, workshop, tmp_path)
    for block in pages.runnable(page):
        pages.run(block.commands, folder, block.language)


def test_no_block_with_commands_goes_unrun_but_those_on_the_list() -> None:
    found: dict[str, list[str]] = {}
    for page in pages.PAGES:
        for block in pages.blocks(page):
            if block.not_run:
                found.setdefault(page.stem, []).append(block.not_run)
            elif not block.language and page.stem != "options":
                assert not re.search(r"^(\$|rnncli [a-z]|python|make|mpiexec) ?", block.text, re.M)
    assert found == NOT_RUN


@pytest.mark.parametrize("page", [*pages.PAGES, pages.ROOT / "corpora" / "README.md"], ids=str)
def test_every_link_leads_to_a_file(page: Path) -> None:
    for link in pages.links(page):
        name, _, heading = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), link
        if heading:
            titles = re.findall(r"^#+ (.*)$", target.read_text("utf-8"), re.MULTILINE)
            slugs = {re.sub(r"[^\w -]", "", t.lower()).replace(" ", "-") for t in titles}
            assert heading in slugs, link


def test_every_source_file_that_a_page_names_is_there() -> None:
    for page in pages.PAGES:
        for name in re.findall(r"`((?:[\w.-]+/)+(?:[\w.-]+\.\w+)?)`", page.read_text("utf-8")):
            places = (pages.ROOT / name, pages.ROOT / "rnncli" / name)
            assert name.startswith((".venv", ".demo")) or any(p.exists() for p in places), name


def test_the_index_lists_every_page_once() -> None:
    index = (pages.GUIDE / "README.md").read_text("utf-8")
    assert sorted(re.findall(r"^- \[([\w-]+)\]\(\1\.md\): \S", index, re.MULTILINE)) == TOPICS


def test_every_command_and_every_option_is_named() -> None:
    page = (pages.GUIDE / "options.md").read_text("utf-8")
    others = "".join(p.read_text("utf-8") for p in pages.PAGES if p.stem != "options")
    for name in COMMANDS:
        assert f"rnncli {name}" in others
        part = page.split(f"\n## {name}\n")[1].split("\n## ")[0]
        command = main.get_command(click.Context(main), name)
        assert command is not None
        for option in command.params:
            for word in [*option.opts, *option.secondary_opts]:
                assert not word.startswith("-") or re.search(rf"(^|[ /,]){word}\b", part), word


def test_the_page_of_options_is_current(monkeypatch: pytest.MonkeyPatch) -> None:
    """If not: `make docs`."""
    monkeypatch.setenv("COLUMNS", "100")
    assert options_page.PAGE.read_text("utf-8").split() == options_page.page().split()


def test_guide_prints_its_topics_and_a_page() -> None:
    out = good("guide").out
    assert all(re.search(rf"^- {topic}: ", out, re.MULTILINE) for topic in TOPICS)
    for topic in TOPICS:
        out = good("guide", topic).out
        assert out.startswith("# ")
        assert "<!--" not in out
        assert ".md)" not in out


def test_an_unknown_topic_names_the_nearest() -> None:
    ended = run("guide", "tokenise")
    assert ended.code == 2
    assert ended.err.splitlines()[-1] == 'Error: There is no page "tokenise". Is tokenize meant?'
    assert "There are coming-from, convert," in run("guide", "xyzzy").err


def test_links_become_words_and_code_stays() -> None:
    page = "<!-- x -->\n\n- [eval](eval.md): a [b c](d.md#e) `[a-z]+ (is)`, [f](../g.py)"
    assert plain(page) == "- eval: a b c (rnncli guide d) `[a-z]+ (is)`, f"
    assert plain("[b c](coming-from.md)") == "b c (rnncli guide coming-from)"
    assert plain("more: [eval](eval.md#x)") == "more: `rnncli guide eval`"
