"""Write builder: the next version, revision and status of each operation."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from autocrud.errors import InvalidParameter
from autocrud.resource import CommitKind, RevisionStatus
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.ports.types import Write
from autocrud.versioning import write_builder
from autocrud.versioning.write_builder import Author, Encoded, request_key


@dataclass
class Note:
    """A note."""

    text: str


SPEC: ModelSpec[Note] = ModelSpec(Note)
START = datetime(2026, 1, 2, tzinfo=UTC)


def author(hours: int = 0) -> Author:
    """Return an author at a time."""
    return Author("ada", START + timedelta(hours=hours))


def created() -> Write:
    """Return the write of a new note."""
    return write_builder.create_write(SPEC, "n", Encoded(b'{"text":"a"}'), author(), RevisionStatus.stable, None)


def test_create_write_starts_at_version_one() -> None:
    """The first revision has no parent."""
    write = created()
    assert (write.kind, write.follows, write.meta.version) == (CommitKind.create, 0, 1)
    assert write.revision is not None
    assert (write.revision.revision_id, write.revision.parent_revision_id) == ("n:1", None)
    assert write.revision.size == len(b'{"text":"a"}')


def test_update_write_appends_a_revision() -> None:
    """Version and number ascend, the parent is the current revision, and the creation stays."""
    before = created().meta
    data = Encoded(b'{"text":"b"}')
    write = write_builder.update_write(SPEC, before, data, author(1), RevisionStatus.stable, 0)
    assert (write.follows, write.meta.version, write.meta.total_revision_count) == (1, 2, 2)
    assert write.revision is not None
    assert write.revision.parent_revision_id == "n:1"
    assert (write.meta.created_time, write.meta.updated_time) == (before.created_time, author(1).now)


def test_modify_write_keeps_the_revision_number() -> None:
    """An edit of a draft changes data, hash and status only."""
    first = created()
    assert first.revision is not None
    data = Encoded(b'{"text":"b"}')
    write = write_builder.modify_write(SPEC, first.meta, first.revision, data, author(1), RevisionStatus.draft)
    assert write.revision is not None
    assert write.revision.revision_id == "n:1"
    assert write.revision.data_hash != first.revision.data_hash
    assert (write.meta.total_revision_count, write.meta.status) == (1, RevisionStatus.draft)


def test_request_key_is_hashed_with_its_user() -> None:
    """Equal keys of two users differ, and the content has a fingerprint of its own."""
    ada = request_key("k", b"x", author(), timedelta(hours=1))
    bob = request_key("k", b"x", Author("bob", START), timedelta(hours=1))
    assert ada.key != bob.key
    assert ada.fingerprint == bob.fingerprint
    assert ada.key != "k"


@pytest.mark.parametrize("key", ["", "x" * 256, "é", "a\nb"])
def test_request_key_of_invalid_text_raises(key: str) -> None:
    """The error names the header."""
    with pytest.raises(InvalidParameter, match="Idempotency-Key"):
        request_key(key, b"", author(), timedelta(hours=1))
