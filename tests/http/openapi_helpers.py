"""Helpers that read OpenAPI documents, whose parts are partly references to components."""

from collections.abc import Iterator
from typing import Any


def resolve(document: dict[str, Any], part: Any) -> Any:
    """Return a part of a document, or the component that it refers to."""
    while isinstance(part, dict) and "$ref" in part:
        _, *path = part["$ref"].split("/")
        part = document
        for name in path:
            part = part[name]
    return part


def operations_of(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield the path, the method and the object of each operation."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def parameters_of(document: dict[str, Any], path: str, method: str = "get") -> dict[str, dict[str, Any]]:
    """Return the parameters of an operation by name."""
    parameters = [resolve(document, item) for item in document["paths"][path][method].get("parameters", [])]
    return {item["name"]: item for item in parameters}


def example_of(document: dict[str, Any], content: dict[str, Any]) -> Any:
    """Return the first example of a media type."""
    return resolve(document, next(iter(content["examples"].values())))["value"]
