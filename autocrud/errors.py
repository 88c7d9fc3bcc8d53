"""What can go wrong, one class per thing that a caller can do about it.

Each class has a stable `code`: clients may branch on it, and its HTTP status stands in `routes/problems.py` alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

_MAX_NAMES_IN_MESSAGE = 10


@dataclass(frozen=True, slots=True)
class FieldError:
    """One thing wrong with one field, parameter or header, named as the client wrote it."""

    field: str
    message: str


class AutoCRUDError(Exception):
    """The base of all errors that this package raises on purpose."""

    code: ClassVar[str] = "error"


class ConfigurationError(AutoCRUDError):
    """A model, a factory or a setting is wrong: mend it and start again. Raised before anything is served.

    Args:
        argument: the factory's argument that is at fault, where it is one, for whoever got it from elsewhere.
    """

    code = "configuration"

    def __init__(self, message: str, *, argument: str | None = None) -> None:
        super().__init__(message)
        self.argument = argument


class InvalidInput(AutoCRUDError):
    """Input that is refused, with the fields at fault. Nothing was stored."""

    code = "invalid_input"

    def __init__(self, message: str, errors: Sequence[FieldError] = ()) -> None:
        super().__init__(message)
        self.errors = tuple(errors)


class InvalidParameter(InvalidInput):
    """A path, query or header parameter cannot be used as it is."""

    code = "invalid_parameter"

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}", [FieldError(field, message)])


class MalformedBody(InvalidInput):
    """The body is not JSON, or not the form that it says it is."""

    code = "malformed_body"


class InvalidData(InvalidInput):
    """The body is JSON, but not what the model accepts."""

    code = "invalid_data"


class ReferenceNotFound(InvalidInput):
    """The data refers to resources that are not there, or are deleted: create or restore them first."""

    code = "reference_not_found"


class UnsupportedMediaType(InvalidInput):
    """The body comes in a media type that this operation does not read.

    Args:
        accept_patch: the media types that a PATCH may have, where it is one.
    """

    code = "unsupported_media_type"

    def __init__(self, message: str, errors: Sequence[FieldError] = (), *, accept_patch: str | None = None) -> None:
        super().__init__(message, errors)
        self.accept_patch = accept_patch


class InvalidPatch(InvalidInput):
    """The body is JSON, but not a patch."""

    code = "invalid_patch"


class PatchFailed(AutoCRUDError):
    """A patch does not fit the resource as it is: an operation of it found another value, or none.

    Args:
        index: the operation's, from 0.
    """

    code = "patch_failed"

    def __init__(self, index: int, operation: str, path: str, reason: str) -> None:
        super().__init__(f"Operation {index}, {operation} {path or 'the whole document'}: {reason.rstrip('.')}.")
        self.index = index


class PayloadTooLarge(AutoCRUDError):
    """The body is longer than the limit that is set: send less, or raise the limit."""

    code = "payload_too_large"

    def __init__(self, limit: int) -> None:
        super().__init__(f"The body is longer than the limit of {limit} bytes.")
        self.limit = limit


class NotFound(AutoCRUDError):
    """No resource has this id, and none can be restored under it."""

    code = "not_found"

    def __init__(self, model: str, resource_id: str) -> None:
        super().__init__(f"There is no {model} with the id {resource_id!r}.")


class Deleted(AutoCRUDError):
    """The resource is soft-deleted: restore it, or read it with `include_deleted`."""

    code = "deleted"

    def __init__(self, model: str, resource_id: str) -> None:
        super().__init__(f"The {model} {resource_id!r} is deleted; it can be restored.")


class RevisionNotFound(AutoCRUDError):
    """The resource has no such revision, or no longer: a retention may have pruned it."""

    code = "revision_not_found"

    def __init__(self, revision_id: str) -> None:
        super().__init__(f"There is no revision {revision_id!r}.")


class NotDraft(AutoCRUDError):
    """The current revision is stable, and cannot be edited: make a new revision, or move it to draft first."""

    code = "not_draft"

    def __init__(self, revision_id: str) -> None:
        super().__init__(f"The revision {revision_id!r} is stable, and only a draft can be edited in place.")


class KeyReused(AutoCRUDError):
    """The Idempotency-Key was used for another request: take a new one."""

    code = "idempotency_key_reused"

    def __init__(self) -> None:
        super().__init__("The Idempotency-Key was used for a request with another body.")


class AlreadyExists(AutoCRUDError):
    """A resource, live or soft-deleted, has the id already."""

    code = "already_exists"

    def __init__(self, resource_id: str) -> None:
        super().__init__(f"The id {resource_id!r} is taken.")
        self.resource_id = resource_id


class Conflict(AutoCRUDError):
    """The resource moved on since the version that the write read: read it again."""

    code = "conflict"

    def __init__(self, resource_id: str, version: int) -> None:
        super().__init__(f"{resource_id!r} is no longer at version {version}.")


class Aborted(AutoCRUDError):
    """Nothing is wrong with this part of an atomic request, but another part of it was refused."""

    code = "aborted"

    def __init__(self) -> None:
        super().__init__("Another write of the same atomic request was refused.")


class BulkRefused(AutoCRUDError):
    """An operation of an atomic request was refused, and nothing was stored; `results` tells of each operation."""

    code = "bulk_refused"

    def __init__(self, results: Sequence[object]) -> None:
        super().__init__("An operation was refused, and so nothing was stored.")
        self.results = results


class PreconditionFailed(AutoCRUDError):
    """The caller's `If-Match` or `If-None-Match` does not hold; `current` is the tag that would."""

    code = "precondition_failed"

    def __init__(self, resource_id: str, current: str | None) -> None:
        super().__init__(f"{resource_id!r} is not in the state that the request expects.")
        self.current = current


class PreconditionRequired(AutoCRUDError):
    """The model takes writes only with a precondition: read the resource, and send its `ETag` as `If-Match`."""

    code = "precondition_required"

    def __init__(self, model: str) -> None:
        super().__init__(f"Writes to a {model} need If-Match, so that no change of somebody else is lost.")


class UniqueViolation(AutoCRUDError):
    """Another live resource holds a value that must be unique, or the values of fields that are unique together.

    Args:
        fields: one field, or those of the set.
        holder: the id of the resource that has these values.

    Attributes:
        field: the fields as one text.
    """

    code = "unique_violation"

    def __init__(self, fields: Sequence[str], holder: str) -> None:
        *first, last = fields
        named = f"{', '.join(first)} and {last}" if first else last
        super().__init__(f"Another resource, {holder!r}, has the same {named}.")
        self.fields = tuple(fields)
        self.field = ", ".join(fields)
        self.holder = holder


class Referenced(AutoCRUDError):
    """Other resources refer to this one, and keep it from being deleted: delete or change them first.

    Args:
        holder: the model and the id of the one that is referred to.
        model, field: which resources refer to it, and by which field.
        resource_ids: some of them.
    """

    code = "referenced"

    def __init__(self, holder: tuple[str, str], model: str, field: str, resource_ids: Sequence[str]) -> None:
        shown = ", ".join(map(repr, resource_ids[:_MAX_NAMES_IN_MESSAGE])) + (
            ", …" if len(resource_ids) > _MAX_NAMES_IN_MESSAGE else ""
        )
        super().__init__(f"The {holder[0]} {holder[1]!r} is the {field} of {model} {shown}.")
        self.model = model
        self.field = field
        self.resource_ids = tuple(resource_ids[:_MAX_NAMES_IN_MESSAGE])


class StorageUnavailable(AutoCRUDError):
    """A backend is away, full or too slow: the same request may succeed later."""

    code = "storage_unavailable"


class IndexNotReady(StorageUnavailable):
    """An index field that was added to the model is still being filled: ask for it later, or ask for others.

    Args:
        percent: of the resources; None where stored data does not fit the field, and somebody has to look.
    """

    code = "index_not_ready"

    def __init__(self, model: str, field: str, percent: int | None) -> None:
        state = "stored data does not fit it, and the log says which" if percent is None else f"{percent} % are done"
        super().__init__(f"The index field {field} of {model} is not filled yet: {state}.")
        self.field = field
        self.percent = percent


class DataCorrupted(AutoCRUDError):
    """Stored bytes are not what was written. Nothing is guessed: somebody has to look."""

    code = "data_corrupted"
