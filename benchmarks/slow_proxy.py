"""Proxy that delays requests to an S3 server, as a server in another data centre does."""

import asyncio
import multiprocessing
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.connection import Connection

import aiohttp
from aiohttp import web
from yarl import URL

_CORE = 1
_MAX_BODY_BYTES = 64 * 1024 * 1024
_SKIPPED_HEADERS = {"transfer-encoding", "connection", "keep-alive"}


@contextmanager
def slow_proxy(server_url: str, delays: Mapping[str, float]) -> Iterator[str]:
    """Run the proxy in a process of its own. Yield its URL.

    Args:
        delays: seconds by method. A half comes before the request, and a half before the answer.
    """
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_run, args=(server_url, dict(delays), there))
    process.start()
    try:
        yield f"http://127.0.0.1:{here.recv()}"
    finally:
        process.terminate()
        process.join()


def _run(server_url: str, delays: dict[str, float], pipe: Connection) -> None:
    os.sched_setaffinity(0, {_CORE})
    asyncio.run(_serve(server_url, delays, pipe))


async def _serve(server_url: str, delays: dict[str, float], pipe: Connection) -> None:
    connector = aiohttp.TCPConnector(limit=0)
    skipped = ("Content-Type", "User-Agent", "Accept", "Accept-Encoding")  # headers that aiohttp would add
    async with aiohttp.ClientSession(connector=connector, auto_decompress=False, skip_auto_headers=skipped) as session:

        async def answer(request: web.Request) -> web.StreamResponse:
            pause = delays.get(request.method, 0) / 2
            body = await request.read()
            await asyncio.sleep(pause)
            url = URL(server_url + request.raw_path, encoded=True)
            async with session.request(request.method, url, headers=request.headers, data=body or None) as found:
                content = await found.read()
            await asyncio.sleep(pause)
            headers = [(name, text) for name, text in found.headers.items() if name.lower() not in _SKIPPED_HEADERS]
            if request.method != "HEAD":
                headers = [(name, text) for name, text in headers if name.lower() != "content-length"]
            return web.Response(status=found.status, headers=headers, body=content)

        application = web.Application(client_max_size=_MAX_BODY_BYTES)
        application.router.add_route("*", "/{path:.*}", answer)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        pipe.send(runner.addresses[0][1])
        await asyncio.Event().wait()
