"""Default checks: refuse constant defaults that the field's own type does not accept.

Pydantic does not validate a default. A write without the field would store a value that nothing can read back.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError, SchemaValidator

from autocrud.errors import ConfigurationError
from autocrud.schema.forms.core_schemas import FIELD_TYPES, Node, has_user_validator, reading_schema, walk
from autocrud.schema.forms.field_names import label_of
from autocrud.schema.forms.stored_form import NotReadable, StoredForm, has_natural_default

_RECORD_TYPES = frozenset({"model-fields", "dataclass-args", "typed-dict"})
_PLAIN_KEYS = frozenset({"type", "metadata", "strict"})
# Errors of a validator that was not made for the default, such as None.
_VALIDATOR_ERRORS = (AttributeError, TypeError, LookupError, ArithmeticError)


def refuse_unfit_defaults(type_name: str, schema: Node) -> None:
    """Refuse a model with a constant default that could not be read back.

    Args:
        schema: the core schema of the model.

    Raises:
        ConfigurationError: a default does not fit its field; the error names field and remedy.
    """
    nodes = list(walk(schema))
    definitions = [item for node in nodes if node["type"] == "definitions" for item in node["definitions"]]
    for node in nodes:
        if node["type"] in ("model", "dataclass"):
            for name, default in _defaults(node["schema"]):
                if not _fits_at_sight(default):
                    label = f"{label_of(node) or type_name}.{name}"
                    _check_default(label, name, default, node.get("config") or {}, definitions)


def _check_default(label: str, name: str, node: Node, config: Mapping[str, Any], definitions: list[Node]) -> None:
    """Write the default and read it back, in a record with this field alone."""
    value = {name: node["default"]}
    schema: Any = {
        "type": "typed-dict",
        "fields": {name: {"type": "typed-dict-field", "schema": node["schema"], "required": True}},
        "config": dict(config),
    }
    if any(has_user_validator(part) and part["function"]["type"] == "with-info" for part in walk(node["schema"])):
        schema = reading_schema(schema)  # such a validator may need the other fields
    if any(part["type"] == "definition-ref" for part in walk(node["schema"])):
        schema = {"type": "definitions", "schema": schema, "definitions": definitions}
    try:
        validator = SchemaValidator(schema, _use_prebuilt=False)
        if node.get("validate_default", config.get("validate_default")):
            validator.validate_python(value)
            return
        form: StoredForm[Any] = StoredForm(schema, validator)
        data = form.dump(value)
        if not has_natural_default(node):
            data = form.check(value, data)
        validator.validate_json(data, by_alias=False, by_name=True)
    except ValidationError as error:
        _refuse(label, node["default"], error.errors(include_url=False, include_context=False)[0]["msg"])
    except (NotReadable, PydanticSerializationError) as error:
        _refuse(label, node["default"], str(error))
    except _VALIDATOR_ERRORS as error:
        _refuse(label, node["default"], f"its validator raises {type(error).__name__}: {error}")


def _refuse(label: str, default: Any, reason: str) -> NoReturn:
    raise ConfigurationError(
        f"{label} has the default {default!r}, which the field does not accept ({reason}): a write without the field"
        " could not be read back; choose a default that the type accepts, or let the type accept the default"
    )


def _defaults(node: Node) -> Iterator[tuple[str, Node]]:
    """Yield the name of each field of a record that has a constant default, and the node of the default."""
    while node["type"] not in _RECORD_TYPES:
        if "schema" not in node:
            return
        node = node["schema"]
    fields = node["fields"]
    pairs = fields.items() if isinstance(fields, Mapping) else [(item["name"], item) for item in fields]
    for name, item in pairs:
        if item["type"] in FIELD_TYPES and item["schema"]["type"] == "default" and "default" in item["schema"]:
            yield name, item["schema"]


def _fits_at_sight(node: Node) -> bool:
    """Return True if a default needs no check: a value of a type without constraints, or None for an optional type."""
    inner = node["schema"]
    if inner["type"] == "nullable":
        if node["default"] is None:
            return True
        inner = inner["schema"]
    return inner.keys() <= _PLAIN_KEYS and inner["type"] not in ("float", "any") and has_natural_default(node)
