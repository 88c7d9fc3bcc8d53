"""Comparison of two revisions: rows of a table with the values side by side."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

from pydantic_core import to_json

from autocrud.pages.values import shorten, text_of

_MISSING: Any = object()
_MAX_DEPTH = 12  # deeper values are compared as JSON
# Pairs of items or words that one comparison looks at. The time of an alignment grows with their number.
_MAX_PAIRS = 500_000
_MAX_TEXT = 20_000  # characters


@dataclass(frozen=True)
class Part:
    """A piece of a text, and True if the other text lacks it."""

    text: str
    is_changed: bool


@dataclass(frozen=True)
class Row:
    """A value of the data in both revisions.

    Attributes:
        change: `same`, `changed`, `added` or `removed`.
        before, after: pieces of the value; empty if the revision has no such value.
    """

    path: str
    change: str
    before: Sequence[Part]
    after: Sequence[Part]


def compare(before: Any, after: Any) -> list[Row]:
    """Return a row for each value of two JSON documents, in the order of the second document.

    The time is bounded: long lists and texts are compared without alignment.
    """
    return list(_Comparison().compare(before, after, "", 0))


class _Comparison:
    """A comparison of two documents."""

    def __init__(self) -> None:
        self._remaining_pairs = _MAX_PAIRS

    def compare(self, before: Any, after: Any, path: str, depth: int) -> Iterator[Row]:
        """Yield the rows of two values."""
        if depth < _MAX_DEPTH and isinstance(before, dict) and isinstance(after, dict):
            for name in dict.fromkeys([*after, *before]):
                parts = before.get(name, _MISSING), after.get(name, _MISSING)
                yield from self.compare(*parts, _join(path, name), depth + 1)
        elif depth < _MAX_DEPTH and isinstance(before, list) and isinstance(after, list) and (before or after):
            yield from self._compare_lists(before, after, path, depth)
        elif before is _MISSING or after is _MISSING:
            yield from self._one_sided(before, after, path, depth)
        else:
            yield self._row(path, before, after)

    def _one_sided(self, before: Any, after: Any, path: str, depth: int) -> Iterator[Row]:
        """Yield the rows of a value that only one document has."""
        value = after if before is _MISSING else before
        if depth < _MAX_DEPTH and isinstance(value, dict | list) and value:
            pairs = value.items() if isinstance(value, dict) else enumerate(value)
            for name, part in pairs:
                old, new = (_MISSING, part) if before is _MISSING else (part, _MISSING)
                yield from self.compare(old, new, _join(path, str(name)), depth + 1)
            return
        yield self._row(path, before, after)

    def _compare_lists(self, before: list[Any], after: list[Any], path: str, depth: int) -> Iterator[Row]:
        """Compare the items that belong together: an insertion at the front changes no other item."""
        for first, second in self._align(before, after):
            number = second if second is not None else first
            old = _MISSING if first is None else before[first]
            new = _MISSING if second is None else after[second]
            yield from self.compare(old, new, _join(path, str(number)), depth + 1)

    def _align(self, before: list[Any], after: list[Any]) -> Iterator[tuple[int | None, int | None]]:
        """Yield the positions of items that belong together; None for an item that the other list lacks."""
        if not self._reserve(len(before), len(after)):
            yield from _pair(0, len(before), 0, len(after))
            return
        texts, other_texts = [[to_json(item, inf_nan_mode="constants") for item in items] for items in (before, after)]
        matcher = SequenceMatcher(None, texts, other_texts, autojunk=False)
        for _, start, end, other_start, other_end in matcher.get_opcodes():
            yield from _pair(start, end, other_start, other_end)

    def _row(self, path: str, before: Any, after: Any) -> Row:
        if before is _MISSING:
            return Row(path, "added", (), [Part(_show(after), True)])
        if after is _MISSING:
            return Row(path, "removed", [Part(_show(before), True)], ())
        first, second = _show(before), _show(after)
        if type(before) is type(after) and before == after:
            return Row(path, "same", [Part(first, False)], [Part(second, False)])
        if isinstance(before, str) and isinstance(after, str):
            return Row(path, "changed", *self._compare_words(first, second))
        return Row(path, "changed", [Part(first, True)], [Part(second, True)])

    def _compare_words(self, before: str, after: str) -> tuple[list[Part], list[Part]]:
        first, second = before.split(" "), after.split(" ")
        if len(first) == 1 or len(second) == 1 or not self._reserve(len(first), len(second)):
            return [Part(before, True)], [Part(after, True)]
        sides: tuple[list[Part], list[Part]] = ([], [])
        matcher = SequenceMatcher(None, first, second, autojunk=False)
        for tag, start, end, other_start, other_end in matcher.get_opcodes():
            for side, words in zip(sides, (first[start:end], second[other_start:other_end]), strict=True):
                if words:
                    side.append(Part(" ".join(words), tag != "equal"))
        return sides

    def _reserve(self, length: int, other_length: int) -> bool:
        """Return True if there is time to align two sequences of these lengths, and count it."""
        pairs = length * other_length
        if pairs > self._remaining_pairs:
            return False
        self._remaining_pairs -= pairs
        return True


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _pair(start: int, end: int, other_start: int, other_end: int) -> Iterator[tuple[int | None, int | None]]:
    """Yield the positions of two spans side by side; None behind the end of the shorter one."""
    for offset in range(max(end - start, other_end - other_start)):
        first, second = start + offset, other_start + offset
        yield (first if first < end else None, second if second < other_end else None)


def _show(value: Any) -> str:
    if isinstance(value, str):
        return shorten(value, _MAX_TEXT)
    return "null" if value is None else shorten(text_of(value) or to_json(value).decode(), _MAX_TEXT)
