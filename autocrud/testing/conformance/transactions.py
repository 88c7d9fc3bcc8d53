"""Conformance of transactions over several models, and of their references."""

from autocrud.errors import Aborted, AlreadyExists, Conflict, Referenced, UniqueViolation
from autocrud.storage.decision.references import MissingTargets, UnplannedReferrers
from autocrud.storage.ports.transactions import (
    Dependent,
    VersionCheck,
)
from autocrud.storage.ports.types import Write
from autocrud.testing.conformance.base import present
from autocrud.testing.conformance.store_models import LINK, Models, StoreTests, check_of, link, summary, update_link
from autocrud.testing.sample_writes import (
    SAMPLE,
    create_write,
    delete_write,
    purge_write,
    restore_write,
    sample,
    update_write,
)


class TransactionTests(StoreTests):
    """Transactions commit as a whole or not at all, and references hold at each commit."""

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
        """In any order, because claims are judged at its end. Models do not share values."""
        first, second = create_write("a", sample(code="x")), create_write("b", sample(code="y"))
        await models.accept(first, second, link("l1", name="x"))
        taking, freeing = update_write(second, sample(code="x")), update_write(first, sample(code="z"))
        assert await models.refuse(taking) == [UniqueViolation]
        await models.accept(taking, freeing)
        await models.accept(create_write("c", sample(code="z")), delete_write(freeing))
        assert await models.refuse(restore_write(delete_write(freeing))) == [UniqueViolation]
        assert await models.refuse(create_write("d", sample(code="n")), create_write("e", sample(code="n"))) == [
            Aborted,
            UniqueViolation,
        ]

    async def test_5_unique_values_are_swapped_within_a_transaction(self, models: Models) -> None:
        """Each value has its new holder afterwards, also after a second swap and a delete."""
        first, second = create_write("a", sample(code="x")), create_write("b", sample(code="y"))
        await models.accept(first, second, create_write("c", sample(code="w")))
        swapped = update_write(first, sample(code="y")), update_write(second, sample(code="x"))
        await models.accept(*swapped)
        (refusal,) = await models.commit(create_write("d", sample(code="y")))
        assert isinstance(refusal, UniqueViolation)
        assert refusal.holder == "a"
        back = update_write(swapped[0], sample(code="x")), update_write(swapped[1], sample(code="y"))
        assert await models.refuse(back[0], update_write(swapped[1], sample(code="w"))) == [Aborted, UniqueViolation]
        await models.accept(*back)
        await models.accept(delete_write(back[0]), create_write("d", sample(code="x")))

    async def test_5_value_that_its_holder_gives_up_goes_to_one_resource(self, models: Models) -> None:
        """The earlier of two takers keeps it, and the later one is refused."""
        first, second = create_write("a", sample(code="x")), create_write("b", sample(code="y"))
        await models.accept(first, second)
        taking, freeing = update_write(second, sample(code="x")), update_write(first, sample(code="z"))
        later = create_write("c", sample(code="x"))
        assert await models.refuse(taking, freeing, later) == [Aborted, Aborted, UniqueViolation]
        await models.accept(taking, freeing, create_write("c", sample(code="y")))

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
