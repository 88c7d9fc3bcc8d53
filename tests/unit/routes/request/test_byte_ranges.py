"""Byte ranges: the spans of a `Range` header, `If-Range` and `If-Modified-Since`."""

from datetime import UTC, datetime, timedelta

import pytest

from autocrud.errors import RangeNotSatisfiable
from autocrud.routes.request.byte_ranges import Span, http_date, is_unchanged_since, ranges_of
from tests.unit.routes.request.requests import request_with

CHANGED = datetime(2026, 1, 2, 3, 4, 5, 600_000, UTC)


def spans(header: str, size: int = 10, **headers: str) -> list[Span]:
    """Return the spans of a `Range` header for a blob of ten bytes."""
    return list(ranges_of(request_with(range=header, **headers), "t", CHANGED, size))


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-0", [(0, 1)]),
        ("bytes=9-", [(9, 10)]),
        ("bytes=2-99", [(2, 10)]),
        ("bytes=-3", [(7, 10)]),
        ("bytes=-99", [(0, 10)]),
        ("BYTES = 1 - 2 , 5-6", [(1, 3), (5, 7)]),
        ("bytes=5-6,1-2", [(5, 7), (1, 3)]),
        ("bytes=0-1,2-3", [(0, 2), (2, 4)]),
        ("bytes=5-8,1-6", [(1, 9)]),
        ("bytes=1-2,50-60", [(1, 3)]),
    ],
)
def test_ranges_of_valid_header_returns_spans(header: str, expected: list[Span]) -> None:
    """Spans keep their order unless some overlap; unsatisfiable ranges are left out."""
    assert spans(header) == expected


@pytest.mark.parametrize("header", ["", "bytes=", "bytes=-", "bytes=3-2", "bytes=a-b", "lines=0-1", "bytes=0-1,x"])
def test_ranges_of_malformed_header_returns_none(header: str) -> None:
    """A malformed range makes the service ignore the whole header."""
    assert spans(header) == []


def test_ranges_of_too_many_ranges_returns_none() -> None:
    """Sixteen ranges are the limit."""
    assert len(spans("bytes=" + ",".join(f"{2 * n}-{2 * n}" for n in range(16)), 40)) == 16
    assert spans("bytes=" + ",".join(f"{2 * n}-{2 * n}" for n in range(17)), 40) == []


@pytest.mark.parametrize(("header", "size"), [("bytes=10-", 10), ("bytes=-0", 10), ("bytes=0-", 0)])
def test_ranges_of_unsatisfiable_header_raises(header: str, size: int) -> None:
    """The error carries the size, for `Content-Range`."""
    with pytest.raises(RangeNotSatisfiable) as error:
        spans(header, size)
    assert error.value.size == size


def test_ranges_of_stale_if_range_returns_none() -> None:
    """A tag must be strong and current; a date must be the time of change, to the second."""
    assert spans("bytes=0-1", if_range='"t"') == [(0, 2)]
    assert spans("bytes=0-1", if_range=http_date(CHANGED)) == [(0, 2)]
    later = http_date(CHANGED + timedelta(seconds=1))
    for condition in ('"u"', 'W/"t"', "yesterday", later):
        assert spans("bytes=0-1", if_range=condition) == []


def test_is_unchanged_since_compares_whole_seconds() -> None:
    """`If-None-Match` takes precedence, and a malformed date is ignored."""
    current, earlier = http_date(CHANGED), http_date(CHANGED - timedelta(seconds=1))
    assert is_unchanged_since(request_with(if_modified_since=current), CHANGED)
    assert not is_unchanged_since(request_with(if_modified_since=earlier), CHANGED)
    assert not is_unchanged_since(request_with(if_modified_since="soon"), CHANGED)
    assert not is_unchanged_since(request_with(if_modified_since=current, if_none_match='"t"'), CHANGED)
