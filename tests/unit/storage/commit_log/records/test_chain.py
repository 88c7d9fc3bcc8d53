"""Chain checker: order of entries, and parts that a later record erases."""

from collections.abc import Sequence

import pytest

from autocrud.errors import DataCorrupted
from autocrud.resource import CommitKind
from autocrud.storage.commit_log.records.chain import ChainChecker
from autocrud.storage.commit_log.records.entry import Entry, decode_entry
from autocrud.storage.commit_log.records.header import EMPTY_TAIL, Tail
from autocrud.storage.ports.transactions import Position
from autocrud.storage.ports.types import Item
from tests.unit.storage.commit_log.log_samples import STORE, blank, change_of, create_of, entry_of

_FIRST = Position(1, 0)


def _check(contents: Sequence[bytes]) -> ChainChecker:
    checker = ChainChecker()
    for number, content in enumerate(contents, start=1):
        checker.add(decode_entry(content, f"object {number}", store=STORE, unit=number))
    checker.finish()
    return checker


def _chain(*batches: tuple[Sequence[Item], Sequence[Sequence[Position]]]) -> list[Entry]:
    entries: list[Entry] = []
    tail: Tail = EMPTY_TAIL
    for items, erases in batches:
        entries.append(entry_of(items, tail, erases))
        tail = entries[-1].tail
    return entries


def test_intact_chain_verifies() -> None:
    """The checker ends at the last entry."""
    entries = _chain(([create_of()], []), ([change_of(CommitKind.delete)], []))
    assert _check([entry.content for entry in entries]).tail == entries[-1].tail


@pytest.mark.parametrize("order", [[0, 2], [1, 2], [0, 2, 1], [0, 0, 1], [1]])
def test_chain_with_entries_missing_or_moved_is_refused(order: list[int]) -> None:
    """The message names both sequence numbers."""
    entries = _chain(*(([create_of()], []) for _ in range(3)))
    with pytest.raises(DataCorrupted, match=r"entry \d stands where \d must be"):
        _check([entries[number].content for number in order])


def test_exchanged_entry_is_refused() -> None:
    """An entry of another chain has the right sequence number and the wrong previous hash."""
    entries, others = (_chain(*(([create_of()], []) for _ in range(2))) for _ in range(2))
    with pytest.raises(DataCorrupted, match="entry 2 does not follow this entry 1"):
        _check([entries[0].content, others[1].content])


def test_older_header_is_refused() -> None:
    """Times of headers never go back."""
    first = entry_of([create_of()])
    second = entry_of([create_of()], first.tail._replace(time=""))
    checker = ChainChecker(first.tail._replace(time="2999"))
    with pytest.raises(DataCorrupted, match="entry 2 is older than entry 1"):
        checker.add(second)


def test_purge_permits_blank_lines() -> None:
    """Both parts are blank, and nothing is left to blank."""
    first, second = _chain(([create_of()], []), ([change_of(CommitKind.purge)], [[_FIRST]]))
    checker = _check([blank(first.content, first.line_locator(0)), second.content])
    assert checker.unblanked == []


def test_prune_permits_a_blank_data_part_only() -> None:
    """A blank metadata part needs a purge."""
    first, second = _chain(([create_of()], []), ([change_of(CommitKind.prune)], [[_FIRST]]))
    _check([blank(first.content, first.last_part_locator(0)), second.content])
    with pytest.raises(DataCorrupted, match=r"object 1, entry 1, line 2 .* no later record erases it"):
        _check([blank(first.content, first.line_locator(0)), second.content])


def test_prune_permits_a_blank_line_without_data() -> None:
    """A prune erases the last part of a line, which is the whole line if there is no data part."""
    first, second = _chain(([change_of(CommitKind.switch)], []), ([change_of(CommitKind.prune)], [[_FIRST]]))
    _check([blank(first.content, first.line_locator(0)), second.content])


@pytest.mark.parametrize("is_blank", [True, False])
def test_change_without_an_erasing_record_is_refused(is_blank: bool) -> None:
    """The message names the first line at fault."""
    first, second = _chain(([create_of(), create_of()], []), ([create_of()], []))
    changed = first.content.replace(b'"name":"Ada"', b'"name":"Bob"')
    if is_blank:
        changed = blank(first.content, first.line_locator(1))
    with pytest.raises(DataCorrupted, match=f"object 1, entry 1, line {3 if is_blank else 2} "):
        _check([changed, second.content])


def test_half_blank_part_is_reported_for_erasure() -> None:
    """A crash in the middle of blanking does not stop a start, and the start finishes the work."""
    first, second = _chain(([create_of()], []), ([change_of(CommitKind.purge)], [[_FIRST]]))
    unit, offset, length = first.line_locator(0).split(":")
    span = first.spans[0]
    middle = span.offset + span.metadata_length
    content = blank(first.content, f"{unit}:{offset}:{int(length) - 5}")
    checker = _check([content, second.content])
    assert checker.unblanked == [f"1:{middle}:{span.data_length}"]


def test_erasure_of_a_later_position_is_refused() -> None:
    """A record erases positions before it only."""
    (entry,) = _chain(([change_of(CommitKind.purge)], [[_FIRST]]))
    with pytest.raises(DataCorrupted, match=r"erases \(1, 0\), which is not before it"):
        _check([entry.content])
