"""OpenAPI document of an application: completes FastAPI's document with the parts of a registry's operations."""

from collections.abc import Callable, Iterator, MutableMapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from fastapi import FastAPI

from autocrud.routes.openapi.components import Components, with_components
from autocrud.routes.openapi.partial_schemas import CUT, ref_to
from autocrud.routes.openapi.sharing import drop_derived_titles, share_parts
from autocrud.routes.response.descriptions import without_sections
from autocrud.routes.response.problems import MEDIA_TYPE, Problem

# Completes the object of an operation in the document, and adds the components that the operation needs.
Completion = Callable[[dict[str, Any], Components], None]


class Document:
    """The OpenAPI document of one application, with the operations of its registries."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self._completions: dict[tuple[str, str], tuple[str, Sequence[Completion]]] = {}
        self._installed: Callable[[], dict[str, Any]] | None = None
        self._completed: dict[str, Any] | None = None

    def add(self, path: str, method: str, operation_id: str, completions: Sequence[Completion]) -> None:
        """Complete an operation in the document, unless a route with another operation id has replaced it."""
        self._completions[path, method.lower()] = (operation_id, completions)

    def install(self) -> None:
        """Complete the documents of the application's `openapi` method, also if the application has replaced it."""
        # FastAPI caches the document; routes may have changed.
        self._app.openapi_schema = None
        generate: Callable[[], dict[str, Any]] = self._app.openapi
        if generate is self._installed:
            return

        def openapi() -> dict[str, Any]:
            document = generate()
            # The application's method may return the same object again.
            if document is not self._completed:
                self._complete(document)
                self._completed = document
            return document

        self._installed = openapi
        self._app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend it

    def _operations(self, document: dict[str, Any]) -> Iterator[tuple[dict[str, Any], Sequence[Completion]]]:
        """Yield the objects of the registries' operations with their completions."""
        for (path, method), (operation_id, completions) in self._completions.items():
            operation = document.get("paths", {}).get(path, {}).get(method, {})
            if operation.get("operationId") == operation_id:
                yield operation, completions

    def _complete(self, document: dict[str, Any]) -> None:
        components = Components(document)
        problem = _add_problem(components)
        operations = list(self._operations(document))
        for operation, completions in operations:
            for complete in completions:
                complete(operation, components)
            for response in operation["responses"].values():
                if MEDIA_TYPE in response.get("content", {}):
                    response["content"][MEDIA_TYPE]["schema"] = problem
        share_parts([operation for operation, _ in operations], components)
        _cut_members(components)
        drop_derived_titles(components)
        for name, component in components.schemas.items():
            # Client generators name classes by titles, which must not clash.
            if name.endswith(("-Input", "-Output")):
                component["title"] = name.replace("-", "")
            # Pydantic has dedented the docstring of a model already.
            if "description" in component:
                component["description"] = without_sections(component["description"])


_DOCUMENTS: MutableMapping[FastAPI, Document] = WeakKeyDictionary()


def document_of(app: FastAPI) -> Document:
    """Return the document of an application. Every call returns the same object."""
    return _DOCUMENTS.setdefault(app, Document(app))


def _cut_members(components: Components) -> None:
    """Make the schemas of marked members partial."""
    for component in list(components.schemas.values()):
        members = component.get("properties", {})
        for name, member in members.items():
            if isinstance(member, dict) and member.pop(CUT, False):
                members[name] = components.cut_answers.build(member)


def _add_problem(components: Components) -> dict[str, Any]:
    """Add the schema of problems, unless an answer has added it already. Return a reference to it."""
    schema = Problem.model_json_schema()
    names = components.add_definitions(schema.pop("$defs"), "Problem")
    names = components.add_definitions({"Problem": with_components(schema, names)}, "Service")
    return ref_to(names["Problem"])
