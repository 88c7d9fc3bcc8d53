"""What a search asks for. Every backend gives the same answer to the same query, in the same order."""

from dataclasses import dataclass
from typing import NamedTuple

from autocrud.fields import ColumnValue


class Position(NamedTuple):
    """A place in the order of a list, newest first: the resource that stands just before it."""

    created_time: str
    resource_id: str


@dataclass(frozen=True, slots=True)
class Equals:
    """The index field has this value. Null is equal to nothing, not even to null."""

    field: str
    value: ColumnValue


@dataclass(frozen=True, slots=True)
class Query:
    """All conditions hold; newest first, by creation time and then by id.

    Args:
        limit: the most items on a page, at least 1. A count ignores it, and `after`.
        after: begin behind this place; None begins with the newest.
    """

    where: tuple[Equals, ...] = ()
    include_deleted: bool = False
    limit: int = 20
    after: Position | None = None
