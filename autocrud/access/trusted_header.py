"""Trusted header: a proxy names the user in a header that clients cannot set."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import Request

from autocrud.access.authenticator import Authenticator
from autocrud.errors import ConfigurationError, Unauthenticated
from autocrud.policy.principal import MAX_NAME, Principal, is_principal_name

_NAME = re.compile(r"[A-Za-z0-9-]+")


class TrustedHeader(Authenticator):
    """Authenticator of a header in which a trusted proxy names the user.

    Clients must not be able to set the header, or to reach the service past the proxy.

    Args:
        header: name of the header, such as `X-User`.

    Raises:
        ConfigurationError: the name is not that of a header.
    """

    def __init__(self, header: str) -> None:
        if not _NAME.fullmatch(header):
            raise ConfigurationError(f"{header!r} is not the name of a header such as X-User", argument="header")
        self._header = header
        self._key = header.lower().encode()
        # No registered scheme stands for a header of a proxy, and a 401 needs a challenge (RFC 9110, 11.6.1).
        self.challenges: Sequence[str] = (f'TrustedHeader realm="{header}"',)
        self.security_schemes: Mapping[str, Mapping[str, Any]] = {
            "TrustedHeader": {"type": "apiKey", "in": "header", "name": header, "description": "Set by the proxy."}
        }

    async def __call__(self, request: Request) -> Principal | None:
        name = self.read(request)
        return None if name is None else Principal(name)

    def read(self, request: Request) -> str | None:
        """Return the name of the user; None without the header.

        Raises:
            Unauthenticated: the header is given twice, is empty, is too long, or is not printable text in UTF-8.
        """
        values: list[bytes] = [value for name, value in request.scope["headers"] if name == self._key]
        if not values:
            return None
        try:
            name = values[0].decode().strip()
        except UnicodeDecodeError:
            name = ""
        if len(values) > 1 or not is_principal_name(name):
            raise Unauthenticated(
                f"The header {self._header} must be given once, with 1 to {MAX_NAME} printable characters.",
                challenges=self.challenges,
            )
        return name
