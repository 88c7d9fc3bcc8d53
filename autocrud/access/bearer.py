"""Bearer token of a request (RFC 6750)."""

import re

from fastapi import Request

from autocrud.errors import Unauthenticated

MAX_TOKEN = 16 * 1024  # characters; servers limit headers to about as much
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")


def bearer_token(request: Request) -> str | None:
    """Return the token of the header `Authorization: Bearer …`; None without such a header.

    Raises:
        Unauthenticated: the request has several headers `Authorization`, or the token is malformed.
    """
    values: list[bytes] = [value for name, value in request.scope["headers"] if name == b"authorization"]
    if not values:
        return None
    if len(values) > 1:
        raise Unauthenticated("The request has more than one Authorization header.")
    scheme, _, token = values[0].decode("latin-1").strip().partition(" ")
    if scheme.lower() != "bearer":
        return None
    token = token.strip()
    if len(token) > MAX_TOKEN or not _TOKEN.fullmatch(token):
        raise Unauthenticated("The bearer token is malformed.")
    return token
