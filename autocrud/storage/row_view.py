"""A resource as the row that queries see: what each of its columns holds."""

from collections.abc import Sequence
from typing import Any

from pydantic_core import from_json

from autocrud.query.conditions import Position, Query
from autocrud.query.evaluate import sort_key, value_in
from autocrud.schema.column_types import IndexValue
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.ports.types import Head

_HEAD_COLUMNS = {"created_time", "resource_id"}


def row_of(spec: ModelSpec[Any], meta: bytes, index: tuple[IndexValue, ...]) -> dict[str, IndexValue]:
    """Return the columns of a resource, from its metadata as JSON and its index values."""
    # The JSON holds texts, numbers and times in the form of the columns already.
    row: dict[str, IndexValue] = from_json(meta)
    row["is_deleted"] = int(row["is_deleted"] is True)
    for field, value in zip(spec.index_fields, index, strict=True):
        row[field.column] = value
    return row


def position_of(spec: ModelSpec[Any], query: Query, head: Head) -> Position:
    """Return the place of a head, with what data there is of it, in the order of a query."""
    columns = [key.field.column for key in query.order]
    if _HEAD_COLUMNS.issuperset(columns):
        row: dict[str, Any] = {"created_time": head.created_time, "resource_id": head.resource_id}
    else:
        row = row_of(spec, head.meta, spec.stored_values(head.data)[0])
    place = tuple(value_in(row, key.field) for key in query.order)
    if query.after is None or not spec.unique_constraints:
        return Position(place)
    unique = {field for constraint in spec.unique_constraints for field in constraint.fields}
    disputed = [key.field in unique for key in query.order]
    if any(disputed) and not _is_behind(query, place, query.after.values):
        # The columns of a unique value that schema versions dispute are null, and so stand behind all values.
        place = tuple(None if is_disputed else value for is_disputed, value in zip(disputed, place, strict=True))
    return Position(place)


def _is_behind(query: Query, place: Sequence[Any], after: Sequence[Any]) -> bool:
    columns = [key.field.column for key in query.order]
    key, after_key = (sort_key(query.order, dict(zip(columns, values, strict=True))) for values in (place, after))
    return key > after_key
