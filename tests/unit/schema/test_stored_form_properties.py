"""Property test of the stored form: random models with random values keep each value through every operation."""

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from functools import partial
from ipaddress import IPv4Address
from itertools import count
from operator import eq
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Generic, Literal, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import (
    AfterValidator,
    AliasChoices,
    AliasPath,
    BaseModel,
    ConfigDict,
    Field,
    HttpUrl,
    Json,
    PlainSerializer,
    RootModel,
    SecretStr,
    WrapSerializer,
    computed_field,
    create_model,
    field_serializer,
)
from pydantic.alias_generators import to_camel
from pydantic_core import from_json, to_json
from typing_extensions import TypedDict

from autocrud.manager.bulk.operation import BulkOp, BulkOperation
from autocrud.manager.manager import ResourceManager
from autocrud.manager.transfer.importer import Progress
from autocrud.schema.model_spec import ModelSpec
from autocrud.versioning.json_patch import MergePatch
from tests.storage.backends import BACKENDS, storage_on

Item = TypeVar("Item")


class Color(Enum):
    """An enum."""

    red = "r"
    blue = "b"


class Inner(BaseModel):
    """A nested record with an alias, a computed value and a set."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    first_name: str = ""
    labels: frozenset[str] = frozenset()


class Cat(BaseModel):
    """A variant of a union."""

    kind: Literal["cat"]
    lives_left: int = Field(9, serialization_alias="lives")


class Dog(BaseModel):
    """A variant of a union."""

    kind: Literal["dog"]
    bark: str = Field("", alias="barkText")


class Numbers(RootModel[list[int]]):
    """A root model."""


class Box(BaseModel, Generic[Item]):
    """A generic record."""

    item: Item


@dataclasses.dataclass
class Point:
    """A dataclass."""

    x: int
    y: int = 0


class Row(TypedDict, total=False):
    """A TypedDict."""

    title: str
    row_number: Annotated[int, Field(alias="rowNumber")]


class Vault(BaseModel):
    """A record with a secret that its serializer writes."""

    token: SecretStr

    @field_serializer("token")
    def _write(self, value: SecretStr) -> str:
        return value.get_secret_value()


NESTED: Any = set[frozenset[int]]
JSON_VALUE: Any = Json[Any]  # type: ignore[misc]  # a type for mypy, a generic class at run time
GENERIC: Any = Box[set[int]]
BOXES: Any = list[Box[int] | Numbers]
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6)
NUMBER = st.integers(-1000, 1000)
FLOAT = st.floats(-1e9, 1e9)
PAIR = st.tuples(NUMBER, NUMBER).map(list)
# The kinds of fields: the type, and JSON values of it.
KINDS: dict[str, tuple[Any, st.SearchStrategy[Any]]] = {
    "int": (int, NUMBER),
    "text": (str, TEXT),
    "float": (float, FLOAT | NUMBER),
    "decimal": (Decimal, st.decimals(-1000, 1000, places=3).map(str)),
    "date": (date, st.dates().map(str)),
    "datetime": (datetime, st.datetimes().map(datetime.isoformat)),
    "timedelta": (timedelta, st.integers(0, 10**6)),
    "bytes": (bytes, st.sampled_from(["", "YWJj", "_-8=", "abcd"])),
    "set": (set[str], st.lists(TEXT, max_size=8)),
    "numbers": (frozenset[int], st.lists(NUMBER, max_size=8)),
    "sets": (NESTED, st.lists(st.lists(NUMBER, max_size=3), max_size=3)),
    "json": (JSON_VALUE, st.dictionaries(TEXT, NUMBER).map(lambda value: to_json(value).decode())),
    "enum": (Color, st.sampled_from(["r", "b"])),
    "optional": (int | None, st.none() | NUMBER),
    "union": (int | str, NUMBER | TEXT),
    "tuple": (tuple[int, float], PAIR),
    "mapping": (dict[str, set[int]], st.dictionaries(TEXT, st.lists(NUMBER, max_size=3), max_size=3)),
    "inner": (Inner, st.fixed_dictionaries({}, optional={"firstName": TEXT, "labels": st.lists(TEXT)})),
    "inners": (list[Inner], st.lists(st.fixed_dictionaries({"first_name": TEXT}), max_size=3)),
    "pet": (
        Cat | Dog,
        st.fixed_dictionaries({"kind": st.just("cat"), "lives": NUMBER})
        | st.fixed_dictionaries({"kind": st.just("dog"), "barkText": TEXT}),
    ),
    "root": (Numbers, st.lists(NUMBER, max_size=3)),
    "generic": (GENERIC, st.fixed_dictionaries({"item": st.lists(NUMBER, max_size=3)})),
    "point": (Point, st.fixed_dictionaries({"x": NUMBER}, optional={"y": NUMBER})),
    "row": (Row, st.fixed_dictionaries({}, optional={"title": TEXT, "rowNumber": NUMBER})),
    "secret": (Vault, st.fixed_dictionaries({"token": TEXT})),
    "any": (Any, st.recursive(TEXT | NUMBER | st.none(), lambda part: st.dictionaries(TEXT, part, max_size=3))),
    "json_numbers": (Json[set[int]], st.lists(NUMBER, max_size=3).map(lambda value: to_json(value).decode())),
    "trees": (dict[str, Inner | None], st.dictionaries(TEXT, st.none() | st.just({"firstName": "x"}), max_size=2)),
    "path": (PurePosixPath, TEXT),
    "address": (IPv4Address, st.ip_addresses(v=4).map(str)),
    "url": (HttpUrl, st.sampled_from(["http://a.example", "https://b.example/x?y=1"])),
    "date_or_text": (date | str, st.dates().map(str) | TEXT),
    "constrained": (Annotated[str, AfterValidator(str.lower)], TEXT),
    "wrapped": (Annotated[int, WrapSerializer(lambda value, handler: handler(value))], NUMBER),
    "serialized": (Annotated[int, PlainSerializer(lambda value: f"{value}")], NUMBER),
    "masked": (Annotated[str, PlainSerializer(lambda value: "***")], TEXT),
    "secrets": (list[Vault], st.lists(st.fixed_dictionaries({"token": TEXT}), max_size=2)),
    "boxes": (BOXES, st.lists(st.fixed_dictionaries({"item": NUMBER}), max_size=2)),
}
# Defaults of fields whose answers leave out the default.
HIDDEN: dict[str, Any] = {"int": 0, "text": "", "optional": None, "decimal": Decimal(0), "numbers": frozenset()}
ALIASES: tuple[dict[str, Any], ...] = (
    {},
    {"alias": "{}Alias"},
    {"validation_alias": "{}Input"},
    {"serialization_alias": "{}Output"},
    {"validation_alias": "{}Input", "serialization_alias": "{}Output"},
    {"validation_alias": AliasChoices("{}First", "{}Second")},
    {"validation_alias": AliasPath("{}Path", 0)},
)


@dataclasses.dataclass
class Case:
    """A model with a body. `reads_shown` is False if a POST of an answer gives other data."""

    model: Any
    body: dict[str, Any]
    reads_shown: bool


@st.composite
def models(draw: st.DrawFn) -> Case:
    """Draw a model, and a body for it."""
    kinds = draw(st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=5))
    build = draw(st.sampled_from([_model, _model, _dataclass, _typed_dict]))
    hides_values = False
    fields: dict[str, Any] = {}
    body: dict[str, Any] = {"note": ""}
    for number, kind in enumerate(kinds):
        name = f"{kind}_{number}"
        annotation, values = KINDS[kind]
        options = {key: _filled(alias, name) for key, alias in draw(st.sampled_from(ALIASES)).items()}
        if kind in HIDDEN and build is not _typed_dict and draw(st.booleans()):
            hides_values = True
            options |= {"default": HIDDEN[kind], "exclude_if": partial(eq, HIDDEN[kind])}
        fields[name] = (annotation, Field(**options))
        if "default" not in options or draw(st.booleans()):
            _put(body, name, options, draw(values))
    encodings: Any = [draw(st.sampled_from(["utf8", "base64"])) for _ in range(2)]
    config = ConfigDict(
        extra=draw(st.sampled_from(["allow", "forbid", "ignore"])),
        populate_by_name=draw(st.booleans()),
        ser_json_bytes=encodings[0],
        val_json_bytes=encodings[1],
        ser_json_timedelta=draw(st.sampled_from(["iso8601", "float"])),
        alias_generator=draw(st.sampled_from([None, to_camel])),
    )
    if config["extra"] == "allow" and build is not _dataclass:
        body |= draw(st.dictionaries(st.sampled_from(["x-one", "x-two"]), NUMBER | TEXT))
    # Pydantic shows the bytes of a TypedDict without its encoding.
    shows_encoding = build is not _typed_dict or encodings[0] == "utf8"
    reads_shown = encodings[0] == encodings[1] and shows_encoding and "masked" not in kinds and not hides_values
    return Case(build(fields, config, draw(st.booleans())), body, reads_shown)


def _model(fields: dict[str, Any], config: ConfigDict, has_total: bool) -> Any:
    members: dict[str, Any] = {"model_config": config, "__module__": __name__}
    if has_total:
        members["total"] = computed_field(property(_total))
    return create_model("Model", __base__=type("Base", (BaseModel,), members), note=(str, ""), **fields)


def _dataclass(fields: dict[str, Any], config: ConfigDict, is_frozen: bool) -> Any:
    # Fields with a default stand behind the others.
    parts = sorted(fields.items(), key=lambda part: not part[1][1].is_required())
    members = [(name, annotation, info) for name, (annotation, info) in parts]
    namespace = {"__pydantic_config__": config, "__module__": __name__}
    note = ("note", str, dataclasses.field(default=""))
    required = [member for member in members if member[2].is_required()]
    optional = [member for member in members if not member[2].is_required()]
    return dataclasses.make_dataclass("Model", [*required, note, *optional], namespace=namespace, frozen=is_frozen)


def _typed_dict(fields: dict[str, Any], config: ConfigDict, is_total: bool) -> Any:
    members: dict[str, Any] = {"note": str}
    for name, (annotation, info) in fields.items():
        members[name] = Annotated[annotation, info]
    build: Any = TypedDict
    result = build("Model", members, total=is_total)
    result.__pydantic_config__ = config
    return result


def _total(record: BaseModel) -> int:
    return len(record.model_fields_set)


def _filled(alias: Any, name: str) -> Any:
    if isinstance(alias, AliasChoices):
        return AliasChoices(*(str(choice).format(name) for choice in alias.choices))
    if isinstance(alias, AliasPath):
        return AliasPath(str(alias.path[0]).format(name), 0)
    return str(alias).format(name)


def _put(body: dict[str, Any], name: str, aliases: dict[str, Any], value: Any) -> None:
    """Give a field its value, by the name that its validator reads."""
    alias = aliases.get("validation_alias", aliases.get("alias", name))
    if isinstance(alias, AliasPath):
        body[str(alias.path[0])] = [value]
    else:
        body[str(alias.choices[-1]) if isinstance(alias, AliasChoices) else alias] = value


def unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the members of an object, and refuse a repeated name."""
    assert len({name for name, _ in pairs}) == len(pairs), pairs
    return dict(pairs)


async def stream(*chunks: bytes) -> AsyncIterator[bytes]:
    """Yield chunks of a body."""
    for chunk in chunks:
        yield chunk


async def check_all_operations(case: Case, build: Any) -> None:
    """Run every operation on a resource with this body, and compare the stored data each time."""
    spec, body = ModelSpec(case.model), case.body
    async with build(spec) as manager:
        created = await manager.create(to_json(body), resource_id="first")
        stored = created.data_json
        json.loads(created.shown_json, object_pairs_hook=unique_members)
        json.loads(stored, object_pairs_hook=unique_members)
        read = await manager.get("first")
        assert read.data_json == stored
        assert spec.dump(read.data) == stored
        for value in (read.data, to_json(body), *([read.shown_json] if case.reads_shown else [])):
            assert (await manager.create(value)).data_json == stored
        bulk = [BulkOperation(BulkOp.create, "second", to_json(body))]
        assert [result.error async for result in manager.bulk.run(bulk)] == [None]
        assert (await manager.get("second")).data_json == stored
        replaced = await manager.replace("first", read.shown_json)
        assert (replaced.data_json, replaced.meta.version) == (stored, 1)
        patched = await manager.patch("first", MergePatch({"note": "changed"}))
        assert from_json(patched.data_json) == {**from_json(stored), "note": "changed"}
        shown = from_json(patched.shown_json)
        members = {name: part for name, part in shown.items() if b"null" not in to_json(part) and name != "total"}
        returned = await manager.replace("first", patched.shown_json)
        assert (returned.data_json, returned.meta.version) == (patched.data_json, 2)
        renamed = await manager.patch("first", members)
        assert renamed.data_json == patched.data_json
        switched = await manager.switch("first", "1")
        assert switched.data_json == stored
        lines = b"".join([chunk async for chunk in manager.transfer.export(history=True)])
    async with build(spec) as other:
        reports = [report async for report in other.transfer.load(stream(lines))]
        assert isinstance(reports[-1], Progress)
        assert reports[-1].counts["failed"] == 0, reports
        imported = await other.get("first")
        assert imported.data_json == stored
        assert imported.revision_info.data_hash == created.revision_info.data_hash
        assert b"".join([chunk async for chunk in other.transfer.export(history=True)]) == lines


@asynccontextmanager
async def in_memory(spec: ModelSpec[Any]) -> AsyncIterator[ResourceManager[Any]]:
    """Yield a manager of an empty storage."""
    async with storage_on(BACKENDS["memory"](Path()), spec) as storage:
        yield ResourceManager(spec, storage)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(models())
def test_stored_form_of_any_model_survives_every_operation(case: Case) -> None:
    """No untouched value changes, no name appears twice, and nothing becomes unreadable."""
    asyncio.run(check_all_operations(case, in_memory))


@pytest.mark.parametrize("backend", ["disk", "s3", "postgres"])
def test_stored_form_survives_every_operation_on_each_backend(backend: str, tmp_path: Path) -> None:
    """Some random models, on a store of their own each."""
    numbers = count()

    @asynccontextmanager
    async def on_backend(spec: ModelSpec[Any]) -> AsyncIterator[ResourceManager[Any]]:
        folder = tmp_path.with_name(f"{tmp_path.name}_{next(numbers)}")
        folder.mkdir()
        async with storage_on(BACKENDS[backend](folder), spec) as storage:
            yield ResourceManager(spec, storage)

    @settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
    @given(models())
    def check(case: Case) -> None:
        asyncio.run(check_all_operations(case, on_backend))

    check()
