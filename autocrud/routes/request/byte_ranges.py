"""Byte ranges (RFC 9110, 14): which bytes of a blob a request asks for."""

import re
from collections.abc import Sequence
from datetime import datetime
from email.utils import format_datetime, parsedate_to_datetime

from fastapi import Request

from autocrud.errors import RangeNotSatisfiable

# More than that in one request is no client that plays a film.
_MAX_RANGES = 16
_RANGE = re.compile(r"([0-9]{0,19})\s*-\s*([0-9]{0,19})")

Span = tuple[int, int]


def http_date(moment: datetime) -> str:
    """The form that headers have, to the second."""
    return format_datetime(moment, usegmt=True)


def ranges_of(request: Request, tag: str, changed: datetime, size: int) -> Sequence[Span]:
    """The spans that are asked for, each from a first byte up to an end; none where the whole is.

    What cannot be read is ignored, as is a range of what has changed since (`If-Range`).

    Raises:
        RangeNotSatisfiable: all of them begin behind the end.
    """
    header = request.headers.get("range", "")
    unit, _, listed = header.partition("=")
    if unit.strip().lower() != "bytes" or not _holds(request.headers.get("if-range"), tag, changed):
        return ()
    asked = [_RANGE.fullmatch(item.strip()) for item in listed.split(",") if item.strip()]
    if not asked or len(asked) > _MAX_RANGES:
        return ()
    spans = []
    for match in asked:
        first, last = (match[1], match[2]) if match else ("", "")
        if not (first or last) or (first and last and int(last) < int(first)):
            return ()
        spans.append(_span(first, last, size))
    found = [(start, end) for start, end in spans if start < end]
    if not found:
        raise RangeNotSatisfiable(size)
    return _apart(found)


def is_unchanged_since(request: Request, changed: datetime) -> bool:
    """Whether `If-Modified-Since` says that the client has it; `If-None-Match` goes before it."""
    if "if-none-match" in request.headers:
        return False
    since = _date(request.headers.get("if-modified-since"))
    return since is not None and changed.replace(microsecond=0) <= since


def _span(first: str, last: str, size: int) -> Span:
    if not first:
        return max(0, size - int(last)), size
    return int(first), size if not last else min(int(last) + 1, size)


def _apart(spans: list[Span]) -> list[Span]:
    """As they were asked for, unless some overlap: these are joined."""
    joined: list[Span] = []
    for start, end in sorted(spans):
        if joined and start < joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return spans if len(joined) == len(spans) else joined


def _holds(condition: str | None, tag: str, changed: datetime) -> bool:
    """Whether what `If-Range` says is what there is."""
    if condition is None or condition.strip() == f'"{tag}"':
        return True
    return _date(condition) == changed.replace(microsecond=0)


def _date(text: str | None) -> datetime | None:
    try:
        return None if text is None else parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
