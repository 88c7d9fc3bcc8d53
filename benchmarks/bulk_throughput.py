"""Benchmark of creates per second by `POST /{model}/bulk` with NDJSON: `make bench-bulk`.

The service is one worker on core 0; the client, PostgreSQL and S3 are on core 1. Everything is synced to disk as in
production. The client reads the answers while it sends, and checks every one.
"""

import argparse
import json
import os
import random
import socket
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from autocrud.testing.local_stack import settings
from benchmarks.http_throughput import ROOT, server
from benchmarks.servers_throughput import servers

_PIECE = 500  # lines of one chunk of the request
_CATEGORIES = [f"category {number}" for number in range(40)]
_NAMES = [f"{kind} {size}" for kind in ("bolt", "nut", "nail", "screw", "hinge") for size in range(2000)]


def pieces(resources: int, seed: int) -> Iterator[bytes]:
    """Yield the request's body in chunks: 10,000 names, 40 categories, 5,000 prices, 1,000 quantities."""
    chosen = random.Random(seed)
    lines = [
        json.dumps(
            {
                "op": "create",
                "data": {
                    "name": chosen.choice(_NAMES),
                    "category": chosen.choice(_CATEGORIES),
                    "price": chosen.randrange(5000) / 100,
                    "quantity": chosen.randrange(1000),
                    "in_stock": chosen.random() < 0.9,
                    "note": "galvanised, by the box",
                },
            },
            separators=(",", ":"),
        ).encode()
        for _ in range(min(resources, 50_000))
    ]
    for first in range(0, resources, _PIECE):
        place = first % len(lines)
        yield b"\n".join(lines[place : place + min(_PIECE, resources - first)]) + b"\n"


def load(base: str, body: Sequence[bytes], count: int) -> float:
    """Send the body and read the answer meanwhile. Return the seconds taken."""
    address = urlsplit(base)
    head = (
        f"POST /product/bulk HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Type: application/x-ndjson\r\n"
        "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    ).encode()
    with socket.create_connection((address.hostname, address.port)) as connection:
        began = time.monotonic()
        sender = threading.Thread(target=_send, args=(connection, head, body))
        sender.start()
        created = other = 0
        while data := connection.recv(1 << 20):
            created += data.count(b'"status":201')
            other += data.count(b'"problem"')
        took = time.monotonic() - began
        sender.join()
    # A marker may be cut in two where the answer was; the collection itself tells in the end.
    if other or created < count * 0.99:
        raise RuntimeError(f"{created} created, {other} refused")
    return took


def _send(connection: socket.socket, head: bytes, body: Sequence[bytes]) -> None:
    connection.sendall(head)
    for piece in body:
        connection.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
    connection.sendall(b"0\r\n\r\n")


def _cpu(base: str) -> float:
    """Return the processor time of the service in seconds."""
    port = urlsplit(base).port
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes()
            if f"--port\0{port}".encode() in command and b"uvicorn" in command:
                fields = (process / "stat").read_text().rpartition(")")[2].split()
                return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        except OSError:
            continue
    return 0.0


def measure(storage: str, variables: dict[str, str], options: argparse.Namespace) -> None:
    """Load in rounds and print the rate of each round."""
    with server("app.main:create_app", variables, True) as base:
        load(base, list(pieces(2000, 0)), 2000)
        before = int(httpx.get(f"{base}/product/count", timeout=60).json()["count"])
        for number in range(options.rounds):
            body = list(pieces(options.resources, number + 1))
            busy = _cpu(base)
            took = load(base, body, options.resources)
            busy = _cpu(base) - busy
            rate, each = options.resources / took, busy / options.resources * 1e6
            print(
                f"  {storage:9}{before:9} resources before: {rate:8.0f} creates/s, {each:5.1f} us of the core each",
                flush=True,
            )
            before += options.resources
        counted = int(httpx.get(f"{base}/product/count", timeout=60).json()["count"])
        if counted != before:
            raise RuntimeError(f"{counted} resources, not {before}")


def main() -> None:
    """Measure disk, then PostgreSQL with S3."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--resources", type=int, default=100_000, help="of one request")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--storage", choices=["disk", "s3", "postgres"], nargs="*", default=["disk", "postgres"])
    options = parser.parse_args()
    os.sched_setaffinity(0, {1})  # and so the servers
    for storage in options.storage:
        with tempfile.TemporaryDirectory(dir=ROOT, prefix=".bench-") as directory:
            Path(directory).chmod(0o755)
            common = {"AUTOCRUD_MODELS": "benchmarks.bulk_models", "AUTOCRUD_ACCESS_LOG": "false"}
            running = nullcontext(None) if storage == "disk" else servers(Path(directory))
            with running as found:
                where = (
                    {"AUTOCRUD_STORAGE": "disk", "AUTOCRUD_DATA_DIR": directory}
                    if found is None
                    else settings(storage, *found)
                )
                measure(storage, where | common, options)


if __name__ == "__main__":
    main()
