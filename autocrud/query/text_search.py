"""Text search: what people type, as a value; what it means, and how well a document answers it, in Python.

Both are told in terms of the document's text, and every engine follows: the same resources, in the same order.
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
_PIECE = re.compile(r'(?P<not>-?)(?:"(?P<quoted>[^"]*)(?:"|$)(?P<more>\*?)|(?P<bare>[^\s"]+))')

# A word that is there once is worth the most in a short document, and further ones add less and less. No number of
# other documents is in it, so that a place in the order stays one while others write.
_BEST, _ONCE, _SHORT, _PER_CHARACTER = 10**10, 10**4, 3000, 9


@dataclass(frozen=True, slots=True)
class Clause:
    """Words that stand one behind the other; of the last one only the beginning, where `prefix` is set."""

    words: tuple[str, ...]
    prefix: bool = False

    @property
    def pattern(self) -> str:
        """What a document holds that has them."""
        return f" {'  '.join(self.words)}" + ("" if self.prefix else " ")


@dataclass(frozen=True, slots=True)
class TextQuery:
    """What a document must have, all of it, and what it may not have."""

    wanted: tuple[Clause, ...]
    unwanted: tuple[Clause, ...] = ()

    @property
    def together(self) -> Clause | None:
        """All that is wanted as one phrase, which makes an answer better."""
        if len(self.wanted) < 2 or any(clause.prefix for clause in self.wanted[:-1]):
            return None
        return Clause(tuple(word for clause in self.wanted for word in clause.words), self.wanted[-1].prefix)

    def matches(self, document: str | None) -> bool:
        """Whether a document answers it."""
        return (
            document is not None
            and all(clause.pattern in document for clause in self.wanted)
            and not any(clause.pattern in document for clause in self.unwanted)
        )

    def rank(self, document: str | None) -> int | None:
        """How well a document answers it; null for one that has nothing of what is wanted."""
        if document is None:
            return None
        length = _SHORT + _PER_CHARACTER * len(document)
        counts = [document.count(clause.pattern) for clause in self.wanted]
        if not all(counts):
            return None
        together = document.count(self.together.pattern) if self.together else 0
        return sum(_BEST // (_ONCE + length // count) for count in (*counts, together) if count)


def parse_text(text: str) -> TextQuery:
    """What somebody types: words, `"a phrase"`, `begin*`, and `-not` before any of these. Nothing is a syntax error.

    What is written together, as `e-mail` or without spaces in its script, must stand together.

    Raises:
        InvalidParameter: there is no word to look for, or there are too many.
    """
    if len(text) > MAX_LENGTH:
        raise InvalidParameter("q", f"may have at most {MAX_LENGTH} characters")
    wanted: dict[Clause, None] = {}
    unwanted: dict[Clause, None] = {}
    for piece in _PIECE.finditer(text.translate(_QUOTES)):
        bare = piece["bare"]
        found = tuple(words(piece["quoted"] if bare is None else bare))
        prefix = piece["more"] == "*" if bare is None else bare.endswith("*")
        if found:
            (unwanted if piece["not"] else wanted)[Clause(found, prefix)] = None
    if sum(len(clause.words) for clause in (*wanted, *unwanted)) > MAX_WORDS:
        raise InvalidParameter("q", f"may have at most {MAX_WORDS} words")
    if not wanted:
        raise InvalidParameter("q", "must have a word to look for" + " beside those to leave out" * bool(unwanted))
    return TextQuery(tuple(wanted), tuple(unwanted))


class RankField(IndexField):
    """How well a resource answers a text query, as a field to sort by. It has no column: engines compute it."""

    __slots__ = ("document", "text")
    document: DocumentField
    text: TextQuery

    def __init__(self, document: DocumentField, text: TextQuery) -> None:
        super().__init__("rank", ColumnKind.integer, False, int, TypeAdapter(int), is_meta=True)
        object.__setattr__(self, "document", document)
        object.__setattr__(self, "text", text)

    def value_in(self, row: Any) -> Any:
        """Its value in a row; a place in an order has it already."""
        return row[self.column] if self.column in row else self.text.rank(row[self.document.column])

    def sql(self, column: str, bound: Any) -> str:
        """Its value, in the SQL that all engines share.

        Args:
            column: of the document.
            bound: binds a text, and returns its place in the statement.
        """

        def worth(clause: Clause) -> str:
            removed = f"nullif(length({column}) - length(replace({column}, {bound(clause.pattern)}, '')), 0)"
            length = f"{len(clause.pattern)} * ({_SHORT} + {_PER_CHARACTER} * CAST(length({column}) AS BIGINT))"
            return f"{_BEST} / ({_ONCE} + {length} / {removed})"

        together = self.text.together
        parts = [*map(worth, self.text.wanted), *([f"coalesce({worth(together)}, 0)"] if together else [])]
        return f"({' + '.join(parts)})"
