"""Conformance of index fields: lists, paths, unions, and names with any characters."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from autocrud.query.builder import QB
from autocrud.query.conditions import Query
from autocrud.schema.column_types import ColumnKind
from autocrud.schema.markers import Index, Unique
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.ports.storage import IStorage, IStorageFactory
from autocrud.testing.conformance.base import StorageTests, asking, ids, outcomes
from autocrud.testing.sample_writes import create_write, delete_write, purge_write, restore_write, sample, update_write

HOSTILE = [
    "'; DROP TABLE sample_resources; --", '"', "'", "\\", '\\"', "{", "}", ",", "{a,b}", "[]", '["a"]', "NULL", "null",
    "", " ", " a", "a", "A", "a.b", "%", "?1", "$1", "\n", "\u00e9", "e\u0301", "\U0001f3ac", "1", "1.0", "true",
]  # fmt: skip


class Circle(BaseModel):
    """A variant of the union."""

    shape: Literal["circle"]
    size: Annotated[int, Index()]


class Square(BaseModel):
    """Another variant, with fewer fields."""

    shape: Literal["square"]
    tags: list[str] = []


class Group(BaseModel):
    """A nested model that contains groups."""

    code: Annotated[str | None, Unique()] = None
    tags: Annotated[list[str], Index()] = []
    main: Annotated[Circle | Square, Field(discriminator="shape")] | None = None
    shapes: list[Circle | Square] = []


class Nested(BaseModel):
    """A model with index fields behind paths."""

    group: Group | None = None


class Hostile(BaseModel):
    """A model whose field names mean something else in SQL or JSON."""

    quoted: Annotated[str, Index()] = Field("", alias='a"b')
    commanding: Annotated[int, Index()] = Field(0, alias="x'; DROP TABLE hostile_resources; --")
    dotted: Annotated[str, Index()] = Field("", alias="group.name")
    items: Annotated[list[str], Index()] = Field([], alias="l\"]'; DROP TABLE hostile_resources; --")
    placed: Annotated[str, Index()] = Field("", alias="$1 ?1 %s {0} :a")
    claimed: Annotated[str | None, Unique()] = Field(None, alias="u\"'; --")
    first: Annotated[list[str], Index()] = Field(
        [], alias="a_name_that_goes_on_for_longer_than_the_63_bytes_of_postgresql_1"
    )
    second: Annotated[list[str], Index()] = Field(
        [], alias="a_name_that_goes_on_for_longer_than_the_63_bytes_of_postgresql_2"
    )


class Shadow(BaseModel):
    """A model whose field names equal metadata fields."""

    version: Annotated[int, Index()] = 0
    status: Annotated[str, Index()] = ""
    is_deleted: Annotated[bool, Index()] = False
    created_time: Annotated[list[int], Index()] = []
    meta: Annotated[str, Index()] = ""
    head: Annotated[str, Index()] = ""
    row: Annotated[int, Index()] = 0


class IndexFieldTests(StorageTests):
    """Tests of queries by each sort of index field."""

    async def test_list_filter_selects_by_items(self, storage: IStorage) -> None:
        """An empty list is not null. An item counts once. Null has no items, and `~` inverts all of this."""
        first = create_write("ab", sample(tags=["a", "b", "a"]))
        for write in (first, create_write("b", sample(tags=["b"])), create_write("empty", sample(tags=[]))):
            await storage.commit(write)
        await storage.commit(create_write("null", sample()))
        tags = QB["tags"]
        for query, found, other_values in (
            (tags.contains("a"), ["ab"], ["null", "empty", "b"]),
            (tags.contains("b"), ["b", "ab"], ["null", "empty"]),
            (tags.contains_any(["a", "x"]), ["ab"], ["null", "empty", "b"]),
            (tags.contains_any(["a", "b"]), ["b", "ab"], ["null", "empty"]),
            (tags.contains_all(["a", "b"]), ["ab"], ["null", "empty", "b"]),
            (tags.contains_all(["a", "a"]), ["ab"], ["null", "empty", "b"]),
            (tags.contains_all(["a", "x"]), [], ["null", "empty", "b", "ab"]),
            (tags.is_null(True), ["null"], ["empty", "b", "ab"]),
        ):
            assert await ids(storage, query) == found, query
            assert await ids(storage, ~query) == other_values, query
            assert await storage.count(Query(asking(query))) == len(found)

    async def test_list_items_follow_every_commit(self, storage: IStorage) -> None:
        """Update, delete, restore and purge. A purged id that is used anew has no old items."""
        has_a, has_b = QB["tags"].contains("a"), QB["tags"].contains("b")
        first = create_write("r", sample(tags=["a"]))
        second = update_write(first, sample(tags=["b", "c"]))
        deletion = delete_write(second)
        await storage.commit(first)
        assert await ids(storage, has_a) == ["r"]
        await storage.commit(second)
        assert (await ids(storage, has_a), await ids(storage, has_b)) == ([], ["r"])
        await storage.commit(deletion)
        assert (await ids(storage, has_b), await ids(storage, has_b, include_deleted=True)) == ([], ["r"])
        restoration = restore_write(deletion)
        await storage.commit(restoration)
        assert await ids(storage, has_b) == ["r"]
        await storage.commit(purge_write(restoration))
        await storage.commit(create_write("r", sample(tags=["a"])))
        assert (await ids(storage, has_a), await ids(storage, has_b, include_deleted=True)) == (["r"], [])

    async def test_8_items_are_never_read_as_sql(self, storage: IStorage) -> None:
        """A hostile item equals only itself, alone and among others."""
        writes = [create_write(f"r{number}", sample(tags=[text])) for number, text in enumerate(HOSTILE)]
        assert set(await outcomes(storage, [*writes, create_write("all", sample(tags=HOSTILE))])) == {None}
        for number, text in enumerate(HOSTILE):
            assert await ids(storage, QB["tags"].contains(text)) == ["all", f"r{number}"]
        assert await ids(storage, QB["tags"].contains_all(HOSTILE)) == ["all"]
        assert len(await ids(storage, QB["tags"].contains_any(HOSTILE))) == len(HOSTILE) + 1

    async def test_8_field_names_are_never_read_as_sql(self, factory: IStorageFactory) -> None:
        """A hostile name refers to its own field. Long names with a common beginning stay distinct."""
        spec: ModelSpec[Any] = ModelSpec(Hostile)
        storage = factory.build(spec)
        await storage.open()
        values = [
            (field, ["v"] if field.is_list else 7 if field.kind is ColumnKind.integer else "v")
            for field in spec.index_fields
        ]
        for number, (field, value) in enumerate(values):
            data = spec.dump(spec.validate({field.name: value}))
            await storage.commit(create_write(f"r{number}", data, spec=spec))
        for number, (field, value) in enumerate(values):
            field_names = QB[field.name]
            query = field_names.contains("v") if field.is_list else field_names.eq(value)
            assert await ids(storage, query, spec=spec) == [f"r{number}"], field.name
            if not field.is_list:
                assert len(await ids(storage, sort=f"-{field.name}", spec=spec)) == len(values)
        await storage.close()

    async def test_path_leads_through_records_lists_and_unions(self, factory: IStorageFactory) -> None:
        """A path that ends early yields null. A unique field is unique at any depth."""
        spec = ModelSpec(Nested, indexed_fields=["group.main.shape", "group.shapes.shape", "group.shapes.tags"])
        storage = factory.build(spec)
        await storage.open()
        circle, square = {"shape": "circle", "size": 3}, {"shape": "square", "tags": ["s", "t"]}
        for name, group in {
            "none": None,
            "bare": {},
            "circle": {"code": "c", "tags": ["x"], "main": circle, "shapes": [square, circle, square]},
            "square": {"code": "d", "main": square, "shapes": [circle]},
        }.items():
            data = spec.dump(spec.validate({"group": group}))
            await storage.commit(create_write(name, data, spec=spec))
        for query, found in (
            (QB["group.main.size"].gte(3), ["circle"]),
            (QB["group.main.size"].is_null(True), ["square", "bare", "none"]),
            (QB["group.main.shape"].eq("square"), ["square"]),
            (QB["group.tags"].contains("x"), ["circle"]),
            (QB["group.tags"].is_null(True), ["none"]),
            (QB["group.shapes.shape"].contains_all(["circle", "square"]), ["circle"]),
            (QB["group.shapes.size"].contains(3), ["square", "circle"]),
            (QB["group.shapes.tags"].contains("t"), ["circle"]),
            (QB["group.shapes.tags"].is_null(False), ["square", "circle", "bare"]),
            (QB["group.code"].eq("c"), ["circle"]),
        ):
            assert await ids(storage, query, spec=spec) == found, query
        await storage.close()

    async def test_field_with_a_metadata_name_shadows_the_metadata(self, factory: IStorageFactory) -> None:
        """The metadata field is then `meta.` and its name."""
        spec: ModelSpec[Any] = ModelSpec(Shadow)
        storage = factory.build(spec)
        await storage.open()
        first = create_write("a", spec.dump(Shadow(version=7, status="mine", row=9, created_time=[4])), spec=spec)
        second = create_write("b", spec.dump(Shadow(is_deleted=True, meta="m", head="h")), spec=spec)
        for write in (first, second, update_write(first, first.data or b"", spec=spec), delete_write(second)):
            await storage.commit(write)
        for query, found in (
            (QB["version"].eq(7), ["a"]),
            (QB["meta.version"].eq(2), ["a"]),
            (QB["status"].eq("mine"), ["a"]),
            (QB["meta.status"].eq("stable"), ["a"]),
            (QB["created_time"].contains(4), ["a"]),
            (QB["meta.created_time"].gte("2020-01-01T00:00:00Z"), ["a"]),
            (QB["is_deleted"].eq(False), ["a"]),
            (QB["row"].eq(9), ["a"]),
            (QB["head"].eq("h"), []),
        ):
            assert await ids(storage, query, spec=spec) == found, query
        deleted = QB["meta.is_deleted"].eq(True) & QB["meta"].eq("m") & QB["is_deleted"].eq(True)
        assert await ids(storage, deleted, spec=spec, include_deleted=True) == ["b"]
        assert await ids(storage, sort="-version", spec=spec) == ["a"]
        assert await ids(storage, sort="-meta.version,meta.created_time", spec=spec) == ["a"]
        await storage.close()
