"""Conformance of stores: transactions over several models, their references, and the feed of changes."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any

import pytest
from pydantic import BaseModel
from pydantic_core import to_json

from autocrud.errors import Aborted, AlreadyExists, Conflict, Referenced, UniqueViolation
from autocrud.resource import timestamp
from autocrud.schema.markers import OnDelete, Ref, Unique
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.decision.references import MissingTargets, UnplannedReferrers
from autocrud.storage.ports.storage import IStorage, IStorageFactory
from autocrud.storage.ports.transactions import (
    START,
    Dependent,
    StoreChange,
    Transaction,
    TransactionStore,
    VersionCheck,
)
from autocrud.storage.ports.types import Write
from autocrud.testing.conformance.base import ids, present
from autocrud.testing.sample_writes import (
    SAMPLE,
    create_write,
    delete_write,
    purge_write,
    restore_write,
    sample,
    update_write,
)


class Link(BaseModel):
    """A model with a reference to `Sample` for each on-delete action, and to another link."""

    name: Annotated[str | None, Unique()] = None
    restricted: Annotated[str | None, Ref("sample", on_delete=OnDelete.restrict)] = None
    cascaded: Annotated[str | None, Ref("sample", on_delete=OnDelete.cascade)] = None
    nulled: Annotated[list[str] | None, Ref("sample", on_delete=OnDelete.set_null)] = None
    dangling: Annotated[str | None, Ref("sample", on_delete=OnDelete.dangling)] = None
    previous: Annotated[str | None, Ref("link", on_delete=OnDelete.restrict)] = None


LINK: ModelSpec[Link] = ModelSpec(Link)
LINK.reference_targets = {
    number: SAMPLE.folder if field.ref.model == "sample" else LINK.folder
    for number, field in enumerate(LINK.index_fields)
    if field.ref is not None
}


def link(resource_id: str, **fields: Any) -> Write:
    """Return the first write of a link."""
    return create_write(resource_id, _link_data(fields), spec=LINK)


def update_link(before: Write, **fields: Any) -> Write:
    """Return a write that appends a revision of a link."""
    return update_write(before, _link_data(fields), spec=LINK)


def _link_data(fields: dict[str, Any]) -> bytes:
    return LINK.dump(LINK.parse(to_json(fields)))


def check_of(model: ModelSpec[Any], write: Write) -> VersionCheck:
    """Return the check that a resource is as a write left it."""
    meta = write.meta
    return VersionCheck(model.folder, meta.resource_id, meta.version, timestamp(meta.created_time))


class Models:
    """Open storages of `Sample` and `Link` in one store."""

    def __init__(self, samples: IStorage, links: IStorage) -> None:
        self.samples = samples
        self.links = links
        assert samples.store is not None
        assert links.store is samples.store
        self.store: TransactionStore = samples.store

    def prepare(self, *items: Write | VersionCheck | Dependent) -> Transaction:
        """Return a transaction. Writes of links have ids that begin with "l"."""
        for item in items:
            if isinstance(item, Write) and not item.model:
                storage = self.links if item.meta.resource_id.startswith("l") else self.samples
                assert storage.prepare(item) is None
        return Transaction(items)

    async def commit(self, *items: Write | VersionCheck | Dependent) -> list[Any]:
        """Commit one transaction. Return None or the refusal of each item."""
        (outcome,) = await self.store.commit([self.prepare(*items)])
        return outcome

    async def accept(self, *items: Write | VersionCheck | Dependent) -> None:
        """Commit one transaction that must be accepted."""
        assert await self.commit(*items) == [None] * len(items)

    async def refuse(self, *items: Write | VersionCheck | Dependent) -> list[type[Any]]:
        """Commit one transaction that must be refused and change nothing. Return the types of its outcomes."""
        before = await self.state()
        outcome = await self.commit(*items)
        assert all(outcome)
        assert await self.state() == before
        return [type(refusal) for refusal in outcome]

    async def state(self) -> Any:
        """Return all heads, and the last position."""
        storages = (self.samples, self.links)
        names = [await ids(self.samples, include_deleted=True), await ids(self.links, include_deleted=True, spec=LINK)]
        heads = [[await present(item, name) for name in found] for item, found in zip(storages, names, strict=True)]
        return heads, await self.store.last_position()

    async def changes(self, limit: int = 1000) -> list[StoreChange]:
        """Return all changes, read in pages."""
        found, position = list[StoreChange](), START
        while page := await self.store.changes(position, limit):
            assert len(page) <= limit
            found += page
            position = page[-1].position
        return found


def summary(changes: Sequence[StoreChange]) -> list[tuple[str, int, str]]:
    """Return id, version and kind of each change."""
    return [(change.resource_id, change.version, change.kind.value) for change in changes]


class StoreConformance:
    """Tests of a store that several models share. A subclass has one fixture, `factory`, an opened factory."""

    @pytest.fixture
    async def models(self, factory: IStorageFactory) -> AsyncIterator[Models]:
        """Yield the open storages of two models. The second model is built after the first is open."""
        samples = factory.build(SAMPLE)
        await samples.open()
        links = factory.build(LINK)
        await links.open()
        yield Models(samples, links)
        await links.close()
        await samples.close()

    async def test_2_transaction_over_two_models_commits_all_or_nothing(self, models: Models) -> None:
        """A refused item gives `Aborted` to the items without a fault, wherever it stands."""
        first, second = create_write("a", sample(code="x")), link("l", restricted="a")
        await models.accept(first, second)
        assert (await present(models.samples, "a")).data == first.data
        assert (await present(models.links, "l")).data == second.data
        good = [create_write("b", sample(code="y")), link("lb", cascaded="b"), update_write(first, sample(code="z"))]
        for place in range(len(good) + 1):
            bad = create_write("a", sample())
            found = await models.refuse(*good[:place], bad, *good[place:])
            assert found == [Aborted] * place + [AlreadyExists] + [Aborted] * (len(good) - place)
        await models.accept(*good)

    async def test_4_check_of_another_model_refuses_what_has_moved_on(self, models: Models) -> None:
        """Check other versions, absence, and a resource that was purged and created again."""
        first = create_write("a", sample())
        await models.accept(first)
        await models.accept(check_of(SAMPLE, first), link("l1"), VersionCheck(SAMPLE.folder, "none", 0))
        second = update_write(first, sample(text="new"))
        await models.accept(second)
        stale, present_resource = check_of(SAMPLE, first), VersionCheck(SAMPLE.folder, "a", 0)
        for check in (stale, present_resource, VersionCheck(SAMPLE.folder, "none", 1)):
            assert await models.refuse(check, link("l2")) == [Conflict, Aborted]
            assert await models.refuse(check) == [Conflict]
        reborn = create_write("a", sample())
        await models.accept(purge_write(second), reborn)
        assert await models.refuse(link("l2"), stale) == [Aborted, Conflict]
        await models.accept(update_write(reborn, sample()), link("l2"))

    async def test_4_later_transaction_of_a_batch_sees_the_earlier_transaction(self, models: Models) -> None:
        """A refused transaction between them has no effect on later transactions."""
        first = create_write("a", sample(code="x"))
        changed, unseen = update_write(first, sample(code="y")), create_write("b", sample(code="z"))
        batch: list[tuple[Write | VersionCheck, ...]] = [
            (first, link("l1", restricted="a")),
            (unseen, create_write("c", sample(code="x"))),
            (check_of(SAMPLE, first), changed),
            (check_of(SAMPLE, first), link("l2")),
            (link("l2", restricted="b"),),
            (create_write("c", sample(code="x")), link("l3", restricted="c")),
            (create_write("d", sample(code="z")),),
        ]
        found = await models.store.commit([models.prepare(*items) for items in batch])
        none = type(None)
        assert [[type(refusal) for refusal in outcome] for outcome in found] == [
            [none, none],
            [Aborted, UniqueViolation],
            [none, none],
            [Conflict, Aborted],
            [MissingTargets],
            [none, none],
            [none],
        ]
        assert summary(await models.changes()) == [
            ("a", 1, "create"), ("l1", 1, "create"), ("a", 2, "update"),
            ("c", 1, "create"), ("l3", 1, "create"), ("d", 1, "create"),
        ]  # fmt: skip

    async def test_5_unique_values_are_handed_over_within_a_transaction(self, models: Models) -> None:
        """In order: a value is free once its holder has let go of it. Models do not share values."""
        first, second = create_write("a", sample(code="x")), create_write("b", sample(code="y"))
        await models.accept(first, second, link("l1", name="x"))
        taking, freeing = update_write(second, sample(code="x")), update_write(first, sample(code="z"))
        assert await models.refuse(taking, freeing) == [UniqueViolation, Aborted]
        await models.accept(freeing, taking)
        await models.accept(delete_write(freeing), create_write("c", sample(code="z")))
        assert await models.refuse(restore_write(delete_write(freeing))) == [UniqueViolation]

    async def test_5_new_reference_needs_a_live_target(self, models: Models) -> None:
        """At the end of the transaction, so the target may come later in it. A reference that stays needs none."""
        first = create_write("a", sample())
        for field in ("restricted", "cascaded", "dangling"):
            assert await models.refuse(link("l1", **{field: "a"})) == [MissingTargets]
        assert await models.refuse(link("l1", nulled=["a", "b"]), first) == [MissingTargets, Aborted]
        created = link("l1", dangling="a")
        await models.accept(created, first)
        await models.accept(delete_write(first))
        assert await models.refuse(link("l2", dangling="a")) == [MissingTargets]
        await models.accept(update_link(created, dangling="a", name="new"))
        await models.accept(restore_write(delete_write(first)), link("l2", nulled=["a"]))

    async def test_5_restrict_refuses_a_delete_unless_the_transaction_lifts_it(self, models: Models) -> None:
        """By an update or a delete of the referrer. A restored referrer restricts again."""
        target, referrer = create_write("a", sample()), link("l1", restricted="a")
        await models.accept(target, referrer)
        for removal in (delete_write(target), purge_write(target)):
            assert await models.refuse(removal) == [Referenced]
            assert await models.refuse(link("l2"), removal) == [Aborted, Referenced]
        freed = update_link(referrer)
        await models.accept(delete_write(target), freed)
        restored = restore_write(delete_write(target))
        bound = update_link(freed, restricted="a")
        await models.accept(restored, bound)
        await models.accept(delete_write(bound), delete_write(restored))
        assert await models.refuse(restore_write(delete_write(bound))) == [MissingTargets]
        (outcome, refused) = await models.store.commit(
            [
                models.prepare(restore_write(delete_write(restored)), restore_write(delete_write(bound))),
                models.prepare(delete_write(restore_write(delete_write(restored)))),
            ]
        )
        assert outcome == [None, None]
        assert isinstance(refused[0], Referenced)

    async def test_5_delete_with_unplanned_dependents_is_refused(self, models: Models) -> None:
        """Unless the transaction changes them all."""
        target = create_write("a", sample())
        cascaded, nulled = link("l1", cascaded="a"), link("l2", nulled=["a"])
        await models.accept(target, cascaded, nulled)
        assert await models.refuse(delete_write(target)) == [UnplannedReferrers]
        assert await models.refuse(delete_write(cascaded), delete_write(target)) == [Aborted, UnplannedReferrers]
        await models.accept(delete_write(target), delete_write(cascaded), update_link(nulled))

    async def test_5_delete_with_a_task_names_its_dependents(self, models: Models) -> None:
        """A referrer that restricts a dependent refuses the delete. Until then, they count as deleted."""
        target, dependent, nulled = create_write("b", sample()), link("l3", cascaded="b"), link("l4", nulled=["b"])
        restricting = link("l5", previous="l3")
        await models.accept(target, dependent, nulled, restricting)
        removal, name = delete_write(target), Dependent(LINK.folder, "l3")
        removal.has_task = True
        assert await models.refuse(removal) == [UnplannedReferrers]
        assert await models.refuse(removal, name) == [Aborted, Referenced]
        await models.accept(delete_write(restricting))
        await models.accept(removal, name)
        (task,) = await models.samples.pending_deletions(None, 9)
        assert task.resource_id == "b"
        assert await models.refuse(link("l6", previous="l3")) == [MissingTargets]
        assert await models.refuse(restore_write(delete_write(restricting))) == [MissingTargets]
        await models.accept(delete_write(dependent))
        await models.samples.complete([task])
        assert await models.samples.pending_deletions(None, 9) == []

    async def test_3_purged_blob_stays_if_a_later_transaction_of_the_batch_refers_to_it(self, models: Models) -> None:
        """A blob that no resource refers to at the end of the batch is removed."""
        contents = (b"kept", b"dropped")
        shared, dropped = [(await models.samples.blobs.put_bytes(content)).file_id for content in contents]
        first = create_write("a", sample(), blobs=(shared, dropped))
        await models.accept(first)
        heir = create_write("b", sample(), blobs=(shared,))
        found = await models.store.commit([models.prepare(purge_write(first)), models.prepare(heir)])
        assert found == [[None], [None]]
        blob = await models.samples.blobs.find(shared)
        assert blob is not None
        assert b"".join([piece async for piece in models.samples.blobs.stream(blob)]) == b"kept"
        assert await models.samples.blobs.find(dropped) is None

    async def test_11_changes_resume_from_every_position(self, models: Models) -> None:
        """Changes are complete and in commit order, in pages of every size, after a restart of the storages, too."""
        assert await models.changes() == []
        assert await models.store.last_position() == START
        first, second = create_write("a", sample()), link("l1", cascaded="a")
        await models.accept(first, second)
        await models.refuse(first)
        blob = await models.samples.blobs.put_bytes(b"bytes")
        updated = update_write(first, sample(text="new"))
        updated.blobs = (blob.file_id,)
        await models.accept(updated, delete_write(second))
        await models.samples.close()
        await models.samples.open()
        await models.accept(link("l2"))
        found = await models.changes()
        assert summary(found) == [
            ("a", 1, "create"), ("l1", 1, "create"), ("a", 2, "update"), ("l1", 2, "delete"), ("l2", 1, "create")
        ]  # fmt: skip
        assert [change.model for change in found] == ["sample", "link", "sample", "link", "link"]
        positions = [change.position for change in found]
        assert positions == sorted(set(positions))
        assert positions[-1] == await models.store.last_position()
        for number, position in enumerate(positions, 1):
            assert await models.store.changes(position) == found[number:]
            assert await models.changes(number) == found

    async def test_11_purge_removes_the_earlier_changes_of_its_resource(self, models: Models) -> None:
        """Positions of other changes stay, and the position of a removed change can still be resumed from."""
        first, other = create_write("a", sample()), create_write("b", sample())
        second = update_write(first, sample(text="new"))
        for write in (first, other, second):
            await models.accept(write)
        before = await models.changes()
        await models.accept(purge_write(second))
        await models.accept(create_write("a", sample()))
        found = await models.changes()
        assert summary(found) == [("b", 1, "create"), ("a", 3, "purge"), ("a", 1, "create")]
        assert found[0] == before[1]
        for change, count in zip(before, (3, 2, 2), strict=True):
            assert await models.store.changes(change.position) == found[3 - count :]

    async def test_11_concurrent_writes_of_two_models_have_one_order(self, models: Models) -> None:
        """A follower that polls meanwhile sees the sequence that a later reader sees."""
        followed, position = list[StoreChange](), START

        async def write_chain(number: int) -> None:
            write = create_write(f"a{number}", sample(number=number))
            await models.accept(write, link(f"l{number}", cascaded=f"a{number}"))
            for version in range(5):
                write = update_write(write, sample(number=version))
                await models.samples.commit(write)

        writers = asyncio.gather(*(write_chain(number) for number in range(12)))
        while not writers.done() or await models.store.last_position() > position:
            page = await models.store.changes(position, 7)
            followed += page
            position = page[-1].position if page else position
            await asyncio.sleep(0)
        await writers
        assert followed == await models.changes()
        versions: dict[str, list[int]] = {}
        for change in followed:
            versions.setdefault(change.resource_id, []).append(change.version)
        assert versions == {f"a{number}": [1, 2, 3, 4, 5, 6] for number in range(12)} | {
            f"l{number}": [1] for number in range(12)
        }
