"""Errors of requests that are refused before anything is looked up."""

from collections.abc import Iterable

from autocrud.errors.base import AutoCRUDError, FieldError, first_errors, shorten


class InvalidInput(AutoCRUDError):
    """The input is refused, and nothing was stored. `errors` names the fields at fault, at most 100 of them."""

    code = "invalid_input"

    def __init__(self, message: str, errors: Iterable[FieldError] = ()) -> None:
        super().__init__(message)
        self.errors = first_errors(errors)


class InvalidParameter(InvalidInput):
    """A path, query or header parameter has an invalid value."""

    code = "invalid_parameter"

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}", [FieldError(field, message)])


class MalformedBody(InvalidInput):
    """The body cannot be parsed as its media type says."""

    code = "malformed_body"


class PayloadTooLarge(AutoCRUDError):
    """The body is longer than the configured limit: send less, or raise the limit."""

    code = "payload_too_large"

    def __init__(self, limit: int) -> None:
        super().__init__(f"The body is longer than the limit of {limit} bytes.")
        self.limit = limit


class UnsupportedMediaType(InvalidInput):
    """The operation does not read the media type or the encoding of the body. `accept` is a header with the choices."""

    code = "unsupported_media_type"

    def __init__(self, message: str, errors: Iterable[FieldError], accept: tuple[str, str] | None = None) -> None:
        super().__init__(message, errors)
        self.accept = accept


class InvalidData(InvalidInput):
    """The body is JSON, and the model does not accept it."""

    code = "invalid_data"

    def __str__(self) -> str:
        faults = "; ".join(f"{error.field}: {error.message}" for error in self.errors)
        return shorten(f"{self.args[0].rstrip('.')}: {faults}.") if faults else str(self.args[0])


class ValidatorNotIdempotent(InvalidInput):
    """A validator would change a stored value once more: make the validator idempotent, or replace the resource."""

    code = "validator_not_idempotent"

    def __init__(self, model: str, field: str) -> None:
        message = "is changed by its validator each time; a validator must leave its own result unchanged"
        super().__init__(f"The {model} cannot be changed: {field} {message}.", [FieldError(field, message)])


class InvalidPatch(InvalidInput):
    """The body is JSON, and not a valid patch."""

    code = "invalid_patch"


class DifferenceTooLarge(AutoCRUDError):
    """The revisions differ in too many places to compare: read both revisions instead."""

    code = "difference_too_large"

    def __init__(self) -> None:
        super().__init__("The revisions differ in too many places to compare. Read both revisions instead.")


class QueryTooExpensive(AutoCRUDError):
    """The query took longer than its limit: use fewer patterns, or more selective filters."""

    code = "query_too_expensive"

    def __init__(self) -> None:
        super().__init__("The query took longer than its limit. Use a simpler pattern, or filters on other fields too.")


class KeyReused(AutoCRUDError):
    """The Idempotency-Key was used for another request: use a new key."""

    code = "idempotency_key_reused"

    def __init__(self) -> None:
        super().__init__("The Idempotency-Key was used for a request with another body.")


class ReferenceNotFound(InvalidInput):
    """The data refers to missing or deleted resources: create or restore them first."""

    code = "reference_not_found"
