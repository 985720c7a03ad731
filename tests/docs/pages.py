"""Markdown pages as far as the tests need them: fenced blocks, links, headings, commands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = tuple(sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]))
RUN = frozenset(("console", "python", "json"))
"""Blocks that are run or compared. Other blocks must be ``text``, which promises nothing."""

_FENCE = re.compile(r"^```([a-z]*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<!!)\[[^\]\n]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
_FILE = re.compile(r"# ([a-z0-9_/]+\.py)\n")
_SERVER = re.compile(r"(flask .*\brun|carboy serve|make run)\b(?!.*--help)")


@dataclass(frozen=True)
class Block:
    """A fenced block and the line of the page that its text starts on."""

    language: str
    text: str
    line: int

    @property
    def file(self) -> str | None:
        """The file that a block of Python stands for: its first line is ``# name.py``."""
        found = _FILE.match(self.text)
        return found[1] if found else None


@dataclass(frozen=True)
class Command:
    """One ``$ ...`` of a console block, and the lines that it is to print."""

    text: str
    output: str
    line: int


def name_of(page: Path) -> str:
    """The page's path, from the root of the project if it is in there."""
    return (page.relative_to(ROOT) if page.is_relative_to(ROOT) else page).as_posix()


def blocks(page: Path) -> list[Block]:
    """The page's fenced blocks."""
    text = page.read_text()
    return [
        Block(found[1], found[2], text.count("\n", 0, found.start(2)) + 1)
        for found in _FENCE.finditer(text)
    ]


def commands_in(block: Block) -> Iterator[Command]:
    """The commands of a console block; a backslash at a line's end continues it."""
    command: list[str] = []
    output: list[str] = []
    line = 0
    for number, text in enumerate(block.text.splitlines(), start=block.line):
        if text.startswith("$ "):
            if command:
                yield Command("".join(command), "\n".join(output), line)
            command, output, line = [text[2:]], [], number
        elif not command:
            raise ValueError(f"line {number}: a console block starts with '$ '")
        elif command[-1].endswith("\\") and not output:
            command[-1] = command[-1][:-1]
            command.append(text)
        else:
            output.append(text)
    if command:
        yield Command("".join(command), "\n".join(output), line)


def starts_server(command: str) -> bool:
    """Whether a command goes on until it is stopped."""
    return _SERVER.match(command) is not None


def serves_itself(page: Path) -> bool:
    """Whether the page starts a server of its own, and doesn't ask docs/sample.py."""
    console = "".join(block.text for block in blocks(page) if block.language == "console")
    return any(starts_server(line.removeprefix("$ ")) for line in console.splitlines())


def asks_sample(page: Path) -> bool:
    """Whether the page is about docs/sample.py: it has code or requests, and no server for them."""
    inside = any(block.language == "python" and block.file is None for block in blocks(page))
    requests = any(b.language == "console" and "$ curl" in b.text for b in blocks(page))
    return (inside or requests) and not serves_itself(page)


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    return _FENCE.sub("", page.read_text())


def links(page: Path) -> list[str]:
    """The targets of the page's links."""
    return _LINK.findall(prose(page))


def anchors(page: Path) -> set[str]:
    """The fragments that the page's headings can be linked by."""
    titles = [re.sub(r"[^\w\- ]", "", t.lower()).strip() for t in _HEADING.findall(prose(page))]
    return {title.replace(" ", "-") for title in titles}
