"""Creates the tables that the models of a store share, or rebuilds all tables from the log (invariant 6)."""

from typing import Any

import asyncpg

from autocrud.errors import ConfigurationError
from autocrud.storage.identity.store_identity import open_store
from autocrud.storage.metadata.postgres.commits.store_ddl import create_statements
from autocrud.storage.metadata.postgres.compiler import key_of, quote
from autocrud.storage.metadata.postgres.log.replay import Replay
from autocrud.storage.metadata.postgres.shared_store import SharedStore
from autocrud.storage.ports.objects import ObjectStore


async def prepare_store(store: SharedStore, objects: ObjectStore) -> str:
    """Create what is missing, in one transaction, and return the id of the store. Nodes take turns.

    Raises:
        ConfigurationError: the server loses acknowledged writes, or the user lacks a right.
        DataCorrupted: the bucket holds another store than the schema, or its log is damaged.
    """
    try:
        async with store.pool.dedicated_connection() as connection:
            await _check_durability(connection)
            async with connection.transaction():
                await connection.execute("SELECT pg_advisory_xact_lock($1)", key_of(store.schema))
                # Asked first: IF NOT EXISTS needs the right to create one even where there is one.
                if not await connection.fetchval("SELECT 1 FROM pg_namespace WHERE nspname = $1", store.schema):
                    await connection.execute(f"CREATE SCHEMA IF NOT EXISTS {quote(store.schema)}")
                store_id = await _prepare_tables(connection, store, objects)
            rows = await connection.fetch(store.tables.all_models)
            store.models |= {folder: store.unknown_tables(folder) for (folder,) in rows if folder not in store.models}
            return store_id
    except asyncpg.InsufficientPrivilegeError as error:
        raise ConfigurationError(f"PostgreSQL refuses: {error}", argument="postgres_url") from error


async def _prepare_tables(connection: Any, store: SharedStore, objects: ObjectStore) -> str:
    if await connection.fetchval("SELECT to_regclass($1)::text", store.tables.store):
        return await open_store(objects, str(await connection.fetchval(store.tables.store_id)))
    store_id = await open_store(objects, None)
    for statement in create_statements(store.tables):
        await connection.execute(statement)
    await connection.execute(store.tables.insert_store, store_id)
    await Replay(connection, store, objects, store_id).run()
    return store_id


async def _check_durability(connection: Any) -> None:
    if await connection.fetchval("SHOW synchronous_commit") == "off":
        raise ConfigurationError(
            "PostgreSQL has synchronous_commit=off, and would lose acknowledged writes in a crash. Set it to on for"
            " this user or database",
            argument="postgres_url",
        )
