"""Side tables of one model in PostgreSQL: blobs, and references to blobs."""

from autocrud.storage.metadata.postgres.compiler import TableNames, load_columns


class PostgresSideTables:
    """The statements on the side tables of one model.

    Args:
        names: the model's table names.
    """

    def __init__(self, names: TableNames) -> None:
        self.blobs = names.qualified("blobs")
        self.references = names.qualified("blob_references")
        self.blob = f"SELECT file_id, size, key, created_time FROM {self.blobs} WHERE file_id = $1"
        self.insert_blobs = _insert(
            self.blobs,
            file_id="text",
            size="bigint",
            key="text",
            created_time="text",
            sequence="bigint",
            ordinal="integer",
        )
        self.load_blobs = f"SELECT {load_columns('file_id')} FROM {self.blobs} WHERE file_id = ANY($1::text[])"
        self.insert_references = _insert(self.references, resource_id="text", version="bigint", file_id="text")
        self.blobs_of = (
            f"SELECT file_id FROM {self.references} WHERE resource_id = $1 AND version = $2 ORDER BY file_id"
        )
        self.version_of_blob = f"SELECT max(version) FROM {self.references} WHERE resource_id = $1 AND file_id = $2"
        self.references_of = (
            f"SELECT resource_id, version, file_id FROM {self.references} WHERE resource_id = ANY($1::text[])"
        )
        self.release = f"DELETE FROM {self.references} WHERE resource_id = ANY($1::text[])"
        self.release_versions = (
            f"DELETE FROM {self.references} r USING unnest($1::text[], $2::bigint[]) AS pruned (resource_id, version)"
            " WHERE r.resource_id = pruned.resource_id AND r.version = pruned.version"
        )
        # Blobs without references, once the references of purged resources and pruned versions are gone.
        pruned = "unnest($3::text[], $4::bigint[]) AS p (resource_id, version)"
        self.unreferenced = (
            f"SELECT file_id, key, sequence, ordinal FROM {self.blobs} b WHERE file_id = ANY($1::text[]) AND NOT EXISTS"
            f" (SELECT 1 FROM {self.references} r WHERE r.file_id = b.file_id AND r.resource_id <> ALL($2::text[])"
            f" AND NOT EXISTS (SELECT 1 FROM {pruned} WHERE p.resource_id = r.resource_id AND p.version = r.version))"
        )
        self.delete_blobs_at = (
            f"DELETE FROM {self.blobs} b USING unnest($1::bigint[], $2::integer[]) AS erased (sequence, ordinal)"
            " WHERE b.sequence = erased.sequence AND b.ordinal = erased.ordinal"
            " RETURNING b.key, b.sequence, b.ordinal"
        )
        self.delete_blobs = f"DELETE FROM {self.blobs} WHERE file_id = ANY($1::text[])"


def _insert(table: str, **columns: str) -> str:
    """Return the statement that inserts rows of these columns, each of which comes as an array of its type."""
    arrays = ", ".join(f"${number}::{kind}[]" for number, kind in enumerate(columns.values(), 1))
    return f"INSERT INTO {table} ({', '.join(columns)}) SELECT * FROM unnest({arrays})"
