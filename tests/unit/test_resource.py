"""Metadata as JSON: the hand-written form equals Pydantic's."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from autocrud.resource import ResourceMeta, RevisionInfo, RevisionStatus, timestamp

TIMES = (
    datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    datetime(1, 1, 1, 14, 0, 0, 7, tzinfo=timezone(timedelta(hours=14))),
    datetime(2026, 7, 1, 12, 0, tzinfo=timezone(timedelta(hours=-3, minutes=-30))),
)


@pytest.mark.parametrize("by", [None, "ada", 'Ada "the first" \\ \n\x01 \u2028 Žofie 🎬'])
@pytest.mark.parametrize("time", TIMES)
def test_to_json_equals_pydantic_byte_for_byte(by: str | None, time: datetime) -> None:
    """Read back validated and trusted instances."""
    for status in RevisionStatus:
        meta = ResourceMeta.trusted(
            resource_id="a.b~c-1",
            version=7,
            current_revision_id="a.b~c-1:3",
            total_revision_count=3,
            is_deleted=status is RevisionStatus.draft,
            created_time=time,
            updated_time=time + timedelta(seconds=1),
            created_by=by,
            updated_by=None,
            schema_version=1,
            status=status,
        )
        revision = RevisionInfo.trusted(
            revision_id="a.b~c-1:3",
            parent_revision_id=by and "a.b~c-1:2",
            created_time=time,
            created_by=by,
            schema_version=1,
            status=status,
            data_hash="sha256:" + "9f" * 32,
            size=118,
        )
        assert meta.to_json() == meta.model_dump_json().encode()
        assert revision.to_json() == revision.model_dump_json().encode()
        assert ResourceMeta.model_validate_json(meta.to_json()) == ResourceMeta(**dict(meta)) == meta
        assert RevisionInfo.model_validate_json(revision.to_json()) == RevisionInfo(**dict(revision)) == revision
        assert meta.model_copy(update={"version": 8}).to_json() == meta.to_json().replace(b":7,", b":8,", 1)


def test_timestamp_of_equal_times_is_equal() -> None:
    """Check different offsets."""
    assert {timestamp(time.astimezone(timezone(timedelta(hours=2)))) for time in TIMES[2:]} == {
        "2026-07-01T15:30:00.000000Z"
    }
