"""Tables that every model has in SQLite, whether this process knows the model or not: heads, history, side tables."""

from collections.abc import Iterable, Mapping
from sqlite3 import Connection
from typing import Any

from autocrud.resource import timestamp
from autocrud.schema.column_types import ColumnValue
from autocrud.storage.metadata.sqlite.compiler import quote, stored_value
from autocrud.storage.metadata.sqlite.history_tables import SqliteHistoryTables
from autocrud.storage.metadata.sqlite.index_state import mark_stale, states_table
from autocrud.storage.metadata.sqlite.side_tables import SqliteSideTables
from autocrud.storage.ports.types import Write

META_COLUMNS = {
    "version": "INTEGER NOT NULL",
    "current_revision_id": "TEXT NOT NULL",
    "total_revision_count": "INTEGER NOT NULL",
    "is_deleted": "INTEGER NOT NULL",
    "created_time": "TEXT NOT NULL",
    "updated_time": "TEXT NOT NULL",
    "created_by": "TEXT",
    "updated_by": "TEXT",
    "schema_version": "INTEGER NOT NULL",
    "status": "TEXT NOT NULL",
    "meta": "BLOB NOT NULL",
}
DATA_COLUMNS = {"revision_info": "BLOB NOT NULL", "head": "BLOB", "head_locator": "TEXT NOT NULL"}


def table_prefix(folder: str) -> str:
    """Return the start of the names of a model's tables. Two folders never have tables of one name.

    No folder has two underscores in a row, so that `__` begins the part of a name that is free.
    """
    return folder.replace("-", "$")


class BaseTables:
    """The statements that need no index columns, and write rows.

    Args:
        inline_limit: bytes; larger data is left out of the heads, and read from the log.
        index_columns: type of each index column that is written, by its name.

    Attributes:
        insert, update: write a head with data.
        update_meta: writes a head whose data does not change.
    """

    def __init__(self, folder: str, inline_limit: int, index_columns: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.index_columns = dict(index_columns or {})
        self.base = base = table_prefix(folder)
        self.history = SqliteHistoryTables(base)
        self.side_tables = SqliteSideTables(folder, base)
        self.heads = self.history.heads
        self.fields = states_table(base)
        self._inline_limit = inline_limit
        data_columns = [*DATA_COLUMNS, *map(quote, self.index_columns)]
        columns = ["resource_id", *META_COLUMNS, *data_columns]
        marks = ", ".join("?" for _ in columns)
        self.insert = f"INSERT INTO {self.heads} ({', '.join(columns)}) VALUES ({marks})"
        self.update = self._update_statement([*META_COLUMNS, *data_columns])
        self.update_meta = self._update_statement(META_COLUMNS)
        self.select_states = (
            "SELECT resource_id, version, created_time, is_deleted FROM json_each(?)"
            f" CROSS JOIN {self.heads} ON resource_id = value"
        )

    def insert_row(self, write: Write, locator: str | None) -> tuple[Any, ...]:
        """A row for `insert`."""
        return (write.meta.resource_id, *_meta_row(write), *self._data_row(write, locator))

    def update_row(self, write: Write, locator: str | None) -> tuple[Any, ...]:
        """A row for `update`, or for `update_meta` if the write has no revision."""
        if write.revision is None:
            return (*_meta_row(write), write.meta.resource_id)
        return (*_meta_row(write), *self._data_row(write, locator), write.meta.resource_id)

    def mark_stale(self, db: Connection, versions: Iterable[int], *, has_references: bool) -> None:
        """Mark the columns as stale that this process does not know, because it writes rows without them.

        Args:
            versions: the schema versions of the written data.
            has_references: True if the written records have all references.
        """
        mark_stale(db, self.fields, (), versions)

    def _update_statement(self, columns: Iterable[str]) -> str:
        assignments = ", ".join(f"{column} = ?" for column in columns)
        return f"UPDATE {self.heads} SET {assignments} WHERE resource_id = ?"

    def _data_row(self, write: Write, locator: str | None) -> tuple[ColumnValue | bytes, ...]:
        data = write.data
        is_inline = data is not None and len(data) <= self._inline_limit
        is_logged = data is not None and not is_inline
        place = locator or "" if is_logged else ""
        return (write.revision_json or b"", data if is_inline else None, place, *map(stored_value, write.index))


def _meta_row(write: Write) -> tuple[Any, ...]:
    meta = write.meta
    return (
        meta.version, meta.current_revision_id, meta.total_revision_count, meta.is_deleted,
        timestamp(meta.created_time), timestamp(meta.updated_time), meta.created_by, meta.updated_by,
        meta.schema_version, meta.status, write.meta_json,
    )  # fmt: skip
