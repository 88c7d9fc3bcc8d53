"""Column states: backfill progress of index columns, and the model version that each column is for."""

from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Generic, TypeVar

from autocrud.schema.column_types import ColumnKind
from autocrud.schema.index_field import IndexField
from autocrud.schema.model_spec import ModelSpec

Place = TypeVar("Place")

# Versions of the conversion of a kind's values. Raise a version with each change, so that columns are filled again.
_CONVERSIONS = {ColumnKind.time: 2, ColumnKind.date: 2, ColumnKind.uuid: 2}

POINT_IN_TIME_COLUMN = "states"  # stands in place of a column for the states of a temporal model


@dataclass(frozen=True, slots=True)
class FieldState(Generic[Place]):
    """Backfill progress of a field's columns.

    Attributes:
        after: the last resource that is filled, as the engine finds it; None where all of them are.
        stale: a process that does not know the field has written since it began to be filled.
    """

    column: str
    signature: str
    after: Place | None
    done: int
    total: int
    stale: bool


def signature(field: IndexField) -> str:
    """Tells fields apart, and what their columns hold; hexadecimal digits, which can stand in a statement."""
    kind = f"{field.kind}{_CONVERSIONS.get(field.kind, '')}{'[]' if field.is_list else ''}"
    return sha256(f"{field.column} {field.path} {kind}".encode()).hexdigest()[:32]


def point_in_time_signature(spec: ModelSpec[Any]) -> str:
    """Tells what the states of a temporal model hold, as `signature` does of a column."""
    return sha256(" ".join(["states", *sorted(map(signature, spec.index_fields))]).encode()).hexdigest()[:32]
