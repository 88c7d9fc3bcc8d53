"""Markers: annotations that make a field an index field, a unique field or a reference."""

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """Marks a field that lists can filter by: `Annotated[str, Index()]`.

    Args:
        text: `q=` searches it for words; for texts, and lists of texts.
        filters: whether it is filtered and sorted by. A text that is only searched may be of any length.
    """

    text: bool = False
    filters: bool = True


@dataclass(frozen=True, slots=True)
class Unique(Index):
    """Marks an index field whose value no two live resources of the model may share. Null is no value.

    Args:
        group: the fields of one group are unique together, not each alone; a null in any of them frees the others.
    """

    group: str | None = None


class OnDelete(StrEnum):
    """What becomes of a resource when one is deleted, or purged, that it refers to.

    `restrict` refuses the delete. `set_null` makes a new revision with null, or without the item in the list.
    `cascade` deletes the resource softly, too. `dangling` leaves it as it is.
    """

    restrict = "restrict"
    set_null = "set_null"
    cascade = "cascade"
    dangling = "dangling"


@dataclass(frozen=True, slots=True)
class Ref(Index):
    """Marks an index field that holds the id of a resource, or ids: `Annotated[str, Ref("person")]`.

    Args:
        model: the name that the other model is registered by; it may be registered later, and be the model itself.
        on_delete: what becomes of this resource when the other one is deleted.
        must_exist: refuse writes that newly refer to a resource that is not there, or is deleted.
        expand: readers of either model may see the other one through this field, though that one is guarded by
            dependencies of its own.
    """

    model: str
    on_delete: OnDelete = OnDelete.restrict
    must_exist: bool = True
    expand: bool = False
