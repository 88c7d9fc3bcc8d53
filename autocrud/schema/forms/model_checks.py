"""Model checks: refuse models whose values could not be stored without loss, with the field and the remedy."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn, get_origin

from pydantic import BaseModel, RootModel

from autocrud.errors import ConfigurationError
from autocrud.schema.forms.core_schemas import FIELD_TYPES, Node, children, has_user_serializer, is_secret, walk
from autocrud.schema.forms.default_checks import refuse_unfit_defaults
from autocrud.schema.forms.field_names import Record, label_of
from autocrud.schema.type_inspection import is_record

# This record leaves its inline bytes out on purpose: they are stored as a blob.
_BLOB_RECORD = "Binary"


def check_model(type_name: str, schema: Node, records: list[Record]) -> None:
    """Refuse a model that loses data between a write and a read.

    Args:
        schema: the core schema of the model.
        records: all records of the model.

    Raises:
        ConfigurationError: a field is excluded or a secret, two fields share a name, or a default does not fit.
    """
    for node in walk(schema):
        for name, item in _fields(node):
            label = f"{label_of(node) or type_name}.{name}"
            if item.get("serialization_exclude") and label_of(node) != _BLOB_RECORD:
                _refuse(label, "has exclude=True", "no answer would show the field", "remove exclude=True")
            if item.get("serialization_exclude_if") and not _has_default(item["schema"]):
                _refuse(label, "has exclude_if and no default", "a PUT of an answer would lack the field", "add one")
            if item.get("init_only") and not _has_default(item["schema"]):
                _refuse(label, "is an InitVar", "the value would not be stored", "give the field a default")
    for secret in _masked_secrets(schema, {}, type_name, False):
        raise ConfigurationError(
            f"{type_name}: {secret} is a secret: answers would have asterisks instead of its value, and a PUT of an"
            " answer would store them; add a serializer that writes the value"
        )
    for record in records:
        _check_names(record)
    refuse_unfit_defaults(type_name, schema)


def class_name(model: Any) -> str:
    """Return the name of a model's class.

    Raises:
        ConfigurationError: the object is no model class.
    """
    if is_record(get_origin(model) or model) and model not in (BaseModel, RootModel):
        return str(model.__name__)
    kind = model.__name__ if isinstance(model, type) else f"an instance of {type(model).__name__}"
    raise ConfigurationError(
        f"{kind} cannot be a model: give the class of a Pydantic model, a dataclass or a TypedDict"
    )


def _check_names(record: Record) -> None:
    names = {item.name for item in record.fields}
    shown_names = Counter([item.shown_name for item in record.fields] + sorted(record.computed))
    for item in record.fields:
        aliases = {item.shown_name, *(path[0] for path in item.sources if len(path) == 1)} - {item.name}
        for alias in sorted(map(str, aliases)):
            if alias in names:
                reason = "a client could mean either of them"
                _refuse(f"{record.label}.{item.name}", f"has the alias {alias!r}, the name of another field", reason)
            if alias in record.computed or item.name in record.computed:
                reason = "answers would have the name twice"
                _refuse(f"{record.label}.{item.name}", f"shares the name {alias!r} with a computed field", reason)
    for name, count in shown_names.items():
        if count > 1:
            _refuse(f"{record.label}.{name}", f"is one of {count} fields with this name in answers", "one is lost")


def _refuse(field: str, fault: str, consequence: str, remedy: str = "choose another alias") -> NoReturn:
    raise ConfigurationError(f"{field} {fault}: {consequence}; {remedy}")


def _fields(node: Node) -> Iterator[tuple[str, Node]]:
    fields = node.get("fields")
    if isinstance(fields, Mapping):
        yield from ((name, item) for name, item in fields.items() if item.get("type") in FIELD_TYPES)
    elif isinstance(fields, list) and node["type"] == "dataclass-args":
        yield from ((item["name"], item) for item in fields)


def _has_default(node: Node) -> bool:
    while "schema" in node and node["type"] != "default":
        node = node["schema"]
    return bool(node["type"] == "default")


def _masked_secrets(node: Node, definitions: dict[str, Node], name: str, is_written: bool) -> Iterator[str]:
    """Yield the fields that hold a secret without a serializer of the user.

    Args:
        name: the field that the node belongs to.
        is_written: True if a serializer of the user writes the value that the node is a part of.
    """
    is_written = is_written or has_user_serializer(node)
    if node["type"] == "definitions":
        definitions.update({item["ref"]: item for item in node["definitions"]})
    elif node["type"] == "definition-ref":
        target = definitions.pop(node["schema_ref"], None)  # each definition is searched at its first use
        if target is not None:
            yield from _masked_secrets(target, definitions, name, is_written)
        return
    if is_secret(node):
        if not is_written:
            yield name
        return
    for key, item in _fields(node):
        yield from _masked_secrets(item["schema"], definitions, key, is_written)
    for child in children(node, without=("definitions", "fields", "computed_fields")):
        yield from _masked_secrets(child, definitions, name, is_written)
