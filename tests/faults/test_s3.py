"""S3 with faults: no acknowledged write is lost or doubled, and no slot is skipped."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import zstandard

from autocrud.errors import Conflict, StorageUnavailable, UniqueViolation
from autocrud.storage import s3
from autocrud.storage.objects.s3.location import S3Location
from autocrud.storage.objects.s3.store import S3ObjectStore
from autocrud.storage.ports.objects import ObjectStore
from autocrud.storage.ports.storage import IStorage
from autocrud.storage.ports.types import Write
from autocrud.storage.store import Store
from autocrud.testing.conformance import ids, outcomes
from autocrud.testing.sample_writes import create_write, purge_write, sample, update_write
from tests.faults.proxy import Exchange, Proxy, honest
from tests.servers_real import seaweed
from tests.storage.backends import s3_factory, s3_options, storage_on

Node = Callable[..., AbstractAsyncContextManager[IStorage]]


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    """Yield a proxy before the run's S3 server."""
    async with Proxy(seaweed().port).running() as proxy:
        s3._PROBED_SERVERS.add((proxy.endpoint_url, "tests"))  # what is behind it is probed by others
        yield proxy


@pytest.fixture
def node(tmp_path: Path, proxy: Proxy) -> Node:
    """Return a function that opens nodes of one log, through the proxy or past it."""

    def open_node(*, faulty: bool = True, **options: Any) -> Any:
        where = {"endpoint_url": proxy.endpoint_url, "timeout": 0.5} if faulty else {}
        return storage_on(s3_factory(tmp_path, **where | options))

    return open_node


@asynccontextmanager
async def bucket(tmp_path: Path) -> AsyncIterator[ObjectStore]:
    """Yield the test's objects, past the proxy."""
    store = S3ObjectStore(S3Location(**s3_options(), prefix=tmp_path.name))
    await store.open()
    yield store
    await store.close()


async def log_of(tmp_path: Path) -> list[str]:
    """Return the entries of the log."""
    async with bucket(tmp_path) as store:
        return [key.rpartition("/")[2] async for key in store.keys("log/")]


class Once:
    """A fault of the first append to the log, and of no other request."""

    def __init__(self, fault: Callable[[Exchange], Any], times: int = 1) -> None:
        self._fault = fault
        self._left = times

    async def __call__(self, exchange: Exchange) -> None:
        """Apply the fault."""
        if exchange.request.is_append and self._left > 0:
            self._left -= 1
            await self._fault(exchange)
        else:
            await honest(exchange)


async def applied_but_unanswered(exchange: Exchange) -> None:
    """Forward the request and drop its answer."""
    await exchange.forward()


async def conflict(exchange: Exchange) -> None:
    """Answer 409, which decides nothing."""
    await exchange.refuse(409, "ConditionalRequestConflict")


async def slow_down(exchange: Exchange) -> None:
    """Answer 503."""
    await exchange.refuse(503, "SlowDown")


async def too_many(exchange: Exchange) -> None:
    """Answer 429."""
    await exchange.refuse(429, "TooManyRequests")


async def applied_and_503(exchange: Exchange) -> None:
    """Forward the request and answer 503."""
    await exchange.forward()
    await exchange.refuse(503, "ServiceUnavailable")


async def applied_and_reset(exchange: Exchange) -> None:
    """Forward the request and reset the connection, which aiobotocore reports as one that was never made."""
    await exchange.forward()
    exchange.reset()


async def stalled(exchange: Exchange) -> None:
    """Neither forward nor answer."""
    await asyncio.Event().wait()


FAULTS = [applied_but_unanswered, conflict, slow_down, too_many, applied_and_503, stalled]


@pytest.mark.parametrize("fault", FAULTS)
async def test_failed_append_is_decided_before_the_next(
    node: Node, proxy: Proxy, tmp_path: Path, fault: Callable[[Exchange], Any]
) -> None:
    """The write is acknowledged and stored once, and the log has no gap."""
    async with node() as one, node(faulty=False) as other:
        first = create_write("a", sample(number=1))
        await one.commit(first)
        proxy.behave = Once(fault)
        await one.commit(update_write(first, sample(number=2)))
        await one.commit(create_write("b", sample()))
        for storage in (one, other):
            assert [commit.version for commit in await storage.commits("a")] == [2, 1]
            assert await ids(storage) == ["b", "a"]
    assert await log_of(tmp_path) == ["000001.ndjson", "000002.ndjson", "000003.ndjson", "000004.ndjson"]


async def test_put_with_reset_connections_is_decided(node: Node, proxy: Proxy, tmp_path: Path) -> None:
    """The write is acknowledged and stored once. aiohttp itself repeats a put once, so two connections are reset."""
    async with node() as storage:
        proxy.behave = Once(applied_and_reset, 2)
        assert await outcomes(storage, [create_write("a", sample())]) == [None]
    assert await log_of(tmp_path) == ["000001.ndjson", "000002.ndjson"]


@pytest.mark.parametrize("times", [3, 6])
async def test_append_outlasts_a_burst_of_503(node: Node, proxy: Proxy, tmp_path: Path, times: int) -> None:
    """The same slot is tried until it is decided."""
    async with node() as storage:
        proxy.behave = Once(slow_down, times)
        await storage.commit(create_write("a", sample()))
        assert await ids(storage) == ["a"]
    assert await log_of(tmp_path) == ["000001.ndjson", "000002.ndjson"]


async def test_refusal_is_checked_against_the_current_state(node: Node) -> None:
    """A node that has not read for a while refuses no write that another node made possible."""
    async with node(faulty=False, max_staleness=3600) as one, node(faulty=False) as other:
        holder = create_write("a", sample(code="k"))
        await one.commit(holder)
        await other.commit(purge_write(holder))
        results = [
            await outcomes(one, [write]) for write in (create_write("b", sample(code="k")), create_write("a", sample()))
        ]
        assert results == [[None], [None]]
        (refused,) = await outcomes(one, [create_write("c", sample(code="k"))])
        assert isinstance(refused, UniqueViolation)


async def test_put_that_lands_late_happens_once(node: Node, proxy: Proxy, tmp_path: Path) -> None:
    """The client put the same bytes again. Then the first request arrives."""
    late: list[Exchange] = []

    async def hold(exchange: Exchange) -> None:
        late.append(exchange)
        await asyncio.Event().wait()

    async with node() as one, node(faulty=False) as other:
        proxy.behave = Once(hold)
        await one.commit(create_write("a", sample()))
        await other.commit(create_write("b", sample()))
        answer = await late[0].forward()
        assert b" 412 " in answer.split(b"\r\n")[0]
        for storage in (one, other):
            assert await ids(storage) == ["b", "a"]
            assert len(await storage.commits("a")) == 1
    assert await log_of(tmp_path) == ["000001.ndjson", "000002.ndjson", "000003.ndjson"]


async def test_put_that_lands_in_an_undecided_slot_is_found(node: Node, proxy: Proxy, tmp_path: Path) -> None:
    """The client sees only errors until the first request lands. The write is acknowledged once."""
    late: list[Exchange] = []

    async def hold_then_refuse(exchange: Exchange) -> None:
        if not exchange.request.is_append:
            await honest(exchange)
        elif not late:
            late.append(exchange)
            await asyncio.Event().wait()
        else:
            await late[0].forward()
            proxy.behave = honest
            await slow_down(exchange)

    async with node() as storage:
        proxy.behave = hold_then_refuse
        await storage.commit(create_write("a", sample()))
        assert [commit.version for commit in await storage.commits("a")] == [1]
    assert await log_of(tmp_path) == ["000001.ndjson", "000002.ndjson"]


async def test_slot_taken_by_another_node_is_applied(node: Node, proxy: Proxy, tmp_path: Path) -> None:
    """The PUT never arrived and another node took the slot. Our entry is the next one."""

    async def overtaken(exchange: Exchange) -> None:
        await other.commit(create_write("b", sample(code="k")))

    async with node() as one, node(faulty=False) as other:
        proxy.behave = Once(overtaken)
        results = await outcomes(one, [create_write("a", sample()), create_write("c", sample(code="k"))])
        assert [type(result).__name__ for result in results] == ["NoneType", "UniqueViolation"]
        assert sorted(await ids(one)) == sorted(await ids(other)) == ["a", "b"]
    assert await log_of(tmp_path) == ["000001.ndjson", "000002.ndjson", "000003.ndjson"]


async def test_writer_paused_before_its_acknowledgement_goes_on(node: Node, proxy: Proxy, tmp_path: Path) -> None:
    """Meanwhile another node commits and makes a snapshot. Both are right afterwards."""
    paused, go_on = asyncio.Event(), asyncio.Event()

    async def pause(exchange: Exchange) -> None:
        content = await exchange.forward() if exchange.request.is_append and not paused.is_set() else None
        if exchange.request.is_append:  # the read of store.json may come first
            paused.set()
        await go_on.wait()
        await exchange.answer(content or await exchange.forward())

    async with node(timeout=60.0) as one, node(faulty=False, snapshot_every=5) as other:
        proxy.behave = pause
        write = create_write("a", sample(number=1))
        committing = asyncio.create_task(one.commit(write))
        await paused.wait()
        newer = update_write(write, sample(number=2))
        await other.commit(newer)
        for number in range(20):
            await other.commit(create_write(f"b{number}", sample()))
        proxy.behave = honest
        go_on.set()
        await committing
        with pytest.raises(Conflict):
            await one.commit(update_write(write, sample(number=3)))
        await one.commit(update_write(newer, sample(number=4)))
        for storage in (one, other):
            assert [commit.version for commit in await storage.commits("a")] == [3, 2, 1]
            assert len(await ids(storage)) == 21
    async with bucket(tmp_path) as store:
        assert [key async for key in store.keys("snapshots/")]
    async with node(faulty=False, cache_dir=None) as cold:
        assert len(await ids(cold)) == 21


async def test_truncated_answer_is_requested_again(node: Node, proxy: Proxy) -> None:
    """A body shorter than its length is discarded, for entries and for data."""
    cut = 0

    async def cut_short(exchange: Exchange) -> None:
        nonlocal cut
        content = await exchange.forward()
        if exchange.request.method == "GET" and b" 20" in content[:20] and cut < 2:
            cut += 1
            content = content[:-20]
        await exchange.answer(content)

    large = create_write("a", sample(payload="p" * 100_000))
    async with node(faulty=False) as other, node(timeout=5.0) as one:
        await other.commit(large)
        proxy.behave = cut_short
        head = await one.get("a")
        assert head is not None
        assert head.data == large.data
        assert cut == 2


async def test_unresponsive_server_gives_an_error_in_time(node: Node, proxy: Proxy, tmp_path: Path) -> None:
    """The write in flight is stored once the server is back. The waiting ones are not."""
    async with node() as one, node(faulty=False) as other:
        assert isinstance(one.store, Store)
        one.store.call_timeout = 1.0  # not ten seconds of a test
        proxy.behave = stalled
        results = await outcomes(one, [create_write("a", sample())])
        assert [type(result) for result in results] == [StorageUnavailable]
        with pytest.raises(StorageUnavailable):
            await one.commit(create_write("b", sample()))
        with pytest.raises(StorageUnavailable):
            await one.get("a")
        one.store.call_timeout = 30.0
        proxy.behave = honest
        await one.commit(create_write("c", sample()))
        assert sorted(await ids(one)) == sorted(await ids(other)) == ["a", "c"]


async def test_purge_erases_snapshots_and_entries(node: Node, tmp_path: Path) -> None:
    """No object holds the purged data. Other nodes and new nodes agree."""
    marker = "MARKER-5b1d"
    async with node(faulty=False, snapshot_every=3) as one, node(faulty=False, snapshot_every=3) as other:
        doomed = create_write("a", sample(text=marker, payload=marker * 3000))
        await one.commit(doomed)
        for number in range(10):
            await (one, other)[number % 2].commit(create_write(f"b{number}", sample(payload="kept")))
        await one.commit(purge_write(doomed))
        assert len(await ids(other, include_deleted=True)) == 10
    async with bucket(tmp_path) as store:
        keys = [key async for key in store.keys("")]
        assert any("snapshots/" in key for key in keys)
        for key in keys:
            content = await store.get(key)
            if key.endswith(".zst"):
                content = zstandard.ZstdDecompressor().decompressobj().decompress(content)
            assert marker.encode() not in content, key
    assert _files_with(tmp_path, marker) == []
    async with node(faulty=False, cache_dir=None) as cold:
        assert len(await ids(cold, include_deleted=True)) == 10


async def test_random_faults_lose_and_double_no_write(node: Node, proxy: Proxy, tmp_path: Path) -> None:
    """Two nodes write through random faults. Each acknowledged write is stored once, in order."""
    chance = random.Random(3)

    async def misbehave(exchange: Exchange) -> None:
        if chance.random() < 0.3:
            fault = chance.choice(FAULTS if exchange.request.is_append else [slow_down, too_many, stalled])
            await fault(exchange)
        else:
            await honest(exchange)

    async with node(snapshot_every=10) as one, node(snapshot_every=10) as two:
        proxy.behave = misbehave
        clients = [_write_through((one, two)[number % 2], f"r{number}") for number in range(6)]
        acknowledged = await asyncio.gather(*clients)
        proxy.behave = honest
        for storage in (one, two):
            for number, versions in enumerate(acknowledged):
                history = [commit.version for commit in await storage.commits(f"r{number}")]
                assert history == list(range(versions, 0, -1))
    entries = await log_of(tmp_path)
    assert entries == [f"{number:06}.ndjson" for number in range(1, len(entries) + 1)]
    async with node(faulty=False, cache_dir=None) as cold:
        assert len(await ids(cold)) == sum(count > 0 for count in acknowledged)


async def _write_through(storage: IStorage, name: str) -> int:
    """Write eight versions, and read the outcome where it is unknown. Return the final version."""
    last: Write | None = None
    for number in range(8):
        write = create_write(name, sample(number=0)) if last is None else update_write(last, sample(number=number))
        try:
            await storage.commit(write)
        except StorageUnavailable:
            if await _version(storage, name) != write.meta.version:
                continue
        last = write
    return 0 if last is None else last.meta.version


async def _version(storage: IStorage, name: str) -> int:
    while True:
        try:
            head = await storage.get(name)
        except StorageUnavailable:
            continue
        return 0 if head is None else head.version


def _files_with(root: Path, marker: str) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file() and marker.encode() in path.read_bytes()]
