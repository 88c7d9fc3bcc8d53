"""Negotiation of the media type of an answer by `Accept` (RFC 9110, 12.5.1)."""

import re
from collections.abc import Sequence

from fastapi import Request

JSON, HTML, CSV = "application/json", "text/html", "text/csv"

_RANGE = re.compile(r"\s*(?P<type>[^\s/;,]+/[^\s/;,]+)\s*(?P<parameters>;[^,]*)?")
_QUALITY = re.compile(r";\s*q\s*=\s*(?P<quality>[^\s;]*)")
_QUALITY_VALUE = re.compile(r"0(\.[0-9]{0,3})?|1(\.0{0,3})?")


def preferred_type(request: Request, offers: Sequence[str]) -> str:
    """Return the media type that the client prefers among these; the first one on a tie.

    The first one is also the answer to clients that name neither HTML nor CSV, such as those that accept anything.
    """
    accept = ""
    for name, value in request.scope["headers"]:
        if name == b"accept":
            accept = f"{accept},{value.decode('latin-1').lower()}" if accept else value.decode("latin-1").lower()
    # Most clients are programs. Their header is not parsed.
    if HTML not in accept and CSV not in accept:
        return offers[0]
    return max(offers, key=lambda offer: _quality(accept, offer))


def _quality(accept: str, media_type: str) -> float:
    """Return the quality of a media type in an `Accept` header. The most specific range decides."""
    ranges = _parse_ranges(accept)
    for name in (media_type, f"{media_type.partition('/')[0]}/*", "*/*"):
        if name in ranges:
            return ranges[name]
    return 0.0


def _parse_ranges(accept: str) -> dict[str, float]:
    """Return the highest quality of each media range. A range with a malformed quality is left out."""
    ranges: dict[str, float] = {}
    for part in accept.split(","):
        found = _RANGE.fullmatch(part)
        if found is None:
            continue
        quality = _QUALITY.search(found["parameters"] or "")
        text = "1" if quality is None else quality["quality"]
        if _QUALITY_VALUE.fullmatch(text):
            ranges[found["type"]] = max(ranges.get(found["type"], 0.0), float(text))
    return ranges
