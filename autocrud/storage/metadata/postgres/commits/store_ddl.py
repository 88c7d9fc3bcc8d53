"""Statements that create the tables of a store in PostgreSQL."""

from collections.abc import Iterator

from autocrud.storage.metadata.postgres.commits.store_tables import StoreTables

_TEXT = 'text COLLATE "C" NOT NULL'


def create_statements(tables: StoreTables) -> Iterator[str]:
    """Yield the statements that create the tables with their indexes."""
    yield from _create_order(tables)
    yield from _create_side_tables(tables)


def _create_order(tables: StoreTables) -> Iterator[str]:
    """Yield the statements for batches, changes, claims and references."""
    yield f"CREATE TABLE {tables.store} (id text NOT NULL)"
    yield (
        f"CREATE TABLE {tables.batches} (sequence bigint PRIMARY KEY, nonce text NOT NULL, time text NOT NULL,"
        " header_hash text NOT NULL, records bytea)"
    )
    # Compression would make reads of a part slow.
    yield f"ALTER TABLE {tables.batches} ALTER COLUMN records SET STORAGE EXTERNAL"
    yield f"CREATE INDEX batches_to_move ON {tables.batches} (sequence) WHERE records IS NOT NULL"
    yield (
        f"CREATE TABLE {tables.changes} (sequence bigint, ordinal integer, model {_TEXT}, resource_id {_TEXT},"
        " version bigint NOT NULL, kind text NOT NULL, PRIMARY KEY (sequence, ordinal))"
    )
    # The claims of live resources. The decision allows no claim twice, and the key never has to refuse a row.
    yield (
        f"CREATE TABLE {tables.claims} (model {_TEXT}, unique_set {_TEXT}, digest {_TEXT}, resource_id {_TEXT},"
        " PRIMARY KEY (model, unique_set, digest))"
    )
    # References of live resources with an action on the delete of their target.
    yield (
        f"CREATE TABLE {tables.references} (target_model {_TEXT}, target_id {_TEXT}, model {_TEXT},"
        f" resource_id {_TEXT}, field {_TEXT}, on_delete text NOT NULL,"
        " PRIMARY KEY (target_model, target_id, model, resource_id, field))"
    )


def _create_side_tables(tables: StoreTables) -> Iterator[str]:
    """Yield the statements for models, idempotency keys, on-delete tasks and erasures."""
    yield f"CREATE TABLE {tables.models} (folder {_TEXT} PRIMARY KEY)"
    yield f"CREATE TABLE {tables.contracts} (model {_TEXT} PRIMARY KEY, contract text NOT NULL)"
    yield (
        f"CREATE TABLE {tables.keys} (model {_TEXT}, key {_TEXT}, fingerprint text NOT NULL, expires {_TEXT},"
        f" resource_id {_TEXT}, PRIMARY KEY (model, key))"
    )
    yield f"CREATE INDEX idempotency_keys_by_resource ON {tables.keys} (model, resource_id)"
    yield (
        f"CREATE TABLE {tables.tasks} (model {_TEXT}, resource_id {_TEXT}, time {_TEXT}, by text,"
        " PRIMARY KEY (model, resource_id, time))"
    )
    yield (
        f"CREATE TABLE {tables.erasures} (sequence bigint, ordinal integer, is_purged boolean NOT NULL,"
        " deferred boolean NOT NULL, model text, resource_id text, version bigint,"
        " PRIMARY KEY (sequence, ordinal, is_purged))"
    )
    yield (
        f"CREATE TABLE {tables.blob_erasures} (model {_TEXT}, key {_TEXT}, deferred boolean NOT NULL,"
        " PRIMARY KEY (model, key))"
    )
