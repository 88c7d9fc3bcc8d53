"""Negotiation of the media type (RFC 9110, 12.5.1)."""

import pytest
from fastapi import Request

from autocrud.routes.request.negotiation import CSV, HTML, JSON, preferred_type

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"


def request_with(*accepts: str) -> Request:
    """Return a request with these `Accept` headers."""
    return Request({"type": "http", "headers": [(b"accept", accept.encode()) for accept in accepts]})


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", JSON),
        ("*/*", JSON),
        ("application/json", JSON),
        ("text/*", JSON),
        (BROWSER, HTML),
        ("text/html", HTML),
        ("Text/HTML; charset=utf-8", HTML),
        ("text/html, application/json", JSON),
        ("text/html;q=0.5, application/json;q=0.4", HTML),
        ("text/html;q=0.4, application/json;q=0.5", JSON),
        ("text/html, */*", JSON),
        ("text/html, application/*;q=0.9", HTML),
        ("text/html;q=0, */*;q=0.1", JSON),
        ("text/html;q=0", JSON),
        ("text/csv", CSV),
        ("text/csv, text/html;q=0.9", CSV),
        ("text/csv;header=present;q=0.7, */*;q=0.1", CSV),
        ("text/html;q=high, */*;q=0.1", JSON),
        ("text/html;q=2, text/csv;q=0.1", CSV),
        (",, text/html ,", HTML),
        ("not a range, text/html", HTML),
    ],
)
def test_accept_header_selects_the_best_offer(accept: str, expected: str) -> None:
    """By quality and specificity. JSON wins ties."""
    assert preferred_type(request_with(accept), (JSON, HTML, CSV)) == expected


def test_absent_accept_header_selects_the_first_offer() -> None:
    """As `*/*` does."""
    assert preferred_type(request_with(), (JSON, HTML)) == JSON


def test_repeated_accept_headers_are_combined() -> None:
    """A field line may be repeated (RFC 9110, 5.3)."""
    assert preferred_type(request_with("text/html;q=0.5", "application/json;q=0.6"), (JSON, HTML)) == JSON
    assert preferred_type(request_with("application/json;q=0.6", "text/html"), (JSON, HTML)) == HTML
