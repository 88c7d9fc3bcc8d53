"""Files of the pages: versions, hashes and licences of Swagger UI and ReDoc, and their way into the wheel."""

import json
import re
import subprocess
import sys
import tomllib

from tests.servers import ROOT
from tools.vendor_docs import HASHES, PACKAGES, STATIC, VERSIONS, hash_files


def test_files_have_their_hashes() -> None:
    """Each file, and no other."""
    lines = [line.split("  ") for line in HASHES.read_text().splitlines()]
    assert {name: digest for digest, name in lines} == hash_files()


def test_versions_are_pinned() -> None:
    """The programs carry the same versions."""
    versions = json.loads(VERSIONS.read_text())
    assert versions == {name: version for name, (version, _) in PACKAGES.items()}
    bundle = (STATIC / "swagger-ui-dist" / "swagger-ui-bundle.js").read_text()
    assert f'"{versions["swagger-ui-dist"]}"' in bundle
    assert versions["redoc"] in (STATIC / "redoc" / "redoc.standalone.js").read_text()


def test_licences_are_part_of_the_package() -> None:
    """Apache-2.0 and MIT ask for it."""
    assert "Apache License" in (STATIC / "swagger-ui-dist" / "LICENSE").read_text()
    assert "MIT" in (STATIC / "redoc" / "LICENSE").read_text()


def test_style_sheets_load_nothing() -> None:
    """All images are in the file."""
    for path in STATIC.rglob("*.css"):
        addresses = re.findall(r"url\(\s*[\"']?([^)\"']+)", path.read_text())
        assert all(address.startswith("data:") for address in addresses), path
        assert "@import" not in path.read_text()
    assert "cdn.redoc.ly" not in (STATIC / "redoc" / "redoc.standalone.js").read_text()


def test_wheel_has_every_file() -> None:
    """The patterns of the package data match all files that are not Python."""
    package = ROOT / "autocrud"
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["autocrud"]
    matched = {path for pattern in patterns for path in package.glob(pattern) if path.is_file()}
    pages = package / "pages"
    files = {path for path in pages.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")}
    assert files
    assert files <= matched


def test_import_of_the_package_does_not_import_jinja() -> None:
    """The first page does."""
    code = "import sys, autocrud, autocrud.pages; sys.exit('jinja2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
