"""Limits of the service: requests per client, and requests in flight."""

import asyncio
import logging
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from autocrud.errors import ConfigurationError
from autocrud.service.main import create_app
from autocrud.service.settings import describe_error
from autocrud.testing.servers import free_port
from tests.http.test_service import settings_of
from tests.servers import service
from tests.servers_real import RedisServer, folder, redis

RATE_LIMIT = "5/day"


@asynccontextmanager
async def served(
    address: str = "192.0.2.1", principals: bool = False, **values: Any
) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client with an address of the service on memory."""
    app = create_app(settings_of(storage="memory", **{"rate_limit": RATE_LIMIT} | values))
    asgi: Any = _Authenticated(app) if principals else app
    transport = httpx.ASGITransport(asgi, raise_app_exceptions=False, client=(address, 1))
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport, base_url="http://test") as http:
        yield http
    logging.getLogger().handlers.clear()


@dataclass
class _Principal:
    id: str


class _Authenticated:
    """Names the principal of each request by a header, as authentication does."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        name = dict(scope["headers"]).get(b"x-principal")
        if name is not None:
            scope["autocrud.principal"] = _Principal(name.decode())
        await self._app(scope, receive, send)


async def statuses_of(http: httpx.AsyncClient, number: int, path: str = "/movie", **headers: str) -> list[int]:
    """Return the statuses of a number of requests."""
    return [(await http.get(path, headers=headers)).status_code for _ in range(number)]


async def test_request_beyond_the_quota_is_429_with_the_rest_of_the_quota() -> None:
    """All routes count, those of models and others. A refused request does not count."""
    async with served() as http:
        first = await http.get("/movie")
        policy = (
            first.headers["ratelimit-limit"],
            first.headers["ratelimit-remaining"],
            first.headers["ratelimit-policy"],
        )
        assert policy == ("5", "4", "5;w=86400")
        assert await statuses_of(http, 2, "/openapi.json") == [200, 200]
        assert await statuses_of(http, 2, "/absent") == [404, 404]
        for path in ("/movie", "/openapi.json", "/absent"):
            refused = await http.get(path)
            assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
            assert refused.headers["content-type"] == "application/problem+json"
            assert refused.headers["ratelimit-remaining"] == "0"
            assert 1 <= int(refused.headers["retry-after"]) <= 86400
        assert await statuses_of(http, 7, "/healthz") == [200] * 7
        assert await statuses_of(http, 7, "/readyz") == [200] * 7


async def test_quota_belongs_to_the_user_of_the_trusted_header() -> None:
    """Users of one address do not share a quota. Requests without a user share that of the address."""
    async with served(user_header="X-User") as http:
        assert await statuses_of(http, 6, **{"X-User": "ann"}) == [200] * 5 + [429]
        assert await statuses_of(http, 6, **{"X-User": "bob"}) == [200] * 5 + [429]
        assert await statuses_of(http, 6) == [200] * 5 + [429]


async def test_quota_belongs_to_the_principal() -> None:
    """A principal has one quota from every address."""
    async with served(principals=True) as http:
        assert await statuses_of(http, 6, **{"X-Principal": "k" * 500}) == [200] * 5 + [429]
        assert await statuses_of(http, 1, **{"X-Principal": "other"}) == [200]


def test_forwarded_address_without_a_trusted_proxy_gets_no_quota_of_its_own(tmp_path: Path) -> None:
    """The server believes the header of a trusted proxy only."""
    for proxies, expected in (("", 429), ("127.0.0.0/8", 200)):
        directory = tmp_path / f"proxies-{bool(proxies)}"
        directory.mkdir()
        running = service(directory, storage="memory", rate_limit="1/day", trusted_proxies=proxies)
        with running as started, httpx.Client(base_url=started.base) as http:
            assert http.get("/movie", headers={"X-Forwarded-For": "192.0.2.1"}).status_code == 200
            assert http.get("/movie", headers={"X-Forwarded-For": "192.0.2.2"}).status_code == expected


async def test_addresses_of_one_ipv6_network_share_a_quota() -> None:
    """A host may use any address of its network."""
    url = redis().url
    for address, expected in (("2001:db8::1", [200] * 5), ("2001:db8::2", [429]), ("2001:db8:0:1::1", [200])):
        async with served(address, rate_limit_storage=url) as http:
            assert await statuses_of(http, len(expected)) == expected


async def test_redis_that_does_not_answer_is_503() -> None:
    """A limit that cannot be judged admits nobody. The health routes answer."""
    server = RedisServer(folder("redis-that-ends"), free_port())
    server.start()
    async with served(rate_limit_storage=server.url) as http:
        assert await statuses_of(http, 1) == [200]
        server.kill()
        for path in ("/movie", "/openapi.json"):
            refused = await http.get(path)
            assert (refused.status_code, refused.json()["code"]) == (503, "storage_unavailable")
        assert await statuses_of(http, 1, "/healthz") == [200]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"rate_limit": "200"}, "AUTOCRUD_RATE_LIMIT: must be like 200/second"),
        ({"rate_limit": "0/second"}, "AUTOCRUD_RATE_LIMIT: must be like"),
        ({"rate_limit": "200/second;burst=300"}, "AUTOCRUD_RATE_LIMIT: burst must be a multiple of 200"),
        ({"trusted_proxies": "10.0.0.0/8, proxy"}, "AUTOCRUD_TRUSTED_PROXIES: 'proxy' is no address"),
        ({"rate_limit": "1/day", "rate_limit_storage": "mysql://:secret@h"}, "AUTOCRUD_RATE_LIMIT_STORAGE: must be"),
        ({"rate_limit": "1/day", "rate_limit_storage": "redis://:secret@h:x"}, "AUTOCRUD_RATE_LIMIT_STORAGE: the URL"),
    ],
)
def test_wrong_limit_ends_the_start_with_the_name_of_the_setting(
    values: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The message does not show a password."""
    monkeypatch.chdir(tmp_path)
    for name, value in {"storage": "memory", **values}.items():
        monkeypatch.setenv(f"AUTOCRUD_{name.upper()}", value)
    with pytest.raises(SystemExit, match=message) as caught:
        create_app()
    assert "secret" not in str(caught.value)
    logging.getLogger().handlers.clear()


JSON = {"content-type": "application/json"}


async def test_request_beyond_those_in_flight_is_503_overloaded() -> None:
    """The next request is served when one has ended. Health routes are exempt."""
    release, begun = asyncio.Event(), asyncio.Semaphore(0)

    async def body() -> AsyncIterator[bytes]:
        yield b'{"title":'
        begun.release()
        await release.wait()
        yield b'"Emma"}'

    async with served(rate_limit=None, max_requests=2) as http:
        sent = [asyncio.create_task(http.post("/movie", content=body(), headers=JSON)) for _ in range(2)]
        for _ in sent:
            await begun.acquire()  # the service reads its body, so it is in flight
        refused = await http.get("/movie")
        assert (refused.status_code, refused.json()["code"], refused.headers["retry-after"]) == (503, "overloaded", "1")
        assert await statuses_of(http, 1, "/readyz") == [200]
        release.set()
        assert [answer.status_code for answer in await asyncio.gather(*sent)] == [201, 201]
        assert await statuses_of(http, 1) == [200]


async def test_write_beyond_those_that_wait_is_503_and_writes_nothing() -> None:
    """Writes that were accepted are made."""
    async with served(rate_limit=None, max_waiting_writes=3) as http:
        answers = await asyncio.gather(*(http.post("/movie", json={"title": "Emma"}) for _ in range(50)))
        refused = [answer for answer in answers if answer.status_code == 503]
        assert {(answer.json()["code"], answer.headers["retry-after"]) for answer in refused} == {("overloaded", "1")}
        assert {answer.status_code for answer in answers} == {201, 503}
        assert (await http.get("/movie/count")).json() == {"count": len(answers) - len(refused)}
        many = "\n".join('{"op":"create","data":{"title":"Emma"}}' for _ in range(600))
        bulk = await http.post("/movie/bulk", content=many, headers={"content-type": "application/x-ndjson"})
        assert bulk.status_code == 200
        assert bulk.text.count('"status":201') == 600


def test_missing_library_of_the_rate_limit_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the extra."""
    monkeypatch.setitem(sys.modules, "limits", None)
    for name in ("rate_limiter", "rate_limit"):
        monkeypatch.delitem(sys.modules, f"autocrud.service.limits.{name}", raising=False)
    with pytest.raises(ConfigurationError) as caught:
        create_app(settings_of(storage="memory", rate_limit="1/second"))
    assert describe_error(caught.value).startswith("AUTOCRUD_RATE_LIMIT: The package limits is missing.")
    logging.getLogger().handlers.clear()
