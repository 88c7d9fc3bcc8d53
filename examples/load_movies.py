"""Demo: load a real data set over HTTP. Run `make run` in one terminal and `make demo` in another.

The films are Bokeh's sample data, made from Wikidata (CC0), 17,472 rows of a SQLite file inside the package. The
rows are sent unchanged except for the column names. The model corrects or refuses bad values. One import loads the
films. One export is imported into another service, whose own export is equal, byte for byte.
"""

import asyncio
import hashlib
import json
import os
import sqlite3
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import dataclass, field
from importlib.resources import as_file, files
from typing import Any

import httpx
from tqdm import tqdm

from app.models import Movie
from autocrud import AutoCRUD
from autocrud.storage.disk import DiskStorageFactory

SENT = 200  # films at a time
BAR = "{percentage:3.0f} % |{bar:40}| {n_fmt} of {total_fmt} films, {elapsed}"
NDJSON = {"Content-Type": "application/x-ndjson"}
COLUMNS = {
    "Title": "title",
    "imdbID": "imdb_id",
    "Year": "year",
    "Rating": "rating",
    "Released": "released",
    "Runtime": "running_minutes",
    "Genre": "genres",
    "Director": "directors",
    "Cast": "cast",
    "Country": "countries",
    "Metacritic": "metacritic",
    "BoxOffice": "box_office",
    "Oscars": "oscars",
}


def films() -> list[dict[str, Any]]:
    """Return the rows unchanged, with nulls and empty texts."""
    query = "SELECT omdb.*, tomatoes.BoxOffice FROM omdb LEFT JOIN tomatoes USING (ID) ORDER BY omdb.ID"
    with as_file(files("bokeh_sampledata") / "_data" / "movies.db") as path, closing(sqlite3.connect(path)) as database:
        database.row_factory = sqlite3.Row
        return [{name: row[column] for column, name in COLUMNS.items()} for row in database.execute(query)]


@dataclass
class Loaded:
    """Result of the import.

    Attributes:
        counts: number of films by outcome, such as `created`.
        refusals: number of refused rows by error code.
        examples: a refused row of each error code, with the reason.
    """

    counts: dict[str, int] = field(default_factory=dict)
    refusals: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)


async def load(http: httpx.AsyncClient, rows: list[dict[str, Any]]) -> Loaded:
    """Import all rows in one request, with a progress bar."""
    loaded = Loaded()
    with tqdm(total=len(rows), unit=" films", smoothing=0, bar_format=BAR) as bar:
        # A film that an earlier demo has changed keeps its changes.
        request = http.stream(
            "POST", "/movie/import", params={"on_duplicate": "skip"}, content=_lines(rows), headers=NDJSON
        )
        async with request as response:
            response.raise_for_status()
            async for text in response.aiter_lines():
                report: dict[str, Any] = json.loads(text)
                bar.update(report["line"] - bar.n)
                if "error" in report:
                    _note_refusal(loaded, report["error"], rows[int(report["line"]) - 1])
                else:
                    loaded.counts = {name: number for name, number in report.items() if name not in ("end", "line")}
        bar.update(len(rows) - bar.n)
    return loaded


async def _lines(rows: list[dict[str, Any]]) -> AsyncIterator[bytes]:
    """Yield the rows as lines. Fixed ids make the demo repeatable: a second run finds every film unchanged."""
    for start in range(0, len(rows), SENT):
        lines = [{"id": f"film-{number}", "data": row} for number, row in enumerate(rows[start:][:SENT], start)]
        yield b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def _note_refusal(loaded: Loaded, error: dict[str, Any], row: dict[str, Any]) -> None:
    loaded.refusals[error["code"]] += 1
    faults = [f"{fault['field'].removeprefix('data.')}: {fault['message']}" for fault in error.get("errors", ())]
    loaded.examples.setdefault(error["code"], f"{row['title']!r}: {'; '.join(faults) or error['detail']}")


def describe(loaded: Loaded) -> list[str]:
    """Return lines about the result of the import."""
    counts = loaded.counts
    lines: list[str] = []
    if created := counts.get("created"):
        lines.append(f"Stored: {created:,} films.")
    if unchanged := counts.get("unchanged"):
        lines.append(f"Stored before, and unchanged: {unchanged:,} films.")
    if changed := counts.get("skipped"):
        lines.append(f"Stored before, and changed since: {changed:,}.")
    if loaded.refusals:
        lines.append(f"Refused: {loaded.refusals.total():,} rows. The service names the fields at fault:")
    for code, number in loaded.refusals.most_common():
        lines.append(f"  {number:,} times {code}, such as {loaded.examples[code]}")
    return lines


async def export_and_import(http: httpx.AsyncClient) -> None:
    """Export everything with history, import it into another service, and export it there."""
    content = b"".join([piece async for piece in _exported(http)])
    with tempfile.TemporaryDirectory() as folder:
        other = AutoCRUD(storage_factory=DiskStorageFactory(folder))
        other.add_model(Movie)
        async with other.running():
            transfer = other.manager(Movie).transfer
            async for _ in transfer.load(_pieces(content)):
                pass
            second_export = b"".join([piece async for piece in transfer.export(history=True)])
    result = "the same bytes" if second_export == content else "OTHER BYTES, WHICH IS A BUG"
    print(f"\nBackup: the export of all films with their history has {len(content):,} bytes.")
    print("  It was imported into a second, empty service and exported there:")
    print(f"  {result} (SHA-256 {_sha256(content)} and {_sha256(second_export)}).")


async def _exported(http: httpx.AsyncClient) -> AsyncIterator[bytes]:
    async with http.stream("GET", "/movie/export", params={"history": True}) as response:
        async for piece in response.aiter_bytes():
            yield piece


async def _pieces(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), 65536):
        yield content[start : start + 65536]


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


async def query(http: httpx.AsyncClient) -> None:
    """Read films by filter, and count them."""
    page = await http.get("/movie", params={"year": 1949, "sort": "title", "limit": 3})
    print(f"\nFilter: the first films of 1949 by title (GET {_target(page)})")
    for item in page.json()["items"]:
        data = item["data"]
        print(f"  {data['title']}, directed by {', '.join(data['directors']) or 'somebody unknown'}")
    answer = await http.get("/movie/count", params={"rating": "PG"})
    print(f"Count: {answer.json()['count']:,} films have the rating PG (GET {_target(answer)})")


async def change(http: httpx.AsyncClient) -> str:
    """Change a film twice, show a refused change, and return the path of the film."""
    page = await http.get("/movie", params={"year": 1949, "sort": "title", "limit": 1})
    item = page.json()["items"][0]
    path, title = f"/movie/{item['meta']['resource_id']}", item["data"]["title"]
    read = await http.get(path)
    data, tag, first_tag = read.json()["data"], read.headers["etag"], read.headers["etag"]
    print(f"\nVersions: {title} is at version {read.json()['meta']['version']}.")
    for genre in ("Restored", "Remastered"):
        data["genres"] = [*data["genres"], genre]
        written = await http.put(path, json=data, headers={"If-Match": tag})
        written.raise_for_status()
        meta, tag = written.json()["meta"], written.headers["etag"]
        print(f"  A change made version {meta['version']}. The revisions before it can still be read.")
    refused = await http.put(path, json=data | {"title": "?"}, headers={"If-Match": first_tag})
    print(f"  A change by somebody who has read the first version only was refused ({refused.status_code}).")
    return path


def _target(response: httpx.Response) -> str:
    return response.request.url.raw_path.decode()


async def check_service(http: httpx.AsyncClient) -> str | None:
    """Return one sentence if the demo cannot run, else None."""
    try:
        answer = await http.get("/movie/count")
    except httpx.TransportError:
        return f"No service answers at {http.base_url}: start it with `make run` in another terminal, and try again."
    if answer.status_code != 200:
        return (
            f"The service at {http.base_url} does not serve films: start it with `make run`, without AUTOCRUD_MODELS."
        )
    return None


async def main() -> int:
    """Load, read, change, export, and print what happens."""
    base = os.environ.get("AUTOCRUD_URL", "http://127.0.0.1:8000").rstrip("/")
    async with httpx.AsyncClient(base_url=base, timeout=60) as http:
        if problem := await check_service(http):
            print(problem)
            return 1
        rows = films()
        print(f"Sending {len(rows):,} films to {base}. They are real data, with errors in it (Wikidata, CC0).")
        for line in describe(await load(http, rows)):
            print(line)
        await query(http)
        path = await change(http)
        await export_and_import(http)
    print("\nLook around:")
    print(f"  {base}/docs  try every request in the browser")
    print(f"  {base}/movie?year=1949&sort=title  the films of 1949")
    print(f"  {base}{path}/revisions  the revisions of the film that was changed")
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
