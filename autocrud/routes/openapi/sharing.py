"""Sharing: moves parts that operations repeat into components, so that the document stays small."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic_core import to_jsonable_python

from autocrud.routes.openapi.components import Components

# FastAPI repeats the description in the schema, and derives the title from the name.
_DERIVED = ("title", "description")
_PROBLEM = "application/problem+json"
_REFERENCE_LENGTH = 50


@dataclass(frozen=True)
class _Part:
    """A part of an operation: the value of `key` in `container`.

    Args:
        kind: kind of the component that the part can become, such as `parameters`.
        names: names for the component, the shortest first.
    """

    container: Any
    key: Any
    kind: str
    names: tuple[str, ...]

    @property
    def value(self) -> Any:
        """The part itself."""
        return self.container[self.key]


def share_parts(operations: list[dict[str, Any]], components: Components) -> None:
    """Replace the parameters, answers and examples that operations repeat by references to components.

    A part that is as short as a reference stays.
    """
    for operation in operations:
        _compact(operation)
    for kind in ("examples", "parameters", "responses"):
        parts = [part for operation in operations for part in _parts_of(operation) if part.kind == kind]
        counts = Counter(_key_of(part.value) for part in parts)
        for part in parts:
            key = _key_of(part.value)
            if counts[key] > 1 and len(key) > _REFERENCE_LENGTH:
                part.container[part.key] = components.add(part.kind, part.names, part.value)


def _key_of(value: Any) -> str:
    """Return a text that is equal for equal parts, whatever the order of their members."""
    return json.dumps(to_jsonable_python(value), sort_keys=True)


def drop_derived_titles(components: Components) -> None:
    """Remove the titles that Pydantic has derived from the names of components and members."""
    for component_name, component in components.schemas.items():
        if component.get("title") == component_name:
            del component["title"]
        for name, member in component.get("properties", {}).items():
            if isinstance(member, dict) and member.get("title") == name.replace("_", " ").title():
                del member["title"]


def _compact(operation: dict[str, Any]) -> None:
    """Remove derived texts, and move each example from its schema to its media type, so that equal parts are equal."""
    for parameter in operation.get("parameters", []):
        schema = parameter.get("schema", {})
        for key in [key for key, part in schema.items() if key in _DERIVED or part == []]:
            del schema[key]
        if parameter.get("required") is False:
            del parameter["required"]
    for _, content in _contents(operation):
        schema = content.get("schema", {})
        schema.pop("title", None)
        examples = schema.pop("examples", [])
        example = content.pop("example", next(iter(examples), None))
        if example is not None:
            content["examples"] = {"default": {"value": example}}


def _contents(operation: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the media types of a request and of its answers, each with the status or `request`."""
    for content in operation.get("requestBody", {}).get("content", {}).values():
        yield "request", content
    for status, response in operation["responses"].items():
        for content in response.get("content", {}).values():
            yield status, content


def _parts_of(operation: dict[str, Any]) -> Iterator[_Part]:
    """Yield the parts of an operation that may become components."""
    label, operation_id = (operation.get("tags") or [""])[0], operation["operationId"]
    parameters = operation.get("parameters", [])
    for index, parameter in enumerate(parameters):
        if "name" in parameter:
            name = parameter["name"]
            yield _Part(parameters, index, "parameters", (name, f"{label}.{name}", f"{operation_id}.{name}"))
    for status, content in _contents(operation):
        for name in content.get("examples", {}):
            yield _Part(content["examples"], name, "examples", (label, f"{operation_id}.{status}"))
    for status, response in operation["responses"].items():
        number = "" if status == "default" else status
        if _PROBLEM in response.get("content", {}):
            yield _Part(operation["responses"], status, "responses", (number or "Problem",))
        else:
            names = (f"{label}{number}", f"{operation_id}.{status}")
            yield _Part(operation["responses"], status, "responses", names)
