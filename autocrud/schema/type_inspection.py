"""Type inspection: split an annotation into scalars, list items, records and markers, and list a record's fields.

A record is a Pydantic model, a dataclass or a TypedDict.
"""

import dataclasses
import types
from collections import deque
from collections.abc import MutableSequence, MutableSet, Sequence, Set
from dataclasses import dataclass, field
from typing import Annotated, Any, NotRequired, Required, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, RootModel, TypeAdapter
from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError
from pydantic.fields import FieldInfo
from typing_extensions import ReadOnly, is_typeddict

from autocrud.schema.markers import Index

_LISTS = {list, set, frozenset, deque, Sequence, MutableSequence, Set, MutableSet}
_QUALIFIERS = {Required, NotRequired, ReadOnly}


def fields_of(record: Any) -> dict[str, FieldInfo]:
    """Return the fields of a record by Python name."""
    origin = get_origin(record) or record
    if isinstance(record, type) and issubclass(record, BaseModel):
        if not record.__pydantic_complete__:
            record.model_rebuild(raise_errors=False)
        return dict(record.model_fields)
    if dataclasses.is_dataclass(origin):
        declared = getattr(origin, "__pydantic_fields__", None)
        if declared is not None:
            return dict(declared)
    hints = get_type_hints(origin, include_extras=True)
    return {name: FieldInfo.from_annotation(_without_qualifiers(hint)) for name, hint in hints.items()}


@dataclass(slots=True)
class TypeParts:
    """The parts of one or more annotations, without None.

    Attributes:
        scalars: the types that are neither a list nor a record.
        items: the item types of lists.
        records: the types with fields.
        markers: the markers of `Annotated`.
    """

    scalars: list[Any] = field(default_factory=list)
    items: list[Any] = field(default_factory=list)
    records: list[Any] = field(default_factory=list)
    markers: list[Index] = field(default_factory=list)

    def add(self, annotation: Any) -> None:
        """Add the parts of an annotation."""
        origin, arguments = get_origin(annotation), get_args(annotation)
        alias = getattr(annotation, "__value__", getattr(annotation, "__supertype__", None))
        if alias is not None:
            self.add(alias)
        elif origin is Annotated:
            self.add(arguments[0])
            self.markers += markers_in(arguments[1:])
        elif origin in (Union, types.UnionType):
            for part in arguments:
                self.add(part)
        elif origin in _LISTS or (origin is tuple and arguments[1:] == (...,)):
            self.items.append(arguments[0] if arguments else Any)
        elif isinstance(annotation, type) and issubclass(annotation, RootModel):
            self.add(fields_of(annotation)["root"].annotation)
        elif is_record(origin or annotation):
            self.records += [] if annotation in self.records else [annotation]
        elif annotation is not type(None):
            self.scalars += [] if annotation in self.scalars else [annotation]


def markers_in(metadata: Sequence[Any]) -> list[Index]:
    """Return the markers in the metadata of `Annotated`."""
    return [item for item in metadata if isinstance(item, Index)]


def inspect_types(annotations: Sequence[Any]) -> TypeParts:
    """Return the parts of a union of annotations."""
    parts = TypeParts()
    for annotation in annotations:
        parts.add(annotation)
    return parts


def json_names(record: Any) -> set[str]:
    """Return the field names of a record in JSON, from Pydantic's schema; empty if Pydantic has no schema for it."""
    try:
        schema = TypeAdapter(record).json_schema(mode="serialization")
    except (PydanticUserError, PydanticSchemaGenerationError):
        return set()
    reference = schema.get("$ref")
    if reference:
        schema = schema["$defs"][reference.rpartition("/")[2]]
    return set(schema.get("properties", {}))


def is_record(annotation: Any) -> bool:
    """Return True if a type is a record."""
    if not isinstance(annotation, type):
        return is_typeddict(annotation)
    return issubclass(annotation, BaseModel) or dataclasses.is_dataclass(annotation) or is_typeddict(annotation)


def _without_qualifiers(hint: Any) -> Any:
    return _without_qualifiers(get_args(hint)[0]) if get_origin(hint) in _QUALIFIERS else hint
