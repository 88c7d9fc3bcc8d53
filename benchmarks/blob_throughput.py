"""Benchmark of uploads and downloads of one large blob, and of the service's peak memory: `make bench-blobs`.

On disk the plain way is a copy of the file that is synced, on S3 aioboto3's own upload and download. The service is one
worker on core 0, the client is curl on core 1. Needs curl.
"""

import argparse
import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import aioboto3
import httpx

from autocrud.testing.servers import SeaweedServer, free_port

ROOT = Path(__file__).parent.parent
_BLOCK = 1024 * 1024


@contextmanager
def service(settings: dict[str, str]) -> Iterator[tuple[str, int]]:
    """Run one worker. Yield its base URL and process id."""
    port = free_port()
    command = ["taskset", "-c", "0", sys.executable, "-m", "uvicorn", "app.main:create_app", "--factory"]
    command += ["--port", str(port), "--no-access-log", "--log-level", "warning"]
    process = subprocess.Popen(command, env={**os.environ, "AUTOCRUD_ACCESS_LOG": "false", **settings}, cwd=ROOT)
    try:
        base = f"http://127.0.0.1:{port}"
        while process.poll() is None:
            try:
                httpx.get(f"{base}/healthz")
                break
            except httpx.TransportError:
                continue
        yield base, process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def peak_megabytes(pid: int) -> float:
    """Return the peak memory of a process in bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    match = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(match[1]) / 1024 if match else 0.0


def curl(*arguments: str) -> bytes:
    """Run curl on core 1 and return its standard output."""
    return subprocess.run(["taskset", "-c", "1", "curl", "-sSf", *arguments], check=True, stdout=subprocess.PIPE).stdout


def timed(action: Callable[[], Any]) -> float:
    """Return the seconds that an action takes."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def copy(source: Path, target: Path) -> None:
    """Copy a file and sync the copy."""
    with source.open("rb") as read, target.open("wb") as written:
        shutil.copyfileobj(read, written, _BLOCK)
        written.flush()
        os.fsync(written.fileno())


async def plain_s3(s3: SeaweedServer, file: Path, target: Path) -> tuple[float, float]:
    """Return the seconds of aioboto3's own upload and download."""
    keys = {"aws_access_key_id": s3.access_key, "aws_secret_access_key": s3.secret_key, "region_name": "us-east-1"}
    async with aioboto3.Session().client("s3", endpoint_url=s3.endpoint_url, **keys) as client:
        began = time.perf_counter()
        await client.upload_file(str(file), "autocrud", "plain")
        uploaded = time.perf_counter()
        await client.download_file("autocrud", "plain", str(target))
        downloaded = time.perf_counter()
        await client.delete_object(Bucket="autocrud", Key="plain")
    return uploaded - began, downloaded - uploaded


def _measure_once(base: str, file: Path, target: Path) -> tuple[float, float]:
    """Return the seconds of an upload and a download. Erase the stored blob."""
    answer: list[bytes] = []
    up = timed(lambda: answer.append(curl("-X", "POST", "-T", str(file), f"{base}/document/blobs")))
    reference = httpx.Response(200, content=answer[0]).json()
    document = httpx.post(f"{base}/document", json={"title": "x", "attachments": [reference]}).headers["location"]
    down = timed(lambda: curl("-o", str(target), f"{base}{document}/blobs/{reference['file_id']}"))
    httpx.delete(f"{base}{document}/permanently", timeout=60).raise_for_status()
    return up, down


def measure(
    name: str, settings: dict[str, str], plain: Callable[[], tuple[float, float]], file: Path, runs: int
) -> None:
    """Print one storage's rates, measured in turn with the plain copy."""
    size, target = file.stat().st_size, file.with_name("target")
    ours: list[tuple[float, float]] = []
    theirs: list[tuple[float, float]] = []
    with service(settings) as (base, pid):
        for _ in range(runs):
            theirs.append(plain())
            ours.append(_measure_once(base, file, target))
        peak = peak_megabytes(pid)
    for number, what in enumerate(("upload", "download")):
        mine, other = (median(pair[number] for pair in pairs) for pairs in (ours, theirs))
        rate = size / 1e6 / mine
        print(
            f"{name:5} {what:8}: {mine:6.2f} s {rate:6.0f} MB/s, {other / mine:.2f} of plain ({other:.2f} s)",
            flush=True,
        )
    print(f"{name:5} peak memory of the service: {peak:.0f} MiB", flush=True)


def main() -> None:
    """Measure both storages."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=1024)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file, target = folder / "file", folder / "copy"
        with file.open("wb") as written:
            for _ in range(options.megabytes):
                written.write(os.urandom(_BLOCK))

        def on_disk() -> tuple[float, float]:
            return timed(lambda: copy(file, target)), timed(lambda: copy(file, target))

        disk = {"AUTOCRUD_STORAGE": "disk", "AUTOCRUD_DATA_DIR": str(folder / "data")}
        measure("disk", disk, on_disk, file, options.runs)
        s3 = SeaweedServer(folder / "s3", free_port())
        s3.start()
        try:
            bucket = {
                "AUTOCRUD_STORAGE": "s3", "AUTOCRUD_S3_BUCKET": "autocrud", "AUTOCRUD_S3_CREATE_BUCKET": "true",
                "AUTOCRUD_S3_ENDPOINT_URL": s3.endpoint_url, "AUTOCRUD_S3_ACCESS_KEY": s3.access_key,
                "AUTOCRUD_S3_SECRET_KEY": s3.secret_key, "AUTOCRUD_CACHE_DIR": str(folder / "cache"),
            }  # fmt: skip
            measure("s3", bucket, lambda: asyncio.run(plain_s3(s3, file, target)), file, options.runs)
        finally:
            s3.kill()


if __name__ == "__main__":
    main()
