"""Full scenario: all kinds of commits on a storage, and every answer about them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from autocrud.errors import UniqueViolation
from autocrud.query.builder import QB
from autocrud.query.conditions import Query
from autocrud.query.resolver import Resolver, rank_order
from autocrud.resource import RevisionStatus, timestamp
from autocrud.storage.ports.storage import IStorage
from autocrud.storage.ports.types import Repeated, RequestKey, RevisionSpan
from autocrud.testing.conformance import ids, outcomes
from autocrud.testing.sample_writes import (
    SAMPLE,
    create_write,
    delete_write,
    modify_write,
    prune_write,
    purge_write,
    restore_write,
    sample,
    switch_write,
    update_write,
)

CONTENTS = (
    b"kept",
    b"of a draft that is pruned",
    b"of two that are pruned",
    b"of one that is purged",
    b"of one that is pruned",
)


async def read_everything(storage: IStorage) -> list[Any]:
    """Return every answer of the storage."""
    everything = (await storage.search(Query(include_deleted=True, limit=1000))).items
    live = await ids(storage)
    by_field = [await ids(storage, QB["text"].eq(text)) for text in ("", "x", "y")]
    fields = Resolver(SAMPLE)
    by_text = [
        await storage.search(Query(found, rank_order(found), True)) for found in map(fields.text, ("x", "y", "z"))
    ]
    by_item = [await ids(storage, QB["tags"].contains(tag), include_deleted=True) for tag in ("a", "b", "c")]
    histories = [await storage.commits(head.resource_id) for head in everything]
    commits = [commit for history in histories for commit in history]
    data = [await storage.data(commit) for commit in commits if commit.locator]
    revisions = [await storage.revisions(head.resource_id, RevisionSpan()) for head in everything]
    bytes_of = [await storage.data(revision) for found in revisions for revision in found]
    references = [await storage.blobs_of(commit.resource_id, commit.version) for commit in commits]
    blobs = [await storage.blobs.find(file_id) for file_id in sorted({name for names in references for name in names})]
    contents = [[piece async for piece in storage.blobs.stream(blob)] for blob in blobs if blob is not None]
    keys = [await _holder(storage, key) for key in ("first", "second")]
    spot = await _refusal(storage, sample(shelf="s", place=9))
    count = await storage.count(Query())
    pending = [(item, item.by) for item in await storage.pending_deletions(None, 100)]
    found = [everything, live, by_field, by_text, by_item, histories, data, revisions, bytes_of, references, blobs]
    return [*found, contents, keys, spot, pending, count]


async def write_everything(storage: IStorage) -> None:
    """Commit writes of all kinds, in batches and alone, with small and large data, blobs and keys."""
    blobs = [(await storage.blobs.put_bytes(content)).file_id for content in CONTENTS]
    writes = [create_write(f"r{number}", _first(number)) for number in range(12)]
    writes[5] = create_write("r5", sample(), status=RevisionStatus.draft, blobs=(blobs[1], blobs[2]), key=_key("first"))
    writes[6] = create_write("r6", sample(), blobs=(blobs[0], blobs[2], blobs[4]))
    writes[7] = create_write("r7", sample(), blobs=(blobs[3],), key=_key("second"))
    assert await outcomes(storage, writes) == [None] * 12
    changed = [update_write(write, sample(text="y", tags=["c"], payload="p" * 20_000)) for write in writes[:5]]
    changed.append(modify_write(writes[5], writes[5], sample(text="y", payload="d" * 20_000)))
    changed.append(update_write(writes[6], sample(text="y"), blobs=(blobs[0],)))
    assert await outcomes(storage, changed) == [None] * 7
    gone, back = replace(delete_write(changed[0]), has_task=True), switch_write(changed[2], writes[2])
    again = modify_write(changed[5], changed[5], sample(text="x"), status=RevisionStatus.stable)
    branch = update_write(back, sample(text="y", number=3), prunes=1)
    # The first revision, which is the current one then, is kept, and stays when it no longer is.
    kept = switch_write(changed[4], writes[4])
    early = prune_write(kept, 2)
    later = update_write(early, sample(text="x", number=4))
    for write in (
        gone,
        replace(delete_write(changed[1]), has_task=True),
        restore_write(gone),
        replace(purge_write(writes[11]), has_task=True),
        back,
        branch,
        again,
        kept,
        early,
        later,
    ):
        await storage.commit(write)
    for write in (
        prune_write(changed[3], 1),
        prune_write(changed[6], 1),
        update_write(again, sample(number=5)),
        purge_write(writes[7]),
    ):
        await storage.commit(write)
    await storage.vacuum()
    await storage.commit(create_write("r11", sample(text="x")))


def _first(number: int) -> bytes:
    return sample(text="x", number=number, code=f"c{number}", shelf="s", place=number)


def _key(key: str) -> RequestKey:
    return RequestKey(key, f"{key}'s", timestamp(datetime.now(UTC) + timedelta(hours=1)))


async def _refusal(storage: IStorage, data: bytes) -> str | None:
    """Return the error of a create with this data."""
    probe = create_write("probe", data)
    try:
        await storage.commit(probe)
    except UniqueViolation as error:
        return str(error)
    await storage.commit(purge_write(probe))
    return None


async def _holder(storage: IStorage, key: str) -> str | None:
    """Return the id of the resource that a request with this key made."""
    probe = create_write("probe", sample(), key=_key(key))
    try:
        await storage.commit(probe)
    except Repeated as repeated:
        return f"{repeated.resource_id} {repeated.fingerprint}"
    await storage.commit(purge_write(probe))
    return None
