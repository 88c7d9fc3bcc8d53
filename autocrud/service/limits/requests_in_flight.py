"""Requests in flight: ASGI middleware that refuses requests while too many are being served."""

from starlette.types import ASGIApp, Receive, Scope, Send

from autocrud.errors import Overloaded
from autocrud.routes.response.problems import problem_of
from autocrud.service.health import HEALTH_PATHS


class RequestsInFlight:
    """Refuses a request with 503 while the maximum number of requests is being served. Health routes are exempt.

    uvicorn's `limit_concurrency` also counts idle connections, and its answer has no `Retry-After`.
    """

    def __init__(self, app: ASGIApp, *, most: int) -> None:
        self._app = app
        self._most = most
        self._number = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] != "http" or scope["path"] in HEALTH_PATHS:
            await self._app(scope, receive, send)
            return
        if self._number >= self._most:
            message = f"{self._number} requests are being served, which is the limit; try again."
            await problem_of(Overloaded(message))(scope, receive, send)
            return
        self._number += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._number -= 1
