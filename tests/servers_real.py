"""Real servers of a test run, started on first use and killed at the end."""

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

from autocrud.testing.servers import PostgresServer, SeaweedServer, free_port


@cache
def seaweed() -> SeaweedServer:
    """Return the S3 server of this run."""
    server = SeaweedServer(_folder() / "s3", free_port())
    atexit.register(server.kill)
    server.start()
    return server


@cache
def postgres() -> PostgresServer:
    """Return the PostgreSQL server of this run."""
    server = PostgresServer(_folder() / "postgres", free_port(), durable=False)
    atexit.register(server.kill)
    server.start()
    return server


def folder(name: str) -> Path:
    """Return a folder for a server of one test, removed with the others."""
    return _folder() / name


@cache
def _folder() -> Path:
    # Not in pytest's own folder, which PostgreSQL, being another user where the tests are root's, could not enter.
    folder = Path(tempfile.mkdtemp(prefix="autocrud-servers-"))
    folder.chmod(0o755)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
