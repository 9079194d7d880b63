"""What the pages name must be there."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from schemas.refusals import Why
from tests.api.conftest import document
from tests.docs.pages import HOUSE, PAGES, blocks, name_of, prose

_LINK = re.compile(r"\]\(([^)\s]+)\)|(?:src|srcset)=\"([^\"]+)\"")
_SYMBOL = re.compile(r"`([\w/.]+)::([\w.]+)`")
_ALIAS = re.compile(r"`(\w+)::` is\s+`([\w/.]+)`")
_ANSWER = re.compile(r"^ ([a-z_]+) +([\d,]+)", re.MULTILINE)
# Tables that a bench has put into a page are looked up, not read.
_MEASURED = re.compile(r"<!-- (\w+) -->\n.*?<!-- end of \1 -->", re.DOTALL)
_LANGUAGES = {"sh", "python", "text", "mermaid"}
LONGEST_PAGE = 180  # lines; the README, with two whole programs, is allowed more


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_somewhere(page: Path) -> None:
    links = [link or source for link, source in _LINK.findall(prose(page))]
    inside = [link for link in links if not re.match(r"https?://", link)]

    assert [link for link in inside if not (page.parent / link.partition("#")[0]).exists()] == []


def test_a_broken_link_would_be_seen() -> None:
    assert _LINK.findall('[a](docs/b.md) <img src="c.png">') == [("docs/b.md", ""), ("", "c.png")]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_name_in_the_code_is_there(page: Path) -> None:
    aliases = dict(_ALIAS.findall(page.read_text(encoding="utf-8")))
    named = [(aliases.get(file, file), name) for file, name in _SYMBOL.findall(prose(page))]

    assert [(file, name) for file, name in named if name not in names_in(HOUSE / file)] == []


def test_the_walk_and_the_threats_name_code() -> None:
    counts = {
        page: len(_SYMBOL.findall(prose(HOUSE / "docs" / page)))
        for page in ("walk.md", "threats.md")
    }

    assert min(counts.values()) > 20, counts


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_block_says_what_it_is(page: Path) -> None:
    assert {block.language for block in blocks(page)} <= _LANGUAGES


@pytest.mark.parametrize("page", PAGES[1:], ids=name_of)
def test_a_page_is_short(page: Path) -> None:
    written = _MEASURED.sub("", page.read_text(encoding="utf-8"))

    assert len(written.splitlines()) <= LONGEST_PAGE


def test_every_decision_is_listed_once_under_its_number() -> None:
    folder = HOUSE / "docs" / "decisions"
    files = sorted(path.name for path in folder.glob("0*.md"))
    listed = re.findall(r"\((0[\w-]+\.md)\)", (folder / "README.md").read_text(encoding="utf-8"))

    assert listed == files
    assert [int(name[:4]) for name in files] == list(range(1, len(files) + 1))
    for name in files:
        text = (folder / name).read_text(encoding="utf-8")
        assert text.startswith(f"# {name[:4]} ")
        for part in ("**Context.**", "**Decision.**", "**What it costs.**", "**Not chosen.**"):
            assert part in text, (name, part)


def test_the_page_about_the_api_lists_every_endpoint() -> None:
    page = (HOUSE / "docs" / "api.md").read_text(encoding="utf-8")
    listed = re.findall(r"`((?:GET|POST|PUT|PATCH|DELETE) /[^`]*)`", page)
    paths = document()["paths"]

    assert sorted(listed) == sorted(
        f"{method.upper()} {path}" for path, methods in paths.items() for method in methods
    )


def test_what_the_demo_printed_adds_up() -> None:
    (printed,) = [block.text for block in blocks(HOUSE / "README.md") if block.language == "text"]
    account = printed.partition("Every redemption of the record")[2]
    answers = {name: int(many.replace(",", "")) for name, many in _ANSWER.findall(account)}

    whole = answers.pop("all")
    assert whole == sum(answers.values()) == 2_102
    assert {*answers} - {"redeemed"} <= {*Why}


@cache
def names_in(file: Path) -> set[str]:
    """Return what a file defines: functions, classes with their members, and its own variables."""
    if not file.is_file():
        return set()
    return set(_defined(ast.parse(file.read_text(encoding="utf-8")).body, ""))


def _defined(body: list[ast.stmt], before: str) -> list[str]:
    names: list[str] = []
    for node in body:
        match node:
            case ast.ClassDef(name=name):
                names += [before + name, *_defined(node.body, f"{before}{name}.")]
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                names.append(before + name)
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                names.append(before + name)
            case _:
                pass
    return names
