"""History: pages of revisions, their cursors, and past states."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from autocrud import ResourceManager
from autocrud.errors import Deleted, InvalidParameter, NotFound, RevisionNotFound
from tests.unit.versioning.notes import notes, open_manager


async def note_with_revisions(count: int) -> ResourceManager[Any]:
    """A manager with the note `n`, whose revision `k` has the text `k`."""
    manager = await open_manager(notes())
    await manager.create({"text": "1"}, resource_id="n")
    for number in range(2, count + 1):
        await manager.replace("n", {"text": str(number)})
    return manager


async def read_all(manager: ResourceManager[Any], **query: Any) -> list[str]:
    """The numbers of all revisions, page by page."""
    numbers: list[str] = []
    cursor: str | None = None
    while True:
        page = await manager.revisions("n", cursor=cursor, limit=2, **query)
        numbers += [item.revision_id.removeprefix("n:") for item in page.items]
        if page.next_cursor is None:
            return numbers
        cursor = page.next_cursor


async def test_revisions_paged_return_each_revision_once() -> None:
    """Newest first; the last page has no cursor, even if it is full."""
    manager = await note_with_revisions(4)
    assert await read_all(manager) == ["4", "3", "2", "1"]
    assert await read_all(manager, first="3") == ["3", "2", "1"]


async def test_chain_after_switch_returns_the_ancestors_of_the_current_revision_only() -> None:
    """A switch branches the history: revision 4 has revision 1 as its parent."""
    manager = await note_with_revisions(3)
    await manager.switch("n", "1")
    await manager.replace("n", {"text": "4"})
    assert await read_all(manager, chain_only=True) == ["4", "1"]
    assert await read_all(manager, chain_only=True, first="3") == ["3", "2", "1"]


async def test_cursor_of_another_query_is_refused() -> None:
    """A cursor is bound to the resource and to all arguments of its query."""
    manager = await note_with_revisions(4)
    cursor = (await manager.revisions("n", limit=2)).next_cursor
    with pytest.raises(InvalidParameter, match="other filters"):
        await manager.revisions("n", chain_only=True, cursor=cursor)


@pytest.mark.parametrize("cursor", ["", "x", "====", "é", "MC8wMDAwMDAwMA", "-1"])
async def test_malformed_cursor_is_refused(cursor: str) -> None:
    """Any other text than a cursor is an invalid parameter, and never a crash."""
    manager = await note_with_revisions(1)
    with pytest.raises(InvalidParameter, match="cursor"):
        await manager.revisions("n", cursor=cursor)


async def test_read_at_time_returns_the_state_of_that_time() -> None:
    """Before the creation there is no resource; during the deletion it is deleted."""
    manager = await note_with_revisions(2)
    revisions = (await manager.revisions("n")).items
    deleted = await manager.delete("n")
    await manager.restore("n")
    assert (await manager.get("n", at=revisions[1].created_time)).data.text == "1"
    assert (await manager.get("n", at=datetime.now(UTC))).data.text == "2"
    with pytest.raises(NotFound):
        await manager.get("n", at=revisions[1].created_time - timedelta(microseconds=1))
    with pytest.raises(Deleted):
        await manager.get("n", at=deleted.meta.updated_time)


async def test_diff_of_two_revisions_is_a_patch_between_their_data() -> None:
    """An unknown revision is not found."""
    manager = await note_with_revisions(2)
    assert await manager.diff("n", "1", "n:2") == [{"op": "replace", "path": "/text", "value": "2"}]
    with pytest.raises(RevisionNotFound):
        await manager.diff("n", "1", "3")
