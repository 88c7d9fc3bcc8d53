"""What the README and `examples/` show is what happens."""

import importlib
from pathlib import Path

import pytest

from tests.http.conftest import serving


async def test_the_library_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guarded routes, a model in memory with fewer of them, and a route of its own through the manager."""
    monkeypatch.chdir(tmp_path)
    example = importlib.import_module("examples.library")
    async with serving(example.app) as http:
        key = {"X-Token": "let-me-in"}
        body = {"email": "ada@example.com", "name": "Ada"}
        assert (await http.post("/user", json=body, headers={"X-Token": "?"})).status_code == 401
        created = await http.post("/user", json=body, headers=key)
        assert created.status_code == 201
        assert (await http.post("/user", json=body, headers=key)).status_code == 409
        greeting = await http.get(f"{created.headers['location']}/greeting")
        assert greeting.json() == "Hello, Ada, at version 1."
        assert (await http.get("/session")).status_code == 405
    assert (tmp_path / "data" / "library" / "user" / "metadata.sqlite").exists()
