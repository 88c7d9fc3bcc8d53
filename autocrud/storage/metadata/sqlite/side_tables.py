"""Side tables of one model in SQLite: blobs, references to blobs, request keys, on-delete tasks."""

from collections.abc import Iterable
from datetime import UTC, datetime
from sqlite3 import Connection

from autocrud.resource import timestamp
from autocrud.storage.ports.types import Blob, OnDeleteTask, Repeated, UnknownBlob, Write, on_delete_task_of

Orphan = tuple[str, str | None]  # a blob's object, and the place of its record


class SqliteSideTables:
    """The statements on the side tables of one model."""

    def __init__(self, base: str) -> None:
        self.blobs = f"{base}_blobs"
        self.references = f"{base}_blob_references"
        self.keys = f"{base}_keys"
        self.on_delete_tasks = f"{base}_pending"

    def find_refusal(self, db: Connection, write: Write) -> Repeated | UnknownBlob | None:
        """Return the refusal of a new write for its request key or its blobs, if any."""
        if write.key is not None:
            find = f"SELECT resource_id, fingerprint FROM {self.keys} WHERE key = ? AND expires > ?"
            found = db.execute(find, (write.key.key, timestamp(write.meta.updated_time))).fetchone()
            if found is not None:
                return Repeated(*found)
        for file_id in write.blobs:
            if self.blob(db, file_id) is None:
                return UnknownBlob(file_id)
        return None

    def is_unaffected_by(self, write: Write) -> bool:
        """Return True if the side tables neither refuse a write nor store anything of it."""
        return write.key is None and not write.blobs and not write.has_task

    def insert(self, db: Connection, write: Write) -> None:
        """Insert the request key, the references and the on-delete task of an accepted write."""
        resource_id = write.meta.resource_id
        self.insert_on_delete_task(db, write)
        if write.key is not None:
            row = (write.key.key, write.key.fingerprint, write.key.expires, resource_id)
            db.execute(f"INSERT OR REPLACE INTO {self.keys} VALUES (?, ?, ?, ?)", row)
        rows = [(resource_id, write.meta.version, file_id) for file_id in write.blobs]
        db.executemany(f"INSERT OR IGNORE INTO {self.references} VALUES (?, ?, ?)", rows)

    def insert_on_delete_task(self, db: Connection, write: Write) -> None:
        """Insert the on-delete task of a write, if it has one."""
        if write.has_task:
            item = on_delete_task_of(write)
            row = (item.resource_id, item.time, item.by)
            db.execute(f"INSERT OR IGNORE INTO {self.on_delete_tasks} VALUES (?, ?, ?)", row)

    def pending_deletions(self, db: Connection, after: OnDeleteTask | None, limit: int) -> list[OnDeleteTask]:
        """Return the tasks behind a place, in order."""
        where = "(resource_id, time) > (?, ?) ORDER BY resource_id, time LIMIT ?"
        sql = f"SELECT * FROM {self.on_delete_tasks} WHERE {where}"
        place = ("", "") if after is None else (after.resource_id, after.time)
        return [OnDeleteTask(*row) for row in db.execute(sql, (*place, limit))]

    def complete(self, db: Connection, done: Iterable[OnDeleteTask]) -> None:
        """Delete completed tasks."""
        rows = [(item.resource_id, item.time) for item in done]
        db.executemany(f"DELETE FROM {self.on_delete_tasks} WHERE resource_id = ? AND time = ?", rows)

    def register(self, db: Connection, blob: Blob) -> bool:
        """Register a blob; says whether it was new."""
        row = (blob.file_id, blob.size, blob.key, blob.created_time)
        return bool(db.execute(f"INSERT OR IGNORE INTO {self.blobs} VALUES (?, ?, ?, ?, NULL)", row).rowcount)

    def set_record(self, db: Connection, blob: Blob, record: str) -> None:
        """Set the place of a blob's record."""
        db.execute(f"UPDATE {self.blobs} SET record = ? WHERE file_id = ?", (record, blob.file_id))

    def blob(self, db: Connection, file_id: str) -> Blob | None:
        """A blob that is registered."""
        sql = f"SELECT file_id, size, key, created_time FROM {self.blobs} WHERE file_id = ?"
        row = db.execute(sql, (file_id,)).fetchone()
        return None if row is None else Blob(*row)

    def version_of_blob(self, db: Connection, resource_id: str, file_id: str) -> int | None:
        """The last commit of a resource that refers to a blob."""
        sql = f"SELECT max(version) FROM {self.references} WHERE resource_id = ? AND file_id = ?"
        version: int | None = db.execute(sql, (resource_id, file_id)).fetchone()[0]
        return version

    def blobs_of(self, db: Connection, resource_id: str, version: int | None) -> list[str]:
        """The blobs that a resource refers to, or one commit of it."""
        where = "resource_id = ?" if version is None else "resource_id = ? AND version = ?"
        values = (resource_id,) if version is None else (resource_id, version)
        sql = f"SELECT DISTINCT file_id FROM {self.references} WHERE {where} ORDER BY file_id"
        return [file_id for (file_id,) in db.execute(sql, values)]

    def release(
        self, db: Connection, resource_id: str, versions: Iterable[int] | None = None, retained_ids: Iterable[str] = ()
    ) -> list[Orphan]:
        """Delete the references of a resource, or of some of its commits, and the blobs without any other reference.

        Returns the deleted blobs. Blobs in `retained_ids` are not deleted.
        """
        chosen: list[int | None] = [None] if versions is None else list(versions)
        released = {file_id for version in chosen for file_id in self.blobs_of(db, resource_id, version)}
        for version in chosen:
            where = "resource_id = ? AND version = coalesce(?, version)"
            db.execute(f"DELETE FROM {self.references} WHERE {where}", (resource_id, version))
        orphans: list[Orphan] = []
        for file_id in sorted(released.difference(retained_ids)):
            used = f"SELECT 1 FROM {self.references} r WHERE r.file_id = b.file_id"
            sql = f"SELECT key, record FROM {self.blobs} b WHERE file_id = ? AND NOT EXISTS ({used})"
            row = db.execute(sql, (file_id,)).fetchone()
            if row is not None:
                orphans.append(row)
                db.execute(f"DELETE FROM {self.blobs} WHERE file_id = ?", (file_id,))
        return orphans

    def delete_keys_of(self, db: Connection, resource_id: str) -> None:
        """Delete the request keys of a purged resource."""
        db.execute(f"DELETE FROM {self.keys} WHERE resource_id = ?", (resource_id,))

    def drop_expired_keys(self, db: Connection) -> None:
        """Delete the expired request keys."""
        db.execute(f"DELETE FROM {self.keys} WHERE expires < ?", (timestamp(datetime.now(UTC)),))
