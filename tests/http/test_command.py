"""The command `autocrud`: options, files with models, lines at the start, and errors of one sentence."""

import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from pydantic import BaseModel

from autocrud import AutoCRUD
from autocrud.service.announcement import mask_url
from autocrud.storage.disk import DiskStorageFactory
from tests.servers import ROOT, answering, environment

MODELS = """
from pydantic import BaseModel

class Base(BaseModel):
    note: str = ""

class Address(BaseModel):
    city: str

class Person(Base):
    name: str
    address: Address | None = None
"""


class Tune(BaseModel):
    title: str


def command(*arguments: str) -> list[str]:
    """Return the command with these arguments."""
    return [sys.executable, "-m", "autocrud", *arguments]


def variables(**settings: object) -> dict[str, str]:
    """Return the environment of the command."""
    return environment(settings) | {"PYTHONPATH": str(ROOT)}


def fail(folder: Path, *arguments: str, **settings: object) -> str:
    """Run a command that must refuse with status 2. Return its only line."""
    done = subprocess.run(
        command(*arguments), cwd=folder, env=variables(**settings), capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    output = done.stdout + done.stderr
    assert (done.returncode, output.count("\n")) == (2, 1), output
    return output.strip()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a file of models."""
    (tmp_path / "models.py").write_text(MODELS)
    return tmp_path


@pytest.mark.parametrize("workers", [1, 2])
async def test_serve_file_has_routes_of_the_models(folder: Path, workers: int) -> None:
    """Base classes and parts have no routes, and the log says so."""
    serve = command("serve", "models.py", "--workers", str(workers), "--data-dir", "store")
    with answering(serve, folder, variables()) as base:
        async with httpx.AsyncClient(base_url=base) as http:
            created = await http.post("/person", json={"name": "Ada", "address": {"city": "London"}})
            assert created.status_code == 201
            assert (await http.get("/address")).json()["code"] == "no_such_route"
            assert (await http.get("/base")).json()["code"] == "no_such_route"
    assert (folder / "store" / "models" / "person").is_dir()
    log = (folder / "service.log").read_text()
    assert log.count("No routes: Base is a base class of Person; Address is a part of Person.") == 1
    assert log.count(f"Serving person on {base}\n") == 1
    assert log.count(f"Documentation: {base}/docs\n") == 1
    assert log.count(f"Storage: disk, in {folder}/store\n") == 1


async def test_start_with_unregistered_data_warns_once(folder: Path) -> None:
    """The check before the server starts repeats no warning of the start."""
    crud = AutoCRUD(storage_factory=DiskStorageFactory(folder / "store"))
    crud.add_model(Tune)
    async with crud.running():
        await crud.manager(Tune).create(Tune(title="Blue"))
    with answering(command("serve", "models.py", "--data-dir", "store"), folder, variables()):
        log = (folder / "service.log").read_text()
    assert log.count("The store has data of models that are not registered: 'tune'") == 1, log


async def test_option_wins_over_the_environment(folder: Path) -> None:
    """The file of the option is served, not the module of the environment."""
    settings = variables(models="no.such.module", storage="floppy")
    with answering(command("serve", "models.py", "--storage", "memory"), folder, settings) as base:
        async with httpx.AsyncClient(base_url=base) as http:
            assert (await http.get("/person/count")).json() == {"count": 0}


async def test_command_without_arguments_has_the_settings_of_the_environment(folder: Path) -> None:
    """The variable may name a file, too."""
    settings = variables(models="./models.py", storage="memory", prefix="/v1", title="People", root_path="/api")
    with answering(command(), folder, settings) as base:
        async with httpx.AsyncClient(base_url=base) as http:
            assert (
                (await http.post("/v1/person", json={"name": "Ada"})).headers["location"].startswith("/api/v1/person/")
            )
            document = (await http.get("/openapi.json")).json()
    assert (document["info"]["title"], document["servers"]) == ("People", [{"url": "/api"}])


async def test_web_page_of_an_allowed_origin_reads_the_headers(folder: Path) -> None:
    """Other origins are not allowed."""
    origins = "https://a.example, http://localhost:5173"
    with answering(command("serve", "models.py"), folder, variables(storage="memory", cors_origins=origins)) as base:
        async with httpx.AsyncClient(base_url=base) as http:
            for origin, allowed in (("https://a.example", "https://a.example"), ("https://b.example", None)):
                preflight = {"Origin": origin, "Access-Control-Request-Method": "PUT"}
                answer = await http.options("/person/x", headers=preflight)
                assert answer.headers.get("access-control-allow-origin") == allowed
                answer = await http.get("/person/x", headers={"Origin": origin})
                assert (answer.status_code, answer.headers.get("access-control-allow-origin")) == (404, allowed)
            exposed = answer.headers["access-control-expose-headers"].split(", ")
            assert {"ETag", "Location", "Link", "Retry-After", "X-Request-ID"} <= set(exposed)


def test_wrong_models_are_one_sentence(folder: Path) -> None:
    """The sentence names the file, and the line of a syntax error."""
    (folder / "bad.py").write_text("import os\nx = = 1\n")
    (folder / "empty.py").touch()
    for file, sentence in (
        ("none.py", f"models: no such file: {folder}/none.py."),
        ("bad.py", "models: bad.py, line 2: invalid syntax."),
        (
            "empty.py",
            f"models: '{folder}/empty.py' has neither register(crud), an AutoCRUD object nor a Pydantic model.",
        ),
        (
            "no.module",
            "models: cannot import 'no.module': No module named 'no'; set it to a module or a file with models.",
        ),
    ):
        assert fail(folder, "serve", file) == sentence


def test_wrong_option_is_named(folder: Path) -> None:
    """The environment variable is named if it is the reason."""
    for arguments, settings, begin in (
        (("--port", "x"), {}, "--port: "),
        (("--storage", "floppy"), {}, "--storage: Input should be"),
        (("--reload", "--workers", "2"), {}, "--workers: must be 1 with --reload."),
        ((), {"prefix": "v1"}, "AUTOCRUD_PREFIX: "),
        ((), {"root_path": "api/"}, "AUTOCRUD_ROOT_PATH: must be a path such as /api"),
        ((), {"cors_origins": "example.com"}, "AUTOCRUD_CORS_ORIGINS: 'example.com' is no origin"),
        (("--storage", "memory", "--workers", "2"), {}, "--workers: must be 1 with memory storage"),
    ):
        assert fail(folder, "serve", "models.py", *arguments, **settings).startswith(begin)


def test_port_in_use_is_one_sentence(folder: Path) -> None:
    """The second service says that it cannot listen."""
    with answering(command("serve", "models.py", "--storage", "memory"), folder, variables()) as base:
        port = base.rpartition(":")[2]
        error = fail(folder, "serve", "models.py", "--storage", "memory", "--port", port)
    assert error == f"--port: cannot listen on 127.0.0.1, port {port}: Address already in use."


@pytest.mark.parametrize(
    ("module", "extra", "settings"),
    [
        (
            "asyncpg",
            "postgres",
            {"storage": "postgres", "postgres_url": "postgresql://a@localhost/b", "s3_bucket": "c"},
        ),
        (
            "aioboto3",
            "postgres",
            {"storage": "postgres", "postgres_url": "postgresql://a@localhost/b", "s3_bucket": "c"},
        ),
        ("aioboto3", "s3", {"storage": "s3", "s3_bucket": "c"}),
        ("zstandard", "s3", {"storage": "s3", "s3_bucket": "c"}),
    ],
)
def test_missing_package_is_named_with_its_extra(
    folder: Path, module: str, extra: str, settings: dict[str, object]
) -> None:
    """In the service and in the library; disk needs none of these packages."""
    sentence = f"The package {module} is missing. Install it: pip install 'autocrud[{extra}]'"
    hide = f"import sys; sys.modules[{module!r}] = None"
    serve = "from autocrud.service.cli import main; main(['serve', 'models.py'])"
    use = f"import autocrud.storage.disk\nimport autocrud.storage.{extra}"
    for code, begin in ((f"{hide}; {serve}", ""), (f"{hide}\n{use}", "autocrud.errors.ConfigurationError: ")):
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=folder, env=variables(**settings), capture_output=True, text=True,
            timeout=60, check=False,
        )  # fmt: skip
        assert done.stderr.splitlines()[-1] == begin + sentence
        assert done.returncode == (1 if begin else 2)


def test_password_of_a_url_is_masked() -> None:
    """Also in the query of a URL of PostgreSQL."""
    for url, masked in (
        ("postgresql://ada:secret@db:5432/app?password=secret", "postgresql://ada:***@db:5432/app"),
        ("postgresql://ada@db/app", "postgresql://ada@db/app"),
        ("http://s3:8333", "http://s3:8333"),
    ):
        assert mask_url(url) == masked
