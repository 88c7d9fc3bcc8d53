"""Requests for unit tests, without an application."""

from fastapi import Request


def request_with(query: str = "", **headers: str) -> Request:
    """Return a GET request with a query string and headers; underscores in header names become hyphens."""
    raw_headers = [(name.replace("_", "-").lower().encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "method": "GET", "headers": raw_headers, "query_string": query.encode()})
