"""Side tables of one model in PostgreSQL: blobs, references to blobs, request keys, on-delete tasks."""

from autocrud.storage.metadata.postgres.compiler import TableNames


class PostgresSideTables:
    """The statements on the side tables of one model.

    Args:
        names: the model's table names.
        erasures: the table of what is to be erased.
    """

    def __init__(self, names: TableNames, erasures: str) -> None:
        self.blobs = names.qualified("blobs")
        self.references = names.qualified("blob_references")
        self.keys = names.qualified("keys")
        self.on_delete_tasks = PostgresOnDeleteTasks(names)
        self.blob = f"SELECT file_id, size, key, created_time FROM {self.blobs} WHERE file_id = $1"
        self.insert_blobs = _insert(
            self.blobs, file_id="text", size="bigint", key="text", created_time="text", record="text"
        )
        self.insert_missing_blobs = f"{self.insert_blobs} ON CONFLICT DO NOTHING"
        # A transaction that refers to a blob, and one that deletes unreferenced blobs, wait for each other here.
        self.share_blobs = f"SELECT file_id FROM {self.blobs} WHERE file_id = ANY($1::text[]) ORDER BY 1 FOR SHARE"
        self.lock_blobs = f"SELECT file_id FROM {self.blobs} WHERE file_id = ANY($1::text[]) ORDER BY 1 FOR UPDATE"
        self.insert_references = _insert(self.references, resource_id="text", version="bigint", file_id="text")
        self.blobs_of = (
            f"SELECT file_id FROM {self.references} WHERE resource_id = $1 AND version = $2 ORDER BY file_id"
        )
        self.version_of_blob = f"SELECT max(version) FROM {self.references} WHERE resource_id = $1 AND file_id = $2"
        self.release = f"DELETE FROM {self.references} WHERE resource_id = ANY($1::text[]) RETURNING file_id"
        self.release_versions = (
            f"DELETE FROM {self.references} r USING unnest($1::text[], $2::bigint[]) AS gone (resource_id, version)"
            " WHERE r.resource_id = gone.resource_id AND r.version = gone.version RETURNING r.file_id"
        )
        self.delete_orphans = (
            f"WITH gone AS (DELETE FROM {self.blobs} b WHERE file_id = ANY($1::text[]) AND NOT EXISTS"
            f" (SELECT 1 FROM {self.references} r WHERE r.file_id = b.file_id) RETURNING key, record)"
            f" INSERT INTO {erasures} (record, step, deferred)"
            " SELECT key, 1, $2::boolean FROM gone UNION ALL SELECT record, 2, $2::boolean FROM gone"
        )
        self.select_keys = f"SELECT key, fingerprint, expires, resource_id FROM {self.keys} WHERE key = ANY($1::text[])"
        self.delete_keys = (
            f"DELETE FROM {self.keys} k USING unnest($1::text[], $2::text[]) AS new (key, time)"
            " WHERE k.key = new.key AND k.expires <= new.time"
        )
        self.insert_keys = _insert(self.keys, key="text", fingerprint="text", expires="text", resource_id="text")
        self.insert_missing_keys = f"{self.insert_keys} ON CONFLICT DO NOTHING"
        self.delete_keys_of = f"DELETE FROM {self.keys} WHERE resource_id = ANY($1::text[])"
        self.drop_expired_keys = f"DELETE FROM {self.keys} WHERE expires < $1"


class PostgresOnDeleteTasks:
    """The statements on the on-delete tasks of one model, which stay until the deletes are completed.

    Args:
        names: the model's table names.
    """

    def __init__(self, names: TableNames) -> None:
        self.table = names.qualified("pending")
        self.insert = f"{_insert(self.table, resource_id='text', time='text', by='text')} ON CONFLICT DO NOTHING"
        self.pending_deletions = (
            f"SELECT resource_id, time, by FROM {self.table} WHERE (resource_id, time) > ($1, $2)"
            " ORDER BY resource_id, time LIMIT $3"
        )
        self.complete = (
            f"DELETE FROM {self.table} p USING unnest($1::text[], $2::text[]) AS done (resource_id, time)"
            " WHERE p.resource_id = done.resource_id AND p.time = done.time"
        )


def _insert(table: str, **columns: str) -> str:
    """Return the statement that inserts rows of these columns, each of which comes as an array of its type."""
    arrays = ", ".join(f"${number}::{kind}[]" for number, kind in enumerate(columns.values(), 1))
    return f"INSERT INTO {table} ({', '.join(columns)}) SELECT * FROM unnest({arrays})"
