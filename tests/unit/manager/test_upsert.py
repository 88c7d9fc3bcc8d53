"""Upserts in Python: values of every kind, holders that change meanwhile, and holders that cannot be read."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, field_serializer, field_validator
from pydantic_core import from_json

from autocrud import AutoCRUD, OnConflict, OnDelete, Ref, ResourceManager, Schema, Unique
from autocrud.errors import Conflict, InvalidData, InvalidParameter, NewerSchema, ReferenceNotFound, Unreadable
from autocrud.manager.bulk.operation import BulkOp, BulkOperation
from autocrud.manager.upsert.claims import Claim, Claims, Holder
from autocrud.migrations import fill, remove
from autocrud.storage.disk import DiskStorageFactory
from autocrud.storage.memory import MemoryStorageFactory
from autocrud.storage.ports.storage import IStorageFactory


class Address(BaseModel):
    """A nested model."""

    code: Annotated[Decimal | None, Unique()] = None


class Account(BaseModel):
    """A model whose unique values are changed by validators, or are nested."""

    model_config = ConfigDict(str_strip_whitespace=True)

    email: Annotated[str | None, Unique()] = Field(None, alias="mail")
    region: Annotated[str, Unique(group="place")] = "eu"
    number: Annotated[int | None, Unique(group="place")] = None
    address: Address = Address()
    name: str
    owner: Annotated[str | None, Ref("account", on_delete=OnDelete.dangling)] = None

    @field_validator("email")
    @classmethod
    def lower(cls, value: str | None) -> str | None:
        """Compare addresses without case."""
        return value and value.lower()


@asynccontextmanager
async def accounts(
    model: type[Any] = Account, factory: IStorageFactory | None = None, **options: Any
) -> AsyncIterator[ResourceManager[Any]]:
    """Yield a manager, on a memory store by default."""
    crud = AutoCRUD(storage_factory=factory or MemoryStorageFactory())
    crud.add_model(model, name="account", **options)
    async with crud.running():
        yield crud.manager("account")


@pytest.mark.parametrize(
    "patch",
    [
        {"mail": " ADA@Example.org "},
        {"email": "ada@example.org"},
        {"number": "7"},
        {"region": "eu", "number": 7},
        {"address": {"code": 1.50}},
        b'{"address": {"code": 1.500000000000000000}}',
    ],
    ids=str,
)
async def test_merge_finds_the_holder_by_validated_values(patch: Mapping[str, Any] | bytes) -> None:
    """Validators, the config, defaults, aliases and nested fields count, as in a create."""
    async with accounts() as manager:
        whole = {"mail": "Ada@example.org", "number": 7, "address": {"code": "1.5"}, "name": "Ada"}
        holder = await manager.create(whole)
        merged = await manager.create(patch, on_conflict="merge")
        assert (merged.resource_id, merged.is_new, merged.data.name) == (holder.resource_id, False, "Ada")


async def test_instance_merges_the_fields_that_were_set() -> None:
    """A default that was not set changes nothing. The author is that of the new revision."""
    async with accounts() as manager:
        first = await manager.create(Account(mail="a@b.c", name="Ada", number=1), by="ada")
        merged = await manager.create(Account(mail="a@b.c", name="Eve"), on_conflict=OnConflict.merge, by="eve")
        assert (merged.data.name, merged.data.number, merged.revision_info.created_by) == ("Eve", 1, "eve")
        replaced = await manager.create(Account(mail="a@b.c", name="Eve"), on_conflict=OnConflict.replace)
        assert (replaced.resource_id, replaced.data.number) == (first.resource_id, None)


async def test_wrong_upsert_arguments_are_refused() -> None:
    """An id, an unknown choice, and bulk operations that cannot be upserts."""
    async with accounts() as manager:
        with pytest.raises(InvalidParameter, match=r"on_conflict: .* excludes an id"):
            await manager.create({"name": "x"}, resource_id="x", on_conflict="merge")
        with pytest.raises(InvalidParameter, match="must be one of error, return, replace, merge"):
            await manager.create({"name": "x"}, on_conflict="ignore")
        with pytest.raises(InvalidData):
            await manager.create({"name": object(), "mail": "x"}, on_conflict="merge")
        operation = BulkOperation(BulkOp.update, "x", {"name": "x"}, on_conflict=OnConflict.merge)
        (result,) = [result async for result in manager.bulk.run([operation])]
        assert isinstance(result.error, InvalidParameter)


async def test_holder_keeps_its_dangling_reference() -> None:
    """A create would be refused for the reference. Without a holder it is."""
    async with accounts() as manager:
        owner = await manager.create({"name": "owner"})
        value = {"mail": "a", "name": "x", "owner": owner.resource_id}
        await manager.create(value)
        await manager.delete(owner.resource_id)
        merged = await manager.create({**value, "name": "y"}, on_conflict="merge")
        assert (merged.is_new, merged.data.name) == (False, "y")
        with pytest.raises(ReferenceNotFound):
            await manager.create({**value, "mail": "b"}, on_conflict="merge")


class Price(BaseModel):
    """A model that shows an amount in a form that it does not read."""

    code: Annotated[str, Unique()]
    cents: int
    note: str = ""

    @field_serializer("cents")
    def show(self, value: int) -> str:
        """Show euros."""
        return f"{value / 100:.2f} EUR"


@pytest.mark.parametrize("choice", ["replace", "merge"])
async def test_value_of_an_answer_stays_in_the_holder(choice: str) -> None:
    """As in a PUT and a PATCH of the answer. Without a holder, the value is invalid."""
    async with accounts(Price) as manager:
        made = await manager.create({"code": "a", "cents": 250})
        answer = from_json(made.shown_json)
        assert answer["cents"] == "2.50 EUR"
        changed = await manager.create({**answer, "note": "x"}, on_conflict=choice)
        assert (changed.data.cents, changed.data.note) == (250, "x")
        with pytest.raises(InvalidData):
            await manager.create({**answer, "code": "b"}, on_conflict=choice)


@pytest.fixture
def after_search(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Any], Any]], None]:
    """Return a function that sets an action to run between the search for the holder and its change."""
    find = Claims.find_holders

    def install(action: Callable[[Any], Any]) -> None:
        async def find_holders(self: Claims, claims: Sequence[Claim], violated: str | None) -> list[Holder]:
            holders = await find(self, claims, violated)
            for holder in holders:
                await action(holder.head.resource_id)
            return holders

        monkeypatch.setattr(Claims, "find_holders", find_holders)

    return install


@pytest.mark.parametrize("change", ["delete", "purge", "rename"])
async def test_holder_that_goes_meanwhile_is_looked_up_again(
    change: str, after_search: Callable[[Callable[[Any], Any]], None]
) -> None:
    """The upsert creates the resource, and leaves the former holder alone."""
    async with accounts() as manager:
        former = await manager.create({"mail": "a", "name": "former"})

        async def leave(resource_id: str) -> None:
            if change == "rename":
                await manager.patch(resource_id, {"mail": "b"})
            else:
                await getattr(manager, change)(resource_id)

        after_search(leave)
        made = await manager.create({"mail": "a", "name": "new"}, on_conflict="replace")
        assert made.is_new
        assert made.resource_id != former.resource_id
        if change == "rename":
            assert (await manager.get(former.resource_id)).data.name == "former"


async def test_holder_that_always_goes_is_a_conflict(after_search: Callable[[Callable[[Any], Any]], None]) -> None:
    """The number of attempts is bounded."""
    async with accounts() as manager:
        await manager.create({"mail": "a", "name": "first"})

        async def pass_on(resource_id: str) -> None:
            await manager.delete(resource_id)
            await manager.create({"mail": "a", "name": "next"})

        after_search(pass_on)
        with pytest.raises(Conflict, match="moved the values of mail between"):
            await manager.create({"mail": "a", "name": "new"}, on_conflict="merge")


class Item(BaseModel):
    """A model with two schema versions."""

    code: Annotated[str, Unique()]
    name: str


class NewItem(Item):
    """The newer version of the model."""

    color: str


@pytest.mark.parametrize("choice", ["return", "replace", "merge"])
async def test_holder_that_cannot_be_read_is_an_error(choice: str, tmp_path: Path) -> None:
    """Its step fails after the index was filled."""
    is_broken = False

    def upgrade(document: dict[str, Any]) -> dict[str, Any]:
        if is_broken:
            raise ValueError("no name")
        return document

    async with accounts(Item, DiskStorageFactory(tmp_path)) as old:
        await old.create({"code": "a", "name": "one"})
    async with accounts(Item, DiskStorageFactory(tmp_path), schema=Schema(2).step(1, 2, upgrade)) as new:
        is_broken = True
        with pytest.raises(Unreadable):
            await new.create({"code": "a", "name": "y"}, on_conflict=choice)


async def test_holder_of_a_newer_schema_version_is_returned_and_not_changed(tmp_path: Path) -> None:
    """The old process reads it by its downgrade."""
    schema = Schema(2).step(1, 2, fill("color", "red"), downgrade=[remove("color")])
    async with accounts(NewItem, DiskStorageFactory(tmp_path), schema=schema) as new:
        await new.create({"code": "a", "name": "one", "color": "blue"})
    async with accounts(Item, DiskStorageFactory(tmp_path)) as old:
        found = await old.create({"code": "a", "name": "y"}, on_conflict="return")
        assert found.data == Item(code="a", name="one")
        for choice in ("replace", "merge"):
            with pytest.raises(NewerSchema):
                await old.create({"code": "a", "name": "y"}, on_conflict=choice)
