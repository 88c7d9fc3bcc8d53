"""Mutations: the write that each operation plans, or none."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from autocrud import ResourceManager
from autocrud.errors import InvalidData, NotDraft, PayloadTooLarge, PreconditionFailed
from autocrud.resource import CommitKind, RevisionStatus
from autocrud.versioning.encoder import Encoder
from autocrud.versioning.history import History
from autocrud.versioning.json_patch import MergePatch, Patch
from autocrud.versioning.mutations import ANY, Change, Mutations, plan_write
from autocrud.versioning.stored_resource import Resource
from autocrud.versioning.write_builder import Encoded, apply_to
from tests.unit.versioning.notes import notes, open_manager

OTHER, SAME = Encoded(b'{"text":"b"}'), Encoded(b'{"text":"a"}')
DRAFT, STABLE = RevisionStatus.draft, RevisionStatus.stable


class NaNPatch(Patch):
    """A patch whose result has a value that JSON lacks."""

    def apply(self, document: Any, limit: int, names: Any = None) -> Any:
        return {"text": float("nan")}


async def note(status: RevisionStatus = STABLE) -> tuple[Mutations[Any], Resource[Any]]:
    """The mutations of notes, and the note `n` with the text `a`."""
    spec = notes(status=status)
    manager: ResourceManager[Any] = await open_manager(spec)
    resource = await manager.create({"text": "a"}, resource_id="n", by="ada")
    storage = manager.node.storage
    return Mutations(spec, storage, Encoder(spec, storage.blobs), History(spec, storage)), resource


async def test_plan_write_without_matching_tag_fails_the_precondition() -> None:
    """`ANY` and the current tag match."""
    mutations, resource = await note()
    change: Change[Any] = mutations.replace(OTHER)
    with pytest.raises(PreconditionFailed):
        await plan_write(resource, ["other"], None, change)
    for tags in (ANY, [resource.tag], None):
        assert await plan_write(resource, tags, None, change) is not None


async def test_plan_write_with_slow_clock_keeps_times_in_order() -> None:
    """The time of a write is never before the last write."""
    mutations, resource = await note()
    future = datetime.now(UTC) + timedelta(hours=1)
    meta = resource.meta.model_copy(update={"updated_time": future})
    resource = Resource(resource.spec, replace(resource.head, meta=meta.to_json()))
    write = await plan_write(resource, None, "bob", mutations.delete)
    assert write is not None
    assert (write.meta.updated_time, write.meta.updated_by) == (future, "bob")


async def test_replace_with_equal_data_has_no_effect() -> None:
    """A different status alone modifies the current revision."""
    mutations, resource = await note()
    assert await plan_write(resource, None, None, mutations.replace(SAME)) is None
    write = await plan_write(resource, None, None, mutations.replace(SAME, status=DRAFT))
    assert write is not None
    assert (write.kind, write.meta.status, write.meta.total_revision_count) == (CommitKind.modify, DRAFT, 1)


async def test_replace_with_modify_edits_drafts_only() -> None:
    """A stable revision is immutable."""
    mutations, resource = await note(DRAFT)
    write = await plan_write(resource, None, None, mutations.replace(OTHER, modify=True))
    assert write is not None
    assert (write.kind, write.meta.version, write.meta.current_revision_id) == (CommitKind.modify, 2, "n:1")
    mutations, resource = await note(STABLE)
    with pytest.raises(NotDraft):
        await plan_write(resource, None, None, mutations.replace(OTHER, modify=True))


async def test_patch_beyond_the_size_limit_is_refused() -> None:
    """A result of exactly the limit is accepted."""
    mutations, resource = await note()
    patch = MergePatch(b'{"text":"bc"}')
    size = len(b'{"text":"bc"}')
    assert await plan_write(resource, None, None, mutations.patch(patch, max_bytes=size)) is not None
    with pytest.raises(PayloadTooLarge):
        await plan_write(resource, None, None, mutations.patch(patch, max_bytes=size - 1))


async def test_patch_with_nan_is_refused_by_the_model() -> None:
    """NaN does not become null on the way to the validator."""
    mutations, resource = await note()
    with pytest.raises(InvalidData):
        await plan_write(resource, None, None, mutations.patch(NaNPatch()))


async def test_switch_to_the_current_revision_has_no_effect() -> None:
    """By its id and by its number."""
    mutations, resource = await note()
    for revision in ("1", "n:1"):
        assert await plan_write(resource, None, None, mutations.switch(revision)) is None


async def test_restore_of_a_live_resource_has_no_effect() -> None:
    """After a delete, a restore is planned."""
    mutations, resource = await note()
    assert await plan_write(resource, None, None, mutations.restore) is None
    delete = await plan_write(resource, None, None, mutations.delete)
    assert delete is not None
    deleted = apply_to(resource.spec, delete, resource)
    restore = await plan_write(deleted, None, None, mutations.restore)
    assert restore is not None
    assert (restore.kind, restore.follows, restore.meta.is_deleted) == (CommitKind.restore, 2, False)


async def test_apply_to_write_without_data_keeps_the_data_of_the_resource() -> None:
    """A delete changes the metadata only; an update brings data and revision."""
    mutations, resource = await note()
    for change, text in ((mutations.delete, "a"), (mutations.replace(OTHER), "b")):
        write = await plan_write(resource, None, None, change)
        assert write is not None
        after = apply_to(resource.spec, write, resource)
        assert (after.data.text, after.meta.version, after.tag == resource.tag) == (text, 2, False)
