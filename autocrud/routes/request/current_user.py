"""Who is asking: one dependency, which an application gives to `AutoCRUD`, or overrides."""

from collections.abc import Callable
from typing import Any

from fastapi import Request

from autocrud.errors import ConfigurationError

UserDependency = Callable[..., Any]
_KEY = "autocrud.user"


def anonymous() -> str | None:
    """The default: nobody is known. What stands in its place returns a name, or None."""
    return None


def note_user(request: Request, user: Any) -> None:
    """Keep for the handler what the dependency returned.

    Raises:
        ConfigurationError: it is neither text nor None.
    """
    if user is not None and not isinstance(user, str):
        raise ConfigurationError(f"the dependency `current_user` returned {type(user).__name__}, not text")
    request.scope[_KEY] = user


def user_of(request: Request) -> str | None:
    """Who is asking, for `created_by` and `updated_by`."""
    user: str | None = request.scope.get(_KEY)
    return user
