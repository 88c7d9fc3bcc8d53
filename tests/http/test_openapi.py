"""The OpenAPI document: what a generated client is made from."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from app import models
from autocrud import AutoCRUD
from autocrud.errors import AutoCRUDError
from autocrud.routes.response.problems import STATUSES
from autocrud.routes.route_table import FAMILIES
from autocrud.storage.memory import MemoryStorageFactory
from tests.http.conftest import serving

# Those that a model with binary fields has to which nothing refers, and those that any model has.
SOME = FAMILIES - {"referrers"}
PLAIN = {family for family in SOME if "blob" not in family and "upload" not in family}


@pytest.fixture
def app() -> FastAPI:
    """The models that the service ships with."""
    crud = AutoCRUD(storage_factory=MemoryStorageFactory())
    models.register(crud)
    app = FastAPI()
    crud.apply(app)
    return app


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Path, method and operation."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def test_operation_ids_are_stable_and_tags_are_models(app: FastAPI) -> None:
    """`family_model`, one tag each, with the model's own text."""
    document = app.openapi()
    found = {operation["operationId"] for _, _, operation in operations(document)}
    plain = {f"{family}_{model}" for family in PLAIN for model in ("movie", "person")}
    assert found == plain | {f"{family}_document" for family in SOME} | {"referrers_person"}
    assert {tuple(operation["tags"]) for _, _, operation in operations(document)} == {
        ("Movie",),
        ("Person",),
        ("Document",),
    }
    described = {tag["name"]: tag["description"] for tag in document["tags"]}
    assert described["Person"] == "A person who makes films."


def test_every_operation_is_explained(app: FastAPI) -> None:
    """A summary, a description, examples of what goes in and what comes out, headers and problems."""
    document = app.openapi()
    for path, method, operation in operations(document):
        assert operation["summary"], path
        assert operation["description"], path
        successes = {status: value for status, value in operation["responses"].items() if status.startswith("2")}
        assert successes, path
        for status, success in successes.items():
            for content in success["content"].values() if status != "204" else ():
                assert content["schema"], path
                assert content["example"], path
        has_body = method in {"post", "put", "patch"} and "{" not in path and not path.endswith("/restore")
        assert has_body <= ("requestBody" in operation), path
        for content in operation.get("requestBody", {"content": {}})["content"].values():
            assert content["schema"], path
        problems = [value for status, value in operation["responses"].items() if status[0] in "45d"]
        assert len(problems) >= 2, path
        assert {json.dumps(value["content"]) for value in problems} == {
            '{"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}'
        }
        for parameter in operation.get("parameters", []):
            name = parameter.get("$ref", "").rpartition("/")[2]
            described = document["components"]["parameters"][name] if name else parameter
            assert described["description"], (path, method, parameter)


def test_every_reference_leads_somewhere(app: FastAPI) -> None:
    """The document is whole."""
    document = app.openapi()
    text = json.dumps(document)
    references = {part.split('"')[0] for part in text.split('"$ref": "#/components/schemas/')[1:]}
    assert references <= document["components"]["schemas"].keys()
    assert "Problem" in references


async def test_the_examples_can_be_sent(app: FastAPI) -> None:
    """What Swagger UI offers is accepted as it is."""
    document = app.openapi()
    async with serving(app) as http:
        for model in ("Movie", "Person", "Document"):
            body = document["paths"][f"/{model.lower()}"]["post"]["requestBody"]
            schema = body["content"]["application/json"]["schema"]
            assert schema["$ref"].startswith(f"#/components/schemas/{model}")
            response = await http.post(f"/{model.lower()}", json=schema["examples"][0])
            assert response.status_code == 201, response.text


async def test_answers_are_what_the_document_says(app: FastAPI) -> None:
    """Status, headers and the shape of the body, for one walk through the families."""
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
        told = document["paths"][path][method]["responses"][status]
        assert str(response.status_code) == status
        for name in told.get("headers", {}):
            assert name in response.headers or name == "Link"
        if status != "204":
            reference = told["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
            schema, found = document["components"]["schemas"][reference], response.json().keys()
            assert found <= schema["properties"].keys()
            assert found >= schema["properties"].keys() - {"total"}


def test_models_of_one_class_name_are_told_apart() -> None:
    """By the names that they were given: in tags, schemas and operation ids."""
    crud = AutoCRUD(storage_factory=MemoryStorageFactory())
    crud.add_model(models.Person)
    crud.add_model(models.Person, name="former-person")
    app = FastAPI()
    crud.apply(app)
    document = app.openapi()
    assert {tag["name"] for tag in document["tags"]} == {"Person", "FormerPerson"}
    assert {"PersonResource", "FormerPersonResource", "FormerPersonPage"} <= document["components"]["schemas"].keys()
    found = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(found) == len(set(found)) == 2 * len(PLAIN)


def test_every_error_has_its_status_and_its_own_code() -> None:
    """Codes are what clients branch on."""
    codes = [kind.code for kind in STATUSES]
    assert len(codes) == len(set(codes))
    raised = {kind for kind in _descendants(AutoCRUDError) if kind.__module__ == "autocrud.errors"}
    silent = {kind.__name__ for kind in raised - STATUSES.keys()}
    assert silent == {"ConfigurationError", "DataCorrupted", "InvalidInput"}


def _descendants(kind: type[Any]) -> set[type[Any]]:
    return {kind for child in kind.__subclasses__() for kind in {child, *_descendants(child)}}
