"""Allowed hosts: ASGI middleware that refuses a request for a host that the service does not have."""

import re
from collections.abc import Sequence

from starlette.types import ASGIApp, Receive, Scope, Send

from autocrud.routes.response.problems import problem_response

_PORT = re.compile(r":[0-9]*$")
# Probes of an orchestrator send the address of the machine.
_OPEN_PATHS = frozenset({"/healthz", "/readyz"})


class AllowedHosts:
    """Refuses a `Host` that is not in a list, as a web page sends if its name was pointed at the service.

    Args:
        hosts: names such as `example.com`, `*.example.com` for its subdomains, or `*` for all.
    """

    def __init__(self, app: ASGIApp, hosts: Sequence[str]) -> None:
        self._app = app
        names = [host.lower() for host in hosts]
        self._allows_all = "*" in names
        self._names = frozenset(names)
        self._ends = tuple(name[1:] for name in names if name.startswith("*."))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] != "http" or scope["path"] in _OPEN_PATHS or self._is_allowed(scope):
            await self._app(scope, receive, send)
            return
        detail = "The service does not have the host of the request."
        response = problem_response(400, "Host not allowed", "host_not_allowed", detail)
        await response(scope, receive, send)

    def _is_allowed(self, scope: Scope) -> bool:
        if self._allows_all:
            return True
        values = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        if len(values) != 1:
            return False
        host = _PORT.sub("", values[0].lower())
        return host in self._names or host.endswith(self._ends)
