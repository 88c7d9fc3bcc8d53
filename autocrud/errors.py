"""Errors: one class per thing that a caller can do about it.

Each class has a stable `code` for clients to branch on. `routes/response/problems.py` maps classes to HTTP statuses.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

_MAX_NAMES_IN_MESSAGE = 10


@dataclass(frozen=True, slots=True)
class FieldError:
    """A fault of a field, parameter or header, named as the client wrote it."""

    field: str
    message: str


class AutoCRUDError(Exception):
    """Base class of every error that this package raises on purpose."""

    code: ClassVar[str] = "error"


class ConfigurationError(AutoCRUDError):
    """A model, a factory or a setting is wrong: correct it and start again. Raised before a request is served.

    `argument` names the factory's argument at fault, so that a caller can name its own setting.
    """

    code = "configuration"

    def __init__(self, message: str, *, argument: str | None = None) -> None:
        super().__init__(message)
        self.argument = argument


class InvalidInput(AutoCRUDError):
    """The input is refused, and nothing was stored. `errors` names the fields at fault."""

    code = "invalid_input"

    def __init__(self, message: str, errors: Sequence[FieldError] = ()) -> None:
        super().__init__(message)
        self.errors = tuple(errors)


class InvalidParameter(InvalidInput):
    """A path, query or header parameter has an invalid value."""

    code = "invalid_parameter"

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}", [FieldError(field, message)])


class MalformedBody(InvalidInput):
    """The body cannot be parsed as its media type says."""

    code = "malformed_body"


class InvalidData(InvalidInput):
    """The body is JSON, and the model does not accept it."""

    code = "invalid_data"


class ValidatorNotIdempotent(InvalidInput):
    """A validator would change a stored value once more: make the validator idempotent, or replace the resource."""

    code = "validator_not_idempotent"

    def __init__(self, model: str, field: str) -> None:
        message = "is changed by its validator each time; a validator must leave its own result unchanged"
        super().__init__(f"The {model} cannot be patched: {field} {message}.", [FieldError(field, message)])


class ReferenceNotFound(InvalidInput):
    """The data refers to missing or deleted resources: create or restore them first."""

    code = "reference_not_found"


class UnsupportedMediaType(InvalidInput):
    """The operation does not read the media type or the encoding of the body. `accept` is a header with the choices."""

    code = "unsupported_media_type"

    def __init__(self, message: str, errors: Sequence[FieldError], accept: tuple[str, str] | None = None) -> None:
        super().__init__(message, errors)
        self.accept = accept


class InvalidPatch(InvalidInput):
    """The body is JSON, and not a valid patch."""

    code = "invalid_patch"


class PatchFailed(AutoCRUDError):
    """A patch operation does not apply to the current data. `index` is its position, from 0."""

    code = "patch_failed"

    def __init__(self, index: int, operation: str, path: str, reason: str) -> None:
        super().__init__(f"Operation {index}, {operation} {path or 'the whole document'}: {reason.rstrip('.')}.")
        self.index = index


class PayloadTooLarge(AutoCRUDError):
    """The body is longer than the configured limit: send less, or raise the limit."""

    code = "payload_too_large"

    def __init__(self, limit: int) -> None:
        super().__init__(f"The body is longer than the limit of {limit} bytes.")
        self.limit = limit


class NotFound(AutoCRUDError):
    """No resource has this id, not even a deleted one."""

    code = "not_found"

    def __init__(self, model: str, resource_id: str) -> None:
        super().__init__(f"No {model} has the id {resource_id!r}.")


class Deleted(AutoCRUDError):
    """The resource is soft-deleted: restore it, or read it with `include_deleted`."""

    code = "deleted"

    def __init__(self, model: str, resource_id: str) -> None:
        super().__init__(f"The {model} {resource_id!r} is deleted; it can be restored.")


class RevisionNotFound(AutoCRUDError):
    """The resource has no such revision, or the model's retention has pruned it."""

    code = "revision_not_found"

    def __init__(self, revision_id: str) -> None:
        super().__init__(f"The revision {revision_id!r} does not exist, or was pruned.")


class NotDraft(AutoCRUDError):
    """The current revision is stable and cannot be edited: append a revision, or change the status to draft first."""

    code = "not_draft"

    def __init__(self, revision_id: str) -> None:
        super().__init__(f"The revision {revision_id!r} is stable. Only a draft can be edited in place.")


class KeyReused(AutoCRUDError):
    """The Idempotency-Key was used for another request: use a new key."""

    code = "idempotency_key_reused"

    def __init__(self) -> None:
        super().__init__("The Idempotency-Key was used for a request with another body.")


class AlreadyExists(AutoCRUDError):
    """A resource with this id exists, live or soft-deleted."""

    code = "already_exists"

    def __init__(self, resource_id: str) -> None:
        super().__init__(f"The id {resource_id!r} is taken.")
        self.resource_id = resource_id


class Conflict(AutoCRUDError):
    """Another write changed the resource after this write read it: read the resource again."""

    code = "conflict"

    def __init__(self, resource_id: str, version: int) -> None:
        super().__init__(f"{resource_id!r} is no longer at version {version}.")


class Aborted(AutoCRUDError):
    """This write is valid, and another write of the same atomic request was refused."""

    code = "aborted"

    def __init__(self) -> None:
        super().__init__("Another write of the same atomic request was refused.")


class BulkRefused(AutoCRUDError):
    """An operation of an atomic request was refused, and nothing was stored. `results` has a result per operation."""

    code = "bulk_refused"

    def __init__(self, results: Sequence[object]) -> None:
        super().__init__("An operation was refused, so nothing was stored.")
        self.results = results


class PreconditionFailed(AutoCRUDError):
    """The caller's `If-Match` or `If-None-Match` does not match. `current` is the resource's current tag, or None."""

    code = "precondition_failed"

    def __init__(self, resource_id: str, current: str | None, *, reason: str = "") -> None:
        super().__init__(f"{resource_id!r} is not in the state that the request expects.{reason and f' {reason}'}")
        self.current = current


class PreconditionRequired(AutoCRUDError):
    """The model requires a precondition on writes: read the resource and send its `ETag` as `If-Match`."""

    code = "precondition_required"

    def __init__(self, model: str) -> None:
        super().__init__(f"A write to a {model} needs If-Match, so that it cannot overwrite another client's change.")


class UniqueViolation(AutoCRUDError):
    """Another live resource, `holder`, has these values in the `fields` of a unique constraint."""

    code = "unique_violation"

    def __init__(self, fields: Sequence[str], holder: str) -> None:
        *first, last = fields
        field_names = f"{', '.join(first)} and {last}" if first else last
        super().__init__(f"Another resource, {holder!r}, has the same {field_names}.")
        self.fields = tuple(fields)
        self.field = ", ".join(fields)
        self.holder = holder


class Referenced(AutoCRUDError):
    """Referrers with `on_delete=restrict` prevent the delete of `holder`: delete or change the referrers first.

    Args:
        model, field: model of the referrers, and their reference field.
        resource_ids: ids of some referrers.
    """

    code = "referenced"

    def __init__(self, holder: tuple[str, str], model: str, field: str, resource_ids: Sequence[str]) -> None:
        super().__init__(f"The {holder[0]} {holder[1]!r} is the {field} of {model} {_enumerate(resource_ids)}.")
        self.model = model
        self.field = field
        self.resource_ids = tuple(resource_ids[:_MAX_NAMES_IN_MESSAGE])


class StorageUnavailable(AutoCRUDError):
    """A backend does not answer, is full or is too slow: the same request may succeed later."""

    code = "storage_unavailable"


class IndexNotReady(StorageUnavailable):
    """An index field that was added to the model is still being filled: query it later, or query other fields.

    Args:
        percent: share of resources that are filled; None if stored data does not fit the field and needs an operator.
    """

    code = "index_not_ready"

    def __init__(self, model: str, field: str, percent: int | None) -> None:
        state = "stored data does not fit it; the log names the resource" if percent is None else f"{percent} % done"
        super().__init__(f"The index field {field} of {model} is not filled yet: {state}.")
        self.field = field
        self.percent = percent


class DataCorrupted(AutoCRUDError):
    """Stored bytes are not the bytes that were written. An operator has to restore them."""

    code = "data_corrupted"


class BlobNotFound(AutoCRUDError):
    """No revision of the resource refers to this blob."""

    code = "blob_not_found"

    def __init__(self, resource_id: str, file_id: str) -> None:
        super().__init__(f"{resource_id!r} has no blob {file_id}.")


class RangeNotSatisfiable(AutoCRUDError):
    """Every requested range begins behind the end of the blob. `size` is the blob's length in bytes."""

    code = "range_not_satisfiable"

    def __init__(self, size: int) -> None:
        super().__init__(f"The blob is {size} bytes long.")
        self.size = size


class UploadNotFound(AutoCRUDError):
    """The caller has no such upload, or it expired: start a new upload."""

    code = "upload_not_found"

    def __init__(self, upload_id: str) -> None:
        super().__init__(f"The upload {upload_id!r} does not exist; it may have expired.")


class UploadIncomplete(AutoCRUDError):
    """Parts of the upload are missing: send them, then finish the upload again."""

    code = "upload_incomplete"

    def __init__(self, upload_id: str, missing: Sequence[int]) -> None:
        super().__init__(f"The upload {upload_id!r} lacks these parts: {_enumerate(missing)}.")
        self.missing = tuple(missing)


def _enumerate(values: Sequence[object]) -> str:
    """Return the first values as text, with "…" if there are more."""
    texts = ", ".join(map(repr, values[:_MAX_NAMES_IN_MESSAGE]))
    return f"{texts}, …" if len(values) > _MAX_NAMES_IN_MESSAGE else texts
