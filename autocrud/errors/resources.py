"""Errors of resources whose state does not allow the operation."""

from collections.abc import Sequence

from autocrud.errors.base import MAX_NAMES_IN_MESSAGE, AutoCRUDError, enumerate_values


class PatchFailed(AutoCRUDError):
    """A patch operation does not apply to the current data. `index` is its position, from 0."""

    code = "patch_failed"

    def __init__(self, index: int, operation: str, path: str, reason: str) -> None:
        super().__init__(f"Operation {index}, {operation} {path or 'the whole document'}: {reason.rstrip('.')}.")
        self.index = index


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


class AlreadyExists(AutoCRUDError):
    """A resource with this id exists, live or soft-deleted."""

    code = "already_exists"

    def __init__(self, resource_id: str) -> None:
        super().__init__(f"The id {resource_id!r} is taken.")
        self.resource_id = resource_id


class Conflict(AutoCRUDError):
    """Another write changed the resource after this write read it: read the resource again."""

    code = "conflict"

    def __init__(self, resource_id: str, version: int, *, reason: str = "") -> None:
        super().__init__(reason or f"{resource_id!r} is no longer at version {version}.")


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
    """Another live resource holds the values of a unique constraint.

    Args:
        fields: names of the constraint's fields.
        holder: id of the resource with these values; None if the caller may not see it.

    Attributes:
        field: names of the fields, joined by commas.
    """

    code = "unique_violation"

    def __init__(self, fields: Sequence[str], holder: str | None) -> None:
        name = "" if holder is None else f", {holder!r},"
        super().__init__(f"Another resource{name} has the same {_join(fields)}.")
        self.fields = tuple(fields)
        self.field = ", ".join(fields)
        self.holder = holder


class DifferentHolders(AutoCRUDError):
    """Different live resources hold the unique values of an upsert: send the values of one of them.

    Args:
        holders: names of the fields and id of the holder, of each unique constraint that is held.
    """

    code = "different_holders"

    def __init__(self, holders: Sequence[tuple[Sequence[str], str]]) -> None:
        parts = [f"{holder!r} has the same {_join(fields)}" for fields, holder in holders]
        super().__init__(f"Different resources have these unique values: {'; '.join(parts)}.")
        self.holders = tuple((tuple(fields), holder) for fields, holder in holders)


class Referenced(AutoCRUDError):
    """Referrers with `on_delete=restrict` prevent the delete: delete or change the referrers first.

    Args:
        holder: model and id of the resource that was to be deleted.
        model: model of the referrers.
        field: reference field of the referrers.
        resource_ids: ids of some referrers; none if the caller may not see them.
    """

    code = "referenced"

    def __init__(self, holder: tuple[str, str], model: str, field: str, resource_ids: Sequence[str]) -> None:
        referrers = f"the {field} of {model} {enumerate_values(resource_ids)}" if resource_ids else "referenced"
        super().__init__(f"The {holder[0]} {holder[1]!r} is {referrers}.")
        self.holder = holder
        self.model = model
        self.field = field
        self.resource_ids = tuple(resource_ids[:MAX_NAMES_IN_MESSAGE])


class TooManyDependents(AutoCRUDError):
    """The delete would delete too many referrers by cascades: delete some of the referrers first.

    Args:
        holder: model and id of the resource that was to be deleted.
        limit: number of resources that one delete may delete by cascades.
    """

    code = "too_many_dependents"

    def __init__(self, holder: tuple[str, str], limit: int) -> None:
        super().__init__(
            f"To delete the {holder[0]} {holder[1]!r} would delete more than {limit} referrers with it."
            " Delete some of the referrers first, for example by filter, and then repeat the delete."
        )
        self.limit = limit


class UnhandledReferrers(AutoCRUDError):
    """The process cannot change the referrers of a resource to delete: change them first, or use a process that can.

    Args:
        holder: model and id of the resource that was to be deleted.
        model: model of the referrers.
        resource_ids: ids of some referrers.
    """

    code = "unhandled_referrers"

    def __init__(self, holder: tuple[str, str], model: str, resource_ids: Sequence[str]) -> None:
        super().__init__(
            f"The {model} {enumerate_values(resource_ids)} refers to the {holder[0]} {holder[1]!r}, and this process"
            f" cannot change it: the model {model!r} is not registered here in this form, or referrers are added all"
            " the time. Change the referrers first, or repeat the delete."
        )
        self.holder = holder
        self.model = model
        self.resource_ids = tuple(resource_ids[:MAX_NAMES_IN_MESSAGE])


def _join(names: Sequence[str]) -> str:
    """Return names as text, as in "title, year and hall"."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
