"""Blocks of code in the pages of the documentation, with the comments that mark them.

A comment in front of a block says how the block runs:

- `<!-- serve -->`: the block's command is a server. It runs until the page ends, or the next server starts.
- `<!-- fails -->`: the commands end with an error status.
- `<!-- not run: reason -->`: the block cannot run in a test.

A block of Python with a title, such as `title="shop.py"`, is also saved as that file. A block of text with the title
`Output` holds the output of the block of Python before it. The requests of a `http` block must succeed.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

from tests.servers import ROOT

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
# Languages of blocks that run, and of blocks that show a file, a form of a message, or a drawing.
RUN_LANGUAGES = frozenset({"python", "console", "sh", "http"})
SHOWN_LANGUAGES = frozenset({"text", "yaml", "toml", "json", "ini", "nginx", "sql"})
_MARKER = re.compile(r"<!-- (serve|fails|not run: [^>]{10,}) -->\s*\Z")
_PROMPT = "$ "


@dataclass(frozen=True, slots=True)
class Command:
    """A command of a console block, with the output that the page shows."""

    text: str
    output: str


@dataclass(frozen=True, slots=True)
class CodeBlock:
    """A block of code of a page.

    Attributes:
        marker: the text of the comment in front of the block, or "".
        line: the line of its first line of code, from 1.
    """

    language: str
    title: str | None
    content: str
    marker: str
    line: int

    @property
    def commands(self) -> list[Command]:
        """Commands of a console block, or the one command of a `sh` block."""
        if self.language == "sh":
            return [Command(self.content, "…")]
        parts = re.split(r"(?m)^\$ ", self.content)
        assert not parts[0], f"line {self.line}: a console block begins with a prompt"
        return [_split_output(part) for part in parts[1:]]


def read_blocks(page: Path) -> list[CodeBlock]:
    """Return the blocks of a page in order."""
    return list(_iterate_blocks(page))


def _iterate_blocks(page: Path) -> Iterator[CodeBlock]:
    text = page.read_text()
    lines = text.splitlines()
    for token in MarkdownIt().parse(text):
        if token.type == "code_block":
            raise AssertionError(f"{page.name}: an indented block has no language: {token.content[:60]!r}")
        if token.type == "fence" and token.map is not None:
            start = token.map[0]
            marker = _MARKER.search("\n".join(lines[max(0, start - 3) : start]))
            language, _, options = token.info.partition(" ")
            title = re.search(r'title="([^"]+)"', options)
            yield CodeBlock(
                language=language,
                title=title and title[1],
                content=token.content,
                marker=marker[1] if marker else "",
                line=start + 2,
            )


def _split_output(part: str) -> Command:
    """Split a command from its output. The lines of a command end in a backslash, or within quotes."""
    lines = part.splitlines()
    for number in range(1, len(lines) + 1):
        command = "\n".join(lines[:number])
        if not command.endswith("\\") and _quotes_are_closed(command):
            return Command(command, "\n".join(lines[number:]))
    raise AssertionError(f"an open quote in {part!r}")


def _quotes_are_closed(command: str) -> bool:
    quote = ""
    for character in re.sub(r"\\.", "", command):
        if character == quote:
            quote = ""
        elif character in "'\"" and not quote:
            quote = character
    return not quote
