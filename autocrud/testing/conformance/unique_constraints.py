"""Conformance of unique constraints, alone and in groups, on every kind of write (invariant 5)."""

from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

import pytest
from pydantic import BaseModel
from pydantic_core import to_json

from autocrud.errors import UniqueViolation
from autocrud.query.builder import QB
from autocrud.resource import RevisionStatus
from autocrud.schema.markers import Index, Unique
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.ports.storage import IStorage, IStorageFactory
from autocrud.storage.ports.types import Write
from autocrud.testing.conformance.base import StorageTests, ids, outcomes, present
from autocrud.testing.sample_writes import (
    create_write,
    delete_write,
    modify_write,
    purge_write,
    restore_write,
    sample,
    switch_write,
    update_write,
)

_SPOT = ("shelf", "place")


class Edition(BaseModel):
    """A model with a unique group of every type of column."""

    title: Annotated[str | None, Unique(group="edition"), Unique(group="print")] = None
    isbn: Annotated[str | None, Unique()] = None
    year: Annotated[int | None, Unique(group="edition")] = None
    run: Annotated[int | None, Unique(group="print")] = None
    price: Decimal | None = None
    out: date | None = None
    at: time | None = None
    sighted: Annotated[datetime | None, Index()] = None
    key: UUID | None = None
    weight: float | None = None
    bound: bool | None = None


EDITION: ModelSpec[Edition] = ModelSpec(
    Edition, unique_together=[("key", "bound", "price", "out", "at", "sighted", "weight"), ("run", "weight")]
)


def _edition(**fields: Any) -> bytes:
    return EDITION.dump(EDITION.parse(to_json(fields)))


def _violation_of(outcome: Any) -> tuple[tuple[str, ...], str]:
    """Return the fields and the holder that a refusal names."""
    assert isinstance(outcome, UniqueViolation), outcome
    return outcome.fields, outcome.holder or ""


async def _refusal(storage: IStorage, write: Write) -> tuple[tuple[str, ...], str]:
    with pytest.raises(UniqueViolation) as caught:
        await storage.commit(write)
    return _violation_of(caught.value)


class UniqueConstraintTests(StorageTests):
    """Tests of values that only one resource may have."""

    async def test_5_every_kind_of_write_names_fields_and_holder(self, storage: IStorage) -> None:
        """Fields of a group may each be shared. The holder itself may keep its values."""
        first = create_write("a", sample(shelf="s", place=1, code="c"), status=RevisionStatus.draft)
        other = create_write("b", sample(shelf="s", place=2), status=RevisionStatus.draft)
        third = create_write("c", sample(shelf="t", place=1))
        for write in (first, other, third):
            await storage.commit(write)
        for data, fields in ((sample(shelf="s", place=1), _SPOT), (sample(code="c"), ("code",))):
            for write in (create_write("d", data), update_write(other, data), modify_write(other, other, data)):
                assert await _refusal(storage, write) == (fields, "a")
        assert (await present(storage, "b")).data == other.data
        assert await storage.get("d") is None
        changed = update_write(first, sample(shelf="s", place=3))
        heir = update_write(other, first.data or b"")
        for write in (changed, heir):
            await storage.commit(write)
        assert await _refusal(storage, switch_write(changed, first)) == (("code",), "b")
        deletion = delete_write(changed)
        for write in (deletion, update_write(third, sample(shelf="s", place=3))):
            await storage.commit(write)
        assert await _refusal(storage, restore_write(deletion)) == (_SPOT, "c")
        await storage.commit(update_write(heir, sample(shelf="s", place=1, code="c", text="kept")))
        assert await ids(storage, QB["shelf"].eq("s"), QB["place"].gte(1)) == ["c", "b"]

    async def test_5_null_or_deletion_frees_a_unique_group(self, storage: IStorage) -> None:
        """Only complete values of live resources are claimed."""
        halves = [create_write(f"s{number}", sample(shelf="s")) for number in range(2)]
        halves += [create_write(f"p{number}", sample(place=1)) for number in range(2)]
        first = create_write("a", sample(shelf="s", place=1))
        assert await outcomes(storage, [*halves, first]) == [None] * 5
        assert await _refusal(storage, update_write(halves[0], sample(shelf="s", place=1))) == (_SPOT, "a")
        deletion, heir = delete_write(first), create_write("b", sample(shelf="s", place=1))
        for write in (deletion, heir):
            await storage.commit(write)
        assert await _refusal(storage, restore_write(deletion)) == (_SPOT, "b")
        for write in (purge_write(heir), restore_write(deletion)):
            await storage.commit(write)
        assert await _refusal(storage, create_write("c", sample(shelf="s", place=1))) == (_SPOT, "a")

    async def test_5_batch_with_equal_claims_accepts_exactly_one(self, storage: IStorage) -> None:
        """The other writes get its id. A later write may take values that an earlier write frees."""
        rivals = [create_write(f"r{number}", sample(shelf="s", place=1, number=number)) for number in range(30)]
        results = await outcomes(storage, rivals)
        assert results.count(None) == 1
        winner = rivals[results.index(None)]
        lost_write = [result for result in results if result is not None]
        assert {_violation_of(result) for result in lost_write} == {(_SPOT, winner.meta.resource_id)}
        remaining, heir = update_write(winner, sample(shelf="s")), create_write("heir", sample(shelf="s", place=1))
        late_write, deletion = create_write("late", sample(shelf="s", place=1)), delete_write(heir)
        last = create_write("last", sample(shelf="s", place=1))
        results = await outcomes(storage, [remaining, heir, late_write, deletion, last, restore_write(deletion)])
        assert results[:2] + results[3:5] == [None] * 4
        assert [_violation_of(result) for result in (results[2], results[5])] == [(_SPOT, "heir"), (_SPOT, "last")]

    async def test_5_group_passes_values_on_in_any_order(self, storage: IStorage) -> None:
        """By updates, by a restore, and by an exchange through a third resource. All or none."""
        first, second = create_write("a", sample(code="x")), create_write("b", sample(code="y"))
        assert await storage.commit_all([first, second], atomic=True) == [None] * 2
        remaining, claimed = update_write(second, sample()), update_write(first, sample(code="y"))
        assert await storage.commit_all([remaining, claimed], atomic=True) == [None] * 2
        spare, restoration = update_write(claimed, sample()), update_write(remaining, sample(code="y"))
        heir = update_write(spare, sample(code="x"))
        assert await storage.commit_all([spare, restoration, heir], atomic=True) == [None] * 3
        deletion, other = delete_write(heir), create_write("c", sample(code="x"))
        for write in (deletion, other):
            await storage.commit(write)
        assert (
            await storage.commit_all([update_write(other, sample()), restore_write(deletion)], atomic=True)
            == [None] * 2
        )
        assert await ids(storage, QB["code"].eq("x")) == ["a"]
        assert await ids(storage, QB["code"].eq("y")) == ["b"]
        assert sorted(await ids(storage)) == ["a", "b", "c"]
        assert await _refusal(storage, create_write("d", sample(code="x"))) == (("code",), "a")

    async def test_5_equal_values_of_any_type_violate_a_constraint(self, factory: IStorageFactory) -> None:
        """Equal values in another notation are equal. The first of several violated sets is named."""
        storage = factory.build(EDITION)
        await storage.open()

        def made(name: str, **fields: Any) -> Write:
            return create_write(name, _edition(**fields), spec=EDITION)

        key = UUID("0190f5a0-0000-7000-8000-0000000000aa")
        typed = {"key": key, "bound": False, "price": "1.5", "out": "2026-01-01", "at": "10:00", "weight": -0.0}
        first = made("a", sighted=datetime(2026, 1, 1, tzinfo=UTC), **typed)
        same = {**typed, "key": str(key).upper(), "price": "1.500", "at": "10:00:00.000", "weight": 0}
        same["sighted"] = "2026-01-01T01:00:00+01:00"
        try:
            await storage.commit(first)
            fields, holder = await _refusal(storage, made("b", **same))
            assert (fields, holder) == (("key", "bound", "price", "out", "at", "sighted", "weight"), "a")
            for name, value in {"bound": True, "price": "1.51", "weight": 0.5, "at": None}.items():
                await storage.commit(made(f"with-{name}", **{**same, name: value}))
            await storage.commit(made("t", title="t", year=1, isbn="i", run=1, weight=1))
            for claimed, field_names in (
                ({"title": "t", "year": 1, "isbn": "i", "run": 1, "weight": 1}, ("title", "year")),
                ({"title": "t", "isbn": "i", "run": 1, "weight": 1}, ("title", "run")),
                ({"isbn": "i", "run": 1, "weight": 1}, ("isbn",)),
                ({"run": 1, "weight": 1}, ("run", "weight")),
            ):
                assert await _refusal(storage, made("u", **claimed)) == (field_names, "t")
            assert await ids(storage, QB["title"].eq("t"), spec=EDITION) == ["t"]
        finally:
            await storage.close()
