"""Unique values in SQLite that schema versions dispute: each version holds its own writes to its own rules."""

import logging
from collections.abc import Sequence
from sqlite3 import Connection

from autocrud.schema.unique_constraints import UniqueConstraint
from autocrud.schema.versions.column_names import version_of_name
from autocrud.storage.metadata.sqlite.compiler import quote
from autocrud.storage.ports.types import Write

logger = logging.getLogger(__name__)


def give_up_claim(db: Connection, heads: str, write: Write, unique: UniqueConstraint) -> None:
    """Leave a logged write of another version without its values of a unique constraint, which a resource holds."""
    write.index = tuple(None if position in unique.positions else value for position, value in enumerate(write.index))
    _clear(db, heads, write.meta.resource_id, [field.column for field in unique.fields])
    warn_of_dispute(heads, write.meta.resource_id, unique)


def warn_of_dispute(table: str, resource_id: str, unique: UniqueConstraint) -> None:
    """Log that a resource has no index values for a unique constraint."""
    # Each version has a rule of its own for unique values, and holds its own writes to it alone.
    logger.warning(
        "%s: %r has unique values that another resource holds, and filters do not find it by them: %s",
        table, resource_id, ", ".join(unique.names),
    )  # fmt: skip


def give_up_claim_of_other_version(
    db: Connection, heads: str, resource_id: str, message: str, version: int
) -> int | None:
    """Clear the columns of another schema version whose unique index refuses a write of this version.

    Such a column holds an older value, which the write leaves as it is, for instance when a resource is restored.

    Args:
        message: of SQLite's IntegrityError, as in `UNIQUE constraint failed: heads.ix_a, heads.ix_b`.

    Returns the other version; None if the index belongs to this version.
    """
    columns = [part.removeprefix(f"{heads}.") for part in message.partition(": ")[2].split(", ")]
    versions = {version_of_name(column) for column in columns}
    other = versions.pop()
    if versions or other in (None, version):
        return None
    _clear(db, heads, resource_id, columns)
    return other


def _clear(db: Connection, heads: str, resource_id: str, columns: Sequence[str]) -> None:
    assignments = ", ".join(f"{quote(column)} = NULL" for column in columns)
    db.execute(f"UPDATE {heads} SET {assignments} WHERE resource_id = ?", (resource_id,))
