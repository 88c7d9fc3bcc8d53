"""Point in time: the states of resources after their commits, for reads at a past time."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

from autocrud.errors import ConfigurationError, InvalidData
from autocrud.resource import ResourceMeta, RevisionInfo, timestamp
from autocrud.schema.column_types import IndexValue
from autocrud.schema.model_spec import ModelSpec
from autocrud.schema.versions.stored_index import StoredIndex
from autocrud.storage.ports.types import Commit, Head

_READ_CONCURRENCY = 16  # at a time


def meta_at(commit: Commit, any_meta: ResourceMeta) -> ResourceMeta:
    """Return the metadata of a resource after a commit, derived from its metadata at any time."""
    return any_meta.model_copy(
        update={
            "version": commit.version,
            "current_revision_id": commit.revision_id,
            "total_revision_count": commit.total_revision_count,
            "is_deleted": commit.is_deleted,
            "updated_time": commit.time,
            "updated_by": commit.by,
            "schema_version": commit.schema_version,
            "status": commit.status,
        }
    )


def resource_at(
    commit: Commit, any_meta: ResourceMeta, info: RevisionInfo, data: bytes | None = None, locator: str | None = None
) -> Head:
    """Return a resource as of a commit.

    Args:
        any_meta: metadata of the resource at any time, for the fields that never change.
        info: the current revision at the commit, as of the commit.
        data, locator: data and its address; None if not loaded, or pruned.
    """
    meta = meta_at(commit, any_meta)
    return Head(
        resource_id=commit.resource_id,
        version=commit.version,
        is_deleted=commit.is_deleted,
        created_time=timestamp(any_meta.created_time),
        meta=meta.__pydantic_serializer__.to_json(meta),
        revision_info=info.__pydantic_serializer__.to_json(info),
        data=data,
        locator=locator or "",
    )


@dataclass(frozen=True, slots=True)
class PointInTimeRow:
    """State of a resource after a commit, with its end and its index values."""

    commit: Commit
    until: datetime | None
    index: tuple[IndexValue, ...]


def rows_of_commits(
    commits: Sequence[Commit], values: Mapping[int, tuple[IndexValue, ...]], no_values: tuple[IndexValue, ...]
) -> list[PointInTimeRow]:
    """Return the states of a resource.

    Args:
        commits: all commits of the resource, oldest first.
        values: index values of the commits with data, by version.
        no_values: index values of pruned data.
    """
    found: list[PointInTimeRow] = []
    index = no_values
    for number, commit in enumerate(commits):
        if commit.size is not None:  # later commits without data keep the data
            index = values.get(commit.version, no_values)
        until = commits[number + 1].time if number + 1 < len(commits) else None
        found.append(PointInTimeRow(commit, until, index))
    return found


def states_of(
    spec: ModelSpec[Any], commits: Sequence[Commit], values: Mapping[str, Mapping[int, tuple[IndexValue, ...]]]
) -> list[PointInTimeRow]:
    """Return the states of several resources.

    Args:
        commits: all commits, resource by resource, oldest first.
        values: the result of `read_index_values`.
    """
    no_values = (None,) * len(spec.index_fields)
    found: list[PointInTimeRow] = []
    for resource_id, group in groupby(commits, key=lambda commit: commit.resource_id):
        found += rows_of_commits(list(group), values.get(resource_id, {}), no_values)
    return found


async def read_index_values(
    spec: ModelSpec[Any],
    stored_index: StoredIndex,
    commits: Iterable[Commit],
    read: Callable[[str], Awaitable[bytes]],
    known_data: Mapping[str, bytes | None],
    *,
    lenient: bool = False,
) -> dict[str, dict[int, tuple[IndexValue, ...]]]:
    """Return the index values of the commits with data, by resource and version. Data is read concurrently.

    Args:
        read: returns the data at a locator.
        known_data: data of the last commit with data, by resource id, if loaded.
        lenient: store null for a value that does not fit its column.

    Raises:
        ConfigurationError: stored data does not fit a column.
    """
    with_data = [commit for commit in commits if commit.locator is not None]
    newest = {commit.resource_id: commit.version for commit in with_data}

    async def values_at(commit: Commit) -> tuple[IndexValue, ...]:
        data = known_data.get(commit.resource_id) if newest[commit.resource_id] == commit.version else None
        stored, version = await read(commit.locator or "") if data is None else data, commit.schema_version
        try:
            if stored_index.is_current(version) and not lenient:
                return spec.index_values(stored)
            # Steps may be slow, and the event loop must not wait for them.
            compute = stored_index.stored_values if lenient else stored_index.values
            return await asyncio.to_thread(compute, commit.resource_id, stored, version)
        except InvalidData as error:
            reasons = "; ".join(f"{item.field} {item.message}" for item in error.errors)
            raise ConfigurationError(f"{spec.type_name} {commit.revision_id!r}: {reasons}") from error

    found: dict[str, dict[int, tuple[IndexValue, ...]]] = {}
    for start in range(0, len(with_data), _READ_CONCURRENCY):
        chunk = with_data[start : start + _READ_CONCURRENCY]
        for commit, index in zip(chunk, await asyncio.gather(*map(values_at, chunk)), strict=True):
            found.setdefault(commit.resource_id, {})[commit.version] = index
    return found
