"""Service processes as `make run` starts them, with one worker and with several."""

import asyncio
import os
import re
import signal
import socket
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.servers import Service, service, start_fails

# uvicorn shuts down in order, and then ends by the signal that it got.
STOPPED = (0, -signal.SIGTERM)


async def test_service_keeps_its_data_over_a_restart(tmp_path: Path) -> None:
    """The same bytes after a restart; Swagger UI is served."""
    with service(tmp_path) as running:
        async with httpx.AsyncClient(base_url=running.base) as http:
            assert "swagger" in (await http.get("/docs")).text.lower()
            created = await http.post("/movie", json={"title": "The Third Man"})
            location = created.headers["location"]
            assert created.status_code == 201
        assert running.stop() in STOPPED
    with service(tmp_path) as running:
        async with httpx.AsyncClient(base_url=running.base) as http:
            assert (await http.get(location)).content == created.content


async def test_kill_loses_no_acknowledged_write(tmp_path: Path) -> None:
    """Read after SIGKILL and a restart."""
    done, enough = list[str](), asyncio.Event()

    async def write(http: httpx.AsyncClient) -> None:
        for number in range(1000):
            try:
                response = await http.post("/movie", json={"title": f"t{number}"})
            except httpx.TransportError:
                return
            done.append(response.headers["location"])
            if len(done) == 100:
                enough.set()

    with service(tmp_path) as running:
        async with httpx.AsyncClient(base_url=running.base) as http:
            writers = [asyncio.ensure_future(write(http)) for _ in range(8)]
            await enough.wait()
            running.process.send_signal(signal.SIGKILL)
            await asyncio.gather(*writers)
    with service(tmp_path) as running:
        async with httpx.AsyncClient(base_url=running.base) as http:
            statuses = [(await http.get(location)).status_code for location in done]
            assert Counter(statuses) == {200: len(done)}
            assert (await http.get("/movie/count")).json()["count"] >= len(done)


async def test_stop_finishes_requests_in_flight(tmp_path: Path) -> None:
    """Accepted requests are answered, and answered writes are stored."""
    with service(tmp_path) as running:
        async with httpx.AsyncClient(base_url=running.base) as http:
            posts = [asyncio.ensure_future(http.post("/movie", json={"title": f"t{n}"})) for n in range(200)]
            await asyncio.wait(posts, return_when=asyncio.FIRST_COMPLETED)
            running.process.send_signal(signal.SIGTERM)
            results = await asyncio.gather(*posts, return_exceptions=True)
        assert running.process.wait(60) in STOPPED
    answered = [result for result in results if isinstance(result, httpx.Response)]
    assert {response.status_code for response in answered} == {201}
    with service(tmp_path) as running:
        async with httpx.AsyncClient(base_url=running.base) as http:
            for response in answered:
                assert (await http.get(response.headers["location"])).content == response.content


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[Service]:
    """Yield a service with four workers on one directory."""
    with service(tmp_path, workers=4) as running:
        yield running


async def test_workers_accept_one_concurrent_write(workers: Service) -> None:
    """Of many writes with one If-Match, and of many creates of one id."""
    async with httpx.AsyncClient(base_url=workers.base, limits=httpx.Limits(max_keepalive_connections=0)) as http:
        for round_number in range(5):
            headers = {"If-None-Match": "*"}
            puts = [
                http.put(f"/movie/m{round_number}", json={"title": f"t{number}"}, headers=headers)
                for number in range(16)
            ]
            responses = await asyncio.gather(*puts)
            assert sorted(response.status_code for response in responses) == [201, *[412] * 15]
            (first,) = (response for response in responses if response.status_code == 201)
            headers = {"If-Match": first.headers["etag"]}
            puts = [
                http.put(f"/movie/m{round_number}", json={"title": f"u{number}"}, headers=headers)
                for number in range(16)
            ]
            responses = await asyncio.gather(*puts)
            assert sorted(response.status_code for response in responses) == [200, *[412] * 15]
            (winner,) = (response for response in responses if response.status_code == 200)
            reads = await asyncio.gather(*(http.get(f"/movie/m{round_number}") for _ in range(8)))
            assert {read.content for read in reads} == {winner.content}


async def test_workers_lose_no_update_and_enforce_uniqueness(workers: Service) -> None:
    """Unconditional writes all apply. One e-mail address has one holder."""
    limits = httpx.Limits(max_keepalive_connections=0)
    async with httpx.AsyncClient(base_url=workers.base, limits=limits, timeout=60) as http:
        location = (await http.post("/person", json={"name": "n"})).headers["location"]
        puts = await asyncio.gather(*(http.put(location, json={"name": f"n{number}"}) for number in range(40)))
        assert {response.status_code for response in puts} == {200}
        assert sorted(response.json()["meta"]["version"] for response in puts) == list(range(2, 42))
        people = [http.post("/person", json={"name": "n", "email": "one@example.com"}) for _ in range(24)]
        answers = await asyncio.gather(*people)
        assert Counter(response.status_code for response in answers) == {201: 1, 409: 23}
        (holder,) = (answer.json()["meta"]["resource_id"] for answer in answers if answer.status_code == 201)
        assert {answer.json()["holder"] for answer in answers if answer.status_code == 409} == {holder}

        async def create_and_look(number: int) -> None:
            created = await http.post("/movie", json={"title": f"t{number}", "year": 1900 + number})
            assert (await http.get(created.headers["location"])).content == created.content
            listed = (await http.get(f"/movie?year={1900 + number}")).json()["items"]
            assert [item["data"]["title"] for item in listed] == [f"t{number}"]

        await asyncio.gather(*(create_and_look(number) for number in range(60)))
        assert (await http.get("/movie/count")).json() == {"count": 60}


async def test_killed_worker_is_replaced(workers: Service) -> None:
    """The others go on and see its acknowledged writes."""
    pids = [int(pid) for pid in re.findall(r"Started server process \[(\d+)\]", workers.log.read_text())]
    limits = httpx.Limits(max_keepalive_connections=0)
    done: list[httpx.Response] = []

    async def write(http: httpx.AsyncClient, number: int) -> None:
        try:
            done.append(await http.post("/movie", json={"title": f"t{number}"}))
        except httpx.TransportError:
            return

    async with httpx.AsyncClient(base_url=workers.base, limits=limits, timeout=60) as http:
        writes = [asyncio.ensure_future(write(http, number)) for number in range(200)]
        await asyncio.wait(writes, return_when=asyncio.FIRST_COMPLETED)
        os.kill(pids[0], signal.SIGKILL)
        await asyncio.gather(*writes)
        assert {response.status_code for response in done} == {201}
        for response in done:
            assert (await http.get(response.headers["location"])).content == response.content


def test_service_that_cannot_start_names_the_variable(tmp_path: Path) -> None:
    """Exit status 2, also with several workers."""
    (tmp_path / "file").touch()
    for settings, words in (
        ({"storage": "floppy"}, "AUTOCRUD_STORAGE: "),
        ({"models": "no.such"}, "AUTOCRUD_MODELS: "),
        ({"data_dir": tmp_path / "file", "workers": 2}, "AUTOCRUD_DATA_DIR: "),
        ({"storage": "memory", "workers": 2}, "AUTOCRUD_WORKERS: "),
    ):
        status, said = start_fails(tmp_path, **settings)
        assert (status, said.count("\n")) == (2, 1), said
        assert said.startswith(words)


async def test_body_over_the_limit_is_413(tmp_path: Path) -> None:
    """With an announced length and in chunks."""
    with service(tmp_path, max_body_bytes=1000) as running:
        port = int(running.base.rpartition(":")[2])
        for head, body in (
            ("Content-Length: 100000000", b"x"),
            ("Transfer-Encoding: chunked", b"800\r\n" + b" " * 2048 + b"\r\n"),
        ):
            with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
                request = f"POST /movie HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{head}\r\n\r\n"
                connection.sendall(request.encode() + body)
                assert connection.recv(100).startswith(b"HTTP/1.1 413 ")
        async with httpx.AsyncClient(base_url=running.base) as http:
            assert (await http.get("/movie/count")).json() == {"count": 0}
