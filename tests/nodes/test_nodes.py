"""Several service processes on one bucket, or on one PostgreSQL and bucket, as one store."""

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.http.test_servers import postgres_settings, s3_settings
from tests.nodes.linearizability import Operation, violations
from tests.servers import Service, service
from tests.servers_real import postgres, seaweed

SECONDS = float(os.environ.get("AUTOCRUD_TEST_SECONDS", "6"))
NODES, CLIENTS, RESOURCES = 3, 9, 3


@pytest.fixture(params=["s3", "postgres"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    """Return the settings of the test's own place."""
    place = {"s3_prefix": tmp_path.name, "access_log": False, "models": "tests.nodes.models"}
    if request.param == "s3":
        return s3_settings(seaweed(), **place)
    return postgres_settings(postgres(), seaweed(), postgres_schema=tmp_path.name, **place)


@pytest.fixture
def nodes(settings: dict[str, Any], tmp_path: Path) -> Iterator[list[Service]]:
    """Start services at the same time on an empty place, each in its own folder."""
    with ExitStack() as stack:
        starting = []
        for number in range(NODES):
            folder = tmp_path / f"node{number}"
            folder.mkdir()
            starting.append(service(folder, wait=False, **settings))
        running = [stack.enter_context(start) for start in starting]
        for node in running:
            node.wait()
        yield running


@pytest.fixture
async def clients(nodes: list[Service]) -> AsyncIterator[list[httpx.AsyncClient]]:
    """Yield a client of each node."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(httpx.AsyncClient(base_url=node.base, timeout=30)) for node in nodes]


class Recorder:
    """Client that visits random nodes and records its requests and answers."""

    def __init__(self, name: str, nodes: list[httpx.AsyncClient], chance: random.Random) -> None:
        self.history: list[Operation] = []
        self._name = name
        self._nodes = nodes
        self._chance = chance
        self._tags: dict[str, tuple[str, int]] = {}

    async def run(self, until: float) -> None:
        """Read, write, and write with a precondition."""
        number = 0
        while time.monotonic() < until:
            number += 1
            resource, node = f"r{self._chance.randrange(RESOURCES)}", self._chance.choice(self._nodes)
            if self._chance.random() < 0.4:
                await self._read(node, resource)
            else:
                await self._write(node, resource, f"{self._name}-{number}", self._chance.random() < 0.5)

    async def _read(self, node: httpx.AsyncClient, resource: str) -> None:
        start = time.monotonic()
        answer = await node.get(f"/movie/{resource}")
        assert answer.status_code == 200, answer.text
        self._note("read", resource, start, answer, answer.json()["data"]["title"], None)

    async def _write(self, node: httpx.AsyncClient, resource: str, content: str, conditional: bool) -> None:
        tag, version = self._tags.get(resource, ("", 0))
        headers = {"If-Match": tag} if conditional and tag else {}
        start = time.monotonic()
        answer = await node.put(f"/movie/{resource}", json={"title": content}, headers=headers)
        assert answer.status_code in ({200, 412} if headers else {200}), answer.text
        if answer.status_code == 200:
            self._note("write", resource, start, answer, content, version if headers else None)
        else:
            self._tags.pop(resource, None)

    def _note(
        self, kind: str, resource: str, start: float, answer: httpx.Response, content: str, expected: int | None
    ) -> None:
        version = answer.json()["meta"]["version"]
        self._tags[resource] = (answer.headers["etag"], version)
        self.history.append(Operation(kind, resource, start, time.monotonic(), version, content, expected))


async def test_histories_over_several_nodes_are_linearizable(clients: list[httpx.AsyncClient]) -> None:
    """Random clients on a few resources. No update is lost, and all nodes agree at the end."""
    start = time.monotonic()
    created = []
    for number in range(RESOURCES):
        answer = await clients[0].put(f"/movie/r{number}", json={"title": "first"}, headers={"If-None-Match": "*"})
        assert answer.status_code == 201
        created.append(Operation("write", f"r{number}", start, time.monotonic(), 1, "first"))
    recorders = [Recorder(f"c{number}", clients, random.Random(number)) for number in range(CLIENTS)]
    until = time.monotonic() + SECONDS
    await asyncio.gather(*(recorder.run(until) for recorder in recorders))
    history = created + [operation for recorder in recorders for operation in recorder.history]
    assert violations(history) == []
    writes: dict[str, int] = {}
    for operation in history:
        writes[operation.resource] = writes.get(operation.resource, 0) + (operation.kind == "write")
    for node in clients:
        versions = {name: (await node.get(f"/movie/{name}")).json()["meta"]["version"] for name in writes}
        assert versions == writes
    assert len(history) > CLIENTS * 3


async def test_unique_value_is_claimed_once_over_all_nodes(clients: list[httpx.AsyncClient]) -> None:
    """Many clients claim the same values and ids at once. One wins each, and all nodes agree."""
    claims = [
        clients[number % NODES].post("/movie", json={"title": f"t{number}", "imdb_id": f"tt000000{number % 4}"})
        for number in range(36)
    ]
    statuses = [answer.status_code for answer in await asyncio.gather(*claims)]
    assert sorted(set(statuses)) == [201, 409]
    assert statuses.count(201) == 4
    claims = [
        clients[number % NODES].post("/movie", json={"title": f"s{number % 2}", "year": 1949}) for number in range(18)
    ]
    answers = [answer.json() for answer in await asyncio.gather(*claims)]
    winners = {answer["data"]["title"]: answer["meta"]["resource_id"] for answer in answers if "data" in answer}
    assert sorted(winners) == ["s0", "s1"]
    for number, answer in enumerate(answers):
        if "data" not in answer:
            assert [error["field"] for error in answer["errors"]] == ["title", "year"]
            assert answer["holder"] == winners[f"s{number % 2}"]
    assert sum("holder" in answer for answer in answers) == 16
    new = {"If-None-Match": "*"}
    claims = [
        clients[number % NODES].put(f"/movie/id{number % 3}", json={"title": f"t{number}"}, headers=new)
        for number in range(18)
    ]
    statuses = [answer.status_code for answer in await asyncio.gather(*claims)]
    assert (statuses.count(201), statuses.count(412)) == (3, 15)
    found = []
    for node in clients:
        queries = ("/movie?limit=100", "/movie/count", "/movie?imdb_id=tt0000001", "/movie?limit=3")
        found.append([(await node.get(query)).json() for query in queries])
    assert found[0] == found[1] == found[2]
    assert found[0][1] == {"count": 9}
