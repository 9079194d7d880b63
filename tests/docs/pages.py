"""The pages that strangers read, and the blocks in them."""

import re
from dataclasses import dataclass
from pathlib import Path

HOUSE = Path(__file__).resolve().parents[2]
PAGES = [HOUSE / "README.md", HOUSE / "SECURITY.md", *sorted((HOUSE / "docs").rglob("*.md"))]

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE_NAME = re.compile(r"Save it as `([\w.]+)`")


@dataclass(frozen=True)
class Block:
    language: str
    text: str
    file_name: str | None  # as the sentence before it says


def name_of(page: Path) -> str:
    return page.relative_to(HOUSE).as_posix()


def blocks(page: Path) -> list[Block]:
    """Return what stands between fences, in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(found[1], found[2], _named(text[: found.start()].rstrip().rpartition("\n\n")[2]))
        for found in _FENCE.finditer(text)
    ]


def languages(page: Path) -> set[str]:
    return {block.language for block in blocks(page)}


def prose(page: Path) -> str:
    """Return a page without what stands between fences."""
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def tables(page: Path) -> dict[str, list[list[str]]]:
    """Return the rows of all tables under each heading, without their heads, as cells of text."""
    found: dict[str, list[list[str]]] = {}
    heading, before = "", ""
    for line in page.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            heading = line.strip("# ")
        if line.startswith("|") and before.startswith("|"):
            found.setdefault(heading, []).append([cell.strip() for cell in line.split("|")[1:-1]])
        before = line
    return {
        heading: [row for row in rows if not all(set(cell) <= set("-: ") for cell in row)]
        for heading, rows in found.items()
    }


def _named(paragraph: str) -> str | None:
    found = _FILE_NAME.search(paragraph)
    return found[1] if found else None
