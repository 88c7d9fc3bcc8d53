"""Text search over HTTP."""

from typing import Annotated, Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic import BaseModel, Field

from autocrud import AutoCRUD, Index, Unique
from autocrud.errors import ConfigurationError, InvalidParameter
from autocrud.schema.model_spec import ModelSpec
from autocrud.schema.search_document import MAX_DOCUMENT_BYTES, words
from autocrud.storage.disk import DiskStorageFactory
from autocrud.storage.memory import MemoryStorageFactory
from tests.http.conftest import Serve
from tests.http.openapi_helpers import parameters_of
from tests.http.test_lists import walk
from tests.storage.backfill_probe import wait_until_filled


class Story(BaseModel):
    """A model with searched texts."""

    title: Annotated[str, Index(text=True)]
    body: Annotated[str | None, Index(text=True, filters=False), Field(alias="text")] = None
    year: Annotated[int | None, Index()] = None


STORIES = [
    {"title": "The fox", "text": "A fox among foxes.", "year": 1},
    {"title": "Hens", "text": "What is left when the fox has gone: " + "feathers " * 400, "year": 1},
    {"title": "Fox", "year": 2},
    {"title": "Nothing", "year": 2},
]


async def stored(http: httpx.AsyncClient) -> None:
    """Store the stories in the service."""
    for story in STORIES:
        assert (await http.post("/story", json=story)).status_code == 201


async def test_text_search_is_ranked_and_paged(serve: Serve) -> None:
    """With filters, expressions, an order and totals."""
    async with serve(Story) as http:
        await stored(http)
        assert await walk(http, "/story?q=fox&limit=1") == ["The fox", "Fox", "Hens"]
        assert await walk(http, "/story?q=fox&limit=1&sort=title") == ["Fox", "Hens", "The fox"]
        assert await walk(http, "/story?q=fox&year=1") == ["The fox", "Hens"]
        assert await walk(http, '/story?q=fox -"fox has gone"&qb=QB["year"].lt(2)') == ["The fox"]
        assert await walk(http, "/story?q=feather*") == ["Hens"]
        page = (await http.get("/story?q=fox&limit=2&count=exact")).json()
        assert (len(page["items"]), page["total"]) == (2, 3)
        for query, count in [("q=fox", 3), ("q=fox&year=1", 2), ("q=nobody", 0)]:
            assert (await http.get(f"/story/count?{query}")).json() == {"count": count}
        for query, named in [
            (f"q=hens&cursor={page['next_cursor']}", "cursor"),
            (f"q=fox&sort=title&cursor={page['next_cursor']}", "cursor"),
            ("q=", "q"),
            ("q=%22", "q"),
            ("q=-fox", "q"),
            ("q=" + "a" * 1001, "q"),
            ("q=fox&q=hens", "q"),
            ("text=fox", "text"),
            ("q__eq=fox", "q__eq"),
            ("sort=q", "sort"),
            ("sort=rank", "sort"),
        ]:
            response = await http.get(f"/story?{query}")
            assert (response.status_code, response.json()["errors"][0]["field"]) == (400, named), query


@pytest.fixture
def texts() -> AutoCRUD:
    """Yield a service in memory with one searched model and another one."""
    crud = AutoCRUD(storage_factory=MemoryStorageFactory())

    class Plain(BaseModel):
        title: Annotated[str, Index()]

    crud.add_model(Story)
    crud.add_model(Plain)
    return crud


async def test_model_without_texts_has_no_q(texts: AutoCRUD) -> None:
    """Over HTTP, in Python and in OpenAPI."""
    app = FastAPI()
    texts.apply(app)
    document = app.openapi()
    for path in ("/story", "/story/count"):
        assert "phrase" in parameters_of(document, path)["q"]["description"]
    assert "q" not in parameters_of(document, "/plain")
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as http,
    ):
        assert (await http.get("/plain?q=fox")).status_code == 400
        await stored(http)
        manager = texts.manager(Story)
        page = await manager.search({"year": 1}, text="fox", limit=1)
        assert [item.data.title for item in page.items] == ["The fox"]
        assert await manager.count({"year": 1}, text="fox") == 2
        with pytest.raises(InvalidParameter, match="Index\\(text=True\\)"):
            await texts.manager("plain").search(text="fox")


async def test_text_over_the_limit_is_refused(serve: Serve) -> None:
    """A text that is only searched may be longer than a filtered one."""
    async with serve(Story, max_body_bytes=2 * MAX_DOCUMENT_BYTES) as http:
        body = "word " * 2000 + "end"
        assert (await http.post("/story", json={"title": "long", "text": body})).status_code == 201
        assert await walk(http, "/story?q=end") == ["long"]
        refused = await http.post("/story", json={"title": "x" * 2001})
        assert refused.status_code == 422
        refused = await http.post("/story", json={"title": "longer", "text": "w " * (MAX_DOCUMENT_BYTES // 3 + 1)})
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "q")


async def test_changed_text_fields_are_searched_after_a_start(tmp_path: Any) -> None:
    """Stored texts are read again."""

    def model(**annotations: Any) -> Any:
        return type("Story", (BaseModel,), {"__annotations__": annotations})

    plain, searched = str, Annotated[str, Index(text=True, filters=False)]
    for title, text, expected in [
        (plain, plain, None),
        (searched, plain, [1, 0]),
        (searched, searched, [1, 1]),
        (plain, searched, [0, 1]),
    ]:
        crud = AutoCRUD(storage_factory=DiskStorageFactory(tmp_path))
        crud.add_model(model(title=title, text=text))
        app = FastAPI()
        crud.apply(app)
        async with app.router.lifespan_context(app):
            manager: Any = crud.manager("story")
            if expected is None:
                await manager.create({"title": "a fox", "text": "some hens"})
            else:
                await wait_until_filled("story")
                assert [await manager.count(text=text) for text in ("fox", "hens")] == expected


def test_text_index_on_another_type_is_refused() -> None:
    """The error names the field."""
    for annotation, reason in [
        (Annotated[int, Index(text=True)], "neither a text nor a list"),
        (Annotated[list[int], Index(text=True, filters=False)], "neither a text nor a list"),
        (Annotated[str | int, Index(text=True, filters=False)], "neither a text nor a list"),
        (Annotated[str, Index(filters=False)], "index without a use"),
        (Annotated[str, Unique(text=True, filters=False)], "unique"),
    ]:
        model: Any = type("Wrong", (BaseModel,), {"__annotations__": {"field": annotation}})
        with pytest.raises(ConfigurationError, match=f"Wrong.field .*{reason}"):
            ModelSpec(model)


async def test_nested_texts_are_searched() -> None:
    """In records and lists. A list of texts may also be filtered."""

    class Part(BaseModel):
        heading: Annotated[str | None, Index(text=True, filters=False)] = None

    class Report(BaseModel):
        parts: list[Part] = []
        first: Part | None = None
        tags: Annotated[list[str], Index(text=True)] = []

    crud = AutoCRUD(storage_factory=MemoryStorageFactory())
    crud.add_model(Report)
    app = FastAPI()
    crud.apply(app)
    async with app.router.lifespan_context(app):
        manager: Any = crud.manager(Report)
        await manager.create({"parts": [{"heading": "red fox"}, {}, {"heading": "hen"}], "tags": ["a pig", "cow"]})
        await manager.create({"first": {"heading": "red hen"}})
        for text, found in [("fox hen", 1), ("red", 2), ('"fox hen"', 0), ("pig", 1), ('"pig cow"', 0)]:
            assert await manager.count(text=text) == found, text
        assert await manager.count({"tags": "cow"}, text="pig") == 1
        with pytest.raises(InvalidParameter):
            await manager.count({"first.heading": "red hen"})


def test_search_ignores_case_accents_and_forms() -> None:
    """Letters count."""
    for one, other in [
        ("CAF\u00c9", "cafe\u0301"), ("Stra\u00dfe", "STRASSE"), ("\ufb01\uff4e\u0065", "fine"), ("so\u00adft", "soft"),
        ("\u0130", "i"), ("\u1100\u1161", "\uac00"), ("\u304b\u3099", "\u304c"), ("\u05e9\u05c1", "\u05e9"),
        ("x" * 65, "x" * 64), ("\u039f\u03b4\u03cc\u03c2", "\u03bf\u03b4\u03bf\u03c3"), ("a\x00b_c", "a b c"),
    ]:  # fmt: skip
        assert words(one) == words(other) != []
    assert words("\u304b") != words("\u304c")
    assert words("\u0e01\u0e34") != words("\u0e01")
    assert words("\ud800 \u200b\ufe0f !?") == []
