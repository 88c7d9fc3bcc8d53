"""Rate limit: ASGI middleware that refuses the requests of a client beyond its quota."""

import logging

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from autocrud.errors import AutoCRUDError, RateLimited
from autocrud.routes.request.admission import KEY
from autocrud.routes.response.problems import problem_of
from autocrud.service.health import HEALTH_PATHS
from autocrud.service.limits.client_key import client_key
from autocrud.service.limits.rate_limiter import Quota, RateLimiter

logger = logging.getLogger(__name__)


class RateLimit:
    """Counts each request once: routes of models when they know the user, other requests when they are answered."""

    def __init__(self, app: ASGIApp, *, limiter: RateLimiter) -> None:
        self._app = app
        self._limiter = limiter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] != "http" or scope["path"] in HEALTH_PATHS:
            await self._app(scope, receive, send)
            return
        request = _LimitedRequest(self._limiter, scope, receive, send)
        scope[KEY] = request.admit
        await self._app(scope, receive, request.send)


class _LimitedRequest:
    """One request: its charge, and its answer with the headers of the quota."""

    def __init__(self, limiter: RateLimiter, scope: Scope, receive: Receive, send: Send) -> None:
        self._limiter = limiter
        self._scope = scope
        self._receive = receive
        self._send = send
        self._is_charged = False
        self._is_refused = False
        self._quota: Quota | None = None

    async def admit(self, scope: Scope) -> None:
        """Count the request.

        Raises:
            RateLimited: the quota of the client is used up.
            StorageUnavailable: the counters cannot be reached.
        """
        self._is_charged = True
        self._quota = await self._limiter.charge(client_key(scope))

    async def send(self, message: Message) -> None:
        """Send a part of the answer. A request that no route has counted is counted now."""
        if self._is_refused:
            return
        if message["type"] == "http.response.start":
            if not self._is_charged and not await self._admit_late():
                return
            if self._quota is not None:
                headers = [(name.lower().encode(), text.encode()) for name, text in self._quota.headers.items()]
                message = {**message, "headers": [*message.get("headers", ()), *headers]}
        await self._send(message)

    async def _admit_late(self) -> bool:
        """Return False if the request was refused, and the answer replaced."""
        try:
            await self.admit(self._scope)
        except AutoCRUDError as error:
            self._is_refused = True
            if not isinstance(error, RateLimited):
                logger.error("%s %s: %s", self._scope["method"], self._scope["path"], error)
            await problem_of(error)(self._scope, self._receive, self._send)
            return False
        return True
