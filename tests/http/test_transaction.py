"""Transactions over HTTP: operations on several models, which all take effect, or none."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated, Any

import httpx
import pytest
from fastapi import Depends, FastAPI, Header, HTTPException, Request
from pydantic import BaseModel, Field

from autocrud import AutoCRUD, Index, OnDelete, Ref, Unique
from autocrud.errors import ConfigurationError
from autocrud.storage.memory import MemoryStorageFactory
from autocrud.storage.ports import IStorageFactory
from tests.http.conftest import serving
from tests.storage.backends import STORES, nodes_on

Operation = dict[str, Any]


class Customer(BaseModel):
    """A customer."""

    email: Annotated[str, Unique()]
    name: str = ""


class Line(BaseModel):
    """A line of an order."""

    product: Annotated[str, Ref("customer", on_delete=OnDelete.dangling)] = Field(alias="productId", default="a")


class Order(BaseModel):
    """An order."""

    customer: Annotated[str | None, Ref("customer")] = None
    friends: Annotated[list[str], Ref("customer")] = []
    total: Annotated[int, Index()] = Field(ge=0, default=0)
    note: str = ""


class Chapter(BaseModel):
    """A chapter that follows another one."""

    next: Annotated[str | None, Ref("chapter")] = None


def shop(factory: IStorageFactory | None = None, **options: Any) -> tuple[AutoCRUD, FastAPI]:
    """Return the models, in memory by default, not yet applied."""
    crud = AutoCRUD(storage_factory=factory or MemoryStorageFactory(), max_body_bytes=200_000)
    crud.add_model(Customer, **options)
    crud.add_model(Order)
    crud.add_model(Chapter)
    return crud, FastAPI()


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client of the models."""
    crud, app = shop()
    crud.apply(app)
    async with serving(app) as client:
        yield client


async def send(http: httpx.AsyncClient, *operations: Any, **headers: str) -> httpx.Response:
    """Send a transaction."""
    return await http.post("/transaction", json={"operations": operations}, headers=headers)


async def committed(http: httpx.AsyncClient, *operations: Any) -> list[dict[str, Any]]:
    """Send a transaction that succeeds, and return the results."""
    response = await send(http, *operations)
    assert response.status_code == 200, response.text
    items: list[dict[str, Any]] = response.json()["items"]
    assert [item["index"] for item in items] == list(range(len(operations)))
    return items


async def refused(http: httpx.AsyncClient, *operations: Any) -> tuple[int, str, int | None, str | None]:
    """Send a transaction that is refused. Return status, code, number and model of the operation."""
    problem = (await send(http, *operations)).json()
    return problem["status"], problem["code"], problem.get("operation"), problem.get("model")


async def counts(http: httpx.AsyncClient) -> list[int]:
    """Return the number of resources of each model, deleted ones included."""
    paths = [f"/{name}/count?include_deleted=true" for name in ("customer", "order", "chapter")]
    return [(await http.get(path)).json()["count"] for path in paths]


def customer(email: str = "a@x", **members: Any) -> Operation:
    """Return the create of a customer."""
    return {"op": "create", "model": "customer", "data": {"email": email}, **members}


def order(resource_id: str | None = None, **data: Any) -> Operation:
    """Return the create of an order."""
    return {"op": "create", "model": "order", "data": data} | ({"id": resource_id} if resource_id else {})


def on_old(op: str, **members: Any) -> Operation:
    """Return an operation on the customer `old`."""
    return {"op": op, "model": "customer", "id": "old"} | members


async def test_transaction_runs_every_kind_of_operation_in_order(http: httpx.AsyncClient) -> None:
    """Each sees the effects of those before it, and has the result that it would have in a bulk write."""
    items = await committed(
        http,
        customer(id="a"),
        {"op": "update", "model": "customer", "id": "b", "if_none_match": "*", "data": {"email": "b@x"}},
        {"op": "update", "model": "customer", "id": "a", "if_match": "*", "data": {"email": "c@x", "name": "A"}},
        order("o", customer="b"),
        {"op": "patch", "model": "order", "id": "o", "merge": {"total": 3}},
        {"op": "patch", "model": "order", "id": "o", "patch": [{"op": "add", "path": "/friends/-", "value": "a"}]},
        {"op": "delete", "model": "order", "id": "o"},
        {"op": "restore", "model": "order", "id": "o"},
        {"op": "check", "model": "customer", "id": "b", "if_match": "*"},
    )
    assert [item["status"] for item in items] == [201, 201, 200, 201, 200, 200, 204, 200, 200]
    assert [item["version"] for item in items] == [1, 1, 2, 1, 2, 3, 4, 5, 1]
    read = await http.get("/order/o")
    assert read.json()["data"] == {"customer": "b", "friends": ["a"], "total": 3, "note": ""}
    assert read.headers["etag"] == items[7]["etag"]
    assert len((await http.get("/order/o/revisions")).json()["items"]) == 3
    assert await committed(http) == []


@pytest.mark.parametrize("backend", STORES)
async def test_transaction_on_each_store_takes_effect_as_a_whole(backend: str, tmp_path: Path) -> None:
    """A refusal by the commit stores nothing. Another node sees all of an accepted transaction."""
    async with AsyncExitStack() as stack:
        nodes = []
        for factory in nodes_on(backend, tmp_path):
            crud, app = shop(factory)
            crud.apply(app)
            nodes.append(await stack.enter_async_context(serving(app)))
        first, last = nodes[0], nodes[-1]
        await committed(first, customer(id="a"), order("o", customer="a"))
        assert await counts(last) == [1, 1, 0]
        change = {"op": "patch", "model": "order", "id": "o", "merge": {"total": 1}}
        assert await refused(last, change, customer("b@x"), customer()) == (409, "unique_violation", 2, "customer")
        assert await counts(first) == [1, 1, 0]
        items = await committed(last, change, customer("b@x", id="b"))
        assert [item["version"] for item in items] == [2, 1]
        assert (await first.get("/order/o")).headers["etag"] == items[0]["etag"]
        swap = [
            {"op": "patch", "model": "customer", "id": name, "merge": {"email": email}}
            for name, email in (("a", "b@x"), ("b", "a@x"))
        ]
        assert [item["version"] for item in await committed(first, *swap)] == [2, 2]
        taken = await last.post("/customer", json={"email": "a@x"})
        assert (taken.status_code, taken.json()["holder"]) == (409, "b")


@pytest.mark.parametrize(
    ("bad", "expected"),
    [
        (customer("taken@x"), (409, "unique_violation", 2, "customer")),
        (customer(id="old"), (409, "already_exists", 2, "customer")),
        (customer("", id="new"), (409, "already_exists", 2, "customer")),
        (order(total=-1), (422, "invalid_data", 2, "order")),
        ({"op": "delete", "model": "order", "id": "nobody"}, (404, "not_found", 2, "order")),
        (on_old("delete", if_match='"9-9"'), (412, "precondition_failed", 2, "customer")),
        (on_old("check", if_match='"9-9"'), (412, "precondition_failed", 2, "customer")),
        (on_old("check", id="nobody", if_match="*"), (404, "not_found", 2, "customer")),
        (on_old("update", if_none_match="*", data={"email": "q"}), (412, "precondition_failed", 2, "customer")),
        (on_old("patch", patch=[{"op": "zap", "path": "/x"}]), (422, "invalid_patch", 2, "customer")),
        (on_old("patch", patch=[{"op": "test", "path": "/name", "value": 1}]), (409, "patch_failed", 2, "customer")),
        (on_old("purge"), (422, "invalid_data", 2, "customer")),
        (on_old("delete", id="../x"), (400, "invalid_parameter", 2, "customer")),
        (on_old("check"), (422, "invalid_data", 2, "customer")),
        (on_old("check", if_match="x"), (400, "invalid_parameter", 2, "customer")),
        (on_old("check", if_match="*", data=1), (422, "invalid_data", 2, "customer")),
        ({"op": "create", "model": "film", "data": {}}, (422, "invalid_input", 2, None)),
        ({"op": "create", "data": {}}, (422, "invalid_input", 2, None)),
        ({"op": "create", "model": ["order"], "data": {}}, (422, "invalid_input", 2, None)),
        ({"op": ["create"], "model": "order", "data": {}}, (422, "invalid_data", 2, "order")),
        (5, (422, "invalid_data", 2, None)),
    ],
)  # fmt: skip
async def test_refused_operation_is_named_and_stores_nothing(
    http: httpx.AsyncClient, bad: Any, expected: tuple[int, str, int, str | None]
) -> None:
    """The problem has the status and the code that the operation would have alone."""
    await committed(http, customer("taken@x", id="old"))
    good = [customer(id="new"), order(customer="new")]
    assert await refused(http, *good, bad) == expected
    assert await counts(http) == [1, 0, 0]


async def test_refused_check_of_a_transaction_has_the_current_tag(http: httpx.AsyncClient) -> None:
    """As a member, because the answer's own ETag would be that of another resource."""
    (made,) = await committed(http, customer(id="a"))
    response = await send(http, {"op": "delete", "model": "customer", "id": "a", "if_match": '"9-9"'})
    assert response.json()["etag"] == made["etag"]
    assert "etag" not in response.headers


async def test_names_of_new_resources_stand_for_their_ids(http: httpx.AsyncClient) -> None:
    """In ids, in single and list references, in merge patches, JSON Patches and backwards. Other texts stay."""
    items = await committed(
        http,
        order("$order", customer="$ada", friends=["$ada", "$bob"], note="$ada"),
        customer("ada@x", id="$ada"),
        customer("bob@x", id="$bob"),
        {"op": "patch", "model": "order", "id": "$order", "merge": {"customer": "$bob"}},
        {"op": "patch", "model": "order", "id": "$order", "patch": [
            {"op": "test", "path": "/friends/0", "value": "$ada"},
            {"op": "replace", "path": "/friends", "value": ["$bob"]},
            {"op": "add", "path": "/friends/-", "value": "$ada"},
            {"op": "replace", "path": "/note", "value": "$bob"},
        ]},
    )  # fmt: skip
    made, ada, bob = (item["id"] for item in items[:3])
    data = (await http.get(f"/order/{made}")).json()["data"]
    assert data == {"customer": bob, "friends": [bob, ada], "total": 0, "note": "$bob"}
    # Resources that refer to each other.
    first, second = await committed(
        http,
        {"op": "create", "model": "chapter", "id": "$a", "data": {"next": "$b"}},
        {"op": "create", "model": "chapter", "id": "$b", "data": {"next": "$a"}},
    )
    assert (await http.get(f"/chapter/{first['id']}")).json()["data"] == {"next": second["id"]}


async def test_unknown_and_repeated_names_are_refused(http: httpx.AsyncClient) -> None:
    """Each by the operation at fault."""
    unknown = (422, "invalid_data", 1, "order")
    assert await refused(http, customer(id="$a"), order(customer="$b")) == unknown
    assert await refused(http, customer(id="$a"), {"op": "delete", "model": "order", "id": "$b"}) == unknown
    assert await refused(http, customer("1", id="$a"), customer("2", id="$a")) == (422, "invalid_data", 1, "customer")
    assert await refused(http, customer(id="$")) == (422, "invalid_data", 0, "customer")
    assert await refused(http, customer(id="$$a")) == (422, "invalid_data", 0, "customer")
    late = [order(customer="$a"), customer(id="$a", on_conflict="return")]
    assert await refused(http, *late) == (422, "invalid_data", 0, "order")
    assert await counts(http) == [0, 0, 0]


async def test_upsert_in_a_transaction_takes_the_holder(http: httpx.AsyncClient) -> None:
    """Also a holder that the transaction has made. The name of an upsert stands for the holder's id."""
    items = await committed(
        http,
        customer("a@x", id="a"),
        customer("a@x", id="$same", on_conflict="return"),
        order("o", customer="$same"),
        customer("new@x", id="$new", on_conflict="replace"),
        order("p", customer="$new"),
        {"op": "create", "model": "customer", "data": {"email": "a@x", "name": "A"}, "on_conflict": "merge"},
    )
    assert [item["status"] for item in items] == [201, 200, 201, 201, 201, 200]
    assert [item["version"] for item in items] == [1, 1, 1, 1, 1, 2]
    assert (items[1]["id"], items[5]["id"]) == ("a", "a")
    assert (await http.get("/order/p")).json()["data"]["customer"] == items[3]["id"]
    taken = [customer("a@x"), customer("b@x", on_conflict="return")]
    assert await refused(http, *taken) == (409, "unique_violation", 0, "customer")


async def test_resource_may_be_written_many_times_in_one_transaction(http: httpx.AsyncClient) -> None:
    """Each write makes a version, and the preconditions compare the versions before."""
    writes = [{"op": "patch", "model": "order", "id": "o", "merge": {"total": number}} for number in range(1, 6)]
    items = await committed(http, order("o"), *writes)
    assert [item["version"] for item in items] == [1, 2, 3, 4, 5, 6]
    tag = {"if_match": items[-1]["etag"]}
    twice = [
        {"op": "delete", "model": "order", "id": "o", **tag},
        {"op": "restore", "model": "order", "id": "o", **tag},
    ]
    assert await refused(http, *twice) == (412, "precondition_failed", 1, "order")
    deleted, restored = await committed(http, twice[0], {"op": "restore", "model": "order", "id": "o"})
    assert (deleted["version"], restored["version"]) == (7, 8)
    again = [{"op": "delete", "model": "order", "id": "o"}, order("o")]
    assert await refused(http, *again) == (409, "already_exists", 1, "order")


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        ("{", 400, "malformed_body"),
        ("[]", 422, "invalid_data"),
        ('{"operations": {}}', 422, "invalid_data"),
        ('{"operations": [], "more": 1}', 422, "invalid_data"),
        ("null", 422, "invalid_data"),
        (json.dumps({"operations": [{"op": "delete", "model": "order", "id": "a"}] * 1001}), 422, "invalid_data"),
        (json.dumps({"operations": [{}] * 10_000}), 422, "invalid_data"),
        ('{"operations": [' + " " * 200_000 + "]}", 413, "payload_too_large"),
        ('{"operations": ' + "[" * 50_000 + "]" * 50_000 + "}", 400, "malformed_body"),
    ],
)
async def test_malformed_transaction_is_refused(http: httpx.AsyncClient, content: str, status: int, code: str) -> None:
    """As a malformed bulk write."""
    response = await http.post("/transaction", content=content, headers={"content-type": "application/json"})
    assert (response.status_code, response.json()["code"]) == (status, code)


async def test_transaction_refuses_what_it_does_not_read(http: httpx.AsyncClient) -> None:
    """Another media type, an Idempotency-Key, a query parameter, another method."""
    assert (await http.post("/transaction", content=b"", headers={"content-type": "text/csv"})).status_code == 415
    response = await send(http, customer(), **{"Idempotency-Key": "k"})
    assert (response.status_code, response.json()["code"]) == (400, "invalid_parameter")
    assert (await http.post("/transaction?atomic=true", json={"operations": []})).status_code == 400
    response = await http.get("/transaction")
    assert (response.status_code, response.headers["allow"]) == (405, "OPTIONS, POST")
    assert await counts(http) == [0, 0, 0]


async def test_largest_transaction_commits(http: httpx.AsyncClient) -> None:
    """1,000 operations."""
    operations = [{"op": "create", "model": "chapter", "id": f"c{n}", "data": {"next": f"c{n - 1}" if n else None}}
                  for n in range(1000)]  # fmt: skip
    assert len(await committed(http, *operations)) == 1000
    assert await counts(http) == [0, 0, 1000]


async def test_transaction_enforces_guards_of_all_models_before_it_reads_data() -> None:
    """Whatever the operations are. A guard may read the body, and counts once. Overrides count."""
    calls: list[bytes] = []

    async def guard(request: Request, token: Annotated[str, Header()] = "") -> None:
        calls.append(await request.body())
        if token != "secret":
            raise HTTPException(401)

    crud, app = shop(dependencies=[Depends(guard)])
    crud.apply(app)
    async with serving(app) as http:
        assert (await send(http, order("o"))).status_code == 200
        assert not calls
        for operation in (
            customer(),
            {"op": "check", "model": "customer", "id": "nobody", "if_match": "*"},
            {"op": "purge", "model": "customer", "id": "nobody"},
        ):
            assert (await send(http, order("p"), operation)).status_code == 401
        assert await refused(http, {"op": "check", "model": "order", "id": "p", "if_match": "*"}) == (
            404,
            "not_found",
            0,
            "order",
        )
        calls.clear()
        assert (await send(http, customer("1"), order(), customer("2"), token="secret")).status_code == 200
        assert len(calls) == 1
        assert b'"operations"' in calls[0]
        app.dependency_overrides[guard] = lambda: None
        assert (await send(http, customer("3"))).status_code == 200


async def test_transaction_keeps_route_families_preconditions_and_the_author() -> None:
    """An operation needs its route, and the precondition that its model requires."""
    crud, app = shop(require_if_match=True, routes=["create", "replace", "read"])
    crud.configure(current_user=lambda: "ada")
    crud.apply(app)
    async with serving(app) as http:
        await committed(http, customer(id="a"))
        assert (await http.get("/customer/a")).json()["meta"]["created_by"] == "ada"
        update = {"op": "update", "model": "customer", "id": "a", "data": {"email": "b@x"}}
        assert await refused(http, order(), update) == (428, "precondition_required", 1, "customer")
        assert await refused(http, order(), {"op": "delete", "model": "customer", "id": "a", "if_match": "*"}) == (
            422, "invalid_data", 1, "customer",
        )  # fmt: skip
        for choice, status, code in (("replace", 428, "precondition_required"), ("merge", 422, "invalid_data")):
            upsert = customer(on_conflict=choice)  # a merge does the work of the missing route `patch`
            assert await refused(http, order(), upsert) == (status, code, 1, "customer")
        await committed(http, update | {"if_match": "*"})


async def test_transaction_over_two_stores_is_refused() -> None:
    """With the names of both."""
    crud, app = shop(storage=MemoryStorageFactory())
    crud.apply(app)
    async with serving(app) as http:
        response = await send(http, order(), customer())
        problem = response.json()
        assert (problem["status"], problem["code"], problem["operation"]) == (422, "different_stores", 1)
        assert problem["detail"].count("memory") == 2
        assert await counts(http) == [0, 0, 0]
        await committed(http, customer(), customer("b@x"))


async def test_parallel_transactions_lose_no_update(http: httpx.AsyncClient) -> None:
    """Without a precondition, an operation that lost a race runs again."""
    await committed(http, order("o"), order("p"))
    add = [{"op": "patch", "model": "order", "id": name, "merge": {"note": "x"}} for name in ("o", "p")]
    count = {"op": "create", "model": "customer", "data": {"email": ""}}
    answers = await asyncio.gather(
        *(send(http, *add, {**count, "data": {"email": str(number)}}, {"op": "delete", "model": "order", "id": "o"},
               {"op": "restore", "model": "order", "id": "o"}) for number in range(40))
    )  # fmt: skip
    assert {answer.status_code for answer in answers} == {200}
    assert await counts(http) == [40, 2, 0]
    assert (await http.get("/order/o")).json()["meta"]["version"] == 2 + 40 * 2


async def test_transaction_is_in_openapi_once(http: httpx.AsyncClient) -> None:
    """With the models, and with examples that follow the schema."""
    document = (await http.get("/openapi.json")).json()
    operation = document["paths"]["/transaction"]["post"]
    body = operation["requestBody"]["content"]["application/json"]
    assert body["schema"] == {"$ref": "#/components/schemas/TransactionRequest"}
    schema = document["components"]["schemas"]["TransactionOperation"]
    assert schema["properties"]["model"]["enum"] == ["customer", "order", "chapter"]
    assert "check" in schema["properties"]["op"]["enum"]
    example = body["examples"]["default"]["value"]
    assert example["operations"][0].keys() <= schema["properties"].keys()


class Transaction(BaseModel):
    """A model with the name of the route."""

    amount: int = 0


def test_model_named_transaction_is_refused_at_apply() -> None:
    """Another name is accepted."""
    crud = AutoCRUD(storage_factory=MemoryStorageFactory())
    crud.add_model(Transaction)
    with pytest.raises(ConfigurationError, match="'transaction' is the path of POST /transaction"):
        crud.apply(FastAPI())
    crud = AutoCRUD(storage_factory=MemoryStorageFactory())
    crud.add_model(Transaction, name="payment")
    crud.apply(FastAPI())
