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
from importlib.resources import as_file, files
from typing import Any

import httpx
from tqdm import tqdm

from app.models import Movie
from autocrud import AutoCRUD
from autocrud.storage.disk import DiskStorageFactory

SENT = 200  # films at a time
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


async def load(http: httpx.AsyncClient, rows: list[dict[str, Any]]) -> tuple[dict[str, int], Counter[str], list[str]]:
    """Import all rows. Return the counts and the reasons of refusals."""
    with tqdm(total=len(rows), unit=" films", smoothing=0) as bar:

        async def lines() -> AsyncIterator[bytes]:
            for start in range(0, len(rows), SENT):
                # Fixed ids make the demo repeatable: a second run finds every film unchanged.
                chunk = [{"id": f"film-{number}", "data": row} for number, row in enumerate(rows[start:][:SENT], start)]
                yield b"".join(json.dumps(line).encode() + b"\n" for line in chunk)
                bar.update(len(chunk))

        refusals, reasons, counts = Counter[str](), list[str](), dict[str, int]()
        async with http.stream("POST", "/movie/import", content=lines(), headers=NDJSON) as response:
            async for text in response.aiter_lines():
                report = json.loads(text)
                if "error" not in report:
                    counts = {name: number for name, number in report.items() if number and name not in ("end", "line")}
                    continue
                code, row = report["error"]["code"], rows[report["line"] - 1]
                refusals[code] += 1
                if refusals[code] <= 3:
                    what = report["error"].get("errors") or report["error"]["detail"]
                    reasons.append(f"{row['title']!r} ({row['imdb_id']}): {what}")
    return counts, refusals, reasons


async def there_and_back(http: httpx.AsyncClient) -> None:
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
    print(f"\nExported: {len(content):,} bytes, {len(content.splitlines()) - 1:,} commits, sha256 {_sha256(content)}")
    print(f"Imported into another service and exported there: sha256 {_sha256(second_export)}")
    print("  the same, byte for byte" if second_export == content else "  NOT THE SAME")


async def _exported(http: httpx.AsyncClient) -> AsyncIterator[bytes]:
    async with http.stream("GET", "/movie/export", params={"history": True}) as response:
        async for piece in response.aiter_bytes():
            yield piece


async def _pieces(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), 65536):
        yield content[start : start + 65536]


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


async def look_around(http: httpx.AsyncClient) -> None:
    """Read films by filter, page and count."""
    print("\nFilms of 1949, newest entry first:")
    page = (await http.get("/movie", params={"year": 1949, "limit": 3})).json()
    for item in page["items"]:
        data = item["data"]
        print(f"  {data['title']}, directed by {', '.join(data['directors']) or 'nobody we know of'}")
    counted = (await http.get("/movie/count", params={"rating": "PG"})).json()["count"]
    print(f"Rated PG: {counted}")


async def update_twice(http: httpx.AsyncClient) -> None:
    """Update a film twice, then show a refused write with an old ETag."""
    first = (await http.get("/movie", params={"year": 1949, "limit": 1})).json()["items"][0]
    path = f"/movie/{first['meta']['resource_id']}"
    read = await http.get(path)
    print(f"\n{path}: version {read.json()['meta']['version']}, ETag {read.headers['etag']}")
    data, tag = read.json()["data"], read.headers["etag"]
    for extra in ("Restored", "Remastered"):
        data["genres"] = [*data["genres"], extra]
        written = await http.put(path, json=data, headers={"If-Match": tag})
        written.raise_for_status()
        meta = written.json()["meta"]
        print(f"  PUT: version {meta['version']}, revision {meta['current_revision_id']}")
        old_tag, tag = tag, written.headers["etag"]
    refused = await http.put(path, json=data | {"title": "?"}, headers={"If-Match": old_tag})
    print(f"  PUT with the ETag before last: {refused.status_code}, {refused.json()['detail']}")


async def main() -> int:
    """Load, read, update, and print the results."""
    base = os.environ.get("AUTOCRUD_URL", "http://127.0.0.1:8000")
    async with httpx.AsyncClient(base_url=base, timeout=60) as http:
        try:
            await http.get("/readyz")
        except httpx.TransportError:
            print(f"Nothing answers at {base}: start the service with `make run`, or set AUTOCRUD_URL.")
            return 1
        counts, refusals, reasons = await load(http, films())
        for name, number in [*counts.items(), *refusals.most_common()]:
            print(f"{name}: {number}")
        for reason in reasons:
            print(f"  {reason}")
        await look_around(http)
        await update_twice(http)
        await there_and_back(http)
        total = (await http.get("/movie/count")).json()["count"]
        print(f"\n{total} films are stored. Look at them: {base}/movie?limit=5, or {base}/docs")
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
