"""Hooks of schemathesis for facts that no OpenAPI document can state: `SCHEMATHESIS_HOOKS`."""

import re
from typing import Any
from uuid import uuid4

import schemathesis
from schemathesis import GenerationMode

# A few members of each filter object. Others could make a URL longer than any server takes.
_MEMBERS = re.compile(
    r"year__(in|between|gte)|title__(regex|is_null)|name__ne|author.name|created_time__gte|version__in"
)
_OF_ANY_TIME = {"at", "limit", "count", "returns", "fields", "include_deleted"}


@schemathesis.hook
def before_load_schema(context: Any, raw_schema: dict[str, Any]) -> None:
    """Keep a few filters of each type, and the bodies that schemathesis can write."""
    for name, schema in raw_schema["components"]["schemas"].items():
        if name.endswith("Filter"):
            members = schema["properties"].items()
            schema["properties"] = {member: part for member, part in members if _MEMBERS.fullmatch(member)}
    for path in raw_schema["paths"].values():
        for operation in path.values():
            # NDJSON can be written for an import only, which takes any bytes.
            content = operation.get("requestBody", {}).get("content", {})
            if len(content) > 1:
                content.pop("application/x-ndjson", None)


@schemathesis.serializer("application/x-ndjson")
def lines(context: Any, value: Any) -> bytes:
    """Return a body for imports. Any bytes are allowed; an invalid line is refused as a line."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Make a valid request also fit the stored data."""
    if case.meta is None or case.meta.generation.mode is not GenerationMode.POSITIVE:
        return
    query, headers = case.query or {}, case.headers or {}
    # What the service gave out, and what excludes what is there already, no document can tell.
    for name, other in (("cursor", None), ("qb", None), ("at", "revision_id"), ("count", "unreadable")):
        if other is None or other in query:
            query.pop(name, None)
    # For headers schemathesis does not keep to patterns.
    for name in ("If-Match", "If-None-Match"):
        if name in headers and '"' not in headers[name]:
            headers[name] = "*"
    _mend_filters(case.path, query)
    if "resource_id" not in (case.path_parameters or {}) and not query.keys() <= _OF_ANY_TIME:
        query.pop("at", None)  # filters and orders of the past are for temporal models
    if "Idempotency-Key" in headers:
        # A key that was used for another body is refused.
        headers["Idempotency-Key"] = str(uuid4())
    _create_targets(case.body)


def _mend_filters(path: str, query: dict[str, Any]) -> None:
    """Remove duplicate names and invalid regular expressions, which no pattern can exclude."""
    for name in ("sort", "group_by", "metrics"):
        if name in query:
            query[name] = str(query[name]).partition(",")[0]
    if path.endswith("/aggregate") and "sort" in query:
        query["metrics"] = query["sort"].removeprefix("-")
    if "title__regex" in query:
        query["title__regex"] = re.escape(str(query["title__regex"]))[:200]


def _create_targets(value: Any) -> None:
    """Upload the blobs and create the people that a request refers to."""
    if isinstance(value, dict):
        if isinstance(value.get("file_id"), str):
            value |= {"data": "aGVsbG8=", "file_id": None, "size": None}
        if isinstance(value.get("author"), str):
            value["author"] = None
        for part in value.values():
            _create_targets(part)
    elif isinstance(value, list):
        for part in value:
            _create_targets(part)
