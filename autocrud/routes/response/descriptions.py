"""Turns docstrings into OpenAPI descriptions, which are rendered as Markdown."""

import inspect
import re

# Google-style sections that tell a Python caller about arguments and outcomes; an HTTP client has no use for them.
_SECTION = re.compile(
    r"^(?:Args|Attributes|Raises|Returns|Yields):[ \t]*(?:\n|\Z)(?:[ \t]+\S.*(?:\n|\Z)|[ \t]*\n)*", re.MULTILINE
)


def description_of(docstring: str | None) -> str:
    """Return a docstring as Markdown: dedented, without sections such as `Args:`; empty without a docstring."""
    # Markdown renders a paragraph with an indent of four spaces as a code block.
    return without_sections(inspect.cleandoc(docstring or ""))


def without_sections(text: str) -> str:
    """Return a dedented text without the sections of its docstring, such as `Args:` and `Raises:`."""
    return _SECTION.sub("", text).strip()
