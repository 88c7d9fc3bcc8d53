"""Authentication of the routes: who is refused, before the body is read, and who becomes the author."""

import re
from collections.abc import Iterable, Iterator
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, Request
from pydantic import BaseModel

from autocrud import AutoCRUD, Binary, Index
from autocrud.access import Authenticator, Principal, TrustedHeader, first_of, principal_of
from autocrud.errors import ConfigurationError, Unauthenticated
from autocrud.pages import add_docs, add_home
from autocrud.routes.operation_route import OperationRoute
from autocrud.storage.memory import MemoryStorageFactory
from tests.http.conftest import serving

ADA = {"x-user": "ada"}


class Photo(BaseModel):
    title: Annotated[str, Index()]
    image: Binary | None = None


async def by_token(request: Request) -> Principal | None:
    """Return the principal of `Bearer ada`, and refuse other tokens."""
    token = request.headers.get("authorization")
    if token is None:
        return None
    if token == "Bearer reader":
        return Principal("reader", scopes={"read"})
    if token != "Bearer ada":
        raise Unauthenticated("The token is wrong.")
    return Principal("ada", {"editor"})


def application(authenticator: Any, **options: Any) -> FastAPI:
    """Return an application with one model behind an authenticator."""
    crud = AutoCRUD(storage_factory=MemoryStorageFactory(), authenticator=authenticator)
    crud.add_model(Photo, **options)
    app = FastAPI(docs_url=None, redoc_url=None)
    crud.apply(app)
    add_docs(app)
    add_home(app)
    return app


def requests_of(app: FastAPI) -> Iterator[tuple[str, str]]:
    """Yield the method and path of each route of the models."""
    for route in app.router.routes:
        if isinstance(route, OperationRoute):
            for method in [*(route.methods or ()), "HEAD", "OPTIONS", "TRACE"]:
                yield method, re.sub("{[^}]*}", "x", route.path_format)


async def answer(
    app: FastAPI, method: str, path: str, headers: Iterable[tuple[str, str]]
) -> tuple[int, dict[str, str]]:
    """Send a request whose body must not be read. Return the status and the headers of the answer."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        raise AssertionError("the body was read")

    async def send(message: Any) -> None:
        sent.append(message)

    pairs = [(name.encode(), value.encode()) for name, value in headers]
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "path": path,
        "raw_path": path.encode(), "root_path": "", "scheme": "http", "query_string": b"", "headers": pairs,
        "server": ("test", 80), "client": ("test", 1),
    }  # fmt: skip
    await app(scope, receive, send)
    found = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], found


@pytest.mark.parametrize("headers", [[], [("authorization", "Bearer bob")], [("authorization", "Basic YTpi")]])
async def test_route_without_principal_answers_401_before_the_body(headers: list[tuple[str, str]]) -> None:
    """Every route of a model and the route of transactions; for no credentials, wrong ones, and those of no kind."""
    app = application(first_of(by_token, TrustedHeader("X-User")))
    requests = list(requests_of(app))
    assert ("POST", "/transaction") in requests
    assert len(requests) > 100
    for method, path in requests:
        status, found = await answer(app, method, path, headers)
        assert (status, found["content-type"]) == (401, "application/problem+json"), (method, path)
        assert found["www-authenticate"].startswith("Bearer")
        assert ("invalid_token" in found["www-authenticate"]) is bool(headers)


async def test_wrong_credentials_do_not_fall_through() -> None:
    """A wrong token is refused, although the next authenticator knows the user. Two tokens are refused, too."""
    async with serving(application(first_of(by_token, TrustedHeader("X-User")))) as http:
        assert (await http.get("/photo", headers=ADA)).status_code == 200
        refused = await http.get("/photo", headers={**ADA, "authorization": "Bearer bob"})
        assert (refused.status_code, refused.json()["code"]) == (401, "unauthenticated")
        twice = [("authorization", "Bearer ada"), ("authorization", "Bearer ada")]
        assert (await http.get("/photo", headers=twice)).status_code == 401


@pytest.mark.parametrize(
    "values", [[b"ada", b"ada"], [b""], [b" "], [b"a" * 257], [b"a\x01"], [b"\xff"]],
    ids=["twice", "empty", "blank", "long", "control character", "no UTF-8"],
)  # fmt: skip
async def test_trusted_header_that_is_no_name_is_refused(values: list[bytes]) -> None:
    """The challenge names the header."""
    async with serving(application(TrustedHeader("X-User"))) as http:
        response = await http.get("/photo", headers=[(b"x-user", value) for value in values])
        assert response.status_code == 401
        assert response.headers["www-authenticate"] == 'TrustedHeader realm="X-User"'
        longest = await http.get("/photo", headers={b"x-user": "é".encode() * 256})
        assert longest.status_code == 200


async def test_principal_is_the_author_and_reaches_dependencies() -> None:
    """Of a create and of a transaction. A dependency of the model sees the roles."""
    seen: list[Principal | None] = []

    def note(request: Request) -> None:
        seen.append(principal_of(request))

    bearer = {"authorization": "Bearer ada"}
    async with serving(application(by_token, dependencies=[Depends(note)])) as http:
        created = await http.post("/photo", json={"title": "a"}, headers=bearer)
        operations = [{"op": "create", "model": "photo", "id": "t", "data": {"title": "b"}}]
        await http.post("/transaction", json={"operations": operations}, headers=bearer)
        in_transaction = (await http.get("/photo/t", headers=bearer)).json()
    assert created.json()["meta"]["created_by"] == in_transaction["meta"]["created_by"] == "ada"
    assert [principal and principal.roles for principal in seen] == [{"editor"}] * 3


async def test_scope_read_permits_no_write() -> None:
    """With 403."""
    async with serving(application(by_token)) as http:
        reader = {"authorization": "Bearer reader"}
        assert (await http.get("/photo", headers=reader)).status_code == 200
        refused = await http.post("/photo", json={"title": "a"}, headers=reader)
        assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")


async def test_pages_without_data_stay_open() -> None:
    """The home page shows numbers to principals only. The document names the security schemes of each operation."""
    async with serving(application(by_token)) as http:
        assert (await http.get("/docs")).status_code == 200
        assert (await http.get("/")).json()["models"][0]["count"] is None
        assert (await http.get("/", headers={"authorization": "Bearer ada"})).json()["models"][0]["count"] == 0
        assert (await http.get("/", headers={"authorization": "Bearer bob"})).status_code == 401
        assert (await http.get("/photo", headers={"accept": "text/html"})).status_code == 401
        document = (await http.get("/openapi.json")).json()
    assert document["components"]["securitySchemes"] == {"Bearer": {"type": "http", "scheme": "bearer"}}
    operations = [item for path, items in document["paths"].items() if path != "/" for item in items.values()]
    assert {str(operation["security"]) for operation in operations} == {"[{'Bearer': []}]"}


def test_authenticator_excludes_current_user() -> None:
    """In the constructor and in `configure`. A function that is not async is refused."""
    with pytest.raises(ConfigurationError, match="exclude each other"):
        AutoCRUD(current_user=lambda: "ada", authenticator=by_token)
    crud = AutoCRUD(current_user=lambda: "ada")
    with pytest.raises(ConfigurationError, match="exclude each other"):
        crud.configure(authenticator=by_token)
    wrong: Any = lambda request: None  # noqa: E731
    with pytest.raises(ConfigurationError, match="async function"):
        AutoCRUD(authenticator=wrong)


def test_include_takes_over_the_authenticator() -> None:
    """Of a registry that has one. Two authenticators are refused."""
    inner = AutoCRUD(authenticator=by_token)
    outer = AutoCRUD()
    outer.include(inner)
    assert isinstance(outer.authenticator, Authenticator)
    with pytest.raises(ConfigurationError, match="both registries"):
        AutoCRUD(authenticator=TrustedHeader("X-User")).include(inner)


@pytest.mark.parametrize("name", ["", " ada", "a\nb", "a" * 257, "a\x00"])
def test_principal_refuses_an_invalid_name(name: str) -> None:
    """As id, as role and as tenant."""
    for arguments in ({"id": name}, {"id": "ada", "roles": {name}}, {"id": "ada", "tenant": name}):
        values: Any = arguments
        with pytest.raises(ConfigurationError):
            Principal(**values)


async def test_authenticator_that_returns_no_principal_is_a_fault(caplog: pytest.LogCaptureFixture) -> None:
    """With 500, because nobody was authenticated."""

    async def wrong(request: Request) -> Any:
        return "ada"

    async with serving(application(wrong)) as http:
        assert (await http.get("/photo")).status_code == 500
    assert "not a Principal" in caplog.text
