"""Model pages: the part that all pages of one model share."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from fastapi import Request
from starlette.responses import Response

from autocrud.pages.form import address, query_pairs, replaced
from autocrud.pages.html import HOME, page_response, root_of
from autocrud.routes.operation import Fetch, ModelRoutes, Operation
from autocrud.schema.index_field import IndexField


class ModelPages:
    """The pages of one model. A page shows only what a route of the model returns, so that no page reveals more.

    Args:
        operations: the operations that the model has.
    """

    def __init__(self, routes: ModelRoutes, operations: Sequence[Operation]) -> None:
        self.routes = routes
        self.manager = routes.manager
        self._fetches: Mapping[str, Fetch] = {item.family: item.fetch for item in operations if item.fetch is not None}
        self.families = frozenset(operation.family for operation in operations)

    def fetch(self, family: str, request: Request) -> Any:
        """Return the awaitable result of an operation for a request."""
        return self._fetches[family](request)

    def path(self, request: Request, resource_id: str | None = None) -> str:
        """Return the address of the list, or of a resource."""
        base = f"{root_of(request)}{self.routes.path}"
        return base if resource_id is None else f"{base}/{resource_id}"

    def model_path(self, request: Request, model: str) -> str:
        """Return the address of the list of another model of the same registry."""
        return f"{self.path(request).removesuffix(self.routes.spec.name)}{model}"

    def shown_path(self, field: IndexField) -> tuple[str, ...]:
        """Return the path of an index field in the shown form."""
        return tuple(map(str, self.routes.spec.names.shown_path(field.path)))

    @cached_property
    def references(self) -> Mapping[tuple[str, ...], str]:
        """The referred model by the path of each reference that readers may follow."""
        outgoing = self.manager.graph.outgoing(self.routes.spec.name)
        visible = [reference for reference in outgoing if reference.shows_target]
        return {self.shown_path(reference.field): reference.target.name for reference in visible}

    def response(self, request: Request, template: str, status: int = 200, **values: Any) -> Response:
        """Return a page of this model."""
        home = getattr(request.app.state, HOME, None)
        home_url = None if home is None else f"{root_of(request)}{home}"
        common = {
            "home_url": home_url,
            "nouns": self.routes.nouns,
            "list_url": self.path(request),
            "families": self.families,
        }
        return page_response(template, {**common, **values}, status)

    def next_url(self, request: Request, path: str, cursor: str | None) -> str | None:
        """Return the address of the next page; None on the last page."""
        return None if cursor is None else address(path, [*replaced(query_pairs(request)), ("cursor", cursor)])
