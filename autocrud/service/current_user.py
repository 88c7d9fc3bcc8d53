"""Current user of a request, named by a trusted proxy's header. Requests without the header are anonymous."""

from fastapi import Request

from autocrud.access import TrustedHeader
from autocrud.routes.request.current_user import UserDependency


def user_from(header: str) -> UserDependency:
    """Return a dependency that reads the user's name from a request header. Only the proxy may set this header."""
    trusted_header = TrustedHeader(header)

    def user(request: Request) -> str | None:
        return trusted_header.read(request)

    return user
