"""Errors of access: who sends a request is not known, or may not do what it asks for."""

from autocrud.errors.base import AutoCRUDError


class Unauthenticated(AutoCRUDError):
    """The request has no credentials, and needs them."""

    code = "unauthenticated"

    def __init__(self, reason: str = "The request has no credentials.") -> None:
        super().__init__(reason)


class Forbidden(AutoCRUDError):
    """The principal may not do this.

    Attributes:
        right: name of the right that the principal lacks.
        field: field that the principal may not set or change; None if the right is about the resource.
    """

    code = "forbidden"

    def __init__(self, model: str, right: str, field: str | None = None) -> None:
        what = f"the field {field} of " if field else ""
        super().__init__(f"You do not have the right to {right} {what}{model}.")
        self.right = right
        self.field = field
