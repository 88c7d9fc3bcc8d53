"""Helpers of the export and import tests."""

import json
from typing import Any

import httpx


async def exported(http: httpx.AsyncClient, model: str = "book", **params: Any) -> bytes:
    """Return a whole export without its last line."""
    response = await http.get(f"/{model}/export", params=params)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/x-ndjson"
    *lines, last, nothing = response.content.split(b"\n")
    assert nothing == b""
    assert json.loads(last)["end"] is True
    assert json.loads(last)["lines"] == len(lines)
    return b"".join(line + b"\n" for line in lines)


def parsed(content: bytes) -> list[Any]:
    """Return lines as values."""
    return [json.loads(line) for line in content.splitlines()]


async def history(http: httpx.AsyncClient, draft: str = "draft") -> None:
    """Create books with commits of every kind except a prune."""
    for title in ("a", "b", "c", "d"):
        body = {"title": title, "isbn": title, "year": 1815}
        await http.put(f"/book/{title}", json=body, headers={"If-None-Match": "*"})
    changed = await http.put("/book/a", json={"title": "A", "price": 1.5}, params={"change_status": draft})
    assert changed.json()["meta"]["status"] == draft
    await http.put("/book/a", json={"title": "AA"}, params={"mode": "modify"})
    await http.put("/book/a", json={"title": "AAA"}, params={"mode": "modify", "change_status": "stable"})
    await http.post("/book/a/switch/1")
    await http.put("/book/a", json={"title": "a4" + "x" * 1000})
    await http.delete("/book/b")
    await http.post("/book/b/restore")
    await http.delete("/book/b")
    await http.delete("/book/c")
    await http.post("/book/c/restore")
    await http.delete("/book/d/permanently")


async def imported(http: httpx.AsyncClient, body: Any, model: str = "book", **params: Any) -> tuple[Any, list[Any]]:
    """Import lines. Return the last line and the refused lines."""
    headers = {"Content-Type": "application/x-ndjson"}
    response = await http.post(f"/{model}/import", content=body, params=params, headers=headers)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/x-ndjson"
    reports = parsed(response.content)
    counts = {name: number for name, number in reports[-1].items() if number}
    return counts, [report for report in reports if "error" in report and "end" not in report]


def lines_of(*values: Any) -> bytes:
    """Return values as lines."""
    return b"".join((value if isinstance(value, bytes) else json.dumps(value).encode()) + b"\n" for value in values)


def changed(line: Any, **changes: Any) -> Any:
    """Return a line with other values, by paths such as `meta__version`."""
    copy = json.loads(json.dumps(line))
    for path, value in changes.items():
        part, _, name = path.partition("__")
        if name:
            copy[part][name] = value
        else:
            copy[part] = value
    return copy
