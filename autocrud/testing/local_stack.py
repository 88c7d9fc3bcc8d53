"""Local stack without Docker: PostgreSQL, SeaweedFS and the service, all from wheels.

`python -m autocrud.testing.local_stack` keeps its data under `./data/stack` and runs until Ctrl-C. `AUTOCRUD_`
variables of the environment win over those of the stack.
"""

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

from autocrud.testing.servers import PostgresServer, SeaweedServer, ServerFailed


def settings(storage: str, s3: SeaweedServer, postgres: PostgresServer | None) -> dict[str, str]:
    """Return the environment of the service on these servers."""
    found = {
        "AUTOCRUD_STORAGE": storage,
        "AUTOCRUD_S3_BUCKET": "autocrud",
        "AUTOCRUD_S3_ENDPOINT_URL": s3.endpoint_url,
        "AUTOCRUD_S3_ACCESS_KEY": s3.access_key,
        "AUTOCRUD_S3_SECRET_KEY": s3.secret_key,
        "AUTOCRUD_S3_CREATE_BUCKET": "true",
        "AUTOCRUD_CACHE_DIR": str(s3.directory.parent / "cache"),
    }
    return found if postgres is None else found | {"AUTOCRUD_POSTGRES_URL": postgres.url}


def main(arguments: Sequence[str]) -> int:
    """Run the stack until a signal stops it. Return the exit status of the service."""
    parser = argparse.ArgumentParser("python -m autocrud.testing.local_stack", description=__doc__)
    parser.add_argument("--storage", choices=("postgres", "s3"), default="postgres")
    parser.add_argument("--directory", type=Path, default=Path("data/stack"))
    parser.add_argument("--postgres-port", type=int, default=5433)
    parser.add_argument("--s3-port", type=int, default=8333)
    options = parser.parse_args(arguments)
    _keep_private(options.directory)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    with ExitStack() as running:
        try:
            s3 = SeaweedServer(options.directory / "s3", options.s3_port)
            running.callback(s3.kill)
            s3.start()
            postgres = None
            if options.storage == "postgres":
                postgres = PostgresServer(options.directory / "postgres", options.postgres_port)
                running.callback(postgres.stop)
                postgres.start()
        except ServerFailed as error:
            print(error, file=sys.stderr)
            return 2
        print(
            f"S3 at {s3.endpoint_url}" + (f", PostgreSQL at 127.0.0.1:{postgres.port}" if postgres else ""), flush=True
        )
        print("The passwords of these servers are fixed and public. Use the stack for development only.", flush=True)
        service = subprocess.Popen(
            [sys.executable, "-m", "app"], env=settings(options.storage, s3, postgres) | os.environ
        )
        running.callback(_end, service)
        return service.wait()


def _keep_private(directory: Path) -> None:
    """Create the folder, and let only this user read the files of the stack.

    If this user is root, PostgreSQL runs as another user, who has to pass through the folder, but cannot list it.
    """
    is_root = os.geteuid() == 0
    os.umask(0o066 if is_root else 0o077)
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o711 if is_root else 0o700)


def _stop(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _end(service: "subprocess.Popen[bytes]") -> None:
    """Let the service finish the requests in flight."""
    # Ctrl-C reaches the servers' service as well, but not a signal to this process alone.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if service.poll() is None:
        service.terminate()
        service.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
