"""Current principal: who sends the request that is served now."""

from collections.abc import Callable
from contextvars import ContextVar

from autocrud.policy.principal import Principal

# Returns the principal of a call; None without credentials.
Who = Callable[[], Principal | None]


class System:
    """Stands for the application itself, which no rule restricts."""


SYSTEM = System()

# Tasks that a request starts inherit it. Without a request it is None, as for a request without credentials.
_current: ContextVar[Principal | None] = ContextVar("principal", default=None)


def current_principal() -> Principal | None:
    """Return the principal of the request that is served now; None without credentials."""
    return _current.get()


def set_current_principal(principal: Principal | None) -> None:
    """Set the principal of the request that the running task serves."""
    _current.set(principal)
