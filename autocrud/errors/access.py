"""Errors of authentication and of rights."""

from collections.abc import Sequence

from autocrud.errors.base import AutoCRUDError


class Unauthenticated(AutoCRUDError):
    """The request has no credentials, or wrong ones: sign in, or send other credentials.

    Args:
        challenges: values of the header `WWW-Authenticate`; the route adds those of its authenticator if empty.
    """

    code = "unauthenticated"

    def __init__(self, message: str, *, challenges: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.challenges = tuple(challenges)


class Forbidden(AutoCRUDError):
    """The principal lacks the right to the operation: use other credentials.

    Attributes:
        right: name of the right that is missing; None for a scope.
        field: field that may not be set or changed; None if the right is about the resource.
    """

    code = "forbidden"

    def __init__(self, message: str, *, right: str | None = None, field: str | None = None) -> None:
        super().__init__(message)
        self.right = right
        self.field = field


class IssuerUnavailable(AutoCRUDError):
    """The keys of an issuer of tokens cannot be fetched, and none are cached: the same request may succeed later."""

    code = "issuer_unavailable"
