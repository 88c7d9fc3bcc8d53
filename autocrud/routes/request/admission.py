"""Admission of a request: a hook that the service sets, for limits that depend on the user."""

from collections.abc import Awaitable, Callable

from fastapi import Request
from starlette.types import Scope

KEY = "autocrud.admission"
Admit = Callable[[Scope], Awaitable[None]]


async def admit(request: Request) -> None:
    """Call the hook of the request, if there is one.

    Raises:
        AutoCRUDError: the request is refused.
    """
    hook: Admit | None = request.scope.get(KEY)
    if hook is not None:
        await hook(request.scope)
