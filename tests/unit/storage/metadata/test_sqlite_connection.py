"""SQLite connections: processes that share one file."""

import sqlite3
from typing import Any

from autocrud.storage.metadata.sqlite.connection import begin


class _RecoveredFile(sqlite3.Connection):
    """A connection to a file that another process opens for the first time."""

    refusals = 2

    def execute(self, sql: str, *arguments: Any) -> sqlite3.Cursor:
        if sql == "BEGIN IMMEDIATE" and self.refusals:
            self.refusals -= 1
            error = sqlite3.OperationalError("database is locked")
            error.sqlite_errorcode = sqlite3.SQLITE_BUSY_RECOVERY
            raise error
        return super().execute(sql, *arguments)


def test_transaction_on_a_file_that_another_process_recovers_waits() -> None:
    """Two processes that start on a new store do not fail."""
    connection = sqlite3.connect(":memory:", factory=_RecoveredFile, isolation_level=None)
    begin(connection)
    assert connection.in_transaction
    connection.close()
