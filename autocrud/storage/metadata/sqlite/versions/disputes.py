"""Unique values in SQLite that a resource shares with another one, because a process with other rules wrote them."""

import logging
from sqlite3 import Connection

from autocrud.storage.metadata.sqlite.compiler import quote
from autocrud.storage.metadata.sqlite.tables import SqliteTables
from autocrud.storage.ports.claims import Claim

logger = logging.getLogger(__name__)


def settle_dispute(db: Connection, tables: SqliteTables, resource_id: str, claim: Claim, holder: str) -> None:
    """Clear the index columns of a claim that another resource holds, so that a filter finds the holder alone."""
    # Each process has rules of its own for unique values, and holds its own writes to these alone.
    logger.warning(
        "%s: %r has unique values that another resource holds, and filters do not find it by them: %s, of %r",
        tables.heads, resource_id, ", ".join(claim.names), holder,
    )  # fmt: skip
    for unique in tables.spec.unique_constraints:
        if unique.names == claim.names:
            assignments = ", ".join(f"{quote(field.column)} = NULL" for field in unique.fields)
            db.execute(f"UPDATE {tables.heads} SET {assignments} WHERE resource_id = ?", (resource_id,))
