"""Snapshot scan in memory. Stored values are replaced and never changed, so that references to them suffice."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

from autocrud.resource import ResourceMeta
from autocrud.storage.ports.types import Commit, CommitEntry, Head, ScanItem


def snapshot_scan(
    selected: Iterable[Head], commits: Mapping[str, Sequence[Commit]] | None
) -> AsyncIterator[Sequence[ScanItem]]:
    """Yield heads in order of id, or their commits instead, as of the call."""
    heads = sorted(selected, key=lambda head: head.resource_id)
    return _pages(heads, None if commits is None else [tuple(commits[head.resource_id]) for head in heads])


async def _pages(
    heads: Sequence[Head], histories: Sequence[Sequence[Commit]] | None
) -> AsyncIterator[Sequence[ScanItem]]:
    for place, head in enumerate(heads):
        if histories is None:
            yield [head]
            continue
        meta = ResourceMeta.model_validate_json(head.meta)
        yield [CommitEntry(commit, meta.created_time, meta.created_by) for commit in histories[place]]
