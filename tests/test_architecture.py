"""The house rules that a machine can check: which way imports go, and how long things are."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.servers import ROOT

# Each may import those before it, and itself.
LAYERS = (
    "autocrud.errors",
    "autocrud.errors",
    "autocrud.resource",
    "autocrud.schema",
    "autocrud.query",
    "autocrud.storage",
    "autocrud.versioning",
    "autocrud.references",
    "autocrud.manager",
    "autocrud.routes",
    "autocrud.crud",
    "autocrud",
    "app",
)
BACKENDS = ("memory", "disk", "s3", "postgres")
# Each driver, and where it may be imported.
DRIVERS = {
    "sqlite3": "autocrud.storage.metadata.sqlite",
    "asyncpg": "autocrud.storage.metadata.postgres",
    "aioboto3": "autocrud.storage.objects.s3",
    "botocore": "autocrud.storage.objects.s3",
    "aiohttp": "autocrud.storage.objects.s3",
}
SOURCES = sorted([*(ROOT / "autocrud").rglob("*.py"), *(ROOT / "app").rglob("*.py")])
MAX_FILE, MAX_FUNCTION = 325, 45


def module_of(path: Path) -> str:
    """The dotted name of a source file."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def layer_of(module: str) -> str:
    """The most specific layer that a module belongs to."""
    return max((layer for layer in LAYERS if f"{module}.".startswith(f"{layer}.")), key=len)


def imports(path: Path) -> Iterator[str]:
    """The modules that a file imports, with the names that it takes from them."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


@pytest.mark.parametrize("path", SOURCES, ids=module_of)
def test_imports_go_one_way(path: Path) -> None:
    """Nothing imports from a layer above it, and nothing imports what is there for tests."""
    module = module_of(path)
    if module.startswith("autocrud.testing"):
        return
    for imported in imports(path):
        if not imported.startswith(("autocrud", "app")):
            continue
        assert not imported.startswith("autocrud.testing")
        assert LAYERS.index(layer_of(imported)) <= LAYERS.index(layer_of(module)), imported


@pytest.mark.parametrize("path", SOURCES, ids=module_of)
def test_each_library_stays_in_its_layer(path: Path) -> None:
    """FastAPI is for HTTP alone, and a driver for its backend alone; backends know nothing of each other."""
    module = module_of(path)
    found = {name.partition(".")[0] for name in imports(path)}
    if layer_of(module) not in {"autocrud.routes", "autocrud.crud", "app"}:
        assert not found & {"fastapi", "starlette"}
    for driver, home in DRIVERS.items():
        assert driver not in found or module.startswith(home)
    for backend in BACKENDS:
        others = {f"autocrud.storage.{other}" for other in BACKENDS if other != backend}
        if module == f"autocrud.storage.{backend}":
            assert not others & set(imports(path))


@pytest.mark.parametrize("path", SOURCES, ids=module_of)
def test_files_and_functions_stay_short(path: Path) -> None:
    """A file is one idea, and a function fits on a screen; the shipped suite is a list, and may be longer."""
    text = path.read_text()
    if not module_of(path).startswith("autocrud.testing"):
        assert len(text.splitlines()) <= MAX_FILE
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < MAX_FUNCTION, node.name


@pytest.mark.parametrize("path", SOURCES, ids=module_of)
def test_what_is_public_is_explained(path: Path) -> None:
    """Modules, public classes and public functions have docstrings; a method of a port is told on the port."""
    tree = ast.parse(path.read_text())
    if tree.body:
        assert ast.get_docstring(tree), "the module"
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.name[0] != "_":
            assert ast.get_docstring(node), node.name


def test_tests_neither_skip_nor_sleep() -> None:
    """A test that is skipped tests nothing, and one that waits by the clock tests the clock."""
    forbidden = ("skip(", "skipif", "xfail", "importorskip", "time.sleep")
    for path in (ROOT / "tests").rglob("*.py"):
        if path.name != Path(__file__).name:
            assert not [word for word in forbidden if word in path.read_text()], path


def test_the_compose_file_sets_what_the_service_reads() -> None:
    """Its variables are settings, its volume is where the image keeps its data."""
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    settings = (ROOT / ".env.example").read_text()
    dockerfile = (ROOT / "Dockerfile").read_text()
    services = [service for service in compose["services"].values() if service["image"] == "autocrud"]
    assert len(services) == 5
    for service in services:
        for variable in service["environment"]:
            assert variable in settings
        for volume in service.get("volumes", []):
            name, _, target = volume.partition(":")
            assert name in compose["volumes"]
            assert f"AUTOCRUD_CACHE_DIR={target}/" in dockerfile
    assert "USER autocrud" in dockerfile


def test_versions_are_pinned_without_addresses() -> None:
    """`name==version`, and nothing that says from where."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert lines
    for line in lines:
        name, separator, version = line.partition("==")
        assert name
        assert separator
        assert version[0].isdigit()
