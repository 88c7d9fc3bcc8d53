"""Conformance of what is unique: alone and together, on every kind of write, with the holder named (invariant 5)."""

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
from autocrud.schema.index_field import Index, Unique
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.ports.storage import IStorage, IStorageFactory
from autocrud.storage.ports.types import Write
from autocrud.testing.conformance.base import StorageTests, ids, outcomes, present
from autocrud.testing.sample_writes import (
    create_write,
    delete_write,
    modify_write,
    purge,
    restore_write,
    sample,
    switch_write,
    update_write,
)

_SPOT = ("shelf", "place")


class Edition(BaseModel):
    """A set of each type of column, and sets and fields in an order of their own."""

    title: Annotated[str | None, Unique(group="edition"), Unique(group="print")] = None
    isbn: Annotated[str | None, Unique()] = None
    year: Annotated[int | None, Unique(group="edition")] = None
    run: Annotated[int | None, Unique(group="print")] = None
    price: Decimal | None = None
    out: date | None = None
    at: time | None = None
    seen: Annotated[datetime | None, Index()] = None
    key: UUID | None = None
    weight: float | None = None
    bound: bool | None = None


EDITION: ModelSpec[Edition] = ModelSpec(
    Edition, unique_together=[("key", "bound", "price", "out", "at", "seen", "weight"), ("run", "weight")]
)


def _edition(**fields: Any) -> bytes:
    return EDITION.dump(EDITION.parse(to_json(fields)))


def _named(outcome: Any) -> tuple[tuple[str, ...], str]:
    """What a refusal names: the fields and the holder."""
    assert isinstance(outcome, UniqueViolation), outcome
    return outcome.fields, outcome.holder


async def _refusal(storage: IStorage, write: Write) -> tuple[tuple[str, ...], str]:
    with pytest.raises(UniqueViolation) as caught:
        await storage.commit(write)
    return _named(caught.value)


class UniqueTests(StorageTests):
    """Tests of values that only one resource may have."""

    async def test_5_every_kind_of_write_is_checked_and_told_who_holds_what(self, storage: IStorage) -> None:
        """Fields that are unique together may each be shared; the holder itself may keep what it has."""
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
        moved = update_write(first, sample(shelf="s", place=3))
        heir = update_write(other, first.data or b"")
        for write in (moved, heir):
            await storage.commit(write)
        assert await _refusal(storage, switch_write(moved, first)) == (("code",), "b")
        gone = delete_write(moved)
        for write in (gone, update_write(third, sample(shelf="s", place=3))):
            await storage.commit(write)
        assert await _refusal(storage, restore_write(gone)) == (_SPOT, "c")
        await storage.commit(update_write(heir, sample(shelf="s", place=1, code="c", text="kept")))
        assert await ids(storage, QB["shelf"].eq("s"), QB["place"].gte(1)) == ["c", "b"]

    async def test_5_a_null_in_a_set_or_a_deletion_frees_the_others(self, storage: IStorage) -> None:
        """Only what is there as a whole, and live, is held."""
        halves = [create_write(f"s{number}", sample(shelf="s")) for number in range(2)]
        halves += [create_write(f"p{number}", sample(place=1)) for number in range(2)]
        first = create_write("a", sample(shelf="s", place=1))
        assert await outcomes(storage, [*halves, first]) == [None] * 5
        assert await _refusal(storage, update_write(halves[0], sample(shelf="s", place=1))) == (_SPOT, "a")
        gone, heir = delete_write(first), create_write("b", sample(shelf="s", place=1))
        for write in (gone, heir):
            await storage.commit(write)
        assert await _refusal(storage, restore_write(gone)) == (_SPOT, "b")
        for write in (purge(heir), restore_write(gone)):
            await storage.commit(write)
        assert await _refusal(storage, create_write("c", sample(shelf="s", place=1))) == (_SPOT, "a")

    async def test_5_of_a_batch_that_claims_one_set_exactly_one_wins(self, storage: IStorage) -> None:
        """All the others are told its id; what a write of the batch frees, a later one may have."""
        rivals = [create_write(f"r{number}", sample(shelf="s", place=1, number=number)) for number in range(30)]
        results = await outcomes(storage, rivals)
        assert results.count(None) == 1
        winner = rivals[results.index(None)]
        lost = [result for result in results if result is not None]
        assert {_named(result) for result in lost} == {(_SPOT, winner.meta.resource_id)}
        left, heir = update_write(winner, sample(shelf="s")), create_write("heir", sample(shelf="s", place=1))
        late, gone = create_write("late", sample(shelf="s", place=1)), delete_write(heir)
        last = create_write("last", sample(shelf="s", place=1))
        results = await outcomes(storage, [left, heir, late, gone, last, restore_write(gone)])
        assert results[:2] + results[3:5] == [None] * 4
        assert [_named(result) for result in (results[2], results[5])] == [(_SPOT, "heir"), (_SPOT, "last")]

    async def test_5_a_group_hands_values_on_in_any_order_of_its_resources(self, storage: IStorage) -> None:
        """All or none of it: by updates, by a restore, and where two exchange theirs by way of a third."""
        first, second = create_write("a", sample(code="x")), create_write("b", sample(code="y"))
        assert await storage.commit_all([first, second], atomic=True) == [None] * 2
        left, taken = update_write(second, sample()), update_write(first, sample(code="y"))
        assert await storage.commit_all([left, taken], atomic=True) == [None] * 2
        spare, back = update_write(taken, sample()), update_write(left, sample(code="y"))
        heir = update_write(spare, sample(code="x"))
        assert await storage.commit_all([spare, back, heir], atomic=True) == [None] * 3
        gone, other = delete_write(heir), create_write("c", sample(code="x"))
        for write in (gone, other):
            await storage.commit(write)
        assert await storage.commit_all([update_write(other, sample()), restore_write(gone)], atomic=True) == [None] * 2
        assert await ids(storage, QB["code"].eq("x")) == ["a"]
        assert await ids(storage, QB["code"].eq("y")) == ["b"]
        assert sorted(await ids(storage)) == ["a", "b", "c"]
        assert await _refusal(storage, create_write("d", sample(code="x"))) == (("code",), "a")

    async def test_5_values_that_are_equal_clash_whatever_their_type(self, factory: IStorageFactory) -> None:
        """Written in another way they are the same; and of several sets that are taken, the first one is named."""
        storage = factory.build(EDITION)
        await storage.open()

        def made(name: str, **fields: Any) -> Write:
            return create_write(name, _edition(**fields), spec=EDITION)

        key = UUID("0190f5a0-0000-7000-8000-0000000000aa")
        typed = {"key": key, "bound": False, "price": "1.5", "out": "2026-01-01", "at": "10:00", "weight": -0.0}
        first = made("a", seen=datetime(2026, 1, 1, tzinfo=UTC), **typed)
        same = {**typed, "key": str(key).upper(), "price": "1.500", "at": "10:00:00.000", "weight": 0}
        same["seen"] = "2026-01-01T01:00:00+01:00"
        try:
            await storage.commit(first)
            fields, holder = await _refusal(storage, made("b", **same))
            assert (fields, holder) == (("key", "bound", "price", "out", "at", "seen", "weight"), "a")
            for name, value in {"bound": True, "price": "1.51", "weight": 0.5, "at": None}.items():
                await storage.commit(made(f"with-{name}", **{**same, name: value}))
            await storage.commit(made("t", title="t", year=1, isbn="i", run=1, weight=1))
            for taken, named in (
                ({"title": "t", "year": 1, "isbn": "i", "run": 1, "weight": 1}, ("title", "year")),
                ({"title": "t", "isbn": "i", "run": 1, "weight": 1}, ("title", "run")),
                ({"isbn": "i", "run": 1, "weight": 1}, ("isbn",)),
                ({"run": 1, "weight": 1}, ("run", "weight")),
            ):
                assert await _refusal(storage, made("u", **taken)) == (named, "t")
            assert await ids(storage, QB["title"].eq("t"), spec=EDITION) == ["t"]
        finally:
            await storage.close()
