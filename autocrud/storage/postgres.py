"""The PostgreSQL factory: metadata in PostgreSQL, records in S3. For production, and for heavy queries."""

from collections.abc import Mapping
from typing import Any, Unpack

from autocrud.errors import ConfigurationError
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.composite import INLINE_LIMIT, Storage
from autocrud.storage.model_folder.location import stored_folders
from autocrud.storage.objects.s3.location import S3Location, S3Options, s3_location
from autocrud.storage.ports.storage import Check, IStorage, IStorageFactory

try:
    from autocrud.storage.metadata.postgres.connection import PostgresConnections
    from autocrud.storage.metadata.postgres.store import PostgresMetaStore
    from autocrud.storage.metadata.postgres.stored_tables import stored_tables
    from autocrud.storage.objects.s3.store import S3ObjectStore
except ModuleNotFoundError as missing:
    raise ConfigurationError(
        f"The package {missing.name} is missing. Install it: pip install 'autocrud[postgres]'"
    ) from missing
from autocrud.storage.metadata.postgres.record_store import PostgresRecords

SCHEMA = "autocrud"
POOL_SIZE = 10
STATEMENT_CACHE = 100


class PostgresStorageFactory(IStorageFactory):
    """Stores each model in three tables of a PostgreSQL schema, and its records under `<prefix>/<model>/` of a bucket.

    Args:
        postgres_url: `postgresql://user:password@host:port/database`.
        bucket: name of the bucket, or its location.
        schema: of the tables; created if absent.
        pool_size: connections at most, of each process.
        statement_cache: prepared statements that a connection keeps; 0 behind a pooler in transaction mode that does
            not know them (PgBouncer before 1.21, or with `max_prepared_statements = 0`).
        inline_limit: bytes; data up to this size is read from PostgreSQL, larger data from the bucket.
        options: `endpoint_url`, `prefix`, `region`, `access_key`, `secret_key`, `create_bucket`, `timeout` and
            `public_url`, as `S3Location` describes them.
    """

    def __init__(
        self,
        postgres_url: str,
        bucket: str | S3Location,
        *,
        schema: str = SCHEMA,
        pool_size: int = POOL_SIZE,
        statement_cache: int = STATEMENT_CACHE,
        inline_limit: int = INLINE_LIMIT,
        **options: Unpack[S3Options],
    ) -> None:
        self._pool = PostgresConnections(postgres_url, size=pool_size, statement_cache=statement_cache)
        self._objects = S3ObjectStore(s3_location(bucket, **options))
        self._schema = schema
        self._inline_limit = inline_limit

    def build(self, spec: ModelSpec[Any]) -> IStorage:
        return Storage(spec, lambda: self._build_meta(spec), self._objects)

    async def stored_models(self) -> set[str]:
        folders = await stored_folders(self._objects)
        tables = await stored_tables(self._pool, self._schema)
        return folders | (tables - {folder.replace("-", "_") for folder in folders})

    async def open(self) -> None:
        await self._pool.open()
        await self._objects.open()

    async def close(self) -> None:
        await self._objects.close()
        await self._pool.close()

    def _build_meta(self, spec: ModelSpec[Any]) -> PostgresMetaStore:
        records = PostgresRecords(self._objects, spec.folder)
        return PostgresMetaStore(spec, self._pool, records, schema=self._schema, inline_limit=self._inline_limit)

    def checks(self) -> Mapping[str, Check]:
        return {"postgresql": self._pool.check, self._objects.name: self._objects.check}
