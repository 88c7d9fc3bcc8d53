"""Search documents: the normalized words of a resource's texts, in the same form on every backend.

A document pads each word with a space on either side, as in ` brown  fox `. So a substring match finds a word, a
phrase or the beginning of a word.
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
from autocrud.schema.versions.column_names import versioned

# A tsvector of PostgreSQL holds no more; every backend has the same limit.
MAX_DOCUMENT_BYTES = 1_000_000
MAX_WORD = 64  # characters; the rest of a longer word is ignored
_RULES_VERSION = 1  # of the rules for words; raise it with each change, so that the index backfill rebuilds documents
# A dot is never a word of a query, so no phrase matches across two texts.
_TEXT_SEPARATOR = " . "


def words(text: str) -> list[str]:
    """Return the normalized words of a text, in order.

    Normalization drops case, accents and compatibility forms. A word consists of letters and digits. An ideograph, or
    a letter of a script without spaces, is a word by itself.
    """
    if text.isascii():
        return [word[:MAX_WORD] for word in text.lower().translate(_SEPARATED).split()]
    folded = unicodedata.normalize("NFKD", text).casefold()
    # Case folding can bring back composed characters, so the text is decomposed again.
    unaccented = unicodedata.normalize("NFKD", folded).translate(_WITHOUT_ACCENTS)
    return [word[:MAX_WORD] for word in unicodedata.normalize("NFC", unaccented).translate(_SEPARATED).split()]


def build_document(texts: Iterable[str]) -> str | None:
    """Return the search document of these texts; None if they have no words.

    Raises:
        ValueError: the document is too long.
    """
    word_lists = filter(None, map(words, texts))
    document = _TEXT_SEPARATOR.join("".join([f" {word} " for word in word_list]) for word_list in word_lists)
    if len(document.encode()) > MAX_DOCUMENT_BYTES:
        raise ValueError(f"the words of all searched texts must have at most {MAX_DOCUMENT_BYTES} bytes in total")
    return document or None


class DocumentField(IndexField):
    """The column of a model's search document. Lists cannot filter or sort by this field.

    Args:
        paths: the paths of the searched texts.
        schema_version: as in `IndexField`.
    """

    __slots__ = ("_shape", "paths")
    _shape: str
    paths: tuple[tuple[str, ...], ...]

    def __init__(self, paths: Sequence[tuple[str, ...]], schema_version: int = 1) -> None:
        super().__init__("q", ColumnKind.text, False, str, TypeAdapter(str), schema_version=schema_version)
        object.__setattr__(self, "paths", tuple(paths))
        # A change of the paths or the rules changes the column's name, so the index backfill fills a new column.
        shape = sha256(repr((_RULES_VERSION, sorted(paths))).encode()).hexdigest()
        object.__setattr__(self, "_shape", shape[:16])
        object.__setattr__(self, "column", f"{versioned('document', schema_version)}_{self._shape}")

    @property
    def unversioned_column(self) -> str:
        """The name of the column in schema version 1."""
        return f"document_{self._shape}"

    def index_value(self, data: Any) -> IndexValue:
        """Return the search document for a resource's stored JSON."""
        return build_document(text for path in self.paths for text in _texts_at(data, path))


def is_searched(name: str, has_texts: bool, markers: Sequence[Index]) -> bool:
    """Return True if a field's markers make `q=` search the field.

    Raises:
        ConfigurationError: the field holds no text, or neither a search nor a filter can use the field.
    """
    if any(isinstance(marker, Unique | Ref) and not marker.filters for marker in markers):
        raise ConfigurationError(f"{name} cannot be unique or a reference with filters=False")
    searched = any(marker.text for marker in markers)
    if searched and not has_texts:
        raise ConfigurationError(f"{name} cannot be searched: the field is neither a text nor a list of texts")
    if markers and not searched and not any(marker.filters for marker in markers):
        raise ConfigurationError(f"{name} has an index without a use: filters=False requires Index(text=True)")
    return searched


def document_of(fields: Sequence[IndexField]) -> DocumentField | None:
    """Return the search document's field among a model's index fields; None if the model has no searched text."""
    return next((field for field in fields if isinstance(field, DocumentField)), None)


def _texts_at(data: Any, path: Sequence[str]) -> Iterator[str]:
    """Yield the texts at a path, also from lists along the path and at its end."""
    if isinstance(data, list):
        for item in data:
            yield from _texts_at(item, path)
    elif path:
        if isinstance(data, dict):
            yield from _texts_at(data.get(path[0]), path[1:])
    elif isinstance(data, str):
        yield data


class _WithoutAccents(dict[int, str | None]):
    """A translation table for decomposed text that deletes accents and invisible characters."""

    def __missing__(self, code: int) -> str | None:
        self[code] = result = None if _is_accent(chr(code)) else chr(code)
        return result


class _Separated(dict[int, str]):
    """A translation table for folded text that puts spaces between words."""

    def __missing__(self, code: int) -> str:
        self[code] = result = _separate(chr(code))
        return result


def _is_accent(char: str) -> bool:
    category = unicodedata.category(char)
    if category == "Cf":
        return char != "\u200b"  # the zero-width space separates words
    if char in _SELECTORS or category == "Me":
        return True
    # Combining classes of Hebrew and Arabic points, and of marks above and below letters. Other marks, such as vowels
    # and voicing signs, are part of the letter.
    combining = unicodedata.combining(char)
    return category == "Mn" and (10 <= combining <= 35 or combining >= 200)


def _separate(char: str) -> str:
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
_SEPARATED = _Separated()
