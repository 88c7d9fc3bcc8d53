"""Client generated from the OpenAPI document, driving the service."""

import copy
import importlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

OCTETS = "application/octet-stream"
OPERATIONS, MERGE = "application/json-patch+json", "application/merge-patch+json"


class Client:
    """The generated package, by operation and model names."""

    def __init__(self, package: str, http: httpx.Client) -> None:
        self._package = package
        self._client = importlib.import_module(f"{package}.client").Client(base_url=str(http.base_url))
        self._client.set_httpx_client(http)

    def answer(self, operation: str, *path: Any, status: int = 200, **arguments: Any) -> Any:
        """Return the operation's answer with its headers."""
        module = importlib.import_module(f"{self._package}.api.document.{operation}_document")
        answer = module.sync_detailed(*path, client=self._client, **arguments)
        assert answer.status_code == status, answer.content
        return answer

    def call(self, operation: str, *path: Any, status: int = 200, **arguments: Any) -> Any:
        """Return the parsed body of the operation's answer."""
        return self.answer(operation, *path, status=status, **arguments).parsed

    def model(self, module: str, name: str) -> Any:
        """Return a class of the generated models."""
        return getattr(importlib.import_module(f"{self._package}.models.{module}"), name)

    def file(self, content: bytes, **names: str) -> Any:
        """Return bytes as the client takes them."""
        return importlib.import_module(f"{self._package}.types").File(io.BytesIO(content), **names)


Generate = Callable[[str], Client]


@pytest.fixture
def http(base: str) -> Iterator[httpx.Client]:
    """Yield connections to the service."""
    with httpx.Client(base_url=base, timeout=60) as client:
        yield client


class Packages:
    """Generated packages, one for each document: services that serve the same document share a client."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._names: dict[str, str] = {}

    def name_of(self, document: dict[str, Any]) -> str:
        """Return the name of the package of a document. Generate it for the first user."""
        text = json.dumps(document)
        if text not in self._names:
            self._names[text] = self._generate(text, f"generated_{len(self._names)}")
        return self._names[text]

    def _generate(self, document: str, package: str) -> str:
        path, config = self._folder / f"{package}.json", self._folder / "config.json"
        path.write_text(document)
        # Lines are read and written by the caller; the generator knows no such type.
        config.write_text(json.dumps({"content_type_overrides": {"application/x-ndjson": OCTETS}}))
        tools = str(Path(sys.executable).parent)  # where the generator finds what formats the code
        done = subprocess.run(
            [
                sys.executable, "-m", "openapi_python_client", "generate", "--path", str(path),
                "--output-path", str(self._folder / package), "--meta", "none", "--fail-on-warning",
                "--config", str(config),
            ],
            env=os.environ | {"PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        importlib.invalidate_caches()
        return package


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Packages]:
    """Yield the packages that were generated so far, in a folder of the import path."""
    folder = tmp_path_factory.mktemp("packages")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield Packages(folder)


@pytest.fixture
def generate(http: httpx.Client, packages: Packages) -> Generate:
    """Return a function that makes a client which patches with one content type.

    With several types the generator makes code that fails in `isinstance(body, list[...])`.
    """
    document = http.get("/openapi.json").json()

    def make(patches: str) -> Client:
        narrowed = copy.deepcopy(document)
        for path in narrowed["paths"].values():
            body = path.get("patch", {}).get("requestBody", {"content": {}})
            if patches in body["content"]:
                body["content"] = {patches: body["content"][patches]}
        return Client(packages.name_of(narrowed), http)

    return make


def test_generated_client_handles_resources_and_revisions(generate: Generate) -> None:
    """Create, list, read, update, patch, and read old revisions."""
    client = generate(MERGE)
    document = client.model("document_input", "DocumentInput")
    merge = client.model("document_patch", "DocumentPatch")
    new = client.answer("create", status=201, body=document(title="Vienna", tags=["draft"]))
    key, tag = new.parsed.meta.resource_id, new.headers["etag"]
    client.call("create", status=201, body=document(title="Paris", language="fr"))

    assert [item.data.title for item in client.call("list").items] == ["Paris", "Vienna"]
    page = client.call("list", limit=1)
    assert [item.data.title for item in client.call("list", limit=1, cursor=page.next_cursor).items] == ["Vienna"]
    assert client.call("count", language="fr").count == 1

    client.call("replace", key, body=document(title="Vienna, again"), if_match=tag)
    client.call("replace", key, status=412, body=document(title="too late"), if_match=tag)
    patched = client.call("patch", key, body=merge.from_dict({"language": "de", "tags": ["late"]}))
    assert (patched.data.title, patched.data.language, patched.data.tags) == ("Vienna, again", "de", ["late"])
    problem = client.call("patch", key, status=422, body=merge.from_dict({"language": "German"}))
    assert [error.field for error in problem.errors] == ["language"]

    revisions = client.call("revisions", key).items
    assert [item.revision_info.revision_id for item in revisions] == [f"{key}:{number}" for number in (3, 2, 1)]
    assert client.call("revision", key, "1").data.title == "Vienna"
    assert client.call("read", key, revision_id="2").data.language == "en"
    difference = [step.to_dict() for step in client.call("diff", key, from_="2", to="3")]
    assert {step["path"].split("/")[1] for step in difference} == {"language", "tags"}
    assert client.call("switch", key, "1").data.title == "Vienna"

    client.call("delete", key, status=204)
    client.call("read", key, status=410)
    assert client.call("restore", key).data.title == "Vienna"


def test_generated_client_sends_json_patches(generate: Generate) -> None:
    """RFC 6902, each operation a class of the client."""
    client = generate(OPERATIONS)
    document = client.model("document_input", "DocumentInput")
    key = client.call("create", status=201, body=document(title="Vienna", tags=["a"])).meta.resource_id

    def step(kind: str, **members: Any) -> Any:
        return client.model(f"json_patch_{kind}", f"JsonPatch{kind.title()}").from_dict({"op": kind, **members})

    steps = [
        step("test", path="/title", value="Vienna"),
        step("add", path="/tags/-", value="b"),
        step("copy", path="/tags/-", **{"from": "/title"}),
        step("move", path="/title", **{"from": "/tags/0"}),
        step("replace", path="/language", value="de"),
        step("remove", path="/tags/0"),
    ]
    patched = client.call("patch", key, body=steps).data
    assert (patched.title, patched.language, patched.tags) == ("a", "de", ["Vienna"])
    client.call("patch", key, status=409, body=steps[:1])


def test_generated_client_handles_blobs(generate: Generate) -> None:
    """Upload as a body, a form and in parts; refer to blobs and read them back."""
    client = generate(MERGE)
    document = client.model("document_input", "DocumentInput")
    binary = client.model("binary_input", "BinaryInput")
    form = client.model("upload_blob_document_files_body", "UploadBlobDocumentFilesBody")
    raw = client.call("upload_blob", status=201, body=client.file(b"raw bytes"), filename="raw.bin")
    named = client.file(b"of a form", file_name="form.txt", mime_type="text/plain")
    formed = client.call("upload_blob", status=201, body=form(file=named))
    assert (raw.size, raw.filename, formed.content_type, formed.filename) == (9, "raw.bin", "text/plain", "form.txt")

    upload = client.call("begin_upload", status=201, body=client.model("new_upload", "NewUpload")(size=11))
    client.call("upload_part", upload.upload_id, 1, status=204, body=client.file(b"hello world"))
    assert client.call("read_upload", upload.upload_id).parts == [1]
    parts = client.call("finish_upload", upload.upload_id)

    references = [binary(file_id=blob.file_id, filename=blob.filename) for blob in (raw, formed, parts)]
    references.append(binary(data="aW5saW5l"))
    made = client.call("create", status=201, body=document(title="With bytes", attachments=references))
    found = [
        client.call("read_blob", made.meta.resource_id, attachment.file_id).payload.read()
        for attachment in made.data.attachments
    ]
    assert found == [b"raw bytes", b"of a form", b"hello world", b"inline"]
    part = client.call("read_blob", made.meta.resource_id, raw.file_id, status=206, range_="bytes=0-2")
    assert part.payload.read() == b"raw"
