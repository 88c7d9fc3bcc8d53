"""Claims and stored references: what the data of a resource says of other resources, in a form that needs no model."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple
from urllib.parse import quote, unquote

from pydantic_core import to_json

from autocrud.schema.column_types import IndexValue
from autocrud.schema.index_field import IndexField
from autocrud.schema.unique_constraints import UniqueConstraint

_DIGEST_BYTES = 16


class Claim(NamedTuple):
    """Values of a unique constraint. No two live resources of a model have an equal claim.

    Attributes:
        unique_set: names of the fields, each quoted as in a URL, joined by commas.
        digest: hash of the values, hexadecimal.
    """

    unique_set: str
    digest: str

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the fields."""
        return tuple(unquote(name) for name in self.unique_set.split(","))


class StoredReference(NamedTuple):
    """A reference of a resource to a resource of the same store.

    Attributes:
        field: name of the reference field.
        model: folder of the target's model.
        resource_id: id of the target.
        on_delete: value of the `OnDelete` marker of the field.
        must_exist: True if a write that adds the reference needs a live target.
    """

    field: str
    model: str
    resource_id: str
    on_delete: str
    must_exist: bool = True


def unique_values(unique: UniqueConstraint, index: Sequence[IndexValue]) -> tuple[IndexValue, ...] | None:
    """Return the values of a unique constraint; None if one of them is null, so that the resource has no claim."""
    values = tuple(index[position] for position in unique.positions)
    return None if None in values else values


def claim_of(unique: UniqueConstraint, index: Sequence[IndexValue]) -> Claim | None:
    """Return the claim of a resource with these index values; None if a value of the constraint is null."""
    values = unique_values(unique, index)
    if values is None:
        return None
    # Minus zero and zero are equal, and their texts are not.
    equal_values = [value + 0.0 if isinstance(value, float) else value for value in values]
    digest = blake2b(to_json(equal_values), digest_size=_DIGEST_BYTES).hexdigest()
    return Claim(unique_set_of(unique), digest)


def claims_of(constraints: Sequence[UniqueConstraint], index: Sequence[IndexValue]) -> tuple[Claim, ...]:
    """Return the claims of a resource with these index values."""
    found = (claim_of(unique, index) for unique in constraints)
    return tuple(claim for claim in found if claim is not None)


def unique_set_of(unique: UniqueConstraint) -> str:
    """Return the name of a unique set, as claims have it."""
    return _set_name(unique.names)


@lru_cache(maxsize=1024)
def _set_name(names: tuple[str, ...]) -> str:
    return ",".join(quote(name, safe="") for name in names)


def references_of(
    fields: Sequence[IndexField], targets: Mapping[int, str], index: Sequence[IndexValue]
) -> tuple[StoredReference, ...]:
    """Return the references of a resource with these index values.

    Args:
        targets: folder of the target's model, by the number of the reference field. Fields that refer to resources of
            another store are not in it.
    """
    found: list[StoredReference] = []
    for number, model in targets.items() if index else ():
        field, value = fields[number], index[number]
        if field.ref is None:
            continue
        for resource_id in dict.fromkeys(value if isinstance(value, tuple) else (value,)):
            if isinstance(resource_id, str):
                ref = field.ref
                found.append(StoredReference(field.name, model, resource_id, ref.on_delete.value, ref.must_exist))
    return tuple(found)
