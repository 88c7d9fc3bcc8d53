"""Current user of a request, named by a trusted proxy's header."""

from typing import Annotated

from fastapi import Header

from autocrud.routes.request.current_user import UserDependency


def user_from(header: str) -> UserDependency:
    """Return a dependency that reads the user's name from a request header. Only the proxy may set this header."""

    def user(name: Annotated[str | None, Header(alias=header, include_in_schema=False)] = None) -> str | None:
        return name

    return user
