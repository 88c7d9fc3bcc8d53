"""Architecture rules that a machine can check: import order, sizes, names, and the language of docstrings."""

import ast
import importlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import yaml

from tests.servers import ROOT

# A module may import its own row and the rows before it.
LAYERS = (
    "autocrud.errors",
    "autocrud.resource",
    "autocrud.schema",
    "autocrud.query",
    "autocrud.storage",
    "autocrud.versioning",
    "autocrud.references",
    "autocrud.manager",
    "autocrud.routes",
    "autocrud.pages",
    "autocrud.registration",
    "autocrud.crud",
    "autocrud",
    "autocrud.service",
    "autocrud.__main__",
    "autocrud.migrate",
    "autocrud.verify",
    "app",
)
# Inside storage, the modules of one row may import each other.
STORAGE_LAYERS = (
    ("autocrud.storage.ports",),
    ("autocrud.storage.row_view", "autocrud.storage.point_in_time"),
    ("autocrud.storage.objects",),
    (
        "autocrud.storage.blobs",
        "autocrud.storage.commit_log",
        "autocrud.storage.identity",
        "autocrud.storage.index_backfill",
        "autocrud.storage.model_folder",
        "autocrud.storage.decision",
        "autocrud.storage.store",
    ),
    ("autocrud.storage.metadata.sql", "autocrud.storage.metadata.scan"),
    (
        "autocrud.storage.metadata.memory",
        "autocrud.storage.metadata.sqlite",
        "autocrud.storage.metadata.postgres",
        "autocrud.storage.metadata.ordered_map",
    ),
    ("autocrud.storage.model_storage", "autocrud.storage.store_factory"),
    (
        "autocrud.storage.memory",
        "autocrud.storage.disk",
        "autocrud.storage.s3",
        "autocrud.storage.postgres",
        "autocrud.storage.ordered_map",
    ),
    ("autocrud.storage.check_chain",),
)
ENGINES = ("memory", "sqlite", "postgres", "ordered_map")
BACKENDS = ("memory", "disk", "s3", "postgres", "ordered_map")
# Each driver, and the only modules that may import it.
DRIVERS: dict[str, str | tuple[str, ...]] = {
    "sqlite3": "autocrud.storage.metadata.sqlite",
    "aiosqlite": "autocrud.storage.metadata.sqlite",
    "aiofiles": (
        "autocrud.storage.metadata.sqlite",
        "autocrud.storage.objects.local",
        "autocrud.storage.ports.objects",
        "autocrud.routes.response.spool",
    ),
    "asyncpg": "autocrud.storage.metadata.postgres",
    "aioboto3": "autocrud.storage.objects.s3",
    "botocore": "autocrud.storage.objects.s3",
    "aiohttp": "autocrud.storage.objects.s3",
    "jinja2": "autocrud.pages",
}
# Import paths that users write. They never change.
PUBLIC = {
    "autocrud": (
        "AutoCRUD", "Binary", "Index", "OnDelete", "OnDuplicate", "QB", "Ref", "Resource", "ResourceManager",
        "ResourceMeta", "ResourcePage", "Retention", "RevisionInfo", "RevisionPage", "RevisionStatus", "Schema",
        "Unique",
    ),
    "autocrud.migrations": ("convert", "fill", "merge", "move", "remove", "rename", "split"),
    "autocrud.errors": ("AutoCRUDError", "ConfigurationError", "Conflict", "InvalidInput", "NotFound", "BlobNotFound"),
    "autocrud.routes": ("FAMILIES",),
    "autocrud.storage.memory": ("MemoryStorageFactory",),
    "autocrud.storage.disk": ("DiskStorageFactory",),
    "autocrud.storage.s3": ("S3StorageFactory",),
    "autocrud.storage.postgres": ("PostgresStorageFactory",),
    "autocrud.storage.ordered_map": ("ABSENT", "Item", "MapConflict", "OrderedMap", "OrderedMapStorageFactory"),
    "autocrud.storage.ports": (
        "BlobStore", "Claim", "IStorage", "IStorageFactory", "MetaStore", "ObjectStore", "Position",
        "StoreChange", "StoreEngine", "StoredReference", "Transaction", "VersionCheck",
    ),
    "autocrud.testing.conformance": ("StorageConformance", "StoreConformance"),
    "autocrud.testing.servers": ("PostgresServer", "SeaweedServer"),
}  # fmt: skip
MAX_FILE, MAX_FUNCTION, MAX_MODULES = 325, 45, 18
MAX_OPENINGS, MAX_SHARE = 2.0, 5.0  # percent of docstrings, and of their words
SOURCES = sorted([*(ROOT / "autocrud").rglob("*.py"), *(ROOT / "app").rglob("*.py")])
PYTHON = sorted(
    path
    for name in ("autocrud", "app", "tests", "benchmarks", "examples", "tools")
    for path in (ROOT / name).rglob("*.py")
)
# Words that stand for a noun without naming it (docs/glossary.md has the nouns).
PRONOUNS = frozenset(
    {
        "what", "whatever", "who", "whoever", "which", "where", "whether", "how",
        "that", "those", "these", "it", "they", "one", "others",
    }
)  # fmt: skip
# Identifiers that do not say what they identify: participles, adverbs, pronouns, and words that the glossary replaced.
REFUSED_NAMES = frozenset(
    {
        "again", "apart", "asked", "behind", "beside", "both", "edge", "forth", "given", "gone", "held", "here", "kept",
        "known", "late", "left", "lost", "meant", "misfit", "more", "moved", "named", "once", "one", "others",
        "outdated", "own", "peer", "picture", "reached", "said", "says", "seen", "settle", "several", "shown", "some",
        "sparse", "stands", "still", "taken", "then", "there", "tidy", "together", "told", "under_way", "wanted",
        "whole",
    }
)  # fmt: skip


def module_of(path: Path) -> str:
    """Return the dotted name of a source file."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def layer_of(module: str) -> str:
    """Return the most specific layer of a module."""
    return max((layer for layer in LAYERS if f"{module}.".startswith(f"{layer}.")), key=len)


def storage_row_of(module: str) -> int | None:
    """Return the row of a module inside storage, or None outside it."""
    for row, packages in enumerate(STORAGE_LAYERS):
        if any(f"{module}.".startswith(f"{package}.") for package in packages):
            return row
    return None


def imports_of(path: Path) -> Iterator[str]:
    """Yield the modules that a file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def docstrings_of(paths: Sequence[Path]) -> list[str]:
    """Return all docstrings of these files."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = (node for path in paths for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, documented))
    return [text for node in nodes if (text := ast.get_docstring(node))]


def defined_names(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Yield each name that a tree defines, with its line: functions, classes, arguments, variables, attributes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name, node.lineno
        elif isinstance(node, ast.arg):
            yield node.arg, node.lineno
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id, node.lineno
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr, node.lineno


@pytest.mark.parametrize("path", SOURCES, ids=module_of)
def test_imports_of_a_module_never_run_upward(path: Path) -> None:
    """A module imports no layer above its own, and nothing outside autocrud.testing imports autocrud.testing."""
    module = module_of(path)
    if module.startswith("autocrud.testing"):
        return
    for imported in imports_of(path):
        if not imported.startswith(("autocrud", "app")):
            continue
        assert not imported.startswith("autocrud.testing")
        assert LAYERS.index(layer_of(imported)) <= LAYERS.index(layer_of(module)), imported
        row, imported_row = storage_row_of(module), storage_row_of(imported)
        if row is not None and imported_row is not None:
            assert imported_row <= row, imported


@pytest.mark.parametrize("path", SOURCES, ids=module_of)
def test_libraries_are_imported_only_in_their_layer(path: Path) -> None:
    """FastAPI serves HTTP only, a driver serves its backend only, and backends do not import each other."""
    module = module_of(path)
    found = {name.partition(".")[0] for name in imports_of(path)}
    if layer_of(module) not in {"autocrud.routes", "autocrud.pages", "autocrud.crud", "autocrud.service", "app"}:
        assert not found & {"fastapi", "starlette"}
    for driver, home in DRIVERS.items():
        assert driver not in found or module.startswith(home)
    for backend in BACKENDS:
        others = {f"autocrud.storage.{other}" for other in BACKENDS if other != backend}
        if module == f"autocrud.storage.{backend}":
            assert not others & set(imports_of(path))
    for engine in ENGINES:
        others = {f"autocrud.storage.metadata.{other}" for other in ENGINES if other != engine}
        if module.startswith(f"autocrud.storage.metadata.{engine}"):
            assert not [name for name in imports_of(path) if name.startswith(tuple(others))]


@pytest.mark.parametrize("path", SOURCES, ids=module_of)
def test_files_and_functions_stay_short(path: Path) -> None:
    """A file holds one idea, and a function fits on a screen. The shipped suite is a list and may be longer."""
    text = path.read_text()
    if not module_of(path).startswith("autocrud.testing"):
        assert len(text.splitlines()) <= MAX_FILE
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < MAX_FUNCTION, node.name


def test_folders_hold_few_modules() -> None:
    """A reader finds a module in a folder by its name."""
    for folder in {path.parent for path in SOURCES}:
        modules = [path.name for path in folder.glob("*.py") if path.name != "__init__.py"]
        assert len(modules) <= MAX_MODULES, (folder, len(modules))


def test_package_root_holds_few_files() -> None:
    """Everything else has a folder per subject. Users import `migrations`, and run `migrate` and `verify`."""
    names = {path.name for path in (ROOT / "autocrud").glob("*.py")}
    modules = {"__init__.py", "__main__.py", "crud.py", "migrate.py", "migrations.py", "resource.py", "verify.py"}
    assert names == modules


@pytest.mark.parametrize("module", PUBLIC)
def test_public_import_paths_stay(module: str) -> None:
    """Users import these names from these modules."""
    found = importlib.import_module(module)
    assert not [name for name in PUBLIC[module] if not hasattr(found, name)]


@pytest.mark.parametrize("path", SOURCES, ids=module_of)
def test_public_names_have_docstrings(path: Path) -> None:
    """Modules, public classes and public functions have docstrings. A method of a port is documented on the port."""
    tree = ast.parse(path.read_text())
    if tree.body:
        assert ast.get_docstring(tree), "the module"
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.name[0] != "_":
            assert ast.get_docstring(node), node.name


@pytest.mark.parametrize("path", SOURCES, ids=module_of)
def test_identifiers_name_their_subject(path: Path) -> None:
    """No identifier is one of the refused words, with or without leading underscores."""
    refused = [
        f"line {line}: {name}"
        for name, line in defined_names(ast.parse(path.read_text()))
        if name.strip("_").lower() in REFUSED_NAMES
    ]
    assert not refused


@pytest.mark.parametrize("is_storage", [pytest.param(False, id="outside storage"), pytest.param(True, id="storage")])
def test_docstrings_name_their_subject(is_storage: bool) -> None:
    """Few docstrings open with a pronoun, and few of their words are pronouns."""
    storage = ROOT / "autocrud" / "storage"
    texts = docstrings_of([path for path in PYTHON if path.is_relative_to(storage) is is_storage])
    words = [word.lower() for text in texts for word in re.findall(r"[A-Za-z']+", text)]
    openings = [text for text in texts if re.sub(r"\W", "", text.split()[0]).lower() in PRONOUNS]
    assert 100 * len(openings) / len(texts) <= MAX_OPENINGS, openings
    assert 100 * sum(word in PRONOUNS for word in words) / len(words) <= MAX_SHARE


def test_tests_neither_skip_nor_sleep() -> None:
    """A skipped test tests nothing, and a test that sleeps tests the clock."""
    forbidden = ("skip(", "skipif", "xfail", "importorskip", "time.sleep")
    for path in (ROOT / "tests").rglob("*.py"):
        if path.name != Path(__file__).name:
            assert not [word for word in forbidden if word in path.read_text()], path


def test_compose_file_sets_known_settings() -> None:
    """Its variables are settings of the service, and its volumes are the data folders of the image."""
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


def test_constraints_pin_versions_without_addresses() -> None:
    """Each line is `name==version`, without an address."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert lines
    for line in lines:
        name, separator, version = line.partition("==")
        assert name
        assert separator
        assert version[0].isdigit()


def test_glossary_and_decisions_are_complete() -> None:
    """docs/glossary.md defines terms in one sentence each, and docs/adr/README.md lists every decision."""
    rows = re.findall(r"(?m)^\| ([a-z][^|]*) \| ([^|]+) \|$", (ROOT / "docs" / "glossary.md").read_text())
    terms = [term for term, _ in rows if term != "term"]
    assert len(terms) == len(set(terms)) > 50
    index = (ROOT / "docs" / "adr" / "README.md").read_text()
    decisions = sorted(path.name for path in (ROOT / "docs" / "adr").glob("[0-9]*.md"))
    assert re.findall(r"\(([0-9]{4}[^)]*\.md)\)", index) == decisions
