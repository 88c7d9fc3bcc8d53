"""Partition: the live or the deleted resources of a model in order of creation, with their indexes."""

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Mapping
from operator import itemgetter
from typing import Any

from autocrud.schema.index_field import IndexField
from autocrud.schema.search_document import DocumentField
from autocrud.storage.metadata.memory.indexes.candidates import Candidates
from autocrud.storage.metadata.memory.indexes.spans import Span
from autocrud.storage.metadata.memory.indexes.value_index import ValueIndex
from autocrud.storage.metadata.scan.rows import Place, Row

creation_time_of = itemgetter(0)
_id_of = itemgetter(1)


class Partition:
    """The live or the deleted resources of a model.

    The first query that needs the index of a column builds the index. Later writes keep the index up to date.

    Args:
        rows: the rows of all resources by id.
    """

    def __init__(self, rows: Mapping[str, Row], is_deleted: bool) -> None:
        self._rows = rows
        self.is_deleted = is_deleted
        self.places: list[Place] = []
        self._indexes: dict[str, ValueIndex] = {}

    def add(self, row: Row) -> None:
        """Add a resource."""
        insort(self.places, row.place)
        for column, index in self._indexes.items():
            index.add(row.columns[column], row.place)

    def remove(self, row: Row) -> None:
        """Remove a resource."""
        del self.places[bisect_left(self.places, row.place)]
        for column, index in self._indexes.items():
            index.remove(row.columns[column], row.place)

    def replace(self, before: Row, after: Row) -> None:
        """Update the indexes of the columns whose content a write changes."""
        for column, index in self._indexes.items():
            if before.columns[column] != after.columns[column]:
                index.remove(before.columns[column], before.place)
                index.add(after.columns[column], after.place)

    def rows_at(self, places: Iterable[Place]) -> Iterator[Row]:
        """Return the rows at these places."""
        return map(self._rows.__getitem__, map(_id_of, places))

    def index(self, field: IndexField) -> ValueIndex:
        """Return the index of a field's column."""
        index = self._indexes.get(field.column)
        if index is None:
            index = ValueIndex(_values_of_list if field.is_list else _words_of if _is_text(field) else _value_of)
            for row in self.rows_at(self.places):
                index.add(row.columns[field.column], row.place)
            self._indexes[field.column] = index
        return index

    def all(self, *, is_exact: bool) -> Candidates:
        """Return all resources as candidates."""
        return Candidates(lambda: (self.places,), len(self.places), is_exact, is_ordered=True)

    def created_in(self, span: Span) -> Candidates:
        """Return the resources in a span of the places."""
        start, end = span
        return Candidates(lambda: (self.places[start:end],), end - start, is_ordered=True)


def _is_text(field: IndexField) -> bool:
    return isinstance(field, DocumentField)


def _value_of(content: Any) -> Iterable[Any]:
    return (content,)


def _values_of_list(content: Any) -> Iterable[Any]:
    return (None,) if content is None else content


def _words_of(content: Any) -> Iterable[Any]:
    return (None,) if content is None else set(content.split())
