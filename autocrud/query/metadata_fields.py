"""Metadata fields: the index fields of the metadata, which every model has."""

from datetime import datetime
from typing import Any

from pydantic import TypeAdapter

from autocrud.resource import RevisionStatus
from autocrud.schema.column_types import ColumnKind
from autocrud.schema.index_field import IndexField


def _field(name: str, kind: ColumnKind, annotation: Any) -> IndexField:
    return IndexField(name, kind, False, annotation, TypeAdapter(annotation), is_meta=True)


RESOURCE_ID = _field("resource_id", ColumnKind.text, str)
CREATED_TIME = _field("created_time", ColumnKind.datetime, datetime)

META_FIELDS = (
    RESOURCE_ID,
    CREATED_TIME,
    _field("updated_time", ColumnKind.datetime, datetime),
    _field("created_by", ColumnKind.text, str),
    _field("updated_by", ColumnKind.text, str),
    _field("status", ColumnKind.text, RevisionStatus),
    _field("version", ColumnKind.integer, int),
    _field("current_revision_id", ColumnKind.text, str),
    _field("total_revision_count", ColumnKind.integer, int),
    _field("schema_version", ColumnKind.integer, int),
    _field("is_deleted", ColumnKind.boolean, bool),
)
