"""Column states: backfill progress of index columns, and the model version that each column is for."""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Generic, TypeVar

from autocrud.schema.column_types import ColumnKind
from autocrud.schema.index_field import IndexField
from autocrud.schema.model_spec import ModelSpec
from autocrud.schema.versions.column_names import marker_name, versioned

Place = TypeVar("Place")

# Versions of the conversion of a kind's values. Raise a version with each change, so that columns are filled again.
_CONVERSIONS = {ColumnKind.time: 2, ColumnKind.date: 2, ColumnKind.uuid: 2}


@dataclass(frozen=True, slots=True)
class FieldState(Generic[Place]):
    """Backfill progress of a field's columns.

    Attributes:
        after: last filled resource, in the form of the engine; None if all resources are filled.
        stale: True if a process without the field has written since the start of the backfill.
    """

    column: str
    signature: str
    after: Place | None
    done: int
    total: int
    stale: bool


def signature(field: IndexField) -> str:
    """Return a text for a field and the content of its column. Different contents have different texts.

    The text has only hexadecimal digits after the schema version, so a statement may contain it.
    """
    kind = f"{field.kind}{_CONVERSIONS.get(field.kind, '')}{'[]' if field.is_list else ''}"
    digits = sha256(f"{field.column} {field.path} {kind}".encode()).hexdigest()[:32]
    return f"{_signature_prefix(field.schema_version)}{digits}"


def point_in_time_signature(spec: ModelSpec[Any]) -> str:
    """Return the signature of the states of a temporal model."""
    digits = sha256(" ".join(["states", *sorted(map(signature, spec.index_fields))]).encode()).hexdigest()[:32]
    return f"{_signature_prefix(spec.schema.version)}{digits}"


def point_in_time_column(spec: ModelSpec[Any]) -> str:
    """Return the name for the states of a temporal model in the table of columns."""
    return versioned("states", spec.schema.version)


def claims_column(spec: ModelSpec[Any]) -> str:
    """Return the name for the claims of a model in the table of columns."""
    return versioned("claims", spec.schema.version)


def claims_signature(spec: ModelSpec[Any]) -> str:
    """Return the signature of the unique constraints of a model."""
    sets = [" ".join([unique.name, *map(signature, unique.fields)]) for unique in spec.unique_constraints]
    return _signature_of(spec, "claims", sets)


def references_column(spec: ModelSpec[Any]) -> str:
    """Return the name for the references of a model in the table of columns."""
    return versioned("references", spec.schema.version)


def references_signature(spec: ModelSpec[Any]) -> str:
    """Return the signature of a model's references to resources of the same store."""
    parts: list[str] = []
    for number, model in sorted(spec.reference_targets.items()):
        field = spec.index_fields[number]
        if field.ref is not None:
            parts.append(f"{field.name} {signature(field)} {model} {field.ref.on_delete} {field.ref.must_exist}")
    return _signature_of(spec, "references", parts)


def same_version_condition(version: int) -> str:
    """Return the SQL condition for the columns of a schema version."""
    return "signature NOT LIKE '%.%'" if version == 1 else f"signature LIKE '{_signature_prefix(version)}%'"


def stale_row_condition(version: int) -> str:
    """Return the SQL condition for rows written by another schema version since the backfill of their columns.

    A write of the own version sets the columns. Every other write keeps the columns, and counts up `version`.
    """
    marker = f'"{marker_name(version)}"'
    return f"schema_version <> {version} AND ({marker} IS NULL OR {marker} <> version)"


def _signature_of(spec: ModelSpec[Any], kind: str, parts: Iterable[str]) -> str:
    digits = sha256("\n".join([kind, *parts]).encode()).hexdigest()[:32]
    return f"{_signature_prefix(spec.schema.version)}{digits}"


def _signature_prefix(version: int) -> str:
    """Return the start of the signatures of a schema version. Version 1 has none, as stores from before versions."""
    return "" if version == 1 else f"{version}."
