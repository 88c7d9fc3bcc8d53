"""References over HTTP, on each backend."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from autocrud.errors import InvalidParameter
from autocrud.query.builder import QB
from tests.http.conftest import serving
from tests.http.reference_models import library, new
from tests.storage.backends import BACKENDS


@pytest.fixture(params=BACKENDS)
async def http(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client of the library models."""
    app, _ = library(BACKENDS[request.param](tmp_path))
    async with serving(app) as client:
        yield client


async def test_write_with_a_missing_target_is_422(http: httpx.AsyncClient) -> None:
    """On every route. Only new references are checked."""
    carol, gone = await new(http, "person", name="Carol"), await new(http, "person", name="gone")
    assert (await http.delete(f"/person/{gone}")).status_code == 204
    for fields in ({"director": "nobody"}, {"director": gone}, {"cast": [carol, "nobody"]}, {"producer": gone}):
        refused = await http.post("/film", json=fields)
        assert (refused.status_code, refused.json()["code"]) == (422, "reference_not_found"), refused.text
        (field,) = fields
        assert [error["field"] for error in refused.json()["errors"]] == [field]
    assert (await http.get("/film/count")).json() == {"count": 0}
    film = await new(http, "film", director=carol, writer="nobody", cast=[carol, carol])
    before = (await http.get(f"/film/{film}")).content
    patch = {"Content-Type": "application/merge-patch+json"}
    for refused in (
        await http.put(f"/film/{film}", json={"director": "nobody"}),
        await http.patch(f"/film/{film}", json={"cast": [carol, gone]}, headers=patch),
    ):
        assert (refused.status_code, refused.json()["code"]) == (422, "reference_not_found")
    assert (await http.get(f"/film/{film}")).content == before
    boss = await new(http, "person", name="b")
    assert (await http.put(f"/film/{film}", json={"producer": boss, "writer": "nobody"})).status_code == 200
    # To itself is to something that exists; to what its second revision refers is no longer.
    own = await http.put("/person/own", json={"name": "n", "boss": "own"}, headers={"If-None-Match": "*"})
    assert own.status_code == 201
    assert (await http.put(f"/film/{film}", json={})).status_code == 200
    assert (await http.delete(f"/person/{boss}")).status_code == 204
    switched = await http.post(f"/film/{film}/switch/2")
    assert (switched.status_code, switched.json()["code"]) == (422, "reference_not_found"), switched.text
    assert (await http.post(f"/film/{film}/switch/1")).status_code == 200


async def test_delete_with_a_restricting_referrer_is_409(http: httpx.AsyncClient) -> None:
    """Also a purge, and a cascade that would reach one."""
    carol = await new(http, "person", name="Carol")
    film = await new(http, "film", director=carol, producer=carol)
    for path in (f"/person/{carol}", f"/person/{carol}/permanently"):
        refused = await http.delete(path)
        assert (refused.status_code, refused.json()["code"]) == (409, "referenced"), refused.text
        assert refused.json()["referrers"] == [{"model": "film", "field": "director", "resource_id": film}]
    assert (await http.get(f"/film/{film}")).json()["data"]["producer"] == carol
    reviews = [await new(http, "review", film=film) for _ in range(3)]
    answer = await new(http, "review", film=film, answers=reviews[0])
    quote = await new(http, "quote", review=answer)
    refused = await http.delete(f"/film/{film}")
    assert refused.json()["referrers"] == [{"model": "quote", "field": "review", "resource_id": quote}]
    assert (await http.get("/review/count")).json() == {"count": 4}
    assert (await http.delete(f"/quote/{quote}")).status_code == 204
    assert (await http.delete(f"/film/{film}")).status_code == 204
    assert (await http.get("/review/count")).json() == {"count": 0}
    assert (await http.delete(f"/person/{carol}")).status_code == 204
    # What was deleted first does not come back without what it needs.
    back = await http.post(f"/quote/{quote}/restore")
    assert (back.status_code, back.json()["errors"][0]["field"]) == (422, "review")


async def test_delete_sets_null_or_cascades(http: httpx.AsyncClient) -> None:
    """In new revisions by the deleter. Deleted referrers and dangling ids stay."""
    ann, ben = await new(http, "person", name="Ann"), await new(http, "person", name="Ben")
    below = [await new(http, "person", name=f"p{number}", boss=ann) for number in range(3)]
    film = await new(http, "film", producer=ann, writer=ann, cast=[ben, ann, below[0]])
    old = await new(http, "film", producer=ann)
    assert (await http.delete(f"/film/{old}")).status_code == 204
    ring = await new(http, "review", film=film)
    other = await new(http, "review", film=film, answers=ring)
    assert (await http.put(f"/review/{ring}", json={"film": film, "answers": other})).status_code == 200
    assert (await http.delete(f"/person/{ann}/permanently")).status_code == 204
    found = (await http.get(f"/film/{film}")).json()
    assert found["data"] | {"title": ""} == {
        "title": "", "director": None, "producer": None, "writer": ann, "cast": [ben, below[0]],
    }  # fmt: skip
    assert found["meta"]["total_revision_count"] == 2
    bosses = [(await http.get(f"/person/{name}")).json()["data"]["boss"] for name in below]
    assert bosses == [None] * 3
    restored = await http.post(f"/film/{old}/restore")
    assert restored.status_code == 200, restored.text
    assert (await http.get(f"/film/{old}")).json()["data"]["producer"] is None
    # Round the ring, once.
    assert (await http.delete(f"/review/{ring}")).status_code == 204
    assert (await http.get(f"/review/{other}")).status_code == 410
    assert (await http.post(f"/review/{other}/restore")).status_code == 422


async def test_referrers_are_listed_in_pages(http: httpx.AsyncClient) -> None:
    """Over all fields of all models, with a choice of both."""
    ann = await new(http, "person", name="Ann")
    films = [await new(http, "film", director=ann, cast=[ann]) for _ in range(3)]
    below = await new(http, "person", name="b", boss=ann)
    expected = [
        *(("film", "director", name) for name in films[::-1]),
        *(("film", "cast", name) for name in films[::-1]),
        ("person", "boss", below),
    ]
    for limit in (1, 2, 3, 6, 7):
        found, url = [], f"/person/{ann}/referrers?limit={limit}&returns=meta"
        while url:
            response = await http.get(url)
            items = response.json()["items"]
            assert 0 < len(items) <= limit
            assert all(item["meta"]["resource_id"] == item["resource_id"] and "data" not in item for item in items)
            found += [(item["model"], item["field"], item["resource_id"]) for item in items]
            url = response.headers["link"].partition(">")[0][1:] if "link" in response.headers else ""
            assert (response.json()["next_cursor"] is None) is (not url)
        assert found == expected
    chosen = (await http.get(f"/person/{ann}/referrers?model=film&field=cast")).json()["items"]
    assert [item["resource_id"] for item in chosen] == films[::-1]
    assert chosen[0]["data"]["cast"] == [ann]
    cursor = (await http.get(f"/person/{ann}/referrers?limit=1")).json()["next_cursor"]
    for query in ("cursor=x", f"field=cast&cursor={cursor}", "model=quote", "limit=0"):
        assert (await http.get(f"/person/{ann}/referrers?{query}")).status_code == 400
    assert (await http.get(f"/person/{below}/referrers?cursor={cursor}")).status_code == 400
    assert (await http.get("/person/nobody/referrers")).status_code == 404
    await http.delete(f"/person/{below}")
    assert (await http.get(f"/person/{below}/referrers")).status_code == 410
    gone = f"/person/{ann}/referrers?include_deleted=true&field=boss"
    assert [item["resource_id"] for item in (await http.get(gone)).json()["items"]] == [below]
    assert (await http.get(f"/quote/{films[0]}/referrers")).status_code == 404


async def test_expand_returns_the_targets(http: httpx.AsyncClient) -> None:
    """On reads and lists. A missing target is null, and the tag changes with it."""
    ann, ben = await new(http, "person", name="Ann"), await new(http, "person", name="Ben")
    film = await new(http, "film", director=ann, writer="nobody", cast=[ben, ann])
    other = await new(http, "film", director=ben)
    people = {name: (await http.get(f"/person/{name}")).json() for name in (ann, ben)}
    url = f"/film/{film}?expand=director,writer,producer,cast"
    read = await http.get(url)
    plain = (await http.get(f"/film/{film}")).json()
    assert read.json() == plain | {
        "expanded": {"director": people[ann], "writer": None, "producer": None, "cast": [people[ben], people[ann]]}
    }
    tagged = {"If-None-Match": read.headers["etag"]}
    assert (await http.get(url, headers=tagged)).status_code == 304
    await http.put(f"/person/{ben}", json={"name": "Benjamin"})
    changed = await http.get(url, headers=tagged)
    assert changed.json()["expanded"]["cast"][0]["data"]["name"] == "Benjamin"
    listed = (await http.get("/film?expand=director&returns=meta")).json()["items"]
    assert [(item["meta"]["resource_id"], item["expanded"]["director"]["data"]["name"]) for item in listed] == [
        (other, "Benjamin"),
        (film, "Ann"),
    ]
    assert {frozenset(item) for item in listed} == {frozenset({"meta", "expanded"})}
    for bad in ("expand=title", "expand=", "expand=director,", "expand=director.name"):
        for path in (f"/film/{film}", "/film"):
            refused = await http.get(f"{path}?{bad}")
            assert (refused.status_code, refused.json()["errors"][0]["field"]) == (400, "expand")
    assert (await http.get(f"/quote/{film}?expand=title")).status_code == 400


@pytest.mark.parametrize("backend", BACKENDS)
async def test_reference_filter_selects_by_the_target(backend: str, tmp_path: Path) -> None:
    """A dangling reference has null there. A cursor stays valid."""
    app, crud = library(BACKENDS[backend](tmp_path))
    async with serving(app) as http:
        people = [await new(http, "person", name=name) for name in ("Ann", "Ben", "Carol")]
        await http.put("/person/gone", json={"name": "Ann"}, headers={"If-None-Match": "*"})
        films = [await new(http, "film", director=person, cast=people[number:]) for number, person in enumerate(people)]
        films.append(await new(http, "film", writer="gone"))
        await http.delete("/person/gone")
        manager = crud.manager("film")

        async def found(where: Any, **options: Any) -> list[int]:
            page = await manager.search(where, **options)
            assert await manager.count(where) == len(page.items) or options
            return sorted(films.index(item.resource_id) for item in page.items)

        for where, expected in (
            (QB["director.name"].eq("Ann"), [0]),
            (QB["director.name"].gte("Ben") & QB["title"].eq("The Third Man"), [1, 2]),
            (~QB["director.name"].eq("Ann"), [1, 2, 3]),
            (QB["director.name"].ne("Ann"), [1, 2, 3]),
            (QB["director.name"].not_in(["Ann", "Ben"]), [2, 3]),
            (QB["director.name"].is_null(), [3]),
            (~QB["director.name"].is_null() | QB["writer.name"].eq("Ann"), [0, 1, 2]),
            (QB["writer.is_deleted"].eq(True), [3]),
            (QB["cast.name"].eq("Ben"), [0, 1]),
            (QB["cast.name"].ne("Ben"), [2, 3]),
            (QB["director.email"].is_null(False), []),
            ({"director.name__icontains": "N"}, [0, 1]),
            ({"director.created_time__lt": datetime(2020, 1, 1, tzinfo=UTC)}, []),
        ):
            assert await found(where) == expected, where
        for name in ("director.nothing", "director.boss.name", "title.name", "director.", ".name", "director"):
            with pytest.raises(InvalidParameter):
                await manager.search(QB[name].regex("["))
        with pytest.raises(InvalidParameter, match=r"^director\.name__like"):
            await manager.search({"director.name__like": "x"})
        where = QB["director.name"].gte("A")
        first = await manager.search(where, limit=2)
        await new(http, "person", name="Dora")
        rest = await manager.search(where, limit=2, cursor=first.next_cursor)
        assert [item.resource_id for item in first.items + rest.items] == films[2::-1]
        with pytest.raises(InvalidParameter, match="cursor"):
            await manager.search(QB["director.name"].gte("B"), cursor=first.next_cursor)


async def test_reference_filter_works_in_every_notation(http: httpx.AsyncClient) -> None:
    """All operators, expressions, totals and aggregates."""
    people = [await new(http, "person", name=name, email=f"{name}@x.org") for name in ("Ann", "Ben", "Carol")]
    for person in people:
        await new(http, "film", title=f"by {person}", director=person, cast=people[:2])
    for query, number in (
        ("director.name=Ann", 1),
        ("director.name__in=Ann,Ben&director.email__starts_with=B", 1),
        ("director.name__ne=Ann", 2),
        ("director.name__is_null=true", 0),
        ('qb=~(QB["director.name"] == "Ann") %26 QB["cast.name"].eq("Ben")', 2),
    ):
        assert (await http.get(f"/film?count=exact&limit=1&{query}")).json()["total"] == number, query
        assert (await http.get(f"/film/count?{query}")).json() == {"count": number}
    page = (await http.get("/film/aggregate?group_by=title&director.name__gte=Ben&limit=1")).json()
    await new(http, "person", name="Dora")
    query = f"group_by=title&director.name__gte=Ben&limit=1&cursor={page['next_cursor']}"
    rest = (await http.get(f"/film/aggregate?{query}")).json()
    assert [group["key"]["title"] for group in page["groups"] + rest["groups"]] == sorted(
        f"by {person}" for person in people[1:]
    )
    for bad in ("director.words=x", "director.name__like=x", "director.boss.name=x", "title.name=x"):
        refused = await http.get(f"/film?{bad}")
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (400, bad.partition("=")[0])


async def test_bulk_enforces_references(http: httpx.AsyncClient) -> None:
    """Per operation and atomic. A delete cascades."""
    reed = await new(http, "person", name="Reed")
    film = await new(http, "film", director=reed)
    review = await new(http, "review", film=film)
    lines = [
        {"op": "create", "data": {"title": "A", "director": reed}},
        {"op": "create", "data": {"title": "B", "director": "nobody"}},
        {"op": "update", "id": film, "data": {"title": "C", "director": "nobody"}},
    ]
    answer = (await http.post("/film/bulk", json=lines)).json()
    assert [item["status"] for item in answer["items"]] == [201, 422, 422]
    assert answer["items"][1]["problem"]["code"] == "reference_not_found"
    refused = await http.post("/film/bulk?atomic=true", json=lines)
    assert (refused.status_code, refused.json()["code"]) == (409, "bulk_refused")
    assert (await http.get("/film/count")).json() == {"count": 2}
    answer = (await http.post("/person/bulk", json=[{"op": "delete", "id": reed}])).json()
    assert (answer["items"][0]["status"], answer["items"][0]["problem"]["code"]) == (409, "referenced")
    answer = (await http.post("/film/bulk", json=[{"op": "delete", "id": film}])).json()
    assert answer["items"][0]["status"] == 204, answer
    assert (await http.get(f"/review/{review}")).status_code == 410
    gone = await http.delete("/film?title=A")
    assert gone.json() == {"matched": 1, "changed": 1}, gone.text
    assert (await http.delete(f"/person/{reed}")).status_code == 204
