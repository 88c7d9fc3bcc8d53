"""An old and a new version of a service on one store, as two processes."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.servers import service

MERGE_PATCH = {"Content-Type": "application/merge-patch+json"}


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[tuple[httpx.Client, httpx.Client]]:
    """Start the old version, then the new one beside it, and yield a client of each."""
    with ExitStack() as stack:
        clients = []
        for version in ("old", "new"):
            folder = tmp_path / version
            folder.mkdir()
            settings: dict[str, Any] = {"data_dir": tmp_path / "data", "models": f"tests.nodes.deploy_{version}"}
            node = stack.enter_context(service(folder, **settings))
            clients.append(stack.enter_context(httpx.Client(base_url=node.base, timeout=30)))
        yield clients[0], clients[1]


def test_versions_of_a_service_do_not_damage_each_others_data(nodes: tuple[httpx.Client, httpx.Client]) -> None:
    """The old version reads the data of the new one, refuses to write over them, and goes on with its own."""
    old, new = nodes
    assert old.post("/article", json={"title": "Emma"}).status_code == 201
    created = new.post("/article", json={"headline": "Persuasion", "language": "de"}).json()["meta"]["resource_id"]
    assert old.get(f"/article/{created}").json()["data"] == {"title": "Persuasion"}
    for method, body in (("PUT", {"title": "x"}), ("PATCH", {"title": "x"}), ("DELETE", None)):
        answer = old.request(method, f"/article/{created}", json=body, headers=MERGE_PATCH if method == "PATCH" else {})
        assert (answer.status_code, answer.json()["code"]) == (409, "newer_schema"), method
    assert old.post("/article", json={"title": "Lady Susan"}).status_code == 201
    titles = ["Lady Susan", "Persuasion", "Emma"]
    assert [item["data"] for item in old.get("/article").json()["items"]] == [{"title": title} for title in titles]
    items = [item["data"] for item in new.get("/article").json()["items"]]
    assert [item["headline"] for item in items] == titles
    assert [item["language"] for item in items] == ["en", "de", "en"]
    for item in new.get("/article").json()["items"]:
        path = f"/article/{item['meta']['resource_id']}"
        answer = new.patch(path, json={"language": "fr"}, headers=MERGE_PATCH)
        assert answer.status_code == 200
    assert [item["data"]["title"] for item in old.get("/article").json()["items"]] == titles
