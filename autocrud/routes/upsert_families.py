"""Upsert families: the route families that a create with `on_conflict` needs, because it may do their work."""

from collections.abc import Collection

from autocrud.manager.upsert.on_conflict import OnConflict

_FAMILIES = {OnConflict.return_: "read", OnConflict.replace: "replace", OnConflict.merge: "patch"}


def missing_family(on_conflict: object, families: Collection[str] | None) -> str | None:
    """Return the route family that a create with this choice needs and a model does not serve; else None.

    Args:
        on_conflict: the choice; an unknown one needs no family.
        families: route families of the model; None for all.
    """
    if families is None or not isinstance(on_conflict, str) or on_conflict not in set(OnConflict):
        return None
    family = _FAMILIES.get(OnConflict(on_conflict))
    return None if family is None or family in families else family
