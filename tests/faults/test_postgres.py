"""PostgreSQL with faults: no acknowledged write is lost, and none happens twice."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from autocrud.errors import StorageUnavailable
from autocrud.query.conditions import Query
from autocrud.storage.objects.s3.location import S3Location
from autocrud.storage.objects.s3.store import S3ObjectStore
from autocrud.storage.ports.storage import IStorage
from autocrud.storage.ports.transactions import START, StoreChange
from autocrud.testing.conformance import ids, outcomes
from autocrud.testing.sample_writes import create_write, delete_write, purge_write, sample, update_write
from tests.faults.wire import Wire, committed, lost
from tests.servers_real import postgres
from tests.storage.backends import postgres_factory, s3_options, storage_on

Node = Callable[..., AbstractAsyncContextManager[IStorage]]


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    """Yield a proxy before the run's PostgreSQL."""
    async with Wire().running() as wire:
        yield wire


@pytest.fixture
def node(tmp_path: Path) -> Node:
    """Return a function that opens nodes of one schema."""

    def open_node(url: str | None = None, **options: Any) -> Any:
        return storage_on(postgres_factory(tmp_path, **({} if url is None else {"postgres_url": url}), **options))

    return open_node


@pytest.mark.parametrize("fault", [committed, lost])
async def test_commit_with_a_lost_answer_happens_once(node: Node, wire: Wire, tmp_path: Path, fault: Any) -> None:
    """The outcome is read, and the batch is repeated only if it was rolled back."""
    async with node(wire.url) as storage:
        first = create_write("a", sample(number=1))
        await storage.commit(first)
        wire.on_commit = fault
        second = update_write(first, sample(number=2))
        assert await outcomes(storage, [second, create_write("b", sample())]) == [None, None]
        assert [commit.version for commit in await storage.commits("a")] == [2, 1]
        assert await ids(storage) == ["b", "a"]
        wire.on_commit = fault
        await storage.commit(purge_write(second))
        assert await ids(storage, include_deleted=True) == ["b"]
    assert len(await _log_objects(tmp_path)) == 4


async def test_connection_lost_after_commit_repeats_no_write(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """COMMIT was answered, and the release of the connection fails."""
    release, failures = asyncpg.pool.Pool.release, 0

    async def release_and_fail(self: Any, connection: Any, **options: Any) -> None:
        nonlocal failures
        await release(self, connection, **options)
        if failures == 0:
            failures += 1
            raise asyncpg.ConnectionDoesNotExistError("gone")

    async with node() as storage:
        monkeypatch.setattr(asyncpg.pool.Pool, "release", release_and_fail)
        await storage.commit(create_write("a", sample()))
        assert failures == 1
        assert [commit.version for commit in await storage.commits("a")] == [1]


async def test_cut_connections_are_replaced(node: Node) -> None:
    """As after a restart of PostgreSQL: reads and writes go on without an error."""
    async with node() as storage:
        before = create_write("a", sample())
        await storage.commit(before)
        for _ in range(3):
            await _cut_all()
            head = await storage.get("a")
            assert head is not None
            await _cut_all()
            before = update_write(before, sample(payload=f"after {before.meta.version}"))
            await storage.commit(before)
        assert [commit.version for commit in await storage.commits("a")] == [4, 3, 2, 1]


async def test_writes_go_on_without_s3_until_the_limit_and_after_it(
    node: Node, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The records wait in PostgreSQL, and can be read. The backlog drains by itself."""

    async def fail(self: Any, key: str, data: bytes, *, if_absent: bool = False) -> None:
        raise StorageUnavailable("S3 is away")

    writes = [create_write(f"r{number}", sample(payload="p" * 1000)) for number in range(40)]
    async with node(backlog_limit=20_000, inline_limit=10) as storage:
        with monkeypatch.context() as patch:
            patch.setattr(S3ObjectStore, "put", fail)
            answers = [(await outcomes(storage, [write]))[0] for write in writes]
            accepted = answers.count(None)
            assert 5 < accepted < 20
            assert answers[:accepted] == [None] * accepted
            assert all("the limit is 20000" in str(answer) for answer in answers[accepted:])
            assert await storage.count(Query()) == accepted
            head = await storage.get("r0")
            assert head is not None
            assert head.data == writes[0].data
            assert await _log_objects(tmp_path) == []
        while await outcomes(storage, writes[-1:]) != [None]:
            pass
    assert len(await _log_objects(tmp_path)) == accepted + 2


async def test_mover_that_falls_behind_puts_more_at_once(
    node: Node, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The first full turn puts one batch at a time, the second one two, the third one four."""
    putting = peak = 0
    is_away = True
    put = S3ObjectStore.put

    async def count(self: S3ObjectStore, key: str, data: bytes, *, if_absent: bool = False) -> None:
        nonlocal putting, peak
        if is_away:
            raise StorageUnavailable("S3 is away")
        putting += 1
        peak = max(peak, putting)
        await put(self, key, data, if_absent=if_absent)
        putting -= 1

    async with node() as storage:
        monkeypatch.setattr(S3ObjectStore, "put", count)
        for number in range(36):
            await storage.commit(create_write(f"r{number}", sample()))
        is_away = False
    assert len(await _log_objects(tmp_path)) == 37
    assert peak == 4  # in the third turn, because a turn has 16 batches


async def test_acknowledged_move_waits_for_the_bucket(node: Node, tmp_path: Path) -> None:
    """Each answered write is in the log of the bucket."""
    async with node(acknowledge="moved") as storage:
        for number in range(3):
            await storage.commit(create_write(f"r{number}", sample()))
            assert len(await _log_objects(tmp_path)) == number + 2


async def test_11_three_nodes_have_one_dense_order(node: Node) -> None:
    """Followers see every write once, from each position at which they resume."""

    async def write(storage: IStorage, name: str) -> None:
        for number in range(6):
            first = create_write(f"{name}-{number}", sample())
            await storage.commit(first)
            await storage.commit(update_write(first, sample(number=number)))

    async def follow(storage: IStorage, total: int) -> list[StoreChange]:
        assert storage.store is not None
        found: list[StoreChange] = []
        while len(found) < total:
            found += await storage.store.changes(found[-1].position if found else START, limit=7)
        return found

    async with node() as one, node() as two, node() as three:
        nodes = (one, two, three)
        writers = [write(storage, f"{place}-{task}") for place, storage in enumerate(nodes) for task in range(4)]
        followers = [asyncio.create_task(follow(storage, 144)) for storage in nodes]
        await asyncio.gather(*writers)
        first, *others = [await follower for follower in followers]
        assert others == [first, first]
        assert len({(change.resource_id, change.version) for change in first}) == 144
        positions = [change.position for change in first]
        assert positions == sorted(set(positions))
        assert {position.sequence for position in positions} == set(range(2, positions[-1].sequence + 1))
        assert one.store is not None
        for place, change in enumerate(first):
            assert await one.store.changes(change.position, limit=200) == first[place + 1 :]


@pytest.mark.parametrize("place", ["idle", "sending"])
async def test_frozen_node_in_a_commit_delays_others_by_seconds(node: Node, tmp_path: Path, place: str) -> None:
    """A process is stopped with the store's lock. It finds its batch rolled back, and commits it again."""
    async with node() as storage:
        frozen = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.faults.frozen_node", postgres().url, str(tmp_path), json.dumps(s3_options()),
            place, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert frozen.stdout is not None
        try:
            assert await frozen.stdout.readline() == b"locked\n"
            await storage.commit(create_write("a", sample(code="k")))
            assert await ids(storage) == ["a"]
            frozen.send_signal(signal.SIGCONT)
            assert await frozen.stdout.readline() == b"UniqueViolation\n"
        finally:
            frozen.kill()
            await frozen.wait()
        assert await ids(storage) == ["a"]


async def test_values_pass_between_resources_within_a_batch(node: Node) -> None:
    """Each write sees the ones before it, although statements run in another order."""
    async with node() as storage:
        a, b = create_write("a", sample(code="k")), create_write("b", sample(code="l"))
        assert await outcomes(storage, [a, b]) == [None, None]
        free = update_write(a, sample(code=None))
        taken = update_write(b, sample(code="k"))
        swapped = update_write(free, sample(code="l"))
        assert await outcomes(storage, [free, taken, swapped]) == [None, None, None]
        gone = delete_write(taken)
        c = create_write("c", sample(code="k"))
        again = [
            gone,
            purge_write(gone),
            c,
            purge_write(c),
            create_write("c", sample(code="k")),
            create_write("b", sample()),
        ]
        assert await outcomes(storage, again) == [None] * 6
        heads = {name: await storage.get(name) for name in ("a", "b", "c")}
        assert {name: head.version for name, head in heads.items() if head} == {"a": 3, "b": 1, "c": 1}


async def test_nodes_that_claim_equal_values_accept_one_each(node: Node) -> None:
    """Batches of two nodes claim the same ids and values in opposite orders. None hangs."""
    async with node() as one, node() as two:
        for number in range(10):
            names = [f"{number}-{place}" for place in range(8)]
            data = [sample(code=name, shelf=name, place=1) for name in names[:4]]
            data += [sample(shelf=name, place=1) for name in names[4:]]
            left = [create_write(name, held) for name, held in zip(names, data, strict=True)]
            right = [create_write(f"{name}x", held) for name, held in zip(names[::-1], data[::-1], strict=True)]
            results = await asyncio.gather(outcomes(one, left), outcomes(two, right))
            for place, (mine, theirs) in enumerate(zip(results[0], reversed(results[1]), strict=True)):
                loser = mine or theirs
                assert loser.fields == (("code",) if place < 4 else ("shelf", "place"))
                assert loser.holder == f"{names[place]}{'x' if loser is mine else ''}"
            kinds = [[type(result).__name__ for result in found] for found in results]
            for mine, theirs in zip(kinds[0], reversed(kinds[1]), strict=True):
                assert sorted([mine, theirs]) == ["NoneType", "UniqueViolation"]


async def _cut_all() -> None:
    connection = await asyncpg.connect(postgres().url)
    await connection.fetch("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
    await connection.close()


async def _log_objects(tmp_path: Path) -> list[str]:
    store = S3ObjectStore(S3Location(**s3_options(), prefix=tmp_path.name))
    await store.open()
    found = [key async for key in store.keys("log/")]
    await store.close()
    return found
