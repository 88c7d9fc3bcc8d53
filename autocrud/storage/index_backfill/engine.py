"""BackfillEngine: the port between a model's backfill and one database."""

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
        """Of the resources; 100 is not reached before the end."""
        return min(99, self.done * 100 // self.total) if self.total else 0


class ConversionError(Exception):
    """The data of a stored resource does not fit the column of a field."""

    def __init__(self, field: IndexField, resource_id: str, reason: str) -> None:
        super().__init__(f"{resource_id!r}: {field.name} {reason}")
        self.field = field


class NotUnique(Exception):
    """Stored resources share values that are to be unique."""

    def __init__(self, unique: UniqueConstraint) -> None:
        super().__init__(unique.name)
        self.unique = unique


class BackfillEngine(ABC):
    """Backfill of one model's columns and indexes in one database.

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
        """Add the columns that are missing, and begin to fill what does not hold the model's values."""

    @abstractmethod
    async def restart_stale(self) -> None:
        """Begin again with the model's columns that a process wrote past which did not know them.

        Columns that another version of the model has since taken over are left to it.
        """

    @abstractmethod
    async def progress(self) -> list[Progress]:
        """The columns that are not filled."""

    @abstractmethod
    async def fill(self, fields: Sequence[IndexField], rows: int) -> bool:
        """Fill some rows of those of these fields that are furthest behind. False where another node is at it.

        Raises:
            ConversionError: stored data does not fit; nothing was changed.
            NotUnique: it has a unique index, which refuses it; nothing was changed.
        """

    @abstractmethod
    async def index(self, postponed: Collection[str]) -> bool:
        """Create the indexes that are wanted but for these columns', drop those that no longer are.

        False where another node is at it.

        Raises:
            NotUnique: a field is to be unique, and is not.
        """

    @abstractmethod
    async def has_stale(self) -> bool:
        """Return True if `refresh` may have something to do. Quick, because deletes ask."""

    @abstractmethod
    async def refresh(self) -> bool:
        """Fill some resources that processes of other schema versions have written. Return False if none is left.

        The columns stay available meanwhile: these resources are found by their old values for some seconds.
        """

    @abstractmethod
    async def restart_newer(self) -> None:
        """Let `refresh` fill all resources of newer schema versions again, because their data can be read now."""
