"""Invalid import lines are refused without harm."""

from typing import Any

import httpx

from tests.http.conftest import Serve, created
from tests.http.transfer_helpers import changed, exported, history, imported, lines_of, parsed


def hostile(good: Any) -> list[tuple[str, Any]]:
    """Return invalid lines, each with the expected error."""
    resource_id, late = good["meta"]["resource_id"], "2999-01-01T00:00:00Z"
    data, blob = {"title": "x"}, {"file_id": "0" * 64, "size": 1}
    malformed = [b"{", b"nonsense", b"\xff\xfe"]
    parameters = [{"id": "export", "data": data}, {"id": "a/b", "data": data}]
    of_meta: dict[str, list[Any]] = {
        "resource_id": ["import", "other", ""],
        "more": [1],
        "version": [0, -1, 2**63, "1", 1.5, None],
        "total_revision_count": [0, 2],
        "schema_version": [9],
        "current_revision_id": ["other:1", f"{resource_id}:2", f"{resource_id}:0", "1"],
        "created_time": ["2026-01-01T00:00:00", 1767225600, late, "0001-01-01T00:00:00+14:00"],
        "updated_time": [late, "1969-01-01T00:00:00Z"],
        "created_by": ["\0", "x" * 3000],
        "updated_by": ["eve"],
        "status": ["draft", "other"],
    }
    of_revision: dict[str, list[Any]] = {
        "revision_id": [f"{resource_id}:7", "other:1"],
        "parent_revision_id": [f"{resource_id}:1", "other:1"],
        "data_hash": ["md5:0"],
        "size": [0, -1, 2**70],
        "created_time": ["2020-01-01T00:00:00Z", "2026-01-01T00:00:00"],
    }
    invalid = [
        b"[]", b"3", {}, {"data": None}, {"data": {"title": ""}}, {"data": data, "more": 1},
        {"data": data, "kind": "create"}, {"data": data, "revision_info": None},
        changed(good, id="other"), changed(good, meta=3), changed(good, revision_info=None),
        *(changed(good, kind=kind) for kind in ("purge", "delete", "explode", "update")),
        *(changed(good, **{f"meta__{name}": value}) for name, values in of_meta.items() for value in values),
        *(changed(good, **{f"revision_info__{name}": each}) for name, values in of_revision.items() for each in values),
        {"blob": {"file_id": "../x", "size": 1}, "offset": 0, "data": ""},
        {"blob": blob, "offset": 5, "data": "eA=="}, {"blob": blob, "offset": 0, "data": "eHg="},
        {"blob": blob, "offset": 0, "data": "not base64"},
    ]  # fmt: skip
    return [
        ("payload_too_large", b'{"data":"' + b"x" * 3_000_000 + b'"}'),
        *(("malformed_body", line) for line in malformed),
        *(("invalid_parameter", line) for line in parameters),
        *(("invalid_data", line) for line in invalid),
    ]


async def test_invalid_lines_are_refused_one_by_one(serve: Serve) -> None:
    """Nothing of them is stored."""
    async with serve() as http:
        await created(http, title="x")
        (good,) = parsed(await exported(http))
        await http.delete(f"/book/{good['meta']['resource_id']}/permanently")
        bad = hostile(good)
        counts, refused = await imported(http, lines_of(*(line for _, line in bad)))
        assert [(report["line"], report["error"]["code"]) for report in refused] == [
            (number, code) for number, (code, _) in enumerate(bad, 1)
        ]
        assert counts == {"end": True, "line": len(bad), "failed": len(bad)}
        assert (await http.get("/book/count", params={"include_deleted": True})).json() == {"count": 0}
        # The hash is of the data, whatever the line says.
        other = changed(good, revision_info__data_hash="sha256:" + "0" * 64, revision_info__size=1)
        assert (await imported(http, lines_of(other)))[0]["created"] == 1
        assert parsed(await exported(http)) == [good]


async def test_invalid_commit_is_refused_with_later_commits(http: httpx.AsyncClient) -> None:
    """Earlier commits stay."""
    await history(http)
    lines = [line for line in parsed(await exported(http, history=True)) if line["meta"]["resource_id"] == "a"]
    await http.delete("/book/a/permanently")
    earlier = lines[0]["meta"]["created_time"]
    wrong: list[list[Any]] = [
        [changed(lines[1], meta__version=3)],
        [changed(lines[1], meta__updated_time=earlier.replace("20", "19", 1), revision_info__created_time=earlier)],
        [changed(lines[1], meta__created_by="eve")],
        [changed(lines[1], meta__is_deleted=True)],
        [lines[0]],
        [lines[1], changed(lines[2], revision_info__created_by="eve")],
        [lines[1], changed(lines[2], meta__total_revision_count=1)],
        [lines[1], {name: part for name, part in lines[2].items() if name not in ("data", "revision_info")}],
    ]
    for number, behind in enumerate(wrong):
        counts, refused = await imported(http, lines_of(lines[0], *behind, *lines[len(behind) + 1 :]))
        assert refused, number
        assert {report["error"]["code"] for report in refused} <= {"invalid_data"}, number
        found = parsed(await exported(http, history=True, resource_id="a"))
        assert found == lines[: len(found)], number
        assert counts["failed"] == len(refused)
    await imported(http, lines_of(*lines))
    assert parsed(await exported(http, history=True, resource_id="a")) == lines
    # Nothing is overwritten by less than it.
    await http.put("/book/a", json={"title": "other"})
    before = await exported(http, history=True, resource_id="a")
    broken = lines_of(lines[0], lines[1], changed(lines[2], data={"title": "x" * 3000}), *lines[3:])
    differing = lines_of(
        changed(lines[0], meta__created_by="eve", meta__updated_by="eve", revision_info__created_by="eve")
    )
    for body in (broken, differing + broken):
        counts, _ = await imported(http, body, on_duplicate="overwrite")
        assert counts["failed"] >= len(lines) - 2
    assert await exported(http, history=True, resource_id="a") == before
