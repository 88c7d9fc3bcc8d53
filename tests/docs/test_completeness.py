"""Everything that users can name is documented: public names, settings, routes, operators, errors and options."""

import importlib.util
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

import autocrud
from app.models import Document
from autocrud import AutoCRUD, errors
from autocrud.query.operators import OPERATORS
from autocrud.routes import FAMILIES
from autocrud.routes.operation import ModelRoutes
from autocrud.routes.response.problems import STATUSES
from autocrud.routes.route_table import operations
from autocrud.service.settings import Settings
from autocrud.storage.memory import MemoryStorageFactory
from tests.servers import ROOT
from tests.test_architecture import PUBLIC

REFERENCE = ROOT / "docs" / "reference"
_DIRECTIVE = re.compile(r"(?m)^::: ([\w.]+)$")


def _page(name: str) -> str:
    return (REFERENCE / name).read_text()


def _first_cells(page: str) -> list[str]:
    """Return the code in the first cell of each row of a page's tables."""
    rows = re.findall(r"(?m)^\| (`[^|]+) \|", page)
    return [name for row in rows for name in re.findall(r"`([^`]+)`", row)]


def _documented_names() -> set[str]:
    return set(_DIRECTIVE.findall(_page("python.md") + _page("storages.md")))


@pytest.mark.parametrize("name", [f"{module}.{name}" for module, names in PUBLIC.items() for name in names])
def test_public_name_is_in_the_reference(name: str) -> None:
    """By itself, or with its module. The site renders its docstring."""
    assert {name, name.rpartition(".")[0]} & _documented_names()


def test_exported_names_are_in_the_reference() -> None:
    """Those of `autocrud.__all__`."""
    assert {f"autocrud.{name}" for name in autocrud.__all__} <= _documented_names()


def test_documented_names_exist() -> None:
    """A directive names an object or a module."""
    for name in _documented_names() - {"autocrud.errors"}:
        module, _, attribute = name.rpartition(".")
        assert hasattr(importlib.import_module(module), attribute) or importlib.util.find_spec(name), name


@pytest.mark.parametrize("name", Settings.model_fields)
def test_setting_is_documented(name: str) -> None:
    """In the table of settings."""
    assert f"AUTOCRUD_{name.upper()}" in _first_cells(_page("settings.md"))


def test_route_families_are_documented() -> None:
    """The table has every family, and no other."""
    rows = re.findall(r"(?m)^\| `(\w+)` \| `[A-Z]+ /", _page("http.md"))
    assert sorted(rows) == sorted(FAMILIES)


def test_routes_are_documented_with_their_paths() -> None:
    """The method and the path of each operation are in the row of its family."""
    crud = AutoCRUD(storage_factory=MemoryStorageFactory())
    crud.add_model(Document, name="document")
    routes = ModelRoutes(manager=crud.manager(Document), path="/{model}", max_body_bytes=1)
    page = _page("http.md")
    for operation in operations(routes, FAMILIES):
        path = f"/{{model}}{operation.path}".replace("{resource_id}", "{id}")
        assert f"| `{operation.family}` | `{operation.method} {path}` |" in page, operation.family


@pytest.mark.parametrize("name", OPERATORS)
def test_operator_is_documented(name: str) -> None:
    """In the table of the query language."""
    assert name in _first_cells(_page("query-language.md"))


def _error_classes() -> list[Any]:
    return [
        value for _, value in inspect.getmembers(errors, inspect.isclass) if issubclass(value, errors.AutoCRUDError)
    ]


@pytest.mark.parametrize("kind", _error_classes(), ids=lambda kind: kind.__name__)
def test_error_code_is_documented(kind: type[errors.AutoCRUDError]) -> None:
    """With its status and its class."""
    if kind in STATUSES:
        assert f"| `{kind.code}` | {STATUSES[kind][0]} | `{kind.__name__}` |" in _page("errors.md")
    else:
        assert f"| `{kind.__name__}` | `{kind.code}` |" in _page("errors.md")


def test_error_codes_of_the_service_are_documented() -> None:
    """The codes that the source passes to `problem_response` as text."""
    sources = (path.read_text() for path in (ROOT / "autocrud").rglob("*.py"))
    calls = [call for source in sources for call in re.findall(r"problem_response\(([^)]*)\)", source)]
    codes = {code for call in calls for code in re.findall(r'"([a-z]+(?:_[a-z]+)+)"', call)}
    assert "internal_error" in codes
    assert codes <= set(_first_cells(_page("errors.md")))


def _arguments(function: Any) -> list[str]:
    return [name for name in inspect.signature(function).parameters if name not in ("self", "model", "app")]


def _section(page: str, heading: str) -> str:
    """Return the text of a section of a page."""
    return page.partition(f"## {heading}")[2].partition("\n## ")[0]


@pytest.mark.parametrize(
    ("heading", "name"),
    [
        (heading, name)
        for heading, function in (
            ("`AutoCRUD(…)`", AutoCRUD.__init__),
            ("`add_model(Model, …)`", AutoCRUD.add_model),
            ("`apply(app, …)`", AutoCRUD.apply),
        )
        for name in _arguments(function)
    ],
)
def test_option_is_documented(heading: str, name: str) -> None:
    """Arguments of the registry, of a model, and of `apply`."""
    assert name in _first_cells(_section(_page("options.md"), heading))


def test_env_example_names_the_page_of_the_settings() -> None:
    """The file sends readers to a page that exists."""
    page = re.search(r"docs/[\w/-]+\.md", (ROOT / ".env.example").read_text())
    assert page is not None
    assert Path(ROOT / page[0]).exists()


def test_readme_is_short() -> None:
    """A reader sees all of it. The long examples are in the tutorial."""
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


def test_backend_how_to_prints_the_example() -> None:
    """The page shows `examples/dict_backend.py`, which the conformance tests run."""
    page = (ROOT / "docs" / "how-to" / "write-a-backend.md").read_text()
    example = (ROOT / "examples" / "dict_backend.py").read_text()
    assert f'```python title="dict_backend.py"\n{example}```' in page
    assert len(example.splitlines()) <= 100
