"""The OpenAPI document: ids, texts, examples and schemas that generated clients and Swagger UI rely on."""

import json
import re
from collections.abc import Iterator
from typing import Annotated, Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from markdown_it import MarkdownIt
from pydantic import BaseModel

from app import models
from autocrud import AutoCRUD, Index
from autocrud.errors import AutoCRUDError
from autocrud.routes.response.problems import STATUSES
from autocrud.routes.route_table import FAMILIES
from autocrud.storage.memory import MemoryStorageFactory
from tests.http.conftest import serving
from tests.http.openapi_helpers import example_of, operations_of, parameters_of, resolve
from tests.http.reference_models import library

# Route families of a model with binary fields and without referrers, and of a model with neither.
BINARY_FAMILIES = FAMILIES - {"referrers"}
PLAIN_FAMILIES = {family for family in BINARY_FAMILIES if "blob" not in family and "upload" not in family}
# Imperatives with which a summary may begin.
VERBS = frozenset(
    {
        "Abort", "Aggregate", "Change", "Compare", "Count", "Create", "Delete", "Download", "Erase", "Export", "Find",
        "Finish", "Get", "Import", "List", "Patch", "Purge", "Read", "Replace", "Restore", "Run", "Start", "Switch",
        "Upload", "Write",
    }
)  # fmt: skip


@pytest.fixture
def app() -> FastAPI:
    """Return an application with the models that the service ships with."""
    crud = AutoCRUD(storage_factory=MemoryStorageFactory())
    models.register(crud)
    app = FastAPI()
    crud.apply(app)
    return app


@pytest.fixture(params=["shipped", "references"])
def document(request: pytest.FixtureRequest, app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document of the shipped models, and of models with every kind of reference."""
    served_app = app if request.param == "shipped" else library(MemoryStorageFactory())[0]
    document: dict[str, Any] = served_app.openapi()
    return document


def test_operations_have_stable_ids_and_one_tag_per_model(app: FastAPI) -> None:
    """Ids are `family_model`; the description of a tag is the model's docstring."""
    document = app.openapi()
    found = {operation["operationId"] for _, _, operation in operations_of(document)}
    plain = {f"{family}_{model}" for family in PLAIN_FAMILIES for model in ("movie", "person")}
    others = {"referrers_person", "transaction"}
    assert found == plain | {f"{family}_document" for family in BINARY_FAMILIES} | others
    assert {tuple(operation["tags"]) for _, _, operation in operations_of(document)} == {
        ("Movie",),
        ("Person",),
        ("Document",),
        ("Transaction",),
    }
    described = {tag["name"]: tag["description"] for tag in document["tags"]}
    assert described["Person"] == "A person who makes films."


def test_operations_have_texts_examples_and_problems(app: FastAPI) -> None:
    """Check summary, description, request and response examples, parameters and problems of each operation."""
    document = app.openapi()
    for path, method, operation in operations_of(document):
        assert operation["summary"], path
        assert operation["description"], path
        responses = {status: resolve(document, value) for status, value in operation["responses"].items()}
        successes = {status: value for status, value in responses.items() if status.startswith("2")}
        assert successes, path
        for status, success in successes.items():
            for content in success["content"].values() if status != "204" else ():
                assert content["schema"], path
                assert example_of(document, content), path
        has_body = method in {"post", "put", "patch"} and "{" not in path and not path.endswith("/restore")
        assert has_body <= ("requestBody" in operation), path
        for content in operation.get("requestBody", {"content": {}})["content"].values():
            assert content["schema"], path
        problems = [value for status, value in responses.items() if status[0] in "45d"]
        assert len(problems) >= 2, path
        assert {json.dumps(value["content"]) for value in problems} == {
            '{"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}'
        }
        for name, parameter in parameters_of(document, path, method).items():
            assert parameter["description"], (path, method, name)


def test_schema_references_have_a_component(app: FastAPI) -> None:
    """Each `$ref` to a schema has its component."""
    document = app.openapi()
    text = json.dumps(document)
    references = {part.split('"')[0] for part in text.split('"$ref": "#/components/schemas/')[1:]}
    assert references <= document["components"]["schemas"].keys()
    assert "Problem" in references


async def test_body_examples_are_accepted(app: FastAPI) -> None:
    """Swagger UI sends an example unchanged; the service must create a resource from it."""
    document = app.openapi()
    async with serving(app) as http:
        for model in ("Movie", "Person", "Document"):
            body = document["paths"][f"/{model.lower()}"]["post"]["requestBody"]
            content = body["content"]["application/json"]
            assert content["schema"]["$ref"].startswith(f"#/components/schemas/{model}")
            response = await http.post(f"/{model.lower()}", json=example_of(document, content))
            assert response.status_code == 201, response.text


async def test_responses_match_the_document(app: FastAPI) -> None:
    """Compare status, headers and members of the body, for one request of each basic family."""
    document = app.openapi()
    async with serving(app) as http:
        created = await http.post("/person", json={"name": "Ada"})
        location, headers = created.headers["location"], {"If-Match": "*"}
        steps: list[tuple[str, str, str, httpx.Response]] = [
            ("/person", "post", "201", created),
            ("/person", "get", "200", await http.get("/person")),
            ("/person/count", "get", "200", await http.get("/person/count")),
            ("/person/{resource_id}", "get", "200", await http.get(location)),
            ("/person/{resource_id}", "put", "200", await http.put(location, json={"name": "A"}, headers=headers)),
            ("/person/{resource_id}", "delete", "204", await http.delete(location)),
            ("/person/{resource_id}/restore", "post", "200", await http.post(f"{location}/restore")),
            ("/person/{resource_id}/permanently", "delete", "204", await http.delete(f"{location}/permanently")),
        ]
    for path, method, status, response in steps:
        documented = resolve(document, document["paths"][path][method]["responses"][status])
        assert str(response.status_code) == status
        for name in documented.get("headers", {}):
            assert name in response.headers or name == "Link"
        if status != "204":
            schema, found = documented["content"]["application/json"]["schema"], response.json().keys()
            complete = schema["anyOf"][0] if "anyOf" in schema else schema
            schema = document["components"]["schemas"][complete["$ref"].rpartition("/")[2]]
            assert found <= schema["properties"].keys()
            assert found >= schema["properties"].keys() - {"total"}


def test_models_with_one_class_have_distinct_names() -> None:
    """Tags, schemas and operation ids follow the names under which the models are registered."""
    crud = AutoCRUD(storage_factory=MemoryStorageFactory())
    crud.add_model(models.Person)
    crud.add_model(models.Person, name="former-person")
    app = FastAPI()
    crud.apply(app)
    document = app.openapi()
    assert {tag["name"] for tag in document["tags"]} == {"Person", "FormerPerson"}
    assert {"PersonResource", "FormerPersonResource", "FormerPersonPage"} <= document["components"]["schemas"].keys()
    found = [operation["operationId"] for _, _, operation in operations_of(document)]
    assert len(found) == len(set(found)) == 2 * len(PLAIN_FAMILIES) + 1


def test_errors_have_a_status_and_a_unique_code() -> None:
    """Clients branch on codes, so a code must name one error."""
    codes = [kind.code for kind in STATUSES]
    assert len(codes) == len(set(codes))
    raised = {kind for kind in _descendants(AutoCRUDError) if kind.__module__ == "autocrud.errors"}
    without_status = {kind.__name__ for kind in raised - STATUSES.keys()}
    assert without_status == {"ConfigurationError", "DataCorrupted", "TransactionClosed"}


def test_texts_rendered_as_markdown_have_no_code_block(document: dict[str, Any]) -> None:
    """Swagger UI renders texts as Markdown, in which a paragraph with an indent becomes a code block."""
    for where, text in texts(document):
        tokens = MarkdownIt().parse(text)
        assert not [token for token in tokens if token.type == "code_block"], (where, text)


def test_texts_have_no_docstring_sections(document: dict[str, Any]) -> None:
    """Sections such as `Args:` are for Python callers."""
    for where, text in texts(document):
        assert not re.search(r"^\s*(Args|Attributes|Raises|Returns|Yields):", text, re.MULTILINE), (where, text)


def test_summaries_begin_with_a_verb(document: dict[str, Any]) -> None:
    """The verb is an imperative with a capital, as in "List movies"."""
    summaries = {operation["summary"] for _, _, operation in operations_of(document)}
    assert not {summary for summary in summaries if summary.split()[0] not in VERBS}


def test_model_docstring_with_sections_is_cut_and_dedented() -> None:
    """Both the schema and the tag of a model take the docstring; the tag takes the first paragraph only."""

    class Theatre(BaseModel):
        """A building with a stage,
        and with seats.

        Opened to the public.

        Attributes:
            seats: number of seats.
        """

        seats: int

    crud = AutoCRUD(storage_factory=MemoryStorageFactory())
    crud.add_model(Theatre)
    app = FastAPI()
    crud.apply(app)
    document = app.openapi()
    first = "A building with a stage,\nand with seats."
    assert document["components"]["schemas"]["Theatre"]["description"] == f"{first}\n\nOpened to the public."
    assert [tag["description"] for tag in document["tags"]] == [first]


def test_shipped_document_is_small(app: FastAPI) -> None:
    """Swagger UI and client generators take longer with each parameter and each kilobyte."""
    document = app.openapi()
    for path, method, _ in operations_of(document):
        assert len(parameters_of(document, path, method)) <= 25, (path, method)
    assert len(json.dumps(document, separators=(",", ":"))) <= 60_000 * 3


def test_parameters_refer_to_enums(document: dict[str, Any]) -> None:
    """Client generators make one class for each inline enum of each route."""
    for path, method, _ in operations_of(document):
        for name, parameter in parameters_of(document, path, method).items():
            schema = parameter["schema"]
            assert len(schema.get("enum", ())) <= 1, (path, method, name)
            assert "enum" not in schema.get("items", {}), (path, method, name)
    assert document["components"]["schemas"]["WriteMode"]["enum"] == ["update", "modify"]


def test_default_answer_requires_all_parts(app: FastAPI) -> None:
    """`returns` and `fields` are described by variants, whose members are optional."""
    document = app.openapi()
    schemas = document["components"]["schemas"]
    answer = resolve(document, document["paths"]["/movie/{resource_id}"]["get"]["responses"]["200"])
    assert answer["content"]["application/json"]["schema"]["anyOf"] == [
        {"$ref": "#/components/schemas/MovieResource"},
        {"$ref": "#/components/schemas/PartialMovieResource"},
        {"$ref": "#/components/schemas/RawEnvelope"},
    ]
    assert schemas["MovieResource"]["required"] == ["data", "meta", "revision_info"]
    assert "required" not in schemas["PartialMovieResource"]
    assert schemas["PartialMovieResource"]["properties"]["data"] == {"$ref": "#/components/schemas/PartialMovie"}
    assert "required" not in schemas["PartialMovie"]
    assert schemas["MoviePage"]["properties"]["items"]["items"] == {"$ref": "#/components/schemas/MovieResource"}
    assert schemas["MoviePage"]["required"] == ["items", "next_cursor"]


def test_times_of_the_metadata_have_a_format(app: FastAPI) -> None:
    """Clients turn them into their own type of time."""
    schemas = app.openapi()["components"]["schemas"]
    for name, members in (("ResourceMeta", ("created_time", "updated_time")), ("RevisionInfo", ("created_time",))):
        for member in members:
            assert schemas[name]["properties"][member] == {"type": "string", "format": "date-time"}


def test_merge_patch_has_a_schema_with_optional_members(app: FastAPI) -> None:
    """A patch names the members that it changes; a member is nullable if the field is."""
    document = app.openapi()
    content = document["paths"]["/person/{resource_id}"]["patch"]["requestBody"]["content"]
    assert content["application/merge-patch+json"]["schema"] == {"$ref": "#/components/schemas/PersonPatch"}
    patch = document["components"]["schemas"]["PersonPatch"]
    assert "required" not in patch
    assert patch["properties"]["name"]["type"] == "string"
    assert {"type": "null"} in patch["properties"]["email"]["anyOf"]
    assert "default" not in patch["properties"]["email"]


def test_bulk_body_is_a_union_of_operations(app: FastAPI) -> None:
    """`op` tells the operations apart; each has its own members."""
    document = app.openapi()
    schemas = document["components"]["schemas"]
    union = schemas["PersonBulkOperation"]
    assert union["discriminator"]["propertyName"] == "op"
    assert union["discriminator"]["mapping"].keys() == {"create", "update", "patch", "delete", "restore"}
    create = schemas["PersonBulkCreate"]
    assert create["required"] == ["op", "data"]
    assert create["properties"]["op"]["const"] == "create"
    assert schemas["PersonBulkPatch"]["properties"]["merge"] == {"$ref": "#/components/schemas/PersonPatch"}
    body = document["paths"]["/person/bulk"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body["anyOf"][0] == {"$ref": "#/components/schemas/PersonBulkRequest"}


def test_models_named_like_shared_components_keep_their_schemas() -> None:
    """Components of the library give way to models of the application."""

    class Problem(BaseModel):
        rating: int

    class FilterText(BaseModel):
        words: Annotated[str, Index()]

    crud = AutoCRUD(storage_factory=MemoryStorageFactory())
    crud.add_model(Problem)
    crud.add_model(FilterText)
    app = FastAPI()
    crud.apply(app)
    document = app.openapi()
    schemas = document["components"]["schemas"]
    body = document["paths"]["/problem"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert resolve(document, body)["properties"].keys() == {"rating"}
    assert schemas["FilterText"]["properties"].keys() == {"words"}
    failure = resolve(document, document["paths"]["/problem"]["get"]["responses"]["400"])
    problem = resolve(document, failure["content"]["application/problem+json"]["schema"])
    assert "code" in problem["properties"]
    assert resolve(document, schemas["FilterTextFilter"]["properties"]["words__ne"])["type"] == "string"


async def test_document_of_an_application_with_its_own_openapi_method_is_complete(app: FastAPI) -> None:
    """FastAPI documents this way to extend a document; every reference must have its component."""

    def openapi() -> dict[str, Any]:
        return get_openapi(title="Cinema", version="1", routes=app.routes)

    app.openapi = openapi  # type: ignore[method-assign]  # the documented way
    async with serving(app) as http:
        first, second = [(await http.get("/openapi.json")).json() for _ in range(2)]
    assert first == second
    assert first["info"]["title"] == "Cinema"
    assert "MoviePatch" in first["components"]["schemas"]
    for reference in set(re.findall(r'"\$ref": "([^"]+)"', json.dumps(first))):
        assert resolve(first, {"$ref": reference})


def texts(node: Any, where: str = "") -> Iterator[tuple[str, str]]:
    """Yield each `summary` and `description` of an OpenAPI document, with its path in the document."""
    members = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for name, value in members:
        if name in ("summary", "description") and isinstance(value, str):
            yield f"{where}/{name}", value
        yield from texts(value, f"{where}/{name}")


def _descendants(kind: type[Any]) -> set[type[Any]]:
    """Return all direct and indirect subclasses."""
    return {kind for child in kind.__subclasses__() for kind in {child, *_descendants(child)}}
