"""Key of a client: the principal, the user or the address that a rate limit counts requests of."""

from hashlib import sha256
from ipaddress import IPv6Address, IPv6Network

from fastapi import Request
from starlette.types import Scope

from autocrud.routes.request.current_user import user_of

_PRINCIPAL = "autocrud.principal"  # set by authentication
_MAX_LENGTH = 64
_PREFIX_LENGTH = 64  # a host may use any address of its network


def client_key(scope: Scope) -> str:
    """Return the key of the client of a request.

    The address is that of the connection, unless the server trusts the proxy that connects.
    """
    principal = scope.get(_PRINCIPAL)
    if principal is not None:
        return _bounded("principal", principal.id)
    user = user_of(Request(scope))
    if user is not None:
        return _bounded("user", user)
    client = scope.get("client")
    return f"address {_network_of(client[0])}" if client else "address none"


def _bounded(kind: str, name: str) -> str:
    return f"{kind} {name}" if len(name) <= _MAX_LENGTH else f"{kind} {sha256(name.encode()).hexdigest()}"


def _network_of(address: str) -> str:
    """Return the network of an IPv6 address, and any other address as it is."""
    if ":" not in address:
        return address
    try:
        parsed = IPv6Address(address)
    except ValueError:
        return _bounded("name", address)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(IPv6Network((int(parsed), _PREFIX_LENGTH), strict=False))
