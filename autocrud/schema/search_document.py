"""Texts as words: what is searched of a resource, on every backend in the same form.

A document has each word between two spaces of its own, as in ` brown  fox `, so that a word, a phrase or the beginning
of a word is there exactly where its text is.
"""

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from typing import Any

from pydantic import TypeAdapter

from autocrud.errors import ConfigurationError
from autocrud.schema.column_types import ColumnKind, IndexValue
from autocrud.schema.index_field import IndexField
from autocrud.schema.markers import Index, Ref, Unique

MAX_DOCUMENT_BYTES = 1_000_000  # what fits in a tsvector of PostgreSQL, and so holds on every backend
MAX_WORD = 64  # characters that count of a word
_RULES = 1  # of what a word is; counted up with each change of them, so that documents are made again
# No word of a query: no phrase runs over it from one text into the next.
_BETWEEN = " . "


def words(text: str) -> list[str]:
    """The words of a text, in order, in the one form in which they are compared.

    Case, accents and forms of compatibility do not count. Letters and digits make words; an ideograph, and each letter
    of a script that writes no spaces, is a word of its own.
    """
    if text.isascii():
        return [word[:MAX_WORD] for word in text.lower().translate(_APART).split()]
    folded = unicodedata.normalize("NFKD", text).casefold()
    bare = unicodedata.normalize("NFKD", folded).translate(_WITHOUT_ACCENTS)
    return [word[:MAX_WORD] for word in unicodedata.normalize("NFC", bare).translate(_APART).split()]


def document(texts: Iterable[str]) -> str | None:
    """The document of these texts; None where there is no word in them.

    Raises:
        ValueError: it is too long.
    """
    found = _BETWEEN.join("".join([f" {word} " for word in own]) for own in map(words, texts) if own)
    if len(found.encode()) > MAX_DOCUMENT_BYTES:
        raise ValueError(f"the texts that are searched may have at most {MAX_DOCUMENT_BYTES} bytes in all")
    return found or None


class DocumentField(IndexField):
    """What is searched of a model, in a column as index fields have one. It cannot be filtered or sorted by.

    Args:
        paths: where the texts are, by the names on the way.
    """

    __slots__ = ("_column", "paths")
    _column: str
    paths: tuple[tuple[str, ...], ...]

    def __init__(self, paths: Sequence[tuple[str, ...]]) -> None:
        super().__init__("q", ColumnKind.text, False, str, TypeAdapter(str))
        object.__setattr__(self, "paths", tuple(paths))
        # Other texts, or other rules, are another column, which is filled.
        shape = sha256(repr((_RULES, sorted(paths))).encode()).hexdigest()
        object.__setattr__(self, "_column", f"document_{shape[:16]}")

    @property
    def column(self) -> str:
        """The name of its column."""
        return self._column

    def index_value(self, data: Any) -> IndexValue:
        """The document of a resource's stored JSON."""
        return document(text for path in self.paths for text in _texts_at(data, path))


def is_searched(name: str, has_texts: bool, markers: Sequence[Index]) -> bool:
    """Whether a field's markers say that it is searched.

    Raises:
        ConfigurationError: it has no texts, or is neither searched nor filtered by.
    """
    if any(isinstance(marker, Unique | Ref) and not marker.filters for marker in markers):
        raise ConfigurationError(f"{name} cannot be unique, or a reference, with filters=False")
    searched = any(marker.text for marker in markers)
    if searched and not has_texts:
        raise ConfigurationError(f"{name} cannot be searched: it is neither a text nor a list of texts")
    if markers and not searched and not any(marker.filters for marker in markers):
        raise ConfigurationError(f"{name} is indexed for nothing: filters=False is for Index(text=True)")
    return searched


def document_of(fields: Sequence[IndexField]) -> DocumentField | None:
    """What is searched of a model with these index fields; None where nothing is."""
    return next((field for field in fields if isinstance(field, DocumentField)), None)


def _texts_at(data: Any, path: Sequence[str]) -> Iterator[str]:
    """The texts that a path leads to, through lists on the way and at the end."""
    if isinstance(data, list):
        for item in data:
            yield from _texts_at(item, path)
    elif path:
        if isinstance(data, dict):
            yield from _texts_at(data.get(path[0]), path[1:])
    elif isinstance(data, str):
        yield data


class _WithoutAccents(dict[int, str | None]):
    """What becomes of each character of a decomposed text: accents, and what cannot be seen, go."""

    def __missing__(self, code: int) -> str | None:
        self[code] = result = None if _is_accent(chr(code)) else chr(code)
        return result


class _Apart(dict[int, str]):
    """What becomes of each character of a folded text: spaces stand where a word ends."""

    def __missing__(self, code: int) -> str:
        self[code] = result = _apart(chr(code))
        return result


def _is_accent(char: str) -> bool:
    category = unicodedata.category(char)
    if category == "Cf":
        return char != "\u200b"  # which separates words
    if char in _SELECTORS or category == "Me":
        return True
    # Points of Hebrew and Arabic, and marks above and below letters. What is left makes letters: vowels, voicing.
    combining = unicodedata.combining(char)
    return category == "Mn" and (10 <= combining <= 35 or combining >= 200)


def _apart(char: str) -> str:
    if not char.isalnum() and not unicodedata.category(char).startswith("M"):
        return " "
    return f" {char} " if any(first <= char <= last for first, last in _WITHOUT_SPACES) else char


_SELECTORS = frozenset(map(chr, (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))))
# Thai and Lao, Myanmar, Khmer, kana, and ideographs.
_WITHOUT_SPACES = (
    ("\u0e00", "\u0eff"), ("\u1000", "\u109f"), ("\u1780", "\u17ff"), ("\u3005", "\u3007"), ("\u3041", "\u30ff"),
    ("\u31f0", "\u31ff"), ("\u3400", "\u4dbf"), ("\u4e00", "\u9fff"), ("\uf900", "\ufaff"),
    ("\U0001aff0", "\U0001b16f"), ("\U00020000", "\U0003ffff"),
)  # fmt: skip
_WITHOUT_ACCENTS = _WithoutAccents()
_APART = _Apart()
