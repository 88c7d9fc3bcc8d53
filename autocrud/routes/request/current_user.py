"""Current user: the dependency that names the author of a request, set by the application or overridden."""

from collections.abc import Callable
from typing import Any

from fastapi import Request

from autocrud.errors import ConfigurationError

UserDependency = Callable[..., Any]
_KEY = "autocrud.user"


def anonymous() -> str | None:
    """Return None: the default dependency knows no user. A replacement returns a name, or None."""
    return None


def note_user(request: Request, user: Any) -> None:
    """Store the result of the dependency in the request's scope, for the handler.

    Raises:
        ConfigurationError: the result is neither text nor None.
    """
    if user is not None and not isinstance(user, str):
        raise ConfigurationError(f"the dependency `current_user` returned {type(user).__name__}, not text or None")
    request.scope[_KEY] = user


def user_of(request: Request) -> str | None:
    """Return the current user, for `created_by` and `updated_by`; None without one."""
    user: str | None = request.scope.get(_KEY)
    return user
