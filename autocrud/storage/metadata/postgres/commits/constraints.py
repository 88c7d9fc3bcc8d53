"""Stored constraints of a resource: claims and references of its data, as one column of its head."""

from collections.abc import Sequence

from pydantic_core import from_json, to_json

from autocrud.storage.ports.claims import Claim, StoredReference


def encode_constraints(claims: Sequence[Claim], references: Sequence[StoredReference]) -> bytes | None:
    """Return the column's value; None without claims and references, as most resources are."""
    return to_json([claims, references]) if claims or references else None


def decode_constraints(stored: bytes | None) -> tuple[tuple[Claim, ...], tuple[StoredReference, ...]]:
    """Return the claims and the references of a column's value."""
    if stored is None:
        return (), ()
    claims, references = from_json(stored)
    return tuple(Claim(*claim) for claim in claims), tuple(StoredReference(*reference) for reference in references)
