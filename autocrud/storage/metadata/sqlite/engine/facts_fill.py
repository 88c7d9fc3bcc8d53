"""Fills the claims and references of a model whose stored records lack some: a model that gained a rule."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from sqlite3 import Connection
from typing import Any, NamedTuple

from autocrud.errors import DataCorrupted
from autocrud.schema.column_types import IndexValue
from autocrud.schema.model_spec import ModelSpec
from autocrud.schema.versions.stored_index import StoredIndex
from autocrud.storage.index_backfill.column_state import claims_column
from autocrud.storage.metadata.sqlite.engine.claim_tables import Facts, add_facts
from autocrud.storage.metadata.sqlite.engine.file import StoreFile
from autocrud.storage.metadata.sqlite.tables import SqliteTables
from autocrud.storage.metadata.sqlite.versions.disputes import settle_dispute
from autocrud.storage.ports.claims import Claim, claims_of, references_of

logger = logging.getLogger(__name__)

_ROWS = 500  # of one transaction


class _Row(NamedTuple):
    """A head with its data, or with the locator of the data."""

    row: int
    resource_id: str
    version: int
    created_time: str
    schema_version: int
    is_deleted: int
    data: bytes | None
    locator: str


class FactsFill:
    """Computes claims and references from stored data, in slices, while writes go on.

    Args:
        read: returns the data at a locator.
    """

    def __init__(
        self, spec: ModelSpec[Any], tables: SqliteTables, file: StoreFile, read: Callable[[str], Awaitable[bytes]]
    ) -> None:
        self._spec = spec
        self._tables = tables
        self._file = file
        self._read = read
        self._filling = asyncio.Lock()
        self._filled_targets: dict[int, str] | None = None

    @property
    def lacks_references(self) -> bool:
        """True if references are to be filled before the next commit: their targets are new to this process."""
        return self._spec.reference_targets != (self._filled_targets or {})

    async def fill(self, *, only_claims: bool = False, strict: bool = False) -> None:
        """Fill what is missing.

        Args:
            only_claims: leave the references, whose targets are not known yet.
            strict: refuse resources that share unique values. Otherwise a later one has no claim.

        Raises:
            ConfigurationError: live resources share unique values.
        """
        async with self._filling:
            targets = dict(self._spec.reference_targets)
            find = self._tables.index_states.unfilled_facts
            unfilled = await self._file.short_reader.run(partial(find, only_claims=only_claims))
            for column, digits, after in unfilled:
                await self._fill(column, digits, after, strict=strict)
            if not only_claims:
                self._filled_targets = targets

    async def _fill(self, column: str, digits: str, after: int, *, strict: bool) -> None:
        stored_index = StoredIndex(self._spec)
        position: int | None = after
        while position is not None:
            rows = await self._file.short_reader.run(partial(self._rows, position))
            values = await self._values(stored_index, rows)
            position = rows[-1].row if len(rows) == _ROWS else None
            await self._file.write(partial(self._store, column, digits, position, values, strict))
            if position is not None:
                logger.info("%s: filled %s up to %r", self._spec.name, column, rows[-1].resource_id)

    def _rows(self, after: int, db: Connection) -> list[_Row]:
        columns = "row, resource_id, version, created_time, schema_version, is_deleted, head, head_locator"
        sql = f"SELECT {columns} FROM {self._tables.heads} WHERE row > ? ORDER BY row LIMIT {_ROWS}"
        return list(map(_Row._make, db.execute(sql, (after,))))

    async def _values(
        self, stored_index: StoredIndex, rows: Sequence[_Row]
    ) -> list[tuple[_Row, tuple[IndexValue, ...]]]:
        complete = [row if row.data is not None else row._replace(data=await self._large_data(row)) for row in rows]

        def compute() -> list[tuple[_Row, tuple[IndexValue, ...]]]:
            return [
                (row._replace(data=None), stored_index.stored_values(row.resource_id, row.data, row.schema_version))
                for row in complete
                if row.data is not None
            ]

        return await asyncio.to_thread(compute)

    async def _large_data(self, row: _Row) -> bytes | None:
        if not row.locator:
            return None
        try:
            return await self._read(row.locator)
        except DataCorrupted as error:  # or the resource has changed, and its write had claims and references
            logger.error("%s: %r has no claims and references: %s", self._spec.name, row.resource_id, error)
            return None

    def _store(
        self,
        column: str,
        digits: str,
        position: int | None,
        values: Sequence[tuple[_Row, tuple[IndexValue, ...]]],
        strict: bool,
        db: Connection,
    ) -> None:
        spec, tables = self._spec, self._tables
        is_claims = column == claims_column(spec)
        row_numbers = json.dumps([row.row for row, _ in values])
        sql = f"SELECT row, version, created_time FROM {tables.heads} WHERE row IN (SELECT value FROM json_each(?))"
        unchanged = set(db.execute(sql, (row_numbers,)).fetchall())
        replaces = not tables.index_states.has_other_versions(db)
        for row, index in values:
            if (row.row, row.version, row.created_time) not in unchanged:
                continue
            key = tables.folder, row.resource_id
            if replaces:
                # Facts of rules that the model no longer has go. Other versions may still have these rules.
                table = "claims" if is_claims else "stored_references"
                db.execute(f"DELETE FROM {table} WHERE model = ? AND resource_id = ?", key)
            live = not row.is_deleted
            if is_claims:
                facts = Facts(claims_of(spec.unique_constraints, index), (), live)
            else:
                facts = Facts((), references_of(spec.index_fields, spec.reference_targets, index), live)
            for claim, holder in add_facts(db, key, facts):
                self._settle_dispute(db, row.resource_id, claim, holder, strict=strict)
        tables.index_states.set_facts(db, column, digits, position)

    def _settle_dispute(self, db: Connection, resource_id: str, claim: Claim, holder: str, *, strict: bool) -> None:
        if strict:
            unique = next(unique for unique in self._spec.unique_constraints if unique.names == claim.names)
            raise unique.duplicates_error(self._spec.type_name)
        settle_dispute(db, self._tables, resource_id, claim, holder)
