"""Side tables of one model in PostgreSQL: blobs, references to blobs, request keys, on-delete tasks."""

from autocrud.storage.metadata.postgres.compiler import TableNames

_TEXT = 'text COLLATE "C"'


class PostgresSideTables:
    """The statements on the side tables of one model.

    Args:
        names: the model's table names.
        erasures: the table of what is to be erased.
    """

    def __init__(self, names: TableNames, erasures: str) -> None:
        self.blobs, self.references, self.keys = (
            names.qualified(name) for name in ("blobs", "blob_references", "keys")
        )
        self.on_delete_tasks = PostgresOnDeleteTasks(names)
        self._names = names
        self.drop = f"DROP TABLE IF EXISTS {self.blobs}, {self.references}, {self.keys}, {self.on_delete_tasks.table}"
        self.blob = f"SELECT file_id, size, key, created_time FROM {self.blobs} WHERE file_id = $1"
        self.insert_blobs = (
            f"INSERT INTO {self.blobs} (file_id, size, key, created_time, record)"
            " SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[])"
        )
        # Whoever refers to a blob, and whoever finds that nobody does any more, wait for each other here.
        self.share_blobs = f"SELECT file_id FROM {self.blobs} WHERE file_id = ANY($1::text[]) ORDER BY 1 FOR SHARE"
        self.lock_blobs = f"SELECT file_id FROM {self.blobs} WHERE file_id = ANY($1::text[]) ORDER BY 1 FOR UPDATE"
        self.insert_missing_blobs = f"{self.insert_blobs} ON CONFLICT DO NOTHING"
        self.insert_references = (
            f"INSERT INTO {self.references} (resource_id, version, file_id)"
            " SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[])"
        )
        self.blobs_of = (
            f"SELECT file_id FROM {self.references} WHERE resource_id = $1 AND version = $2 ORDER BY file_id"
        )
        self.version_of_blob = f"SELECT max(version) FROM {self.references} WHERE resource_id = $1 AND file_id = $2"
        self.release = f"DELETE FROM {self.references} WHERE resource_id = ANY($1::text[]) RETURNING file_id"
        self.release_versions = (
            f"DELETE FROM {self.references} r USING unnest($1::text[], $2::bigint[]) AS gone (resource_id, version)"
            " WHERE r.resource_id = gone.resource_id AND r.version = gone.version RETURNING r.file_id"
        )
        self.orphan = (
            f"WITH gone AS (DELETE FROM {self.blobs} b WHERE file_id = ANY($1::text[]) AND NOT EXISTS"
            f" (SELECT 1 FROM {self.references} r WHERE r.file_id = b.file_id) RETURNING key, record)"
            f" INSERT INTO {erasures} (record, step, deferred)"
            " SELECT key, 1, $2::boolean FROM gone UNION ALL SELECT record, 2, $2::boolean FROM gone"
        )
        self.held_keys = f"SELECT key, fingerprint, expires, resource_id FROM {self.keys} WHERE key = ANY($1::text[])"
        self.delete_keys = (
            f"DELETE FROM {self.keys} k USING unnest($1::text[], $2::text[]) AS new (key, time)"
            " WHERE k.key = new.key AND k.expires <= new.time"
        )
        self.insert_keys = (
            f"INSERT INTO {self.keys} (key, fingerprint, expires, resource_id)"
            " SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[])"
        )
        self.insert_missing_keys = f"{self.insert_keys} ON CONFLICT DO NOTHING"
        self.forget_keys = f"DELETE FROM {self.keys} WHERE resource_id = ANY($1::text[])"
        self.drop_expired_keys = f"DELETE FROM {self.keys} WHERE expires < $1"

    def create(self) -> list[str]:
        """The statements that make the tables, where they are missing."""
        blobs = f"file_id {_TEXT} PRIMARY KEY, size bigint NOT NULL, key text NOT NULL, created_time text NOT NULL"
        references = (
            f"resource_id {_TEXT}, version bigint, file_id {_TEXT}, PRIMARY KEY (resource_id, version, file_id)"
        )
        keys = (
            f"key {_TEXT} PRIMARY KEY, fingerprint text NOT NULL, expires text NOT NULL, resource_id {_TEXT} NOT NULL"
        )
        by_file, by_resource = map(self._names.local, ("blob_references_by_file", "keys_by_resource"))
        return [
            f"CREATE TABLE IF NOT EXISTS {self.blobs} ({blobs}, record text NOT NULL)",
            f"CREATE TABLE IF NOT EXISTS {self.references} ({references})",
            f"CREATE INDEX IF NOT EXISTS {by_file} ON {self.references} (file_id)",
            f"CREATE TABLE IF NOT EXISTS {self.keys} ({keys})",
            f"CREATE INDEX IF NOT EXISTS {by_resource} ON {self.keys} (resource_id)",
            self.on_delete_tasks.create,
        ]


class PostgresOnDeleteTasks:
    """The statements on the on-delete tasks of one model, which stay until the deletes are completed.

    Args:
        names: the model's table names.
    """

    def __init__(self, names: TableNames) -> None:
        self.table = names.qualified("pending")
        columns = f"resource_id {_TEXT}, time {_TEXT}, by text, PRIMARY KEY (resource_id, time)"
        self.create = f"CREATE TABLE IF NOT EXISTS {self.table} ({columns})"
        self.insert = (
            f"INSERT INTO {self.table} (resource_id, time, by)"
            " SELECT * FROM unnest($1::text[], $2::text[], $3::text[]) ON CONFLICT DO NOTHING"
        )
        self.pending_deletions = (
            f"SELECT resource_id, time, by FROM {self.table} WHERE (resource_id, time) > ($1, $2)"
            " ORDER BY resource_id, time LIMIT $3"
        )
        self.complete = (
            f"DELETE FROM {self.table} p USING unnest($1::text[], $2::text[]) AS done (resource_id, time)"
            " WHERE p.resource_id = done.resource_id AND p.time = done.time"
        )
