"""Byte ranges (RFC 9110, 14): reads the spans of a blob that a `Range` header selects."""

import re
from collections.abc import Sequence
from datetime import datetime
from email.utils import format_datetime, parsedate_to_datetime

from fastapi import Request

from autocrud.errors import RangeNotSatisfiable

# No media player requests more ranges at once; many small ranges are a known attack (RFC 9110, 14.2).
_MAX_RANGES = 16
_MAX_DATE = 64  # characters
_RANGE = re.compile(r"([0-9]{0,19})\s*-\s*([0-9]{0,19})")

# First byte, and the byte after the last one.
Span = tuple[int, int]


def http_date(moment: datetime) -> str:
    """Return a time in the form of HTTP headers, to the second."""
    return format_datetime(moment, usegmt=True)


def ranges_of(request: Request, tag: str, changed: datetime, size: int) -> Sequence[Span]:
    """Return the spans that the `Range` header selects; none if the response must be the whole blob.

    A header that is malformed is ignored, as is a range if `If-Range` names another state.

    Raises:
        RangeNotSatisfiable: every range begins after the end of the blob.
    """
    header = request.headers.get("range", "")
    unit, _, range_list = header.partition("=")
    if unit.strip().lower() != "bytes" or not _matches_if_range(request.headers.get("if-range"), tag, changed):
        return ()
    matches = [_RANGE.fullmatch(item.strip()) for item in range_list.split(",") if item.strip()]
    if not matches or len(matches) > _MAX_RANGES:
        return ()
    spans = []
    for match in matches:
        first, last = (match[1], match[2]) if match else ("", "")
        if not (first or last) or (first and last and int(last) < int(first)):
            return ()
        spans.append(_span(first, last, size))
    satisfiable_spans = [(start, end) for start, end in spans if start < end]
    if not satisfiable_spans:
        raise RangeNotSatisfiable(size)
    return _join_overlaps(satisfiable_spans)


def is_unchanged_since(request: Request, changed: datetime) -> bool:
    """Return True if the state is not newer than `If-Modified-Since`; False if `If-None-Match` is sent, too.

    `If-None-Match` takes precedence (RFC 9110, 13.1.3).
    """
    if "if-none-match" in request.headers:
        return False
    since = _parse_date(request.headers.get("if-modified-since"))
    # An HTTP date has no fractions of a second.
    return since is not None and changed.replace(microsecond=0) <= since


def _span(first: str, last: str, size: int) -> Span:
    """Return the span of one range, cut to the size; `-N` selects the last N bytes."""
    if not first:
        return max(0, size - int(last)), size
    return int(first), size if not last else min(int(last) + 1, size)


def _join_overlaps(spans: list[Span]) -> list[Span]:
    """Return the spans in the order of the request; sorted and joined if some overlap."""
    joined: list[Span] = []
    for start, end in sorted(spans):
        if joined and start < joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return spans if len(joined) == len(spans) else joined


def _matches_if_range(condition: str | None, tag: str, changed: datetime) -> bool:
    """Return True without `If-Range`, or if it names the current tag or time of change."""
    if condition is None or condition.strip() == f'"{tag}"':
        return True
    return _parse_date(condition) == changed.replace(microsecond=0)


def _parse_date(text: str | None) -> datetime | None:
    """Return the time of an HTTP date; None if the header is absent or malformed (RFC 9110, 13.1.3)."""
    if text is None or len(text) > _MAX_DATE:
        return None
    try:
        moment = parsedate_to_datetime(text)
    except (TypeError, ValueError, OverflowError):
        return None
    return None if moment.tzinfo is None else moment
