"""A resource as a scan sees it: its head and its columns."""

from dataclasses import dataclass

from autocrud.schema.column_types import IndexValue
from autocrud.storage.ports.types import Head

# A place among all resources, oldest first.
Place = tuple[str, str]


@dataclass(slots=True)
class Row:
    """A resource, its columns for queries, and its place in the order of creation."""

    head: Head
    index: tuple[IndexValue, ...]
    columns: dict[str, IndexValue]
    place: Place
