"""Claims: unique values of a resource or of a document, and the resources that hold them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from autocrud.query.conditions import And, Condition, Or, Query, Term
from autocrud.query.operators import Operator
from autocrud.schema.column_types import IndexValue
from autocrud.schema.forms.field_reader import FieldReader
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.ports.claims import unique_values
from autocrud.storage.ports.storage import IStorage
from autocrud.storage.ports.types import Head

# Number of a unique constraint of the model, and the values of its fields.
Claim = tuple[int, tuple[Any, ...]]
_NO_ID = "-"  # no resource has this id


@dataclass(frozen=True, slots=True)
class Holder:
    """A live resource, and the claims that it holds of those that were searched."""

    head: Head
    claims: tuple[Claim, ...]


class Claims:
    """Reads the claims of one model's resources, and finds the holders of claims."""

    def __init__(self, spec: ModelSpec[Any], storage: IStorage) -> None:
        self._spec = spec
        self._storage = storage
        self._readers: dict[int, FieldReader] = {}

    def of_index(self, index: Sequence[IndexValue]) -> tuple[Claim, ...]:
        """Return the claims of index values. A null value makes no claim."""
        pairs = ((number, unique_values(unique, index)) for number, unique in enumerate(self._spec.unique_constraints))
        return tuple((number, values) for number, values in pairs if values is not None)

    def of_head(self, head: Head) -> tuple[Claim, ...]:
        """Return the claims of a resource. A deleted resource has none."""
        return () if head.is_deleted else self.of_index(self._spec.stored_values(head.data)[0])

    def of_document(self, document: Any) -> tuple[Claim, ...]:
        """Return the claims of a document that may lack fields: the claims that a create of it would make.

        Args:
            document: JSON with the names that a create accepts.
        """
        if not isinstance(document, Mapping):
            return ()
        stored = self._spec.names.to_stored(document)
        index: list[IndexValue] = [None] * len(self._spec.index_fields)
        for position in {position for unique in self._spec.unique_constraints for position in unique.positions}:
            try:
                index[position] = self._spec.index_fields[position].column_value(self._reader(position).read(stored))
            except (ValueError, ArithmeticError):
                continue  # no resource can have the value
        return self.of_index(index)

    async def find_holders(self, claims: Sequence[Claim], violated: str | None) -> list[Holder]:
        """Return the live resources that hold at least one of the claims, with their current heads.

        Args:
            violated: id of a resource that held a claim a moment ago, as a refused commit reported; else None.
        """
        if not claims:
            return []
        # A current read also brings the index up to now, if the store permits stale searches.
        first = await self._read([violated or _NO_ID], claims)
        remaining_claims = _without(claims, first)
        if not remaining_claims:
            return first
        page = await self._storage.search(Query(self._condition(remaining_claims), limit=len(remaining_claims)))
        ids = {head.resource_id for head in page.items} - {violated}
        later = await self._read(sorted(ids), claims)
        # A claim that has moved between the two reads belongs to the later holder.
        holders = [*(Holder(item.head, tuple(_without(item.claims, later))) for item in first), *later]
        return [item for item in holders if item.claims]

    async def _read(self, resource_ids: Sequence[str], claims: Sequence[Claim]) -> list[Holder]:
        """Return the resources that are live and hold one of the claims, as of now."""
        heads = (await self._storage.get_many(resource_ids, current=True)).values()
        return [holder for head in heads if (holder := self.holder_of(head, claims)) is not None]

    def holder_of(self, head: Head, claims: Sequence[Claim]) -> Holder | None:
        """Return the resource with the claims that it holds; None if it is deleted or holds none of them."""
        shared = () if head.is_deleted else self._shared_claims(head, claims)
        return Holder(head, shared) if shared else None

    def _shared_claims(self, head: Head, claims: Sequence[Claim]) -> tuple[Claim, ...]:
        """Return the claims that a resource holds. A resource whose data cannot be read may hold all of them."""
        if head.fault is not None:
            return tuple(claims)
        own_claims = set(self.of_head(head))
        return tuple(claim for claim in claims if claim in own_claims)

    def _condition(self, claims: Sequence[Claim]) -> Condition:
        """Return the condition that selects the holders of any of the claims."""
        parts = tuple(
            And(tuple(Term(field, Operator.eq, value) for field, value in zip(unique.fields, values, strict=True)))
            for unique, values in ((self._spec.unique_constraints[number], values) for number, values in claims)
        )
        return Or(parts)

    def _reader(self, position: int) -> FieldReader:
        """Return the reader of an index field. Readers are built on first use, because few models need them."""
        if position not in self._readers:
            schema: Any = self._spec.adapter.core_schema
            self._readers[position] = FieldReader(schema, self._spec.index_fields[position].path)
        return self._readers[position]


def _without(claims: Sequence[Claim], holders: Sequence[Holder]) -> list[Claim]:
    """Return the claims that none of the holders has."""
    taken_claims = {claim for holder in holders for claim in holder.claims}
    return [claim for claim in claims if claim not in taken_claims]
