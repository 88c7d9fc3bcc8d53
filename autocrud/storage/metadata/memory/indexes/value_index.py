"""ValueIndex: finds resources by the values of one column, through a hash table and a sorted list of values."""

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from autocrud.query.operators import Operator
from autocrud.storage.metadata.memory.indexes.candidates import Candidates
from autocrud.storage.metadata.memory.indexes.spans import Span, find_prefix_span, find_span
from autocrud.storage.metadata.scan.rows import Place

# Up to this many new values, one insertion for each is faster than a sort of the whole list.
_MAX_INSERTIONS = 32
_MIN_STALE = 1000


class ValueIndex:
    """Finds the places of resources by the values of one column.

    A hash table maps each value to its places, in place order. The sorted list of values is brought up to date by the
    query that needs it, so a write costs no search in the list.

    Args:
        values_of: returns the values under which a column's content is found; None stands for null.
    """

    def __init__(self, values_of: Callable[[Any], Iterable[Any]]) -> None:
        self._values_of = values_of
        # A value of one resource has the place itself: a list for each would slow down the garbage collector.
        self._places: dict[Any, Place | list[Place]] = {}
        self._size = 0
        self._sorted: list[Any] | None = None  # None until a query needs the order
        self._new: list[Any] = []  # values that are not yet in the sorted list
        self._stale: set[Any] = set()  # values in the list that no resource has any more

    def add(self, content: Any, place: Place) -> None:
        """Add a resource's content of the column."""
        for value in self._values_of(content):
            self._size += 1
            places = self._places.get(value)
            if places is None:
                self._places[value] = place
                self._note_new(value)
            elif isinstance(places, tuple):
                self._places[value] = [places, place] if place > places else [place, places]
            elif place > places[-1]:
                places.append(place)
            else:
                insort(places, place)

    def remove(self, content: Any, place: Place) -> None:
        """Remove a resource's content of the column."""
        for value in self._values_of(content):
            self._size -= 1
            places = self._places[value]
            if isinstance(places, list) and len(places) > 1:
                del places[bisect_left(places, place)]
            else:
                del self._places[value]
                self._note_stale(value)

    def places_of(self, value: Any) -> Sequence[Place]:
        """Return the places of a value in place order; None stands for null."""
        places = self._places.get(value, ())
        return places if isinstance(places, list) else (places,) if places else ()

    def find(self, values: Iterable[Any], *, is_disjoint: bool = True) -> Candidates:
        """Return the resources that have one of these values."""
        found = [self.places_of(value) for value in dict.fromkeys(values) if value in self._places]
        return Candidates(
            lambda: found, sum(map(len, found)), is_disjoint=is_disjoint or len(found) < 2, is_ordered=len(found) < 2
        )

    def find_by_prefix(self, prefix: str) -> Candidates:
        """Return the resources that have a text with this prefix among their values."""
        return self.find_in_span(find_prefix_span(prefix, self.values()), is_disjoint=False)

    def find_in_span(self, span: Span, *, is_disjoint: bool = True) -> Candidates:
        """Return the resources that have a value in a span of the sorted values."""
        start, end = span
        return Candidates(
            lambda: map(self.places_of, self.values()[start:end]), self.size_of(span), is_disjoint=is_disjoint
        )

    def span(self, operator: Operator, operand: Any) -> Span | None:
        """Return the span of the sorted values for which an operator holds; None if the operator has no span."""
        if operator is Operator.is_null:
            return None if operand else (0, len(self.values()))
        return find_span(operator, operand, self.values())

    def size_of(self, span: Span) -> int:
        """Return an estimate of the number of resources in a span."""
        count = span[1] - span[0]
        total = len(self.values())
        if count == total:
            return self._size - len(self.places_of(None))
        return -(-count * self._size // total)

    def values(self) -> list[Any]:
        """Return the sorted values without null. A value may have no places any more."""
        if self._sorted is None:
            self._sorted = sorted(value for value in self._places if value is not None)
        elif self._new:
            if len(self._new) <= _MAX_INSERTIONS:
                for value in self._new:
                    insort(self._sorted, value)
            else:
                self._new.sort()
                self._sorted += self._new
                self._sorted.sort()  # merges two sorted runs
            self._new = []
        return self._sorted

    def _note_new(self, value: Any) -> None:
        if self._sorted is None or value is None:
            return
        if value in self._stale:
            self._stale.remove(value)
        else:
            self._new.append(value)

    def _note_stale(self, value: Any) -> None:
        if self._sorted is None or value is None:
            return
        self._stale.add(value)
        if len(self._stale) > max(_MIN_STALE, len(self._places)):
            self._sorted, self._new, self._stale = None, [], set()
