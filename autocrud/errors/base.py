"""Base of all errors, and errors before a request is served."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

MAX_NAMES_IN_MESSAGE = 10


@dataclass(frozen=True, slots=True)
class FieldError:
    """A fault of a field, parameter or header, named as the client wrote it."""

    field: str
    message: str


class AutoCRUDError(Exception):
    """Base class of every error that this package raises on purpose.

    Attributes:
        operation: number of the operation of a transaction that was refused, from 0; None outside a transaction.
        operation_model: name of the operation's model.
        operation_id: id of the operation's resource; None if the operation names no id.
    """

    code: ClassVar[str] = "error"
    operation: int | None = None
    operation_model: str | None = None
    operation_id: str | None = None


class ConfigurationError(AutoCRUDError):
    """A model, a factory or a setting is wrong. `argument` names the argument at fault, for the caller's message."""

    code = "configuration"

    def __init__(self, message: str, *, argument: str | None = None) -> None:
        super().__init__(message)
        self.argument = argument


def enumerate_values(values: Sequence[object]) -> str:
    """Return the first values as text, with "…" if there are more."""
    texts = ", ".join(map(repr, values[:MAX_NAMES_IN_MESSAGE]))
    return f"{texts}, …" if len(values) > MAX_NAMES_IN_MESSAGE else texts
