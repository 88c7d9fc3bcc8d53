"""API keys: on every backend, revoked at once on all nodes, and never stored."""

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from pydantic import BaseModel

from autocrud import AutoCRUD
from autocrud.access import ApiKeys
from autocrud.access.api_key import MODEL, id_of_key
from autocrud.access.key_reads import KeyReads
from autocrud.errors import ConfigurationError, InvalidInput, NotFound, StorageUnavailable
from autocrud.storage.memory import MemoryStorageFactory
from autocrud.storage.ports.storage import IStorageFactory
from tests.http.conftest import serving
from tests.storage.backends import BACKENDS, nodes_on


class Note(BaseModel):
    text: str


def node(factory: IStorageFactory) -> tuple[FastAPI, ApiKeys, AutoCRUD]:
    """Return an application on a store, with its keys."""
    keys = ApiKeys()
    crud = AutoCRUD(storage_factory=factory, authenticator=keys)
    crud.add_model(Note)
    app = FastAPI()
    crud.apply(app)
    return app, keys, crud


def bearer(key: str) -> dict[str, str]:
    """Return the header with a key."""
    return {"authorization": f"Bearer {key}"}


def files_with(folder: Path, text: str) -> list[Path]:
    """Return the files under a folder that contain a text."""
    return [path for path in folder.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]


@pytest.mark.parametrize("backend", BACKENDS)
async def test_revocation_holds_at_once_on_every_node(tmp_path: Path, backend: str) -> None:
    """A key works on all nodes, until one of them revokes the key. Only its hash is in the store."""
    nodes = [node(factory) for factory in nodes_on(backend, tmp_path)]
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(serving(app)) for app, _, _ in nodes]
        first, last = nodes[0][1], nodes[-1][1]
        key = await first.create("ci", roles=["editor"], by="ada")
        key_id = id_of_key(key) or ""
        for http in clients:
            assert (await http.get("/note", headers=bearer(key))).status_code == 200
        await last.revoke(key_id, by="bob")
        for http in clients:
            refused = await http.get("/note", headers=bearer(key))
            assert (refused.status_code, refused.json()["code"]) == (401, "unauthenticated")
        ((meta, stored),) = [item async for item in first.list_keys()]
        assert (meta.created_by, meta.updated_by, stored.name) == ("ada", "bob", "ci")
        commits = await nodes[0][2].manager(MODEL).commits(key_id)
        assert len(commits) == 2
        assert key[-20:] not in stored.model_dump_json()
    assert not files_with(tmp_path, key[-20:])


async def test_wrong_expired_or_unknown_key_is_refused() -> None:
    """With one message. The message never has the key."""
    app, keys, _ = node(MemoryStorageFactory())
    async with serving(app) as http:
        key = await keys.create("ci")
        expired = await keys.create("ci", expires_at=datetime.now(UTC) - timedelta(seconds=1))
        unknown = f"acrud_{'0' * 12}_{'a' * 43}"
        other_secret = key[:-1] + ("a" if key[-1] != "a" else "b")
        for wrong in (expired, unknown, other_secret, "acrud_short", key + "a"):
            response = await http.get("/note", headers=bearer(wrong))
            assert response.status_code == 401
            assert response.json()["detail"] == "The API key is unknown, revoked or expired."
        assert (await http.get("/note", headers=bearer(key))).status_code == 200
        with pytest.raises(NotFound):
            await keys.revoke("000000000000")
        with pytest.raises(InvalidInput, match="role"):
            await keys.create("ci", roles=["a\n"])


async def test_key_cannot_be_read_while_the_store_is_away_answers_503(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not 401, so that a client does not throw its key away."""
    app, keys, crud = node(MemoryStorageFactory())
    async with serving(app) as http:
        key = await keys.create("ci")

        async def fail(*_: Any, **__: Any) -> None:
            raise StorageUnavailable("gone fishing")

        monkeypatch.setattr(crud.manager(MODEL).node.storage, "get", fail)
        assert (await http.get("/note", headers=bearer(key))).status_code == 503


async def test_system_model_is_not_exposed() -> None:
    """Neither by routes, nor in the document, nor by transactions. No model takes its name."""
    app, keys, crud = node(MemoryStorageFactory())
    async with serving(app) as http:
        key = await keys.create("ci")
        assert crud.model_names == ("note",)
        assert (await http.get(f"/{MODEL}", headers=bearer(key))).status_code == 404
        operation = {"op": "delete", "model": MODEL, "id": id_of_key(key)}
        response = await http.post("/transaction", json={"operations": [operation]}, headers=bearer(key))
        assert response.status_code == 422
        assert MODEL not in (await http.get("/openapi.json")).text
    for options in ({"name": MODEL}, {"name": "autocrud_api_key"}, {"formerly": [MODEL]}):
        values: Any = options
        with pytest.raises(ConfigurationError, match="autocrud itself"):
            AutoCRUD().add_model(Note, **values)


async def test_read_of_a_key_serves_only_requests_that_arrived_before() -> None:
    """Ten requests that arrive during a read share the next one. A later request waits for the one after that."""
    storage = _SlowStorage()
    source: Any = storage
    reads: Any = KeyReads(source)
    first = asyncio.create_task(reads.read("a"))
    assert await storage.begun.get() == 1
    second = [asyncio.create_task(reads.read("a")) for _ in range(10)]
    assert await storage.begun.get() == 2
    third = asyncio.create_task(reads.read("a"))
    storage.release.set()
    assert await first == 1
    assert await asyncio.gather(*second) == [2] * 10
    assert await third == 3


class _SlowStorage:
    """Storage whose reads wait for `release`, and return their number."""

    def __init__(self) -> None:
        self.begun: asyncio.Queue[int] = asyncio.Queue()
        self.release, self.count = asyncio.Event(), 0

    async def get(self, resource_id: str, *, current: bool) -> int:
        self.count = number = self.count + 1
        self.begun.put_nowait(number)
        await self.release.wait()
        return number


async def test_keys_belong_to_one_registry() -> None:
    """Keys that are given to two registries are refused, and keys without a registry have no store."""
    keys = ApiKeys()
    with pytest.raises(ConfigurationError, match="no store"):
        await keys.create("ci")
    for refused in (False, True):
        crud = AutoCRUD(storage_factory=MemoryStorageFactory(), authenticator=keys)
        if refused:
            with pytest.raises(ConfigurationError, match="another AutoCRUD"):
                crud.apply(FastAPI())
        else:
            crud.apply(FastAPI())
