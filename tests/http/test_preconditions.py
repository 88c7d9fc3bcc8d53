"""Entity tags and preconditions (RFC 9110, 13), on each backend."""

import asyncio
from collections.abc import Awaitable, Callable

import httpx

from tests.http.conftest import Serve, created

MERGE = {"Content-Type": "application/merge-patch+json"}
Send = Callable[[dict[str, str]], Awaitable[httpx.Response]]


def _writes(http: httpx.AsyncClient, location: str) -> dict[str, Send]:
    """Return a request for each way to change a resource."""
    return {
        "put": lambda headers: http.put(location, json={"title": "New"}, headers=headers),
        "patch": lambda headers: http.patch(location, json={"title": "Newer"}, headers=headers | MERGE),
        "switch": lambda headers: http.post(f"{location}/switch/1", headers=headers),
        "delete": lambda headers: http.delete(location, headers=headers),
        "restore": lambda headers: http.post(f"{location}/restore", headers=headers),
        "purge": lambda headers: http.delete(f"{location}/permanently", headers=headers),
    }


async def test_answer_with_one_resource_has_its_tag(http: httpx.AsyncClient) -> None:
    """Equal for the same version, different for another."""
    response = await created(http)
    location, tags = response.headers["location"], [response.headers["etag"]]
    tags += [
        (await send({})).headers.get("etag", "") for name, send in _writes(http, location).items() if name != "purge"
    ]
    assert (await http.get(location)).headers["etag"] == tags[-1]
    assert len({tag for tag in tags if tag}) == len([tag for tag in tags if tag])
    one = await http.get(f"{location}/revisions/1")
    assert one.headers["etag"] != tags[-1]
    assert (await http.get(f"{location}?revision_id=1")).headers["etag"] == one.headers["etag"]


async def test_if_none_match_of_the_current_tag_is_304(http: httpx.AsyncClient) -> None:
    """By a list of tags, weak tags or `*`, also of a revision and a time."""
    response = await created(http)
    location, tag = response.headers["location"], response.headers["etag"]
    for value in (tag, f'"x,y" ,W/{tag}', "*"):
        known = await http.get(location, headers={"If-None-Match": value})
        assert (known.status_code, known.content, known.headers["etag"]) == (304, b"", tag)
        assert (await http.head(location, headers={"If-None-Match": value})).status_code == 304
    for path in (f"{location}/revisions/1", f"{location}?at={response.json()['meta']['created_time']}"):
        read = await http.get(path)
        assert (await http.get(path, headers={"If-None-Match": read.headers["etag"]})).status_code == 304
    assert (await http.get(location, headers={"If-None-Match": '"x"'})).status_code == 200
    assert (await http.get(location, headers={"If-None-Match": "x"})).status_code == 400
    await http.put(location, json={"title": "New"})
    assert (await http.get(location, headers={"If-None-Match": tag})).status_code == 200


async def test_if_match_binds_a_write_to_versions(http: httpx.AsyncClient) -> None:
    """A weak tag matches nothing (strong comparison) and is 412."""
    for name in ("put", "patch", "switch", "delete", "restore", "purge"):
        first = await created(http)
        location = first.headers["location"]
        second = await http.put(location, json={"title": "Second"})
        if name == "restore":
            await http.delete(location)
            second = await http.get(f"{location}?include_deleted=true")
        send, tag = _writes(http, location)[name], second.headers["etag"]
        for stale in (first.headers["etag"], '"x", "y"', f"W/{tag}"):
            refused = await send({"If-Match": stale})
            assert (refused.status_code, refused.headers["etag"]) == (412, tag), (name, stale)
            assert refused.json()["code"] == "precondition_failed"
        assert (await send({"If-Match": "x"})).status_code == 400
        done = await send({"If-Match": f'"x,y",W/"a" , {tag}'})
        assert done.status_code in (200, 204), name
        if name != "purge":
            assert done.status_code == 204 or done.headers["etag"] != tag


async def test_if_match_star_needs_an_existing_resource(http: httpx.AsyncClient) -> None:
    """Any version matches."""
    location = (await created(http)).headers["location"]
    for name in ("put", "patch", "switch", "delete", "restore", "purge"):
        done = await _writes(http, location)[name]({"If-Match": "*"})
        assert done.status_code in (200, 204), name
    for name in ("put", "patch", "switch", "delete", "restore", "purge"):
        assert (await _writes(http, location)[name]({"If-Match": "*"})).status_code in (404, 412), name


async def test_concurrent_creates_of_one_id_create_once(http: httpx.AsyncClient) -> None:
    """The others get the error."""
    sent = [
        http.put("/book/chosen", json={"title": f"Emma {number}"}, headers={"If-None-Match": "*"})
        for number in range(8)
    ]
    answers = await asyncio.gather(*sent)
    assert sorted(answer.status_code for answer in answers) == [201] + [412] * 7
    (winner,) = (answer for answer in answers if answer.status_code == 201)
    assert {answer.headers["etag"] for answer in answers} == {winner.headers["etag"]}
    assert (await http.get("/book/chosen")).json() == winner.json()


async def test_required_precondition_is_428_if_missing(serve: Serve) -> None:
    """A create and a write with a precondition are accepted."""
    async with serve(require_if_match=True) as http:
        location = (await created(http)).headers["location"]
        for name, send in _writes(http, location).items():
            refused = await send({})
            assert (refused.status_code, refused.json()["code"]) == (428, "precondition_required"), name
        assert (await http.get(location)).json()["meta"]["version"] == 1
        for name, send in _writes(http, location).items():
            assert (await send({"If-Match": "*"})).status_code in (200, 204), name
        new = await http.put("/book/chosen", json={"title": "x"}, headers={"If-None-Match": "*"})
        assert new.status_code == 201
        document = (await http.get("/openapi.json")).json()
        assert "428" in document["paths"]["/book/{resource_id}"]["patch"]["responses"]
