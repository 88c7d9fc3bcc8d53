"""Models of a store in SQLite: the tables of open models, and the base tables of all others."""

from sqlite3 import Connection

from autocrud.storage.metadata.sqlite.base_tables import BaseTables
from autocrud.storage.metadata.sqlite.engine.store_tables import is_stored
from autocrud.storage.metadata.sqlite.schema import create_base_tables
from autocrud.storage.metadata.sqlite.tables import SqliteTables


class Models:
    """Tables by the folder of the model. Used on the thread of the writer, and while it is idle.

    Attributes:
        inline_limit: bytes; larger data is left out of the heads.
        attached: tables of the models that this process knows.
        replayed: folders of models whose writes were applied without index columns, because nobody knew the model.
    """

    def __init__(self, inline_limit: int) -> None:
        self.inline_limit = inline_limit
        self.attached: dict[str, SqliteTables] = {}
        self._unattached: dict[str, BaseTables] = {}
        self.replayed: set[str] = set()

    def add(self, tables: SqliteTables) -> SqliteTables:
        """Let writes to a folder fill the index columns of a model. Return the tables."""
        for folder, stored in list(self.attached.items()):
            if stored.spec is tables.spec:
                del self.attached[folder]  # the model was renamed
        self.attached[tables.folder] = tables
        self._unattached.pop(tables.folder, None)
        return tables

    def find(self, db: Connection, folder: str) -> BaseTables | None:
        """Return the tables of a model; None if the model is unknown and was never written to."""
        tables = self.attached.get(folder) or self._unattached.get(folder)
        if tables is None and is_stored(db, folder):
            tables = self._unattached[folder] = BaseTables(folder, self.inline_limit)
        return tables

    def require(self, db: Connection, folder: str) -> BaseTables:
        """Return the tables of a model. They are created if the model is unknown."""
        tables = self.find(db, folder)
        if tables is None:
            tables = self._unattached[folder] = BaseTables(folder, self.inline_limit)
            create_base_tables(tables, db)
        return tables

    def forget_others(self) -> None:
        """Forget the tables of unknown models: the transaction that created them was rolled back."""
        self._unattached.clear()

    def clear(self) -> None:
        """Forget all tables, because another file may be opened."""
        self.attached.clear()
        self._unattached.clear()
        self.replayed.clear()
