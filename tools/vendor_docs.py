"""Command `python -m tools.vendor_docs`: fetch Swagger UI and ReDoc from npm at pinned versions.

The files go to `autocrud/pages/static/`, with their licences, the versions and a file of SHA-256 hashes. The command
needs npm. To take a newer version, change `PACKAGES` and run the command again.
"""

import hashlib
import json
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

STATIC = Path(__file__).parent.parent / "autocrud" / "pages" / "static"
HASHES, VERSIONS = STATIC / "SHA256SUMS", STATIC / "versions.json"
# Version and files of each package.
PACKAGES: Mapping[str, tuple[str, Sequence[str]]] = {
    "swagger-ui-dist": (
        "5.35.0",
        (
            "LICENSE", "NOTICE", "swagger-ui-bundle.js", "swagger-ui-bundle.js.LICENSE.txt", "swagger-ui.css",
            "oauth2-redirect.html", "oauth2-redirect.js",
        ),
    ),
    "redoc": ("2.5.4", ("LICENSE", "bundles/redoc.standalone.js", "bundles/redoc.standalone.js.LICENSE.txt")),
}  # fmt: skip
# ReDoc loads a logo from this address. The pages load nothing from another host.
_FOREIGN_IMAGE, _EMPTY_IMAGE = b"https://cdn.redoc.ly/redoc/logo-mini.svg", b"data:,"


def main() -> None:
    """Fetch all packages, and write versions and hashes."""
    for name, (version, files) in PACKAGES.items():
        fetch_package(name, version, files)
    VERSIONS.write_text(json.dumps({name: version for name, (version, _) in PACKAGES.items()}, indent=2) + "\n")
    HASHES.write_text("".join(f"{digest}  {name}\n" for name, digest in sorted(hash_files().items())))


def fetch_package(name: str, version: str, files: Sequence[str]) -> None:
    """Fetch these files of a package. npm checks the package against the registry's hash."""
    target = STATIC / name
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        command = ["npm", "pack", f"{name}@{version}", "--silent", "--pack-destination", folder]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        (archive,) = Path(folder).glob("*.tgz")
        with tarfile.open(archive) as package:
            for file in files:
                member = package.extractfile(f"package/{file}")
                if member is None:
                    raise FileNotFoundError(f"{name} {version} has no {file}")
                content = member.read().replace(_FOREIGN_IMAGE, _EMPTY_IMAGE)
                (target / Path(file).name).write_bytes(content)


def hash_files() -> dict[str, str]:
    """Return the SHA-256 of each fetched file by its path in the folder."""
    paths = [path for name in PACKAGES for path in (STATIC / name).iterdir()]
    return {path.relative_to(STATIC).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


if __name__ == "__main__":
    main()
