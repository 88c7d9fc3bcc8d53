"""Retention: the newest revision to prune."""

from datetime import UTC, datetime, timedelta

import pytest

from autocrud.resource import Retention
from autocrud.versioning.retention import next_prune_count
from tests.unit.versioning.notes import notes, open_manager

DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("retention", "age", "expected"),
    [
        (None, 2 * DAY, 0),
        (Retention(keep_last=2), timedelta(0), 2),
        (Retention(keep_last=9), 2 * DAY, 0),
        (Retention(keep_for=DAY), timedelta(0), 0),
        (Retention(keep_for=DAY), 2 * DAY, 4),
        (Retention(keep_last=1, keep_for=DAY), timedelta(0), 0),
        (Retention(keep_last=1, keep_for=DAY), 2 * DAY, 3),
    ],
)
async def test_prune_count_of_four_revisions_follows_the_retention(
    retention: Retention | None, age: timedelta, expected: int
) -> None:
    """With both rules, a revision is kept if either rule keeps it."""
    manager = await open_manager(notes())
    resource = await manager.create({"text": "1"}, resource_id="n")
    for number in range(2, 5):
        resource = await manager.replace("n", {"text": str(number)})
    now = datetime.now(UTC) + age
    assert await next_prune_count(manager.node.storage, retention, resource.meta, 4, now) == expected
