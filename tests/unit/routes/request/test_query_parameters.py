"""Query parameters: reading, defaults, refusals, and the link to the next page."""

from datetime import UTC, datetime
from typing import Any

import pytest

from autocrud.errors import InvalidParameter
from autocrud.routes.request.query_parameters import (
    AT,
    CURSOR,
    FIELDS,
    LIMIT,
    RETURNS,
    Parameter,
    QueryReader,
    next_page,
    prefers_minimal,
    revision_parameter,
)
from tests.unit.routes.request.requests import request_with

READER = QueryReader([LIMIT, CURSOR, RETURNS, AT])


def test_query_reader_without_query_returns_defaults() -> None:
    """Defaults are converted, too."""
    values, condition = READER.read(request_with())
    assert values == {
        "limit": 20, "cursor": None, "returns": frozenset({"data", "meta", "revision_info"}), "at": None
    }  # fmt: skip
    assert condition is None


def test_query_reader_decodes_values() -> None:
    """A plus in a time of the query string stands for a space, so the offset is percent-encoded."""
    values, _ = READER.read(request_with("returns=meta%2Cdata&at=2026-01-02T03:04:05%2B01:00&limit=7"))
    assert (values["returns"], values["limit"]) == ({"meta", "data"}, 7)
    assert values["at"] == datetime(2026, 1, 2, 2, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=", "limit"),
        ("limit=1&limit=1", "limit"),
        ("Limit=1", "Limit"),
        ("returns=data,", "returns"),
        ("at=2026-01-02", "at"),
        ("at=2026-01-02T03:04:05", "at"),
        ("at=0001-01-01T00:00:00%2B23:00", "at"),
        ("at=2026-13-02T03:04:05Z", "at"),
    ],
)
def test_query_reader_with_invalid_value_raises(query: str, field: str) -> None:
    """The error names the parameter."""
    with pytest.raises(InvalidParameter) as error:
        READER.read(request_with(query))
    assert [item.field for item in error.value.errors] == [field]


def test_query_reader_without_required_parameter_raises() -> None:
    """A route without filters lists its parameters in the message of an unknown one."""
    reader = QueryReader([revision_parameter("to", "", required=True)])
    assert reader.read(request_with("to=2"))[0] == {"to": "2"}
    for query in ("", "to"):
        with pytest.raises(InvalidParameter, match=r"^to: "):
            reader.read(request_with(query))
    with pytest.raises(InvalidParameter, match=r"^from: .* Parameters: to$"):
        reader.read(request_with("from=1&to=2"))


def test_query_reader_with_schema_checks_fields() -> None:
    """Paths of `fields` must be in the schema of the data."""
    schema: dict[str, Any] = {"type": "object", "properties": {"title": {"type": "string"}}}
    reader = QueryReader([FIELDS], schema=schema)
    assert reader.read(request_with("fields=title"))[0] == {"fields": {"title": {}}}
    with pytest.raises(InvalidParameter, match=r"^fields: 'titel' is not a field"):
        reader.read(request_with("fields=titel"))


def test_parameter_with_failing_convert_raises_invalid_parameter() -> None:
    """A ValueError of `convert` becomes the message."""

    def refuse_odd(value: int) -> int:
        if value % 2:
            raise ValueError("must be even")
        return value

    parameter = Parameter("n", int, 0, "", convert=refuse_odd)
    assert parameter.read("4") == 4
    with pytest.raises(InvalidParameter, match=r"^n: must be even$"):
        parameter.read("3")


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("return=minimal", True),
        ('respond-async, Return = "minimal"; x=y', True),
        ("return=representation, return=minimal", False),
        ("returning=minimal", False),
        ("", False),
    ],
)
def test_prefers_minimal_takes_the_first_preference(header: str, expected: bool) -> None:
    """Of repeated preferences the first counts (RFC 7240, 2)."""
    assert prefers_minimal(request_with(prefer=header)) is expected


def test_next_page_replaces_the_cursor() -> None:
    """The other parameters stay as the client encoded them."""
    request = request_with("a=x%20y&cursor=old&limit=2")
    request.scope["root_path"] = "/api"
    assert next_page(request, "/movie", "new") == "/api/movie?a=x%20y&limit=2&cursor=new"
