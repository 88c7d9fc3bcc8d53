"""Bounds of the comparison of two revisions: its time, and the thread that it runs in."""

import random
import threading
import time
from typing import Any

import httpx
import pytest

from autocrud.versioning import difference
from tests.bounds.conftest import note

_TEXTS = 90_000
_MAX_CPU_S = 3.0  # the comparison alone takes twice as long without a limit


async def test_difference_of_shuffled_lists_is_refused_in_bounded_time(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A comparison that takes too long is 422, uses bounded processor time, and does not run in the event loop."""
    threads = set()

    def traced(before: Any, after: Any) -> Any:
        threads.add(threading.get_ident())
        return original(before, after)

    original = difference.difference
    monkeypatch.setattr(difference, "difference", traced)
    monkeypatch.setattr(difference, "DIFFERENCE_SECONDS", 0.2)
    texts = [f"text {number}" for number in range(_TEXTS)]
    path = await note(http, tags=texts)
    random.Random(1).shuffle(texts)
    assert (await http.put(path, json={"tags": texts})).status_code == 200
    begin = time.process_time()
    response = await http.get(f"{path}/revisions/diff?from=1&to=2")
    assert time.process_time() - begin < _MAX_CPU_S
    assert response.status_code == 422
    assert response.json()["code"] == "difference_too_large"
    assert threads
    assert threading.get_ident() not in threads


async def test_difference_of_long_lists_with_few_changes_is_returned(http: httpx.AsyncClient) -> None:
    """The limit is one of changes, not of lengths."""
    texts = [f"text {number}" for number in range(_TEXTS // 10)]
    path = await note(http, tags=texts)
    await http.put(path, json={"title": "a", "tags": [*texts[:5], "new", *texts[5:]]})
    response = await http.get(f"{path}/revisions/diff?from=1&to=2")
    assert response.json() == [{"op": "add", "path": "/tags/5", "value": "new"}]
