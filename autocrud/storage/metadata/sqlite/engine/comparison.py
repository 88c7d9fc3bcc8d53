"""Comparison of a log with the SQLite file that has applied it, at a start and while the process runs."""

from autocrud.storage.identity.store_identity import check_store_id, open_store
from autocrud.storage.metadata.sqlite.engine.file import StoreFile
from autocrud.storage.metadata.sqlite.engine.log_replay import LogReplayer
from autocrud.storage.metadata.sqlite.engine.reads import FreshReads
from autocrud.storage.metadata.sqlite.engine.store_tables import read_store_id, set_store_id
from autocrud.storage.ports.objects import ObjectStore


class LogComparison:
    """Compares the identity and the applied end of a log with the SQLite file.

    Attributes:
        store_id: id of the store, after `open`.
    """

    def __init__(self, objects: ObjectStore, file: StoreFile, replayer: LogReplayer, reads: FreshReads) -> None:
        self._objects = objects
        self._file = file
        self._replayer = replayer
        self._reads = reads
        self.store_id = ""

    async def open(self) -> None:
        """Create the store if neither the file nor the object store has one, and compare.

        Raises:
            DataCorrupted: the object store holds another store than the file remembers, or none, or another log.
        """
        remembered = await self._file.writer.run(read_store_id)
        self.store_id = await open_store(self._objects, remembered)
        if remembered is None:
            await self._file.write(lambda db: set_store_id(db, self.store_id))
        await self._replayer.check_tail(self._file.writer)

    async def compare(self) -> None:
        """Compare while the process runs, and apply what follows in the log.

        Raises:
            DataCorrupted: the object store holds another store or none, the log lost the end that was applied, or the
                next entry is none of this store.
        """
        await check_store_id(self._objects, self.store_id)
        await self._replayer.check_tail(self._file.short_reader)
        await self._reads.look()
