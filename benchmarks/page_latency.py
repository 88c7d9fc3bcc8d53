"""Benchmark of the pages at a million resources on disk: `python -m benchmarks.page_latency`.

The service is one worker on core 0, this client is on core 1. The command fills a folder first, and uses it again with
`--directory`.
"""

import argparse
import os
import re
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from html import unescape
from pathlib import Path
from statistics import median

import httpx

from benchmarks.http_throughput import server
from benchmarks.query_latency import Client

TOTAL = 1_000_000
ROUNDS = 20
LISTS = {
    "list, newest first": "/product",
    "list, sorted": "/product?sort=price",
    "list, sorted and filtered": "/product?sort=-price&colour=red",
    "list, equality": "/product?maker=maker+7",
    "list, text of each tenth": "/product?q=screw&sort=-created_time",
    "home": "/",
}


def main() -> None:
    """Fill the folder if it is empty, then print the median and the slowest time of each page."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--directory", type=Path)
    options = parser.parse_args()
    os.sched_setaffinity(0, {1})
    with _folder(options.directory) as folder:
        settings = {"AUTOCRUD_MODELS": "benchmarks.catalog", "AUTOCRUD_DATA_DIR": str(folder)}
        settings["AUTOCRUD_MAX_BODY_BYTES"] = str(100 * 1024 * 1024)
        with server("app.main:create_app", settings, True) as base:
            client = Client(base)
            filled = client.get("/product/count")["count"]
            if filled < TOTAL:
                client.fill(filled, TOTAL)
            measure(base)


@contextmanager
def _folder(given_folder: Path | None) -> Iterator[Path]:
    if given_folder is not None:
        yield given_folder
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def measure(base: str) -> None:
    """Print the times of all pages."""
    with httpx.Client(base_url=base, headers={"Accept": "text/html"}, timeout=60) as http:
        pages: Mapping[str, str] = LISTS | _deeper_pages(http)
        for name, path in pages.items():
            seconds = [_seconds(http, path) for _ in range(ROUNDS)]
            print(f"{name:<30}{1000 * median(seconds):8.1f} ms median{1000 * max(seconds):8.1f} ms slowest")


def _deeper_pages(http: httpx.Client) -> dict[str, str]:
    """Return the tenth page of the list, and the page of a resource."""
    path = LISTS["list, sorted"]
    for _ in range(10):
        text = http.get(path).text
        path = unescape(re.findall(r'rel="next" href="([^"]+)"', text)[0])
    resource = unescape(re.findall(r'class="id"><div><a href="([^"]+)"', text)[0])
    return {"list, tenth page": path, "resource": resource}


def _seconds(http: httpx.Client, path: str) -> float:
    began = time.perf_counter()
    http.get(path).raise_for_status()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
