"""Computes index values and claims anew, for a model that another form of it has written to."""

from typing import Any

from autocrud.schema.column_types import IndexValue
from autocrud.schema.model_spec import ModelSpec
from autocrud.schema.versions.stored_index import StoredIndex
from autocrud.storage.metadata.memory.indexes.row_index import RowIndex
from autocrud.storage.metadata.memory.store_tables import StoreTables
from autocrud.storage.metadata.memory.tables import MemoryTables
from autocrud.storage.metadata.scan.rows import Row
from autocrud.storage.ports.claims import Claim, claims_of
from autocrud.storage.row_view import row_of


def has_same_form(spec: ModelSpec[Any], other: ModelSpec[Any]) -> bool:
    """Return True if two specs have the same index columns and unique constraints."""
    forms = [
        (item.schema.version, list(item.index_fields), [unique.names for unique in item.unique_constraints])
        for item in (spec, other)
    ]
    return forms[0] == forms[1]


def respecify(store: StoreTables, tables: MemoryTables, spec: ModelSpec[Any]) -> None:
    """Give the tables of a model the columns and claims of another form of the model. References stay as they were.

    Raises:
        ConfigurationError: stored resources violate a unique constraint of the form. Nothing is changed.
    """
    stored_index = StoredIndex(spec)
    index_values = {name: _past_values(tables, stored_index, spec, name) for name in tables.commits}
    claims = {name: claims_of(spec.unique_constraints, values[-1]) for name, values in index_values.items()}
    _refuse_duplicates(tables, spec, claims)
    states = {name: store.resources[spec.folder, name]._replace(claims=claims[name]) for name in tables.rows}
    for name in states:
        store.release((spec.folder, name), store.resources[spec.folder, name])
    for name, state in states.items():
        store.resources[spec.folder, name] = state
        store.occupy((spec.folder, name), state)
    tables.spec, tables.index_values = spec, index_values
    tables.row_index = RowIndex(tables.rows)
    for name, row in tables.rows.items():
        index = index_values[name][-1]
        tables.rows[name] = Row(row.head, index, row_of(spec, row.head.meta, index), row.place)
        tables.row_index.change(None, tables.rows[name])
    stored_index.report()


def _past_values(
    tables: MemoryTables, stored_index: StoredIndex, spec: ModelSpec[Any], resource_id: str
) -> list[tuple[IndexValue, ...]]:
    """Return the index values after each commit of a resource."""
    nulls: tuple[IndexValue, ...] = (None,) * len(spec.index_fields)
    values = [nulls]
    for commit in tables.commits[resource_id]:
        if commit.locator is not None:
            data = tables.data[commit.locator]
            values.append(stored_index.stored_values(resource_id, data, commit.schema_version))
        else:
            values.append(values[-1] if commit.data_hash is None else nulls)
    return values[1:]


def _refuse_duplicates(tables: MemoryTables, spec: ModelSpec[Any], claims: dict[str, tuple[Claim, ...]]) -> None:
    claimed: set[Claim] = set()
    for name, row in tables.rows.items():
        for claim in () if row.head.is_deleted else claims[name]:
            if claim in claimed:
                (unique,) = (unique for unique in spec.unique_constraints if unique.names == claim.names)
                raise unique.duplicates_error(spec.type_name)
            claimed.add(claim)
