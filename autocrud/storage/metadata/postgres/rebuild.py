"""Rebuilds the tables of a model from its records alone (invariant 6)."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass, field
from itertools import groupby
from typing import Any

from autocrud.errors import DataCorrupted
from autocrud.resource import CommitKind, revision_number
from autocrud.schema.model_spec import ModelSpec
from autocrud.schema.versions.stored_index import StoredIndex
from autocrud.storage.commit_log.locator import parse_locator
from autocrud.storage.commit_log.record_codec import data_span, decode_record, parse_record
from autocrud.storage.index_backfill.column_state import signature
from autocrud.storage.metadata.postgres.history_tables import commit_row
from autocrud.storage.metadata.postgres.record_store import PostgresRecords
from autocrud.storage.metadata.postgres.tables import PostgresTables, columns_of
from autocrud.storage.ports.types import Blob, Write, on_delete_task_of

logger = logging.getLogger(__name__)

_ROWS = 200
_STAGE = "autocrud_rebuild"


@dataclass(frozen=True, slots=True)
class _Record:
    """A record of the object store.

    Attributes:
        place: the record's place.
        previous_record: the place of the record before it in the resource's history.
        first_record: the place of the history's first record, in the record of a purge.
        created_time: of the resource.
    """

    place: str
    previous_record: str | None
    first_record: str | None
    created_time: str
    write: Write


async def rebuild(connection: Any, spec: ModelSpec[Any], tables: PostgresTables, records: PostgresRecords) -> None:
    """Fill empty tables from the records, within the open transaction.

    Records of rolled-back transactions may be among them. If two records have the same version of a resource, a later
    record names the one that counts as its predecessor. If no record does, the record in the later object counts.

    Raises:
        DataCorrupted: a line is not a record.
    """
    if not await _stage(connection, tables, records):
        return
    done, after = 0, ""
    released: set[str] = set()
    stored_index = StoredIndex(spec)
    while ids := await _next_ids(connection, after):
        found = await connection.fetch(
            f"SELECT resource_id, place, line FROM {_STAGE} WHERE resource_id = ANY($1::text[])"
            " ORDER BY resource_id, version, place",
            ids,
        )
        rebuilt = _Rebuilt()
        for _, group in groupby(found, key=lambda row: row[0]):
            items = [_decode(spec, place, line, stored_index) for _, place, line in group]
            rebuilt.add(tables, *_history(items))
            # Tasks of rolled-back deletes too: without a delete, such a task has no effect.
            rebuilt.pending += [astuple(on_delete_task_of(item.write)) for item in items if item.write.has_task]
        await rebuilt.store(connection, tables)
        released.update(rebuilt.released)
        done, after = done + len(ids), ids[-1]
        logger.info("%s: rebuilt %d resources from their records", spec.name, done)
    # Not before all references are known.
    await connection.execute(tables.side_tables.delete_orphans, list(released), False)
    await connection.execute(f"DROP TABLE {_STAGE}")
    stored_index.report()
    # The values may have been replaced since: the backfill finds the errors.
    for unfit_field in stored_index.unfit_fields:
        await connection.execute(tables.index_states.begin, unfit_field.column, signature(unfit_field), "", done)


@dataclass
class _Rebuilt:
    """Rows of the tables, for a page of resources."""

    heads: list[tuple[Any, ...]] = field(default_factory=list)
    commits: list[tuple[Any, ...]] = field(default_factory=list)
    states: list[tuple[Any, ...]] = field(default_factory=list)
    references: list[tuple[str, int, str]] = field(default_factory=list)
    keys: list[tuple[str, str, str, str]] = field(default_factory=list)
    erasures: list[tuple[str, bool]] = field(default_factory=list)
    released: list[str] = field(default_factory=list)
    pending: list[tuple[Any, ...]] = field(default_factory=list)

    def add(self, tables: PostgresTables, history: Sequence[_Record], dead_records: Sequence[_Record]) -> None:
        """Add one resource: its commits, and the records of its purged lives."""
        self.erasures += [(item.place, False) for item in dead_records]
        self.released += [file_id for item in dead_records for file_id in item.write.blobs]
        if not history:
            return
        self.heads.append(_head_row(tables, history))
        pruned = _pruned_versions(history)
        self.states += _state_rows(tables, history, pruned)
        for item in history:
            write, locator = item.write, _locator(item)
            if write.meta.version in pruned:
                self.released += write.blobs
                if locator is not None:
                    self.erasures.append((locator, True))
                    locator = None
            else:
                self.references += [(write.meta.resource_id, write.meta.version, file_id) for file_id in write.blobs]
            self.commits.append(commit_row(write, locator, item.place))
            if write.key:
                self.keys.append((write.key.key, write.key.fingerprint, write.key.expires, write.meta.resource_id))

    async def store(self, connection: Any, tables: PostgresTables) -> None:
        """Insert the rows."""
        for sql, values in (
            (tables.insert, self.heads),
            (tables.history.insert_commits, self.commits),
            (tables.states.insert, self.states),
            (tables.side_tables.insert_references, self.references),
            (tables.side_tables.insert_missing_keys, self.keys),
            (tables.side_tables.on_delete_tasks.insert, self.pending),
            (tables.history.insert_erasures, self.erasures),
        ):
            if values:
                await connection.execute(sql, *columns_of(values))


def _state_rows(tables: PostgresTables, history: Sequence[_Record], pruned: set[int]) -> Iterator[tuple[Any, ...]]:
    """Yield the states of a temporal model, one for each commit."""
    no_values = (None,) * len(tables.fields)
    index: tuple[Any, ...] = no_values
    for number, item in enumerate(history if tables.states.temporal else ()):
        meta = item.write.meta
        if item.write.revision is not None:  # the commits that follow leave the data as it is
            index = no_values if meta.version in pruned else item.write.index
        until = history[number + 1].write.meta.updated_time if number + 1 < len(history) else None
        yield tables.states.row(meta, until, tables.index_row(index))


def _pruned_versions(history: Sequence[_Record]) -> set[int]:
    """Return the versions whose data was pruned."""
    revision_ids: dict[int, str] = {}
    pruned: set[int] = set()
    for item in history:
        write, meta = item.write, item.write.meta
        if write.revision is not None:
            revision_ids[meta.version] = write.revision.revision_id
        if write.prunes:
            newly_pruned = {
                version
                for version, revision_id in revision_ids.items()
                if revision_number(meta.resource_id, revision_id) <= write.prunes
                and revision_id != meta.current_revision_id
            }
            pruned |= newly_pruned
            revision_ids = {
                version: revision_id for version, revision_id in revision_ids.items() if version not in newly_pruned
            }
    return pruned


async def _stage(connection: Any, tables: PostgresTables, records: PostgresRecords) -> bool:
    """Gather all records in a temporary table, so that those of one resource come together."""
    await connection.execute(
        f'CREATE TEMPORARY TABLE {_STAGE} (resource_id text COLLATE "C", version bigint, place text COLLATE "C",'
        " line bytea) ON COMMIT DROP"
    )
    has_records = False
    blobs: dict[str, tuple[Any, ...]] = {}
    async for lines in records.lines():
        values = []
        for place, line in lines:
            try:
                record = parse_record(line)
                if "blob" in record:
                    blob = Blob(**record["blob"])
                    blobs[blob.key] = (blob.file_id, blob.size, blob.key, blob.created_time, place)
                    continue
                meta = record["meta"]
                values.append((meta["resource_id"], meta["version"], place, line))
            except (ValueError, KeyError, TypeError) as error:
                raise DataCorrupted(f"{place} is not a record.") from error
        if values:
            has_records = True
            insert = f"INSERT INTO {_STAGE} SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[], $4::bytea[])"
            await connection.execute(insert, *columns_of(values))
    await connection.execute(f"CREATE INDEX ON {_STAGE} (resource_id)")
    # A blob whose object is gone was given up, or never came to be.
    present_blobs = [blobs[key] async for key in records.blob_keys() if key in blobs] if blobs else []
    if present_blobs:
        await connection.execute(tables.side_tables.insert_missing_blobs, *columns_of(present_blobs))
    return has_records


async def _next_ids(connection: Any, after: str) -> list[str]:
    sql = f"SELECT DISTINCT resource_id FROM {_STAGE} WHERE resource_id > $1 ORDER BY resource_id LIMIT {_ROWS}"
    return [resource_id for (resource_id,) in await connection.fetch(sql, after)]


def _decode(spec: ModelSpec[Any], place: str, line: bytes, stored_index: StoredIndex) -> _Record:
    try:
        write = decode_record(spec, line, stored_index)
        record = parse_record(line)
    except (ValueError, LookupError) as error:
        raise DataCorrupted(f"{place} is not a record.") from error
    if isinstance(write, Blob):
        raise DataCorrupted(f"{place} is a blob's record.")
    return _Record(place, record.get("after"), record.get("begun"), record["meta"]["created_time"], write)


def _history(found: Sequence[_Record]) -> tuple[list[_Record], list[_Record]]:
    """Return one resource's history, oldest first, and the records of its purged lives.

    An id that was purged and used again has had several lives.
    """
    dead_records: list[_Record] = []
    live_chains: list[list[_Record]] = []
    for life in _lives(found):
        chain = _chain(life)
        if _is_ended(chain, life):
            dead_records += [item for item in life if item.write.kind is not CommitKind.purge]
        else:
            live_chains.append(chain)
    # Of two living chains, a rolled-back transaction created one, which is in one object for ever.
    return max(
        live_chains, key=lambda chain: (len(set(map(_object_of, chain))) > 1, chain[-1].place), default=[]
    ), dead_records


def _lives(found: Sequence[_Record]) -> Iterator[list[_Record]]:
    """Yield the lives of an id. Each life has its own creation time, unless an import has repeated the time.

    Then the first record tells the lives apart: each record names its predecessor, and a purge names the first record.
    Records that lead to no first record belong to a life that was purged in part.
    """
    by_time: dict[str, list[_Record]] = {}
    for item in found:
        by_time.setdefault(item.created_time, []).append(item)
    for items in by_time.values():
        purges = [item for item in items if item.write.kind is CommitKind.purge]
        if not purges or any(item.first_record is None for item in purges):
            yield items
            continue
        firsts: dict[str, str] = {}
        lives: dict[str, list[_Record]] = {}
        for item in sorted(items, key=lambda item: item.write.meta.version):
            first = item.first_record or (
                firsts.get(item.previous_record or "", "") if item.write.follows else item.place
            )
            firsts[item.place] = first
            lives.setdefault(first, []).append(item)
        if "" in lives:
            lives[""].append(purges[0])
        yield from lives.values()


def _object_of(item: _Record) -> str:
    return parse_locator(item.place)[0]


def _is_ended(chain: Sequence[_Record], life: Sequence[_Record]) -> bool:
    """Return True if a life was purged.

    Raises:
        DataCorrupted: the life was not purged, and records of it are missing.
    """
    if chain[-1].write.kind is CommitKind.purge:
        return True
    first = chain[0].write
    versions = [item.write.meta.version for item in chain]
    if first.follows == 0 and versions == list(range(first.meta.version, first.meta.version + len(chain))):
        return False
    # What a purge has blanked is missing too, and a record that was rolled back may stand above the purge.
    if any(item.write.kind is CommitKind.purge for item in life):
        return True
    resource_id = chain[-1].write.meta.resource_id
    raise DataCorrupted(f"Of {resource_id!r} there are records up to {chain[-1].place}, and not all of those before.")


def _chain(items: Iterable[_Record]) -> list[_Record]:
    """Return the history, built from the newest version down: each record names its predecessor."""
    by_version: dict[int, dict[str, _Record]] = {}
    for item in items:
        by_version.setdefault(item.write.meta.version, {})[item.place] = item
    chain: list[_Record] = []
    for version in sorted(by_version, reverse=True):
        existing = by_version[version]
        previous = existing.get(chain[-1].previous_record or "") if chain else None
        chain.append(previous or existing[max(existing)])
    return chain[::-1]


def _head_row(tables: PostgresTables, history: Sequence[_Record]) -> tuple[Any, ...]:
    last = history[-1].write
    data = next(item for item in reversed(history) if item.write.data is not None)
    return tables.head_row(last.meta, last.meta_json, data.write, _locator(data) or "")


def _locator(item: _Record) -> str | None:
    key, offset, length = parse_locator(item.place)
    start, size = data_span(item.write, length)
    return f"{key}:{offset + start}:{size}" if size else None
