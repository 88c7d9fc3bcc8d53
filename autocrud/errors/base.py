"""Base of all errors, and errors before a request is served."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import ClassVar

MAX_NAMES_IN_MESSAGE = 10
MAX_ERRORS = 100  # of one answer
MAX_MESSAGE = 2000  # characters
_MAX_FIELD = 300
_MAX_FAULT = 1000


def shorten(text: str, limit: int = MAX_MESSAGE) -> str:
    """Return a text of at most `limit` characters, with "…" if it was longer."""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


@dataclass(frozen=True, slots=True)
class FieldError:
    """A fault of a field, parameter or header, named as the client wrote it."""

    field: str
    message: str

    def __post_init__(self) -> None:
        if len(self.field) > _MAX_FIELD or len(self.message) > _MAX_FAULT:
            object.__setattr__(self, "field", shorten(self.field, _MAX_FIELD))
            object.__setattr__(self, "message", shorten(self.message, _MAX_FAULT))


class FieldErrors(list[FieldError]):
    """A list of errors that ignores errors past the limit of an answer, so that no input makes it long."""

    def append(self, error: FieldError) -> None:
        """Add an error, unless the list is full. One error more than the limit shows that errors are left out."""
        if len(self) <= MAX_ERRORS:
            super().append(error)


def first_errors(errors: Iterable[FieldError]) -> tuple[FieldError, ...]:
    """Return the first errors, and a last one if there are more. The rest of an iterator is not built."""
    first = tuple(islice(errors, MAX_ERRORS + 1))
    if len(first) <= MAX_ERRORS:
        return first
    return (*first[:MAX_ERRORS], FieldError("(more)", f"has further errors; the first {MAX_ERRORS} are listed"))


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

    def __init__(self, message: str = "") -> None:
        super().__init__(shorten(message))


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
