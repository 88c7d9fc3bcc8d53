"""Patterns for JSON Schema, in the syntax of ECMA-262."""

import re
from collections.abc import Iterable

_SPECIAL = re.compile(r"[.*+?^${}()|\[\]\\/]")


def escape_pattern(text: str) -> str:
    """Return a pattern that matches the text. `re.escape` adds escapes that ECMA-262 forbids, such as `\\-`."""
    return _SPECIAL.sub(r"\\\g<0>", text)


def any_of(names: Iterable[str]) -> str:
    """Return a pattern that matches each of these names."""
    return f"({'|'.join(map(escape_pattern, names))})"
