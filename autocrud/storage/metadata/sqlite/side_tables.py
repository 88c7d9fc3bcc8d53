"""Side tables of one model in SQLite: blobs, references to blobs, request keys, on-delete tasks."""

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from sqlite3 import Connection

from autocrud.resource import CommitKind, timestamp
from autocrud.storage.blobs.hashing import blob_object_key
from autocrud.storage.ports.types import Blob, OnDeleteTask, Write, on_delete_task_of


class SqliteSideTables:
    """The statements on the side tables of one model."""

    def __init__(self, folder: str, base: str) -> None:
        self._folder = folder
        self.blobs = f"{base}_blobs"
        self.references = f"{base}_blob_references"
        self.keys = f"{base}_keys"
        self._insert_blob = f"INSERT INTO {self.blobs} VALUES (?, ?, ?, ?, ?)"
        self._insert_key = f"INSERT OR REPLACE INTO {self.keys} VALUES (?, ?, ?, ?)"
        self._insert_reference = f"INSERT OR IGNORE INTO {self.references} VALUES (?, ?, ?)"

    def stored_keys(self, db: Connection, keys: Sequence[str]) -> dict[str, tuple[str, str, str]]:
        """Return fingerprint, expiry time and resource of request keys, by key."""
        selection = "key IN (SELECT value FROM json_each(?))"
        sql = f"SELECT key, fingerprint, expires, resource_id FROM {self.keys} WHERE {selection}"
        return {key: tuple(row) for key, *row in db.execute(sql, (json.dumps(keys),))}

    def registered(self, db: Connection, file_ids: Sequence[str]) -> set[str]:
        """Return the ids of the blobs that are registered, of these."""
        sql = f"SELECT file_id FROM {self.blobs} WHERE file_id IN (SELECT value FROM json_each(?))"
        return {file_id for (file_id,) in db.execute(sql, (json.dumps(file_ids),))}

    def insert(self, db: Connection, writes: Iterable[Write]) -> None:
        """Insert the request keys, the references to blobs and the on-delete tasks of accepted writes."""
        for write in writes:
            resource_id = write.meta.resource_id
            if write.has_task:
                task = on_delete_task_of(write)
                row = (self._folder, task.resource_id, task.time, task.by)
                db.execute("INSERT OR IGNORE INTO on_delete_tasks VALUES (?, ?, ?, ?)", row)
            if write.key is not None:
                key = write.key
                db.execute(self._insert_key, (key.key, key.fingerprint, key.expires, resource_id))
            if write.kind is not CommitKind.purge:
                rows = [(resource_id, write.meta.version, file_id) for file_id in write.blobs]
                db.executemany(self._insert_reference, rows)

    def register(self, db: Connection, blob: Blob, record: str) -> None:
        """Register a blob, with the place of its record."""
        db.execute(self._insert_blob, (blob.file_id, blob.size, blob.key, blob.created_time, record))

    def pending_deletions(self, db: Connection, after: OnDeleteTask | None, limit: int) -> list[OnDeleteTask]:
        """Return the tasks behind a place, in order."""
        where = "model = ? AND (resource_id, time) > (?, ?) ORDER BY resource_id, time LIMIT ?"
        sql = f"SELECT resource_id, time, by FROM on_delete_tasks WHERE {where}"
        place = ("", "") if after is None else (after.resource_id, after.time)
        return [OnDeleteTask(*row) for row in db.execute(sql, (self._folder, *place, limit))]

    def complete(self, db: Connection, done: Iterable[OnDeleteTask]) -> None:
        """Delete completed tasks."""
        rows = [(self._folder, item.resource_id, item.time) for item in done]
        db.executemany("DELETE FROM on_delete_tasks WHERE model = ? AND resource_id = ? AND time = ?", rows)

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

    def release(self, db: Connection, resource_id: str, versions: Iterable[int] | None = None) -> set[str]:
        """Delete the references of a resource, or of some of its commits, to blobs. Return these blobs."""
        chosen: list[int | None] = [None] if versions is None else list(versions)
        released = {file_id for version in chosen for file_id in self.blobs_of(db, resource_id, version)}
        for version in chosen:
            where = "resource_id = ? AND version = coalesce(?, version)"
            db.execute(f"DELETE FROM {self.references} WHERE {where}", (resource_id, version))
        return released

    def take_orphan(self, db: Connection, file_id: str) -> tuple[str, str] | None:
        """Delete a blob without any reference. Return the key of its object, and the place of its record."""
        used = f"SELECT 1 FROM {self.references} r WHERE r.file_id = b.file_id"
        sql = f"SELECT key, record FROM {self.blobs} b WHERE file_id = ? AND NOT EXISTS ({used})"
        row = db.execute(sql, (file_id,)).fetchone()
        if row is None:
            return None
        db.execute(f"DELETE FROM {self.blobs} WHERE file_id = ?", (file_id,))
        key, record = row
        return blob_object_key(self._folder, key), record

    def delete_keys_of(self, db: Connection, resource_id: str) -> None:
        """Delete the request keys of a purged resource."""
        db.execute(f"DELETE FROM {self.keys} WHERE resource_id = ?", (resource_id,))

    def drop_expired_keys(self, db: Connection) -> None:
        """Delete the expired request keys."""
        db.execute(f"DELETE FROM {self.keys} WHERE expires < ?", (timestamp(datetime.now(UTC)),))
