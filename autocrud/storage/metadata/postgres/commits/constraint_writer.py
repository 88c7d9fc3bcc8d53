"""Adds the claims and references that a model derives from stored data to the heads of its resources."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from autocrud.schema.column_types import IndexValue
from autocrud.schema.model_spec import ModelSpec
from autocrud.schema.unique_constraints import UniqueConstraint
from autocrud.storage.index_backfill.engine import NotUnique
from autocrud.storage.metadata.postgres.commits.constraints import decode_constraints, encode_constraints
from autocrud.storage.metadata.postgres.commits.model_plan import changed_references
from autocrud.storage.metadata.postgres.shared_store import SharedStore
from autocrud.storage.metadata.postgres.tables import PostgresTables, columns_of
from autocrud.storage.ports.claims import Claim, StoredReference, claims_of, references_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class IndexedRow:
    """A stored resource with the index values of its data, as the model computes them now."""

    resource_id: str
    version: int
    created_time: datetime
    index: tuple[IndexValue, ...]


class ConstraintWriter:
    """Adds the claims and references that the model derives from stored data to the heads.

    Claims and references that other versions of the model have added stay.
    """

    def __init__(self, spec: ModelSpec[Any], store: SharedStore, tables: PostgresTables) -> None:
        self._spec = spec
        self._store = store
        self._tables = tables
        self._load = (
            f"SELECT resource_id, version, created_time, is_deleted, constraints FROM {tables.heads}"
            " WHERE resource_id = ANY($1::text[])"
        )

    async def add(
        self, connection: Any, rows: Sequence[IndexedRow], *, strict: bool
    ) -> dict[str, list[UniqueConstraint]]:
        """Add the claims and references of these rows, unless a row was written since it was read.

        The open transaction has the store's lock. Returns the constraints of the claims that were left out, by
        resource.

        Args:
            strict: raise `NotUnique` if another resource holds a claim. Otherwise the claim is left out.
        """
        if not rows or not (self._spec.unique_constraints or self._spec.reference_targets):
            return {}
        found = await connection.fetch(self._load, [row.resource_id for row in rows])
        heads = {row[0]: tuple(row)[1:] for row in found}
        unchanged = [row for row in rows if heads.get(row.resource_id, ())[:2] == (row.version, row.created_time)]
        claims = {row.resource_id: claims_of(self._spec.unique_constraints, row.index) for row in unchanged}
        live = {row.resource_id for row in unchanged if not heads[row.resource_id][2]}
        refused = await self._store_claims(connection, {name: claims[name] for name in live}, strict=strict)
        updated: list[tuple[Any, ...]] = []
        deleted: list[tuple[Any, ...]] = []
        new: list[tuple[Any, ...]] = []
        for row in unchanged:
            resource_id, stored = row.resource_id, heads[row.resource_id][3]
            old_claims, old_references = decode_constraints(stored)
            accepted = [claim for claim in claims[resource_id] if (resource_id, claim) not in refused]
            references = self._references(row, old_references)
            merged = encode_constraints(list(dict.fromkeys((*old_claims, *accepted))), references)
            if merged != stored:
                updated.append((resource_id, merged))
            if resource_id in live:
                removed, added = changed_references(self._tables.model, resource_id, old_references, references)
                deleted += removed
                new += added
        store = self._store.tables
        statements = (self._tables.update_constraints, store.delete_references, store.insert_references)
        for sql, arguments in zip(statements, (updated, deleted, new), strict=True):
            if arguments:
                await connection.execute(sql, *columns_of(arguments))
        return self._disputed(refused)

    def _references(self, row: IndexedRow, stored: Sequence[StoredReference]) -> list[StoredReference]:
        """Return the references of a row: those of the model, and stored ones of fields that it does not know."""
        fields, targets = self._spec.index_fields, self._spec.reference_targets
        known_fields = {fields[number].name for number in targets}
        unknown = [reference for reference in stored if reference.field not in known_fields]
        return [*unknown, *references_of(fields, targets, row.index)]

    def _disputed(self, refused: Iterable[tuple[str, Claim]]) -> dict[str, list[UniqueConstraint]]:
        disputed: dict[str, list[UniqueConstraint]] = {}
        for resource_id, claim in refused:
            disputed.setdefault(resource_id, []).append(_constraint_of(self._spec, claim))
        return disputed

    async def _store_claims(
        self, connection: Any, claims: Mapping[str, Sequence[Claim]], *, strict: bool
    ) -> set[tuple[str, Claim]]:
        """Store claims of live resources. Return the resources and claims that another resource holds."""
        model, tables = self._tables.model, self._store.tables
        found = [(resource_id, claim) for resource_id, values in claims.items() for claim in values]
        if not found:
            return set()
        holders: dict[Claim, str] = {}
        names = columns_of([(model, *claim) for _, claim in found])
        for place, holder in await connection.fetch(tables.holders, *names):
            holders[found[place - 1][1]] = holder
        refused: set[tuple[str, Claim]] = set()
        new: list[tuple[Any, ...]] = []
        for resource_id, claim in found:
            holder = holders.setdefault(claim, "")
            if not holder:
                holders[claim] = resource_id
                new.append((model, *claim, resource_id))
            elif holder != resource_id:
                refused.add((resource_id, claim))
                self._report(resource_id, claim, strict=strict)
        if new:
            await connection.execute(tables.insert_claims, *columns_of(new))
        return refused

    def _report(self, resource_id: str, claim: Claim, *, strict: bool) -> None:
        if strict:
            raise NotUnique(_constraint_of(self._spec, claim))
        # Each version has a rule of its own for unique values, and holds its own writes to it alone.
        logger.warning(
            "%s: %r has unique values that another resource holds: %s",
            self._spec.name, resource_id, ", ".join(claim.names),
        )  # fmt: skip


def _constraint_of(spec: ModelSpec[Any], claim: Claim) -> UniqueConstraint:
    return next(unique for unique in spec.unique_constraints if unique.names == claim.names)
