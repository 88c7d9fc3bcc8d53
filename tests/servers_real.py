"""The real servers of a test run, started when the first test asks for them, gone at the end however it ends."""

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

from autocrud.testing.servers import PostgresServer, SeaweedServer, free_port


@cache
def seaweed() -> SeaweedServer:
    """The S3 server of this run."""
    server = SeaweedServer(_folder() / "s3", free_port())
    atexit.register(server.kill)
    server.start()
    return server


@cache
def postgres() -> PostgresServer:
    """The PostgreSQL server of this run."""
    server = PostgresServer(_folder() / "postgres", free_port(), durable=False)
    atexit.register(server.kill)
    server.start()
    return server


def folder(name: str) -> Path:
    """A folder for a server of a test's own, which goes with the others."""
    return _folder() / name


@cache
def _folder() -> Path:
    # Not in pytest's own folder, which PostgreSQL, being another user where the tests are root's, could not enter.
    folder = Path(tempfile.mkdtemp(prefix="autocrud-servers-"))
    folder.chmod(0o755)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
