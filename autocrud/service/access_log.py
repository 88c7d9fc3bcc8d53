"""Access log: ASGI middleware that gives each request an id and logs its outcome."""

import logging
import re
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uuid_utils import uuid7

from autocrud.errors.base import shorten
from autocrud.routes.response.problems import problem_response
from autocrud.service.logging_setup import request_id

logger = logging.getLogger("autocrud.access")

HEADER = b"x-request-id"
_ACCEPTED = re.compile(rb"[A-Za-z0-9._-]{1,128}")


class AccessLog:
    """Gives each request an id and logs its outcome. The client's `X-Request-ID` is used if it is well-formed.

    An uncaught exception is logged with its traceback and answered with a problem that reveals nothing.
    """

    def __init__(self, app: ASGIApp, *, enabled: bool) -> None:
        self._app = app
        self._enabled = enabled

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        identity = _identity(scope)
        token = request_id.set(identity)
        started = time.perf_counter()
        answer = _Answer(send, identity.encode())
        try:
            await self._app(scope, receive, answer)
        except Exception:  # boundary of the process: log the traceback, answer the client with a plain problem
            logger.exception("%s %s failed", scope["method"], shorten(scope["path"]))
            if answer.status:
                raise
            response = problem_response(500, "Internal error", "internal_error", "The service failed.")
            await response(scope, receive, answer)
        finally:
            if self._enabled:
                self._log(scope, answer, time.perf_counter() - started)
            request_id.reset(token)

    def _log(self, scope: Scope, answer: "_Answer", seconds: float) -> None:
        if not logger.isEnabledFor(logging.INFO):
            return
        client = scope.get("client")
        fields = {
            "method": scope["method"],
            "path": shorten(scope["path"]),
            "status": answer.status,
            "duration_ms": round(seconds * 1000, 2),
            "bytes": answer.size,
            "client": client[0] if client else None,
        }
        message = f"{fields['method']} {fields['path']} {fields['status']} {fields['duration_ms']} ms"
        # `logger.info` would search the stack for the caller, which is always this function.
        record = logger.makeRecord(logger.name, logging.INFO, __file__, 0, message, (), None)
        record.fields = fields
        record.request_id = request_id.get()
        logger.handle(record)


class _Answer:
    """The `send` of one request: adds the request id's header, and records status and size."""

    def __init__(self, send: Send, identity: bytes) -> None:
        self._send = send
        self._identity = identity
        self.status = 0
        self.size = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", ()), (HEADER, self._identity)]
        elif message["type"] == "http.response.body":
            self.size += len(message.get("body", b""))
        await self._send(message)


def _identity(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == HEADER and _ACCEPTED.fullmatch(value):
            return str(value, "ascii")
    return str(uuid7())
