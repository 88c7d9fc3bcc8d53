"""Listen address: a service without authentication answers only on a loopback address."""

import sys
from ipaddress import IPv6Address, ip_address
from pathlib import Path

from click import ClickException
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.main import main as uvicorn_command

from autocrud.routes.response.problems import problem_response
from autocrud.service.settings import PREFIX, Settings, SettingsError


def refuse_open_address(settings: Settings) -> None:
    """Refuse to serve other machines without authentication.

    Raises:
        SettingsError: the service would listen on an address that is not a loopback address.
    """
    host = _uvicorn_host() or settings.host
    if not settings.allow_anonymous and not is_loopback(host):
        raise SettingsError(
            f"{PREFIX}ALLOW_ANONYMOUS: must be true to listen on {host} without authentication;"
            f" or set {PREFIX}AUTH, so that only known clients are served."
        )


def is_loopback(host: str) -> bool:
    """Return True if only this machine reaches an address. The name of another host than `localhost` is refused."""
    if host == "localhost":
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback


class LoopbackOnly:
    """Middleware that refuses requests that arrive on another address than a loopback address.

    A server such as gunicorn listens where its own options say, which the settings do not show.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._accepted_hosts: set[str | None] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        server = scope.get("server") if scope["type"] == "http" else None
        if server is not None and server[0] not in self._accepted_hosts:
            if _is_open(server[0]):
                detail = (
                    f"The service has no authentication, so it answers on loopback addresses only: see {PREFIX}AUTH."
                )
                response = problem_response(403, "Forbidden", "forbidden", detail)
                await response(scope, receive, send)
                return
            self._accepted_hosts.add(server[0])
        await self._app(scope, receive, send)


def _is_open(host: str) -> bool:
    """Return True for an address of other machines. The path of a socket, or the name of a test's host, is none."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return not is_loopback(host)


def _uvicorn_host() -> str | None:
    """Return the host of uvicorn's command line or environment; None if uvicorn's command did not start this process.

    Workers and reloaded processes have the command line of the first process.
    """
    program = Path(sys.argv[0])
    if program.stem != "uvicorn" and (program.name, program.parent.name) != ("__main__.py", "uvicorn"):
        return None
    try:
        context = uvicorn_command.make_context("uvicorn", sys.argv[1:])
    except ClickException:
        return None
    host: str = context.params["host"]
    return host
