"""Filters in OpenAPI: a parameter per index field, and an object of all operators per model."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Any

from pydantic import TypeAdapter

from autocrud.errors import ConfigurationError
from autocrud.query import regex
from autocrud.query.filter_values import MAX_VALUES
from autocrud.query.operators import Operand, Operator, OperatorSpec
from autocrud.query.resolver import Resolver
from autocrud.routes.openapi.components import Components, with_components
from autocrud.routes.openapi.list_schemas import list_schema
from autocrud.routes.request.filters import LIST_VALUED, RESERVED
from autocrud.schema.column_types import MAX_TEXT_BYTES
from autocrud.schema.index_field import FilterBounds, IndexField
from autocrud.schema.scalar_types import non_null

_TEXT: dict[str, Any] = {"type": "string", "maxLength": MAX_TEXT_BYTES, "pattern": r"^[^\x00]*$"}
_PATTERN: dict[str, Any] = {**_TEXT, "maxLength": regex.MAX_LENGTH}
_INTEGER: dict[str, Any] = {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1}
# Schemas of values that many filters have, by the names of their components.
_SHARED = {"FilterText": _TEXT, "FilterInteger": _INTEGER, "FilterPattern": _PATTERN}
_SCHEMAS: dict[Operand, dict[str, Any]] = {
    Operand.text: _TEXT,
    Operand.pattern: _PATTERN,
    Operand.flag: {"type": "boolean"},
}
_OBJECT_NAMES = ("filter", "filters", "filter_by", "filter_fields")
_METADATA_NAMES = ("metadata", "meta_filter", "metadata_filter", "filter_metadata")


class FilterStyle(StrEnum):
    """Form of the filters in OpenAPI. Requests may use all filters in each form."""

    compact = "compact"
    full = "full"
    none = "none"


def check_filter_style(style: str) -> FilterStyle:
    """Return the form of this name.

    Raises:
        ConfigurationError: no form has the name.
    """
    if style not in set(FilterStyle):
        choices = ", ".join(FilterStyle)
        raise ConfigurationError(f"openapi_filters must be one of {choices}, not {style!r}", argument="openapi_filters")
    return FilterStyle(style)


class FilterParameters:
    """The filters of one model as OpenAPI parameters.

    Args:
        label: the model's label, for the names of the components.
    """

    def __init__(self, resolver: Resolver, label: str, style: FilterStyle) -> None:
        self._resolver = resolver
        self._label = label
        self._style = style

    def complete(self, operation: dict[str, Any], components: Components) -> None:
        """Add the filters to the parameters of an operation."""
        parameters: list[dict[str, Any]] = operation.setdefault("parameters", [])
        match self._style:
            case FilterStyle.compact:
                parameters += [self._add(item, components) for item in self._filters if item.is_plain]
                parameters += self._object_parameters(components)
            case FilterStyle.full:
                parameters += [self._add(item, components) for item in self._filters]
            case FilterStyle.none:
                pass

    def _add(self, item: "_Filter", components: Components) -> dict[str, Any]:
        """Add a filter as a parameter of its own. Return the reference to it."""
        return components.add_parameter(self._component_name(item.name), lambda: item.parameter(components))

    def _object_parameters(self, components: Components) -> Iterator[dict[str, Any]]:
        """Yield the object of the operators of the model's fields, and the object of the metadata filters."""
        used_names = {item.name for item in self._filters if item.is_plain}
        fields = [item for item in self._filters if not (item.is_plain or item.field.is_meta)]
        if fields:
            description = (
                f"Filters by operator: a member `field__operator` for each condition, such as `{fields[0].name}`. Each"
                " member is a query parameter of its own."
            )
            schema = components.add_schema(f"{self._label}Filter", lambda: _object_schema(fields, components))
            parameter = _object_parameter(_free_name(_OBJECT_NAMES, used_names), description, schema)
            yield components.add_parameter(f"{self._label}.operators", lambda: parameter)
        metadata = [item for item in self._filters if item.field.is_meta]
        description = (
            "Filters on the metadata: a member `field` or `field__operator` for each condition, such as `created_by` or"
            " `version__gte`. Each member is a query parameter of its own."
        )
        # A model with a field of the same name filters the metadata by another name.
        prefix = "" if all(item.path == item.field.name for item in metadata) else self._label
        schema = components.add_schema(f"{prefix}MetadataFilter", lambda: _object_schema(metadata, components))
        name = _free_name(_METADATA_NAMES, used_names)
        component_name = f"{prefix}.{name}" if prefix else name
        yield components.add_parameter(component_name, lambda: _object_parameter(name, description, schema))

    @cached_property
    def _filters(self) -> "list[_Filter]":
        resolver = self._resolver
        filters = [item for name in resolver.fields for item in _filters_of(resolver, name, self._label)]
        return filters + [
            item
            for reference, target in resolver.targets.items()
            for name in target.own_fields
            for item in _filters_of(target, name, self._label, reference)
        ]

    def _component_name(self, name: str) -> str:
        """Return the name of a parameter's component, with the characters escaped that OpenAPI forbids in it."""
        return re.sub(r"[^A-Za-z0-9._-]", lambda found: f"-{ord(found[0]):x}-", f"{self._label}.{name}")


@dataclass(frozen=True, kw_only=True)
class _Filter:
    """A filter: an index field with an operator.

    Args:
        path: name of the field in queries; of a referred model's field, with the reference.
        is_bare: True if the operator is the field's default operator.
        label: label of the model that is queried.
        reference: the reference whose target has the field; None for a field of the model.
    """

    field: IndexField
    path: str
    operator: Operator
    meaning: OperatorSpec
    is_bare: bool
    label: str
    reference: str | None

    @property
    def name(self) -> str:
        """Name of the query parameter."""
        is_free = self.is_bare and self.path not in RESERVED
        return self.path if is_free else f"{self.path}__{self.operator.value}"

    @property
    def is_plain(self) -> bool:
        """True for the default operator of the model's own field, a parameter of its own in the compact form."""
        return self.is_bare and self.reference is None and not self.field.is_meta

    @property
    def description(self) -> str:
        """Sentence for the document."""
        subject = f"`{self.path}`"
        if self.reference is not None:
            subject = f"`{self.reference}` refers to a resource whose `{self.path[len(self.reference) + 1 :]}`"
        return f"Only resources whose {subject} {self.meaning.predicate}."

    def member(self, components: Components) -> dict[str, Any]:
        """Return the schema of the filter as a member of an object; a list is a text, separated by commas."""
        value = self._value(components)
        if self.meaning.takes not in LIST_VALUED:
            return value
        return list_schema(self.field.kind, value, components, is_pair=self.meaning.takes is Operand.pair)

    def parameter(self, components: Components) -> dict[str, Any]:
        """Return the filter as a query parameter; a list is separated by commas."""
        schema, style, takes = self._value(components), {}, self.meaning.takes
        if takes in LIST_VALUED:
            limits = {"minItems": 2, "maxItems": 2} if takes is Operand.pair else {"maxItems": MAX_VALUES}
            schema = {"type": "array", "items": schema, **limits}
            style = {"style": "form", "explode": False}
        return {"name": self.name, "in": "query", "description": self.description, "schema": schema, **style}

    def _value(self, components: Components) -> dict[str, Any]:
        """Return the schema of one value; a reference for a schema that many fields share."""
        schema = _SCHEMAS.get(self.meaning.takes) or _value_schema(self.field, components, self.label)
        name = next((name for name, shared in _SHARED.items() if schema == shared), None)
        return schema if name is None else components.add_schema(name, schema.copy)


def _filters_of(resolver: Resolver, name: str, label: str, reference: str | None = None) -> Iterator[_Filter]:
    """Yield the filters of one index field, or of a field of the model that a reference points to."""
    path = name if reference is None else f"{reference}.{name}"
    bare = resolver.default_operator(name)
    for operator, meaning in resolver.operators[name].items():
        yield _Filter(
            field=resolver.fields[name],
            path=path,
            operator=operator,
            meaning=meaning,
            is_bare=operator is bare,
            label=label,
            reference=reference,
        )


def _object_schema(filters: list[_Filter], components: Components) -> dict[str, Any]:
    properties = {item.name: item.member(components) for item in filters}
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _object_parameter(name: str, description: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    # Without an example, Swagger UI would send a made-up value for every member.
    style = {"style": "form", "explode": True, "example": {}}
    return {"name": name, "in": "query", "description": description, "schema": schema, **style}


def _free_name(names: tuple[str, ...], used_names: set[str]) -> str:
    """Return the first name that no index field has. The name is for documents; it is not sent."""
    return next((name for name in names if name not in used_names), f"{names[0]}_")


def _value_schema(field: IndexField, components: Components, label: str) -> dict[str, Any]:
    """Return the JSON schema of a field's values, without null: the operator `is_null` selects nulls."""
    annotation: Any = Annotated[non_null(field.annotation), FilterBounds()]
    # Alone, an enum would be written out; as the type of items it becomes a definition.
    schema = TypeAdapter(list[annotation]).json_schema()
    names = components.add_definitions(schema.pop("$defs", {}), label)
    items = with_components(schema["items"], names)
    return {key: part for key, part in items.items() if key not in ("title", "default")}
