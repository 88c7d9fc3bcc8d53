"""Backfill engine: the port between a model's backfill and a database."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from autocrud.schema.index_field import IndexField
from autocrud.schema.unique_constraints import UniqueConstraint
from autocrud.schema.versions.stored_index import StoredIndex


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress of a column's backfill.

    Attributes:
        column: name of the column, as in `IndexField.column`.
        done: number of resources read so far, of `total` at the beginning.
    """

    column: str
    done: int
    total: int

    @property
    def percent(self) -> int:
        """Percentage of the resources, at most 99 before the end."""
        return min(99, self.done * 100 // self.total) if self.total else 0


class ConversionError(Exception):
    """The data of a stored resource does not fit the column of a field."""

    def __init__(self, field: IndexField, resource_id: str, reason: str) -> None:
        super().__init__(f"{resource_id!r}: {field.name} {reason}")
        self.field = field


class NotUnique(Exception):
    """Stored resources share the values of a unique constraint."""

    def __init__(self, unique: UniqueConstraint) -> None:
        super().__init__(unique.name)
        self.unique = unique


class BackfillEngine(ABC):
    """Backfill of a model's columns and indexes in a database.

    Attributes:
        stored_index: computes the values.
        is_rebuilt: True if the index was rebuilt from the records without index columns. All columns are then filled
            before the storage is open.
    """

    def __init__(self, stored_index: StoredIndex) -> None:
        self.stored_index = stored_index
        self.is_rebuilt = False

    @abstractmethod
    async def begin(self) -> None:
        """Add missing columns, and mark columns without the model's values as unfilled."""

    @abstractmethod
    async def restart_stale(self) -> None:
        """Restart the backfill of the model's stale columns.

        Another version of the model fills its own columns.
        """

    @abstractmethod
    async def progress(self) -> list[Progress]:
        """Return the progress of unfilled columns."""

    @abstractmethod
    async def fill(self, fields: Sequence[IndexField], rows: int) -> bool:
        """Fill some rows of the fields with the least progress. Return False if another node is filling the fields.

        Raises:
            ConversionError: stored data does not fit; nothing was changed.
            NotUnique: a unique index refused a value; nothing was changed.
        """

    @abstractmethod
    async def index(self, postponed: Collection[str]) -> bool:
        """Create the missing indexes of the model, and drop the superfluous ones.

        Return False if another node creates indexes.

        Args:
            postponed: columns whose indexes are created later.

        Raises:
            NotUnique: stored resources share the values of a unique constraint.
        """

    @abstractmethod
    async def has_stale(self) -> bool:
        """Return True if `refresh` may have something to do. Quick, because deletes ask."""

    @abstractmethod
    async def refresh(self) -> bool:
        """Fill some resources written by processes of other schema versions. Return False if none is left.

        The columns stay available. For some seconds, queries find the resources by old values.
        """

    @abstractmethod
    async def restart_newer(self) -> None:
        """Let `refresh` fill all resources of newer schema versions again, because their data can be read now."""
