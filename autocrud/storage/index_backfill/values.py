"""Index values of stored resources, for a backfill."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

from autocrud.errors import DataCorrupted, InvalidData
from autocrud.schema.column_types import IndexValue
from autocrud.schema.index_field import IndexField
from autocrud.schema.versions.stored_index import StoredIndex
from autocrud.storage.index_backfill.engine import ConversionError

_READ_CONCURRENCY = 8


def values_of(
    stored_index: StoredIndex, fields: Sequence[IndexField], resource_id: str, data: bytes, version: int
) -> tuple[IndexValue, ...]:
    """Return the values of index fields for the data of a resource in a schema version.

    Raises:
        ConversionError: a value does not fit its column.
    """
    try:
        return stored_index.values(resource_id, data, version, fields)
    except InvalidData as error:
        for field in fields:
            for problem in error.errors:
                if problem.field == field.name:
                    raise ConversionError(field, resource_id, problem.message) from error
        raise


async def read_large_values(
    stored_index: StoredIndex,
    fields: Sequence[IndexField],
    places: Mapping[tuple[str, str], int],
    read: Callable[[str], Awaitable[bytes]],
) -> dict[tuple[str, str], tuple[IndexValue, ...] | Exception]:
    """Return the index values of data outside the metadata, by resource and locator. An error replaces the values.

    The caller discards the values of resources changed meanwhile. The large data is not kept in memory.

    Args:
        places: the schema versions of the data, by the resource and the locator.
    """

    async def values(place: tuple[str, str]) -> tuple[IndexValue, ...] | Exception:
        resource_id, locator = place
        try:
            data, version = await read(locator), places[place]
            # Steps may be slow, and the event loop must not wait for them.
            return await asyncio.to_thread(values_of, stored_index, fields, resource_id, data, version)
        except (DataCorrupted, ConversionError) as error:
            return error

    found: dict[tuple[str, str], tuple[IndexValue, ...] | Exception] = {}
    for start in range(0, len(places), _READ_CONCURRENCY):
        chunk = list(places)[start : start + _READ_CONCURRENCY]
        found |= zip(chunk, await asyncio.gather(*map(values, chunk)), strict=True)
    return found
