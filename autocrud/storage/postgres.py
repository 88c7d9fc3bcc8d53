"""The PostgreSQL factory: metadata in PostgreSQL, the log in S3. For production, and for heavy queries."""

from collections.abc import Mapping
from typing import Literal, Unpack

from autocrud.errors import ConfigurationError
from autocrud.storage.identity.guard import COMPARE_INTERVAL_S
from autocrud.storage.model_storage import INLINE_LIMIT
from autocrud.storage.objects.s3.location import S3Location, S3Options, s3_location
from autocrud.storage.ports.storage import Check
from autocrud.storage.store import Store
from autocrud.storage.store_factory import StoreFactory

try:
    from autocrud.storage.metadata.postgres.connection import PostgresConnections
    from autocrud.storage.metadata.postgres.engine import PostgresEngine
    from autocrud.storage.metadata.sql.query_slots import QUERY_WAIT_S
    from autocrud.storage.objects.s3.store import S3ObjectStore
except ModuleNotFoundError as missing:
    raise ConfigurationError(
        f"The package {missing.name} is missing. Install it: pip install 'autocrud[postgres]'"
    ) from missing

SCHEMA = "autocrud"
POOL_SIZE = 10
STATEMENT_CACHE = 100
BACKLOG_LIMIT = 1024 * 1024 * 1024


class PostgresStorageFactory(StoreFactory):
    """Stores the models in tables of a PostgreSQL schema, and the log of all models under `<prefix>/log/` of a bucket.

    A commit waits for PostgreSQL alone. Its records are moved into the bucket within about a second.

    Args:
        postgres_url: `postgresql://user:password@host:port/database`.
        bucket: name of the bucket, or its location.
        schema: PostgreSQL schema of the tables; created if absent.
        pool_size: maximum number of connections per process.
        statement_cache: prepared statements per connection; 0 behind a pooler in transaction mode without support for
            prepared statements (PgBouncer before 1.21, or with `max_prepared_statements = 0`).
        inline_limit: bytes; data up to this size is read from PostgreSQL, larger data from the bucket.
        acknowledge: "committed" answers a write when PostgreSQL has it; "moved" when the bucket has it, too, so that
            the loss of PostgreSQL loses no acknowledged write.
        backlog_limit: bytes of records that wait for the bucket. Beyond it, writes are refused until the bucket is
            back.
        compare_interval: seconds between two comparisons of the bucket with what the process remembers.
        query_wait: seconds that a query waits for a slot. Counts, patterns, text searches, aggregates and exports use
            at most half of the connections.
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
        acknowledge: Literal["committed", "moved"] = "committed",
        backlog_limit: int = BACKLOG_LIMIT,
        compare_interval: float = COMPARE_INTERVAL_S,
        query_wait: float = QUERY_WAIT_S,
        **options: Unpack[S3Options],
    ) -> None:
        if acknowledge not in ("committed", "moved"):
            raise ConfigurationError(f'is "committed" or "moved", not {acknowledge!r}', argument="acknowledge")
        pool = PostgresConnections(postgres_url, size=pool_size, statement_cache=statement_cache, query_wait=query_wait)
        self._objects = S3ObjectStore(s3_location(bucket, **options))
        self._engine = PostgresEngine(
            pool,
            self._objects,
            schema=schema,
            inline_limit=inline_limit,
            backlog_limit=backlog_limit,
            waits_for_move=acknowledge == "moved",
            compare_interval=compare_interval,
        )
        super().__init__(Store(self._engine, f"postgres, schema {schema} at {pool.host}"))

    def checks(self) -> Mapping[str, Check]:
        return {"postgresql": self._engine.check, self._objects.name: self._check_bucket}

    async def _check_bucket(self) -> None:
        await self._objects.check()
        await self._engine.check_store()
