"""Candidates: the resources for which a condition may hold, as the indexes find them."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

from autocrud.storage.metadata.scan.rows import Place

PlaceLists = Iterable[Sequence[Place]]


@dataclass(frozen=True, slots=True)
class Candidates:
    """The places of all resources for which a condition holds, and possibly of other resources.

    Attributes:
        load: returns the places as lists. Each list is in place order.
        size: an estimate of the number of places.
        is_exact: True if the condition holds for every place.
        is_disjoint: True if no place is in two lists.
        is_ordered: True if `load` returns at most one list.
    """

    load: Callable[[], PlaceLists]
    size: int
    is_exact: bool = True
    is_disjoint: bool = True
    is_ordered: bool = False

    def places(self) -> Iterable[Place]:
        """Return each place once, in any order."""
        places = chain.from_iterable(self.load())
        return places if self.is_disjoint else set(places)

    def sorted_places(self) -> Sequence[Place]:
        """Return each place once, in place order."""
        if self.is_ordered:
            return next(iter(self.load()), ())
        return sorted(self.places())

    def count(self) -> int:
        """Return the number of places."""
        return sum(map(len, self.load())) if self.is_disjoint else len(set(self.places()))


def no_candidates() -> Candidates:
    """Return the candidates of a condition that holds for no resource."""
    return Candidates(tuple, 0, is_ordered=True)
