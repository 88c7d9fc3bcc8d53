"""CSV tables (RFC 4180), read back by Python's own reader."""

import csv
import io
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, TypeAdapter
from pydantic_core import to_json

from autocrud.routes.request.field_mask import parse_paths
from autocrud.routes.response.csv_table import CsvTable
from autocrud.storage.ports.types import Head

META: dict[str, Any] = {
    "resource_id": "a", "version": 2, "current_revision_id": "a:1", "total_revision_count": 1, "is_deleted": False,
    "created_time": "2026-01-02T03:04:05.000000Z", "updated_time": "2026-01-02T03:04:05.000000Z", "created_by": "=ada",
    "updated_by": None, "schema_version": 1, "status": "stable",
}  # fmt: skip


class Place(BaseModel):
    """A nested record."""

    city: str
    zone: int | None = None


class Order(BaseModel):
    """A model with each kind of column."""

    text: str = ""
    status: str = "new"
    amount: Decimal = Decimal(0)
    count: int = 0
    rate: float = 0.5
    day: date | None = None
    place: Place | None = None
    tags: list[str] = []
    extra: dict[str, int] = {}
    parts: list[Place] = []


class Tree(BaseModel):
    """A model that contains itself."""

    name: str
    child: "Tree | None" = None


class Open(BaseModel):
    """A model whose members are not known before."""

    model_config = ConfigDict(extra="allow")

    name: str


def schema_of(model: type[Any]) -> dict[str, Any]:
    """Return the JSON schema of the stored data."""
    return TypeAdapter(model).json_schema(mode="serialization")


def head_of(data: bytes | None) -> Head:
    """Return a head with this data."""
    return Head("a", 2, False, "", to_json(META), b"{}", data, "")


def row_of(value: BaseModel, fields: str | None = None, parts: frozenset[str] = frozenset({"data"})) -> dict[str, str]:
    """Return the only row of a table, by the name of the column."""
    table = CsvTable(schema_of(type(value)), parts, parse_paths(fields) if fields else {})
    text = table.render([head_of(value.model_dump_json().encode())]).decode()
    (row,) = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    return row


def test_table_has_metadata_then_data_columns() -> None:
    """Nested objects by path. A field of the model keeps its name, and the metadata field gets a prefix."""
    header = CsvTable(schema_of(Order), {"meta", "data"}, {}).header
    assert header == (
        b"resource_id,version,current_revision_id,total_revision_count,is_deleted,created_time,updated_time,created_by,"
        b"updated_by,schema_version,meta.status,text,status,amount,count,rate,day,place.city,place.zone,tags,extra,"
        b"parts\r\n"
    )


def test_row_has_values_and_json_of_lists() -> None:
    """Null and the members of a null object are empty."""
    row = row_of(Order(text="x", place=Place(city="Wien"), tags=["a", "b"], extra={"n": 1}, count=-3))
    assert row == {
        "text": "x", "status": "new", "amount": "0", "count": "-3", "rate": "0.5", "day": "", "place.city": "Wien",
        "place.zone": "", "tags": '["a","b"]', "extra": '{"n":1}', "parts": "[]",
    }  # fmt: skip
    assert row_of(Order())["place.city"] == ""


@pytest.mark.parametrize(
    "text", ['say "hi"', "a,b", "a;=b", "a\tb", "one\r\ntwo", "line\nbreak", " edge ", "ünïcode 🙂"]
)
def test_text_with_separators_survives_a_reader(text: str) -> None:
    """By quotes."""
    assert row_of(Order(text=text))["text"] == text


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1+2", "@SUM(A1)", "\tx", "\rx", "\nx", "\uff1d1", '=HYPERLINK("x")', "-", "=a,b"]
)
def test_text_like_a_formula_gets_an_apostrophe(text: str) -> None:
    """OWASP, CSV injection."""
    assert row_of(Order(text=text))["text"] == f"'{text}"


@pytest.mark.parametrize("text", ["-1", "-12.50", "-1e5", "7", "a=b", "x-y"])
def test_number_and_plain_text_stay(text: str) -> None:
    """A negative number is no formula."""
    assert row_of(Order(text=text))["text"] == text


def test_negative_decimal_stays_a_number() -> None:
    """Decimals are stored as text."""
    assert row_of(Order(amount=Decimal("-12.30")))["amount"] == "-12.30"


def test_formula_in_metadata_gets_an_apostrophe() -> None:
    """The name of a user comes from outside, too."""
    row = row_of(Order(), parts=frozenset({"meta"}))
    assert row["created_by"] == "'=ada"
    assert "text" not in row


def test_null_and_empty_text_differ() -> None:
    """An empty text is quoted."""
    table = CsvTable(schema_of(Place), {"data"}, {})
    assert table.row(head_of(b'{"city":"","zone":null}')) == b'"",\r\n'


def test_field_mask_selects_columns() -> None:
    """By path, or inside a JSON cell."""
    order = Order(text="x", place=Place(city="Wien"), parts=[Place(city="Graz", zone=1)])
    assert row_of(order, "place.city,parts.city") == {"place.city": "Wien", "parts": '[{"city":"Graz"}]'}


def test_recursive_model_ends_in_json() -> None:
    """After a few levels."""
    value = Tree(name="0")
    for number in range(1, 12):
        value = Tree(name=str(number), child=value)
    row = row_of(value)
    assert row["child.child.name"] == "9"
    assert any(cell.startswith("{") for cell in row.values())


def test_model_with_open_members_is_one_cell() -> None:
    """Its columns are not known before the last row."""
    assert row_of(Open.model_validate({"name": "a", "more": 1})) == {"data": '{"name":"a","more":1}'}


def test_pruned_data_has_empty_cells() -> None:
    """The metadata stays."""
    assert CsvTable(schema_of(Place), {"data"}, {}).row(head_of(None)) == b",\r\n"
