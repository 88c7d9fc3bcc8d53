"""Who is asking, as a proxy in front of the service has found out."""

from typing import Annotated

from fastapi import Header

from autocrud.routes.request.current_user import UserDependency


def user_from(header: str) -> UserDependency:
    """A dependency that takes the user's name from a request header, which only a proxy may be able to set."""

    def user(name: Annotated[str | None, Header(alias=header, include_in_schema=False)] = None) -> str | None:
        return name

    return user
