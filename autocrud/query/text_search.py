"""Text search: parse `q=`, and match and rank search documents in Python.

Matching and ranking depend on the document's text alone. Every engine returns the same resources in the same order.
"""

import re
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter

from autocrud.errors import InvalidParameter
from autocrud.schema.column_types import ColumnKind
from autocrud.schema.index_field import IndexField
from autocrud.schema.search_document import DocumentField, words

MAX_LENGTH = 1000
MAX_WORDS = 64
_QUOTES = str.maketrans(dict.fromkeys("\u201c\u201d\u201e\u201f\u00ab\u00bb\uff02", '"'))
_PIECE = re.compile(r'(?P<not>-?)(?:"(?P<quoted>[^"]*)(?:"|$)(?P<prefix>\*?)|(?P<word>[^\s"]+))')

# The rank of a clause is _SCALE / (_OFFSET + (_LENGTH_OFFSET + _PER_CHARACTER * length) / occurrences): higher for
# short documents, with diminishing returns for more occurrences. It has no count of other documents, unlike BM25, so
# a cursor stays valid while others write.
_SCALE, _OFFSET, _LENGTH_OFFSET, _PER_CHARACTER = 10**10, 10**4, 3000, 9


@dataclass(frozen=True, slots=True)
class Clause:
    """A sequence of adjacent words. With `prefix`, the last word matches every word that starts with it."""

    words: tuple[str, ...]
    prefix: bool = False

    @property
    def pattern(self) -> str:
        """The substring of every document that matches the clause."""
        return f" {'  '.join(self.words)}" + ("" if self.prefix else " ")


@dataclass(frozen=True, slots=True)
class TextQuery:
    """A parsed text query: the clauses that a document must contain, and the clauses that it must not contain."""

    # The field names are part of a cursor's fingerprint, through repr(): a new name invalidates cursors in use.
    required: tuple[Clause, ...]
    unwanted: tuple[Clause, ...] = ()

    @property
    def phrase(self) -> Clause | None:
        """All wanted clauses as one phrase, which raises the rank; None if they cannot form a phrase."""
        if len(self.required) < 2 or any(clause.prefix for clause in self.required[:-1]):
            return None
        return Clause(tuple(word for clause in self.required for word in clause.words), self.required[-1].prefix)

    def matches(self, document: str | None) -> bool:
        """Return True if a document matches the query."""
        return (
            document is not None
            and all(clause.pattern in document for clause in self.required)
            and not any(clause.pattern in document for clause in self.unwanted)
        )

    def rank(self, document: str | None) -> int | None:
        """Return the rank of a document, higher for a better match; None if a wanted clause is missing."""
        if document is None:
            return None
        length = _LENGTH_OFFSET + _PER_CHARACTER * len(document)
        counts = [document.count(clause.pattern) for clause in self.required]
        if not all(counts):
            return None
        phrase_count = document.count(self.phrase.pattern) if self.phrase else 0
        return sum(_SCALE // (_OFFSET + length // count) for count in (*counts, phrase_count) if count)


def parse_text(text: str) -> TextQuery:
    """Parse words, `"a phrase"`, `begin*`, and `-` before any of these to exclude it. No text is a syntax error.

    Words without a space between them must be adjacent in the document, such as `e-mail`, or text in a script without
    spaces.

    Raises:
        InvalidParameter: the text has no word to search for, or too many words.
    """
    if len(text) > MAX_LENGTH:
        raise InvalidParameter("q", f"must have at most {MAX_LENGTH} characters")
    required: dict[Clause, None] = {}
    unwanted: dict[Clause, None] = {}
    for piece in _PIECE.finditer(text.translate(_QUOTES)):
        unquoted = piece["word"]
        clause_words = tuple(words(piece["quoted"] if unquoted is None else unquoted))
        prefix = piece["prefix"] == "*" if unquoted is None else unquoted.endswith("*")
        if clause_words:
            (unwanted if piece["not"] else required)[Clause(clause_words, prefix)] = None
    if sum(len(clause.words) for clause in (*required, *unwanted)) > MAX_WORDS:
        raise InvalidParameter("q", f"must have at most {MAX_WORDS} words")
    if not required:
        raise InvalidParameter(
            "q", "must have a word to search for" + " in addition to excluded words" * bool(unwanted)
        )
    return TextQuery(tuple(required), tuple(unwanted))


class RankField(IndexField):
    """The rank of a resource for a text query, as a field to sort by. Engines compute the rank; it has no column."""

    __slots__ = ("document", "text")
    document: DocumentField
    text: TextQuery

    def __init__(self, document: DocumentField, text: TextQuery) -> None:
        super().__init__("rank", ColumnKind.integer, False, int, TypeAdapter(int), is_meta=True)
        object.__setattr__(self, "document", document)
        object.__setattr__(self, "text", text)

    def value_in(self, row: Any) -> Any:
        """Return the rank of a row; taken from the row if it is a cursor's position, which contains the rank."""
        return row[self.column] if self.column in row else self.text.rank(row[self.document.column])

    def sql(self, column: str, bound: Any) -> str:
        """Return an SQL expression for the rank, which SQLite and PostgreSQL share.

        Args:
            column: the column of the search document.
            bound: a function that binds a text and returns its placeholder.
        """

        def clause_rank(clause: Clause) -> str:
            removed = f"nullif(length({column}) - length(replace({column}, {bound(clause.pattern)}, '')), 0)"
            length = f"{len(clause.pattern)} * ({_LENGTH_OFFSET} + {_PER_CHARACTER} * CAST(length({column}) AS BIGINT))"
            return f"{_SCALE} / ({_OFFSET} + {length} / {removed})"

        parts = list(map(clause_rank, self.text.required))
        if self.text.phrase:
            parts.append(f"coalesce({clause_rank(self.text.phrase)}, 0)")
        return f"({' + '.join(parts)})"
