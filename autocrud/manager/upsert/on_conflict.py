"""OnConflict: the effect of a create if a live resource holds the unique values."""

from enum import StrEnum
from typing import Any

from autocrud.errors import InvalidParameter
from autocrud.schema.model_spec import ModelSpec


class OnConflict(StrEnum):
    """Effect of a create if a live resource, the holder, has the same values of a unique constraint.

    Attributes:
        error: refuse the create.
        return_: return the holder unchanged.
        replace: append a revision with the data to the holder.
        merge: apply the data to the holder as a merge patch (RFC 7396): the members of a mapping or of JSON, or the
            fields that were set in an instance.
    """

    error = "error"
    return_ = "return"
    replace = "replace"  # type: ignore[assignment]  # hides a method of str, which nobody calls on a choice
    merge = "merge"

    @property
    def is_upsert(self) -> bool:
        """True if a create may answer with a resource that existed before."""
        return self is not OnConflict.error

    @property
    def may_change(self) -> bool:
        """True if a create may change a resource that existed before."""
        return self in (OnConflict.replace, OnConflict.merge)


def check_on_conflict(spec: ModelSpec[Any], on_conflict: OnConflict | str, resource_id: str | None) -> OnConflict:
    """Return the choice for a create.

    Args:
        resource_id: id that the caller chose for the resource, or None.

    Raises:
        InvalidParameter: the choice is unknown, the model has no unique constraint, or there is a chosen id.
    """
    try:
        choice = OnConflict(on_conflict)
    except ValueError as error:
        raise InvalidParameter("on_conflict", f"must be one of {', '.join(OnConflict)}") from error
    if not choice.is_upsert:
        return choice
    if not spec.unique_constraints:
        raise InvalidParameter("on_conflict", f"finds resources by unique values, and {spec.name} has no unique field")
    if resource_id is not None:
        raise InvalidParameter("on_conflict", "finds the resource by its unique values, and excludes an id")
    return choice
