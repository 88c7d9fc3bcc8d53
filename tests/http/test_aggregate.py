"""Aggregates over HTTP, on each backend."""

from datetime import date
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI
from pydantic import BaseModel

from autocrud import AutoCRUD, Index
from autocrud.storage.memory import MemoryStorageFactory
from tests.http.conftest import Serve, serving


class Sale(BaseModel):
    """A sale."""

    genre: Annotated[str | None, Index()] = None
    pieces: Annotated[int | None, Index()] = None
    price: Annotated[Decimal | None, Index()] = None
    weight: Annotated[float | None, Index()] = None
    day: Annotated[date | None, Index()] = None
    gift: Annotated[bool | None, Index()] = None
    key: Annotated[UUID | None, Index()] = None
    tags: Annotated[list[str] | None, Index()] = None
    rates: Annotated[list[float], Index()] = []


BIG = 2**62
SALES: list[dict[str, Any]] = [
    {
        "genre": "jazz",
        "pieces": BIG,
        "price": "0.1",
        "weight": 0.5,
        "day": "2026-01-02",
        "gift": True,
        "tags": ["b", "A", "b"],
    },
    {"genre": "jazz", "pieces": BIG, "price": "0.2", "weight": 1.5, "day": "2026-01-01", "gift": False},
    {"genre": "jazz", "pieces": BIG, "price": "-1E+30", "key": str(UUID(int=7))},
    {"genre": "Noise", "pieces": -3, "price": "9.90", "gift": True, "key": str(UUID(int=5))},
    {"genre": "Noise", "pieces": -4, "price": "9.9", "tags": [], "rates": [10.0, 9.5, -0.5]},
    {"pieces": 1, "tags": ["b"], "rates": [9.5]},
]


async def groups(http: httpx.AsyncClient, query: str) -> list[tuple[Any, ...]]:
    """Return keys and values of all pages."""
    found, cursor = list[tuple[Any, ...]](), ""
    while True:
        response = await http.get(f"/sale/aggregate?{query}{cursor}")
        assert response.status_code == 200, response.text
        page = response.json()
        found += [(*group["key"].values(), *group["values"].values()) for group in page["groups"]]
        if page["next_cursor"] is None:
            return found
        cursor = f"&cursor={page['next_cursor']}"


async def test_aggregate_returns_exact_ordered_groups(serve: Serve) -> None:
    """Check pages, and equality on every backend."""
    async with serve(Sale) as http:
        for sale in SALES:
            await http.post("/sale", json=sale)
        gone = (await http.post("/sale", json={"genre": "gone", "pieces": 5})).headers["location"]
        await http.delete(gone)
        assert await groups(http, "") == [(6,)]
        assert await groups(http, "include_deleted=true") == [(7,)]
        for limit in (1, 2, 100):
            by_genre = await groups(http, f"group_by=genre&metrics=count,sum:pieces,avg:pieces&limit={limit}")
            assert by_genre == [
                ("Noise", 2, -7, -3.5),
                ("jazz", 3, 3 * BIG, float(BIG)),
                (None, 1, 1, 1.0),
            ]
        assert await groups(http, "group_by=genre&metrics=sum:price,avg:price,min:price,max:price,distinct:price") == [
            ("Noise", "19.8", "9.9", "9.9", "9.9", 1),
            ("jazz", "-999999999999999999999999999999.7", "-333333333333333333333333333300", "-1" + 30 * "0", "0.2", 3),
            (None, None, None, None, None, 0),
        ]
        assert await groups(http, "metrics=sum:weight,avg:weight,count:weight,min:day,max:day,count:gift") == [
            (2.0, 1.0, 2, "2026-01-01", "2026-01-02", 3)
        ]
        assert await groups(http, "metrics=min:key,max:key,min:created_by,max:version") == [
            (str(UUID(int=5)), str(UUID(int=7)), None, 1)
        ]
        assert await groups(http, "group_by=gift&metrics=count&limit=1") == [(False, 1), (True, 2), (None, 3)]
        assert await groups(http, "group_by=genre,gift&limit=2") == [
            ("Noise", True, 1), ("Noise", None, 1), ("jazz", False, 1), ("jazz", True, 1), ("jazz", None, 1),
            (None, None, 1),
        ]  # fmt: skip
        assert await groups(http, "group_by=genre&sort=-count&limit=2") == [("jazz", 3), ("Noise", 2)]
        for metric in ("sum:pieces", "avg:pieces", "max:pieces"):
            found = await groups(http, f"group_by=genre&metrics={metric}&sort=-{metric}")
            assert [key for key, _ in found] == ["jazz", None, "Noise"], metric
        for metric in ("sum:price", "avg:price", "min:price"):
            found = await groups(http, f"group_by=genre&metrics={metric}&sort={metric}")
            assert [key for key, _ in found] == ["jazz", "Noise", None], metric
        assert await groups(http, "group_by=genre&pieces__gt=0&genre__is_null=false") == [("jazz", 3)]
        assert await groups(http, 'group_by=genre&qb=QB["price"] > 0') == [("Noise", 2), ("jazz", 2)]
        for limit in (1, 2, 9):
            by_tag = await groups(http, f"group_by=tags&metrics=count,sum:pieces&limit={limit}")
            assert by_tag == [("A", 1, BIG), ("b", 2, BIG + 1), (None, 4, 2 * BIG - 7)]
            by_rate = await groups(http, f"group_by=rates&limit={limit}")
            assert by_rate == [(-0.5, 1), (9.5, 2), (10.0, 1), (None, 4)]
        assert await groups(http, "tags=b&group_by=tags&metrics=count:tags") == [("A", 1), ("b", 2)]
        assert await groups(http, "genre=none&metrics=count,sum:pieces") == [(0, None)]
        assert await groups(http, "genre=none&group_by=genre") == []


async def test_aggregate_of_an_overflowing_sum_is_refused(serve: Serve) -> None:
    """JSON has no infinity."""
    async with serve(Sale) as http:
        for _ in range(2):
            await http.post("/sale", json={"weight": 1.7e308})
        response = await http.get("/sale/aggregate?metrics=sum:weight")
        assert (response.status_code, response.json()["errors"][0]["field"]) == (400, "metrics")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("group_by=nothing", "group_by"),
        ("group_by=genre,genre", "group_by"),
        ("group_by=genre,pieces,price,weight,day", "group_by"),
        ("metrics=median:price", "metrics"),
        ("metrics=sum:genre", "metrics"),
        ("metrics=sum", "metrics"),
        ("metrics=min:gift", "metrics"),
        ("metrics=avg:nothing", "metrics"),
        ("metrics=", "metrics"),
        ("sort=avg:price", "sort"),
        ("limit=1001", "limit"),
        ("cursor=x", "cursor"),
        ("sort=-count&cursor=x", "cursor"),
        ("qb=nonsense", "qb"),
        ("note=1", "note"),
    ],
)
async def test_aggregate_with_an_invalid_parameter_is_400(query: str, field: str) -> None:
    """The message names the parameter."""
    crud = AutoCRUD(storage_factory=MemoryStorageFactory())
    crud.add_model(Sale)
    app = FastAPI()
    crud.apply(app)
    async with serving(app) as http:
        response = await http.get(f"/sale/aggregate?{query}")
        assert (response.status_code, response.json()["errors"][0]["field"]) == (400, field), response.text


async def test_aggregate_cursor_of_another_query_is_refused(serve: Serve) -> None:
    """Try other keys, metrics and filters."""
    async with serve(Sale) as http:
        for sale in SALES:
            await http.post("/sale", json=sale)
        query = "group_by=genre&metrics=count&pieces__gt=-9&limit=1"
        cursor = (await http.get(f"/sale/aggregate?{query}")).json()["next_cursor"]
        for other in (
            "group_by=gift&pieces__gt=-9",
            "group_by=genre&pieces__gt=1",
            "group_by=genre&pieces__gt=-9&metrics=max:day",
        ):
            response = await http.get(f"/sale/aggregate?{other}&cursor={cursor}")
            assert (response.status_code, response.json()["errors"][0]["field"]) == (400, "cursor")
