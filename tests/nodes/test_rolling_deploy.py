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
def nodes(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[httpx.Client, httpx.Client]]:
    """Start the old version, then the one of the parameter beside it, and yield a client of each."""
    with ExitStack() as stack:
        clients = []
        for version in ("old", request.param):
            folder = tmp_path / version
            folder.mkdir()
            settings: dict[str, Any] = {"data_dir": tmp_path / "data", "models": f"tests.nodes.deploy_{version}"}
            node = stack.enter_context(service(folder, **settings))
            clients.append(stack.enter_context(httpx.Client(base_url=node.base, timeout=30)))
        yield clients[0], clients[1]


@pytest.mark.parametrize("nodes", ["new"], indirect=True)
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


@pytest.mark.parametrize("nodes", ["strict"], indirect=True)
def test_5_process_without_a_new_rule_reads_and_its_writes_are_refused(
    nodes: tuple[httpx.Client, httpx.Client],
) -> None:
    """So no process brings a duplicate in, by a create, an update, a bulk request, a transaction or an import."""
    old, strict = nodes
    assert strict.post("/article", json={"title": "Emma"}).status_code == 201
    (item,) = old.get("/article").json()["items"]
    operation = {"op": "create", "data": {"title": "Emma"}}
    path = f"/article/{item['meta']['resource_id']}"
    answers = [
        old.post("/article", json={"title": "Emma"}),
        old.put(path, json={"title": "Persuasion"}),
        old.delete(path),
        old.post("/transaction", json={"operations": [{**operation, "model": "article"}]}),
    ]
    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(409, "newer_schema")] * 4
    assert "unique (title)" in answers[0].json()["detail"]
    (refused,) = old.post("/article/bulk", json={"operations": [operation]}).json()["items"]
    assert "newer_schema" in str(refused), refused
    ndjson = {"Content-Type": "application/x-ndjson"}
    line = old.get("/article/export").text.replace(item["meta"]["resource_id"], "other")
    assert "newer_schema" in old.post("/article/import", content=line, headers=ndjson).text
    assert strict.get("/article/count").json() == {"count": 1}
