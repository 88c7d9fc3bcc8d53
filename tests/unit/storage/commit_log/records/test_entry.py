"""Codec of log entries: round trips, places of the data, erased parts, and refused content."""

import json
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autocrud.errors import DataCorrupted, PayloadTooLarge
from autocrud.resource import CommitKind, ResourceMeta, RevisionInfo, RevisionStatus
from autocrud.storage.commit_log.records import entry as entry_module
from autocrud.storage.commit_log.records.entry import build_entry, decode_entry, encode_lines
from autocrud.storage.commit_log.records.header import EMPTY_TAIL, FIRST_PREVIOUS, PREFIX_BYTES, Tail, parse_length
from autocrud.storage.ports.claims import Claim, StoredReference
from autocrud.storage.ports.transactions import Position
from autocrud.storage.ports.types import Blob, Item, RequestKey, Write
from tests.unit.storage.commit_log.log_samples import (
    NOW,
    STORE,
    WRITER,
    blank,
    change_of,
    create_of,
    entry_of,
)

_TEXTS = st.text(max_size=8)
_IDS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,12}", fullmatch=True)
_NUMBERS = st.integers(0, 2**40)
_TIMES = st.datetimes(min_value=datetime(1900, 1, 1), timezones=st.just(UTC))
_STATUSES = st.sampled_from(RevisionStatus)
_METAS = st.builds(
    ResourceMeta,
    resource_id=_IDS,
    version=_NUMBERS,
    current_revision_id=_IDS,
    total_revision_count=_NUMBERS,
    is_deleted=st.booleans(),
    created_time=_TIMES,
    updated_time=_TIMES,
    created_by=st.none() | _TEXTS,
    updated_by=st.none() | _TEXTS,
    schema_version=_NUMBERS,
    status=_STATUSES,
)
_DATA = st.recursive(st.none() | st.booleans() | _NUMBERS | _TEXTS, lambda inner: st.lists(inner, max_size=3))
_POSITIONS = st.builds(Position, _NUMBERS, _NUMBERS)


@st.composite
def _writes(draw: st.DrawFn) -> Write:
    revision, data = None, None
    if draw(st.booleans()):
        data = draw(st.none() | _DATA.map(lambda value: json.dumps(value).encode()))
        revision = RevisionInfo(
            revision_id=draw(_IDS),
            parent_revision_id=draw(st.none() | _IDS),
            created_time=draw(_TIMES),
            created_by=draw(st.none() | _TEXTS | st.just('"data_hash":"')),
            schema_version=draw(_NUMBERS),
            status=draw(_STATUSES),
            data_hash=f"sha256:{sha256(data or b'').hexdigest()}" if data or draw(st.booleans()) else "",
            size=draw(_NUMBERS) if data is None else len(data),
        )
    return Write(
        draw(st.sampled_from(CommitKind)),
        draw(_NUMBERS),
        draw(_METAS),
        (),
        revision,
        data,
        draw(_NUMBERS),
        draw(st.none() | st.builds(RequestKey, _TEXTS, _TEXTS, _TEXTS)),
        tuple(draw(st.lists(_TEXTS, max_size=2))),
        draw(st.booleans()),
        draw(_TEXTS),
        tuple(draw(st.lists(st.builds(Claim, _TEXTS, _TEXTS), max_size=2))),
        tuple(draw(st.lists(st.builds(StoredReference, _TEXTS, _TEXTS, _TEXTS, _TEXTS, st.booleans()), max_size=2))),
        draw(st.none() | _TEXTS),
    )


_BLOBS = st.builds(Blob, _TEXTS, _NUMBERS, _TEXTS, _TEXTS, _TEXTS)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(_writes() | _BLOBS, st.lists(_POSITIONS, max_size=2)), max_size=4))
def test_entry_of_any_items_decodes_to_equal_items(items: list[tuple[Item, list[Position]]]) -> None:
    """Each line is a JSON object, and a locator finds the bytes of the data."""
    entry = entry_of([item for item, _ in items], erases=[erases for _, erases in items])
    decoded = decode_entry(entry.content, "object 1", store=STORE, unit=1)
    assert decoded == entry
    for ordinal, (item, record) in enumerate(zip((item for item, _ in items), decoded.records(), strict=True)):
        assert record.item == item
        assert record.erases == (() if isinstance(item, Blob) else tuple(items[ordinal][1]))
        span = entry.spans[ordinal]
        assert isinstance(json.loads(entry.content[span.offset : span.offset + span.length]), dict)
        locator = entry.data_locator(ordinal, item)
        if locator is None:
            assert not isinstance(item, Write) or not item.data
        else:
            _, offset, length = map(int, locator.split(":"))
            assert isinstance(item, Write)
            assert entry.content[offset : offset + length] == item.data


def test_header_chains_the_hash_of_the_header_before() -> None:
    """The first entry names zeros. The time never goes back, also if the clock does."""
    first = entry_of([create_of()])
    later = Tail(*first.tail[:2], "2999-01-01T00:00:00.000000Z", *first.tail[3:])
    second = entry_of([create_of(), create_of()], later)
    headers = [json.loads(entry.content.partition(b"\n")[0]) for entry in (first, second)]
    assert [header["previous"] for header in headers] == [
        FIRST_PREVIOUS,
        sha256(first.content.partition(b"\n")[0]).hexdigest(),
    ]
    assert [header["time"] for header in headers] == [NOW, later.time]
    assert [header["length"] for header in headers] == [len(first.content), len(second.content)]
    assert [parse_length(entry.content[:PREFIX_BYTES]) for entry in (first, second)] == [
        len(first.content),
        len(second.content),
    ]
    assert len({header["nonce"] for header in headers}) == 2


def test_places_of_lines_do_not_depend_on_the_sequence() -> None:
    """A backend can store locators before the log numbers the batch."""
    lines = encode_lines([create_of()])
    far = Tail(987_654_321, FIRST_PREVIOUS, "", 0, 0, 0)
    entries = [build_entry(lines, after, now=NOW, store=STORE, writer=WRITER) for after in (EMPTY_TAIL, far)]
    assert entries[0].spans == entries[1].spans


def test_equal_writes_have_different_hashes() -> None:
    """The salts are random, so that a hash that stays does not confirm a guess of erased data."""
    entry = entry_of([create_of(), create_of()])
    lines = json.loads(entry.content.partition(b"\n")[0])["lines"]
    assert len({digest for line in lines for digest in (line[1], line[3])}) == 4


def test_pruned_data_leaves_the_metadata_readable() -> None:
    """Neither the data nor its hash is left."""
    write = create_of()
    entry = entry_of([write])
    content = blank(entry.content, entry.last_part_locator(0))
    assert write.data is not None
    assert write.revision is not None
    assert write.data not in content
    assert write.revision.data_hash.encode() not in content
    decoded = decode_entry(content, "object 1", store=STORE, unit=1)
    assert (decoded.spans[0].has_metadata, decoded.spans[0].has_data) == (True, False)
    item = decoded.records()[0].item
    assert isinstance(item, Write)
    assert (item.meta, item.data) == (write.meta, None)
    assert item.revision == write.revision.model_copy(update={"data_hash": ""})


def test_purged_line_decodes_to_no_item() -> None:
    """The other lines of the entry stay readable."""
    entry = entry_of([create_of(), change_of(CommitKind.delete)])
    decoded = decode_entry(blank(entry.content, entry.line_locator(0)), "object 1", store=STORE, unit=1)
    assert [record.item for record in decoded.records()] == [None, change_of(CommitKind.delete)]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"[]",
        b"{}",
        b'{"autocrud":2}',
        b"\xff",
        b'{"autocrud":1,"sequence":7}',
        b'{"autocrud":[]}\n{}',
        b"7",
    ],
)
def test_foreign_content_is_refused(content: bytes) -> None:
    """The message names the object."""
    with pytest.raises(DataCorrupted, match="object 1"):
        decode_entry(content, "object 1", store=STORE, unit=1)


@pytest.mark.parametrize("cut", [1, 100, 600])
def test_entry_with_another_length_is_refused(cut: int) -> None:
    """The header states the length."""
    entry = entry_of([create_of()])
    for content in (entry.content[:-cut], entry.content + b" " * cut):
        with pytest.raises(DataCorrupted, match="object 1"):
            decode_entry(content, "object 1", store=STORE, unit=1)


def test_entry_of_another_store_is_refused() -> None:
    """The message names both stores."""
    with pytest.raises(DataCorrupted, match=f"belongs to the store {STORE}, not to other"):
        decode_entry(entry_of([create_of()]).content, "object 1", store="other", unit=1)


def test_entry_beyond_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Readers accept no longer entry, so none may be written."""
    monkeypatch.setattr(entry_module, "MAX_ENTRY_BYTES", 500)
    with pytest.raises(PayloadTooLarge):
        entry_of([create_of()])


@pytest.mark.parametrize("field", ["kind", "model", "meta"])
def test_line_that_verifies_and_is_no_record_is_refused(field: str) -> None:
    """Such an entry has another writer. The message names entry and line."""
    write: Any = change_of(CommitKind.delete)
    lines = encode_lines([write])
    text = lines.content.rstrip(b"\n").replace(b'"%s"' % field.encode(), b'"%s"' % field[::-1].encode())
    checks = f'[{len(text)},"{sha256(text).hexdigest()}"]'.encode()
    forged = build_entry(
        lines._replace(content=text + b"\n", checks=checks), EMPTY_TAIL, now=NOW, store=STORE, writer=WRITER
    )
    with pytest.raises(DataCorrupted, match=r"object 1, entry 1, line 2 .* is not a record"):
        decode_entry(forged.content, "object 1", store=STORE, unit=1).records()
