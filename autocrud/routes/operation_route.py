"""Route of an operation: serves the bare handler behind the documented endpoint and its dependencies."""

import inspect
import logging
from functools import cache, cached_property
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response
from starlette.routing import Match
from starlette.types import Receive, Scope, Send

from autocrud.errors.base import shorten
from autocrud.routes.authentication import Authentication
from autocrud.routes.deferred_route import DeferredRoute
from autocrud.routes.missing_routes import refuse_missing_route
from autocrud.routes.operation import ACCEPT_MERGE, ACCEPT_PATCH, HEAD_ONLY, Handler, ModelRoutes, Operation
from autocrud.routes.request.admission import admit
from autocrud.routes.request.current_user import UserDependency, anonymous, note_user
from autocrud.routes.request.disconnect import DisconnectWatch
from autocrud.routes.response.send_wrappers import CACHE_CONTROL, with_cache_headers, without_body
from autocrud.storage.ports.query_limit import query_seconds

_CLIENT_CLOSED = 499
# Families whose queries may take long. They are cancelled if the client disconnects.
_WATCHED_FAMILIES = frozenset({"list", "count", "aggregate", "export", "referrers"})
logger = logging.getLogger(__name__)


class Documented:
    """Endpoint with the signature for OpenAPI, in front of a handler that takes the bare request.

    FastAPI would read every parameter through the signature, and the body into Python objects. The handler reads only
    the parameters that are given, and passes the body on as bytes.

    Args:
        allow: methods of the path, including this endpoint's.
        names: first path segments of the collection's routes, including this endpoint's.
        current_user: dependency that returns the current user.
        authentication: authentication of the route; None if anybody may use the route.
        routes: settings of the model; None if the endpoint belongs to no model.
    """

    def __init__(
        self,
        operation: Operation,
        allow: set[str],
        names: set[str],
        current_user: UserDependency,
        authentication: Authentication | None = None,
        routes: ModelRoutes | None = None,
    ) -> None:
        self.operation = operation
        self.handler = operation.handler
        self.allow = allow
        self.names = names
        self.current_user = current_user
        self.authentication = authentication
        self.routes = routes
        self.permits_anonymous = routes is not None and routes.permits_anonymous
        self.__doc__ = operation.handler.__doc__

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.Signature(self.operation.parameters)

    async def __call__(self, **_: Any) -> Response:
        raise TypeError("the route serves a documented endpoint through its handler")


class OperationRoute(DeferredRoute):
    """Route of a `Documented` endpoint. FastAPI solves its dependencies as usual."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Match as usual, but skip paths of other models early, because routes are tried one after the other.

        HEAD goes to the route of GET, and OPTIONS to the first route of the path.
        """
        # A substring test costs less than the regular expression with which Starlette matches.
        if self.path_format.partition("{")[0] not in scope["path"] or _lacks_slash_of_request(scope):
            return Match.NONE, {}
        match, child = super().matches(scope)
        if match is Match.PARTIAL and (scope["method"] == "OPTIONS" or self._is_head(scope)):
            match = Match.FULL
        return match, child

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve as usual. Answer OPTIONS and 405 with the allowed methods of the whole path (RFC 9110, 15.5.6)."""
        authentication = self.documented.authentication
        if authentication is not None:
            await authentication.require(scope, is_optional=self.documented.permits_anonymous)
        if "resource_id" in scope["path_params"]:
            collection = self.path_format.partition("/{resource_id}")[0]
            refuse_missing_route(collection, scope["path_params"]["resource_id"], self.documented.names)
        if scope["method"] == "OPTIONS":
            headers = {"Allow": self._allowed()}
            if "PATCH" in self.documented.allow:
                headers["Accept-Patch"] = ACCEPT_PATCH if "{resource_id}" in self.path_format else ACCEPT_MERGE
            await Response(status_code=204, headers=headers)(scope, receive, send)
            return
        if self._is_head(scope):
            scope, send = {**scope, "method": "GET", HEAD_ONLY: True}, without_body(send)
        elif scope["method"] not in (self.methods or ()):
            raise HTTPException(405, headers={"Allow": self._allowed(), "Cache-Control": CACHE_CONTROL})
        routes = self.documented.routes
        limit = query_seconds.set(None if routes is None else routes.query_seconds)
        try:
            await super().handle(scope, receive, with_cache_headers(send, self._varying))
        except ClientDisconnect:
            # Nobody receives the answer. Its status is for the access log, and is the one that nginx logs.
            logger.info("%s %r: the client disconnected before the end", scope["method"], shorten(scope["path"]))
            await Response(status_code=_CLIENT_CLOSED)(scope, receive, send)
        finally:
            query_seconds.reset(limit)

    def get_route_handler(self) -> Handler:
        endpoint = self.documented
        is_watched = endpoint.operation.family in _WATCHED_FAMILIES
        handler = _with_watch(endpoint.handler) if is_watched else endpoint.handler

        async def serve_with_user(request: Request, user: Any) -> Response:
            if endpoint.authentication is None:
                note_user(request, user)
            await admit(request)
            return await handler(request)

        # FastAPI reads the dependency from the signature.
        serve_with_user.__annotations__["user"] = Annotated[Any, Depends(endpoint.current_user)]

        @cache
        def gate() -> Handler:
            return APIRoute(
                self.path,
                serve_with_user,
                methods=self.methods,
                response_model=None,
                dependencies=self.dependencies,
                dependency_overrides_provider=self.dependency_overrides_provider,
            ).get_route_handler()

        if self.has_dependencies:
            return gate()
        # Without dependencies FastAPI has nothing to solve, unless the application overrides `anonymous` later.
        overrides = self.dependency_overrides_provider

        async def serve(request: Request) -> Response:
            is_anonymous = endpoint.authentication is None
            if is_anonymous and overrides is not None and anonymous in overrides.dependency_overrides:
                return await gate()(request)
            await admit(request)
            return await handler(request)

        return serve

    def documentation(self) -> dict[str, Any]:
        """Return the arguments of `APIRoute` for the body and the responses of the operation."""
        operation = self.documented.operation
        return {
            "response_model": operation.model,
            "response_class": Response if operation.model is None else JSONResponse,
            "responses": self._options["responses"] | operation.responses(),
            "openapi_extra": None if operation.request_body is None else {"requestBody": operation.request_body},
        }

    @cached_property
    def _varying(self) -> bytes:
        """Request headers that the answer may depend on."""
        names = ["Accept"] if self.documented.operation.varies else []
        # A dependency may name the user, and show each user other data.
        return ", ".join([*names, *(["Authorization"] if self.has_dependencies else [])]).encode()

    @property
    def has_dependencies(self) -> bool:
        """True if FastAPI has dependencies to solve before the handler runs."""
        return bool(self.dependencies) or self.documented.current_user is not anonymous

    @property
    def documented(self) -> Documented:
        """The endpoint of the route."""
        endpoint: Documented = self.endpoint  # type: ignore[assignment]  # only `Mount` creates this route
        return endpoint

    def _is_head(self, scope: Scope) -> bool:
        return bool(scope["method"] == "HEAD" and "GET" in (self.methods or ()))

    def _allowed(self) -> str:
        allow = self.documented.allow
        return ", ".join(sorted(allow | {"OPTIONS"} | ({"HEAD"} if "GET" in allow else set())))


def _with_watch(handler: Handler) -> Handler:
    """Return a handler that is cancelled if the client disconnects."""

    async def serve(request: Request) -> Response:
        async with DisconnectWatch(request.receive):
            return await handler(request)

    return serve


def _lacks_slash_of_request(scope: Scope) -> bool:
    """Return True if the router asks for a redirect to the path without its last slash.

    The router would redirect to the `Host` that the client sent. It changes the path, and not the raw path.
    """
    raw_path = scope.get("raw_path") or b""
    return raw_path.endswith((b"/", b"%2F", b"%2f")) and not scope["path"].endswith("/")
