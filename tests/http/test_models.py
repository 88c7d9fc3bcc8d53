"""Models of every kind that Pydantic can serialize, stored as their validators returned them."""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired
from uuid import UUID

import pytest
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    RootModel,
    SecretStr,
    computed_field,
    field_serializer,
    field_validator,
    model_validator,
)
from pydantic.alias_generators import to_camel
from typing_extensions import TypedDict

from autocrud import AutoCRUD, Index, Unique
from autocrud.errors import ConfigurationError
from autocrud.storage.memory import MemoryStorageFactory
from tests.http.conftest import Serve


class Colour(Enum):
    red = "r"
    blue = "b"


class Level(IntEnum):
    low = 1
    high = 2


class Address(BaseModel):
    street: str
    city: str = "London"


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int = 9


class Dog(BaseModel):
    kind: Literal["dog"]
    good: bool = True


class Everything(BaseModel):
    """A model with a field of each sort."""

    address: Address
    others: list[Address] = Field(default_factory=list)
    pet: Annotated[Cat | Dog, Field(discriminator="kind")]
    loose: int | str | list[int] | None = None
    colour: Annotated[Colour, Index()] = Colour.red
    level: Annotated[Level, Index()] = Level.low
    price: Annotated[Decimal, Index()] = Decimal("1.50")
    key: Annotated[UUID | None, Index()] = None
    moment: Annotated[datetime | None, Index()] = None
    day: Annotated[date | None, Index()] = None
    hour: Annotated[time | None, Index()] = None
    span: timedelta = timedelta(minutes=5)
    tags: set[str] = set()
    pair: tuple[int, str] = (1, "x")
    table: dict[str, dict[str, float]] = {}
    raw: bytes = b""
    anything: Any = None


FULL = {
    "address": {"street": "Baker St"},
    "others": [{"street": "a", "city": "b"}],
    "pet": {"kind": "dog"},
    "loose": [1, 2],
    "colour": "b",
    "level": 2,
    "price": "3.10",
    "key": "0192f3a0-7c1e-7c3a-9d55-0a4b6f1c2d3e",
    "moment": "2026-01-02T03:04:05+02:00",
    "day": "2026-01-02",
    "hour": "03:04:05",
    "span": "PT1H",
    "tags": ["t"],
    "pair": [2, "y"],
    "table": {"a": {"b": 1.5}},
    "raw": "bytes",
    "anything": {"deep": [None, 1, "x"]},
}


async def test_every_sort_of_field_round_trips(serve: Serve) -> None:
    """Nested models, unions, enums, numbers, times and containers."""
    async with serve(Everything) as http:
        response = await http.post("/everything", json=FULL)
        assert response.status_code == 201, response.text
        stored = response.json()["data"]
        assert stored["pet"] == {"kind": "dog", "good": True}
        assert stored["address"] == {"street": "Baker St", "city": "London"}
        assert {name: stored[name] for name in ("colour", "level", "price", "loose", "table", "anything")} == {
            name: FULL[name] for name in ("colour", "level", "price", "loose", "table", "anything")
        }
        location = response.headers["location"]
        assert (await http.get(location)).json()["data"] == stored
        assert (await http.put(location, json=stored)).json()["meta"]["version"] == 1
        bad = await http.post("/everything", json=FULL | {"pet": {"kind": "fish"}, "pair": [1]})
        assert {error["field"] for error in bad.json()["errors"]} == {"pet", "pair.1"}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("colour=b", 1),
        ("colour=r", 0),
        ("level=2", 1),
        ("price=3.1", 1),
        ("price=3.1000", 1),
        ("price=3.11", 0),
        ("key=0192F3A07C1E7C3A9D550A4B6F1C2D3E", 1),
        ("moment=2026-01-02T01:04:05Z", 1),
        ("moment=2026-01-02T01:04:05", 1),
        ("moment=2026-01-02T03:04:05Z", 0),
        ("day=2026-01-02", 1),
        ("hour=03:04:05", 1),
    ],
)
async def test_filter_finds_equal_values_in_any_notation(serve: Serve, query: str, found: int) -> None:
    """Decimals by value, times by moment, UUIDs by number."""
    async with serve(Everything) as http:
        assert (await http.post("/everything", json=FULL)).status_code == 201
        assert len((await http.get(f"/everything?{query}")).json()["items"]) == found


class Normalised(BaseModel):
    model_config = ConfigDict(str_strip_whitespace=True)

    email: Annotated[str, Index()]
    names: list[str] = []
    total: int = 0

    @field_validator("email")
    @classmethod
    def _lower(cls, value: str) -> str:
        return value.lower()

    @field_validator("names", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return value.split(",") if isinstance(value, str) else value

    @model_validator(mode="after")
    def _count(self) -> "Normalised":
        self.total = len(self.names)
        return self


async def test_stored_data_is_the_validated_value(serve: Serve) -> None:
    """Also in the index."""
    async with serve(Normalised) as http:
        response = await http.post("/normalised", json={"email": " Ada@Example.com ", "names": "a,b"})
        assert response.json()["data"] == {"email": "ada@example.com", "names": ["a", "b"], "total": 2}
        assert len((await http.get("/normalised?email=ada@example.com")).json()["items"]) == 1


class Aliased(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    first_name: Annotated[str, Index()]
    shoe_size: int = Field(40, validation_alias="size", serialization_alias="euSize")

    @computed_field  # type: ignore[prop-decorator]  # as Pydantic has it
    @property
    def shout(self) -> str:
        return self.first_name.upper()


async def test_clients_see_aliases(serve: Serve) -> None:
    """In bodies, answers and filters. A manager reads the data back."""
    async with serve(Aliased) as http:
        response = await http.post("/aliased", json={"firstName": "Ada", "size": 38})
        assert response.json()["data"] == {"firstName": "Ada", "euSize": 38, "shout": "ADA"}
        assert len((await http.get("/aliased?firstName=Ada")).json()["items"]) == 1
        assert (await http.get("/aliased?first_name=Ada")).status_code == 400


@dataclass
class Point:
    """A point, as a dataclass."""

    x: Annotated[int, Index()]
    labels: list[str] = field(default_factory=list)


class Song(TypedDict):
    """A song, as a TypedDict."""

    title: Annotated[str, Index()]
    seconds: NotRequired[int]


async def test_dataclass_is_a_model(serve: Serve) -> None:
    """Validated, indexed and read like other models."""
    async with serve(Point) as http:
        assert (await http.post("/point", json={"x": 3})).json()["data"] == {"x": 3, "labels": []}
        assert len((await http.get("/point?x=3")).json()["items"]) == 1
        assert (await http.post("/point", json={"x": "far"})).status_code == 422


async def test_typed_dict_is_a_model(serve: Serve) -> None:
    """Optional keys stay absent."""
    async with serve(Song) as http:
        assert (await http.post("/song", json={"title": "Yes"})).json()["data"] == {"title": "Yes"}
        assert len((await http.get("/song?title=Yes")).json()["items"]) == 1
        assert (await http.post("/song", json={})).status_code == 422


async def test_manager_takes_and_returns_model_values(tmp_path: Path) -> None:
    """Instances and dicts in, instances out."""
    crud = AutoCRUD(storage_factory=MemoryStorageFactory())
    crud.add_model(Aliased)
    crud.add_model(Everything)
    async with crud.running():
        people = crud.manager(Aliased)
        ada = await people.create(Aliased.model_validate({"firstName": "Ada"}), by="me")
        assert ada.data == Aliased.model_validate({"firstName": "Ada"})
        assert ada.meta.created_by == ada.revision_info.created_by == "me"
        assert (await people.get(ada.resource_id)).meta == ada.meta
        page = await people.search({"firstName": "Ada"})
        assert [item.data.first_name for item in page.items] == ["Ada"]
        everything = await crud.manager("everything").create(FULL)
        assert everything.data.moment == datetime(2026, 1, 2, 1, 4, 5, tzinfo=UTC)
        assert len((await crud.manager("everything").search({"price": Decimal("3.100")})).items) == 1


def refused(model: type[Any], **options: Any) -> str:
    """Return the message with which a model is refused."""
    with pytest.raises(ConfigurationError) as caught:
        AutoCRUD(storage_factory=MemoryStorageFactory()).add_model(model, **options)
    return str(caught.value)


def test_field_that_cannot_be_indexed_is_refused() -> None:
    """At registration, with its name."""

    class Listed(BaseModel):
        codes: Annotated[list[str], Unique()] = []

    class Mixed(BaseModel):
        either: int | str = 0

    assert "Listed.codes cannot be indexed: a list cannot be unique" in refused(Listed)
    assert "Mixed.either cannot be indexed" in refused(Mixed, indexed_fields=["either"])
    assert "no field 'other'" in refused(Mixed, indexed_fields=["other"])


def test_model_that_would_lose_data_is_refused() -> None:
    """Excluded fields and masked secrets would not be stored."""

    class Excluded(BaseModel):
        note: str = Field("", exclude=True)

    class Secret(BaseModel):
        password: SecretStr

    class Revealed(BaseModel):
        password: SecretStr

        @field_serializer("password")
        def _reveal(self, value: SecretStr) -> str:
            return value.get_secret_value()

    assert "Excluded.note" in refused(Excluded)
    assert "Secret: password" in refused(Secret)
    AutoCRUD(storage_factory=MemoryStorageFactory()).add_model(Revealed)


def test_model_without_a_schema_is_refused() -> None:
    """With Pydantic's reason."""

    class Opaque:
        pass

    class Holder(BaseModel):
        model_config = ConfigDict(arbitrary_types_allowed=True)
        thing: Opaque

    assert "Opaque cannot be a model" in refused(Opaque)
    assert "Holder cannot be a model" in refused(Holder)


def test_invalid_model_name_is_refused() -> None:
    """Names become path segments, folders and tables."""

    class HTTPRequestLog(BaseModel):
        a: int = 0

    crud = AutoCRUD(storage_factory=MemoryStorageFactory())
    crud.add_model(HTTPRequestLog)
    assert crud.manager("http-request-log").spec.model is HTTPRequestLog
    for name in ("", "Movie", "a/b", "a b", "../x", "ü", "x" * 49):
        assert "the name" in refused(HTTPRequestLog, name=name)
    with pytest.raises(ConfigurationError, match="is taken by another model"):
        crud.add_model(HTTPRequestLog, name="http_request_log")


async def test_root_model_is_a_model(serve: Serve) -> None:
    """Its JSON need not be an object."""

    class Tags(RootModel[list[str]]):
        pass

    async with serve(Tags) as http:
        assert (await http.post("/tags", json=["a"])).json()["data"] == ["a"]


class Limits(BaseModel):
    word: Annotated[str | None, Index()] = None
    amount: Annotated[Decimal | None, Index()] = None


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"word": "\u00e4\u4e2d" * 400}, 201),
        ({"word": "\u00e4\u4e2d" * 401}, 422),
        ({"amount": "9" * 1000 + "." + "9" * 1000}, 201),
        ({"amount": "1e1000"}, 422),
        ({"amount": "1e-1001"}, 422),
        ({"amount": "0e-999999"}, 201),
    ],
)
async def test_value_over_the_index_limit_is_refused(serve: Serve, fields: dict[str, str], status: int) -> None:
    """On every backend, because PostgreSQL's index rows are the shortest."""
    async with serve(Limits) as http:
        response = await http.post("/limits", json=fields)
        assert response.status_code == status
        if status == 422:
            assert [error["field"] for error in response.json()["errors"]] == list(fields)
        else:
            assert len((await http.get("/limits", params=fields)).json()["items"]) == 1
