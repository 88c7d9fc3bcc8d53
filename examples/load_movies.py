"""Loads a real data set into the running service, over HTTP: `make run` in one terminal, `make demo` in another.

The films are Bokeh's sample data, made from Wikidata (CC0), 17,472 rows of a SQLite file inside the package. They are
sent as they are, with the names of the columns changed: what is wrong with them is the model's to mend or to refuse.
"""

import asyncio
import os
import sqlite3
import sys
from collections import Counter
from contextlib import closing
from importlib.resources import as_file, files
from typing import Any

import httpx
from tqdm import tqdm

CLIENTS = 32
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
    """The rows as they are, nulls, empty texts and all."""
    query = "SELECT omdb.*, tomatoes.BoxOffice FROM omdb LEFT JOIN tomatoes USING (ID) ORDER BY omdb.ID"
    with as_file(files("bokeh_sampledata") / "_data" / "movies.db") as path, closing(sqlite3.connect(path)) as database:
        database.row_factory = sqlite3.Row
        return [{name: row[column] for column, name in COLUMNS.items()} for row in database.execute(query)]


async def load(http: httpx.AsyncClient, rows: list[dict[str, Any]]) -> tuple[Counter[str], list[str]]:
    """Create them all; what came of each, and some of the reasons for refusals."""
    results, reasons, waiting = Counter[str](), list[str](), iter(rows)
    with tqdm(total=len(rows), unit=" films", smoothing=0) as bar:

        async def client() -> None:
            for row in waiting:
                response = await http.post("/movie", params={"returns": "meta"}, json=row)
                code = "created" if response.status_code == 201 else response.json()["code"]
                results[code] += 1
                if code == "unique_violation" and len(reasons) < 3:
                    reasons.append(f"{row['title']!r} ({row['imdb_id']}): {response.json()['detail']}")
                elif code != "created" and len(reasons) < 8:
                    reasons.append(f"{row['title']!r}: {response.json().get('errors') or response.text}")
                bar.update()

        await asyncio.gather(*(client() for _ in range(CLIENTS)))
    return results, reasons


async def look_around(http: httpx.AsyncClient) -> None:
    """Read some back: by filter, by page, by count."""
    print("\nFilms of 1949, newest entry first:")
    page = (await http.get("/movie", params={"year": 1949, "limit": 3})).json()
    for item in page["items"]:
        data = item["data"]
        print(f"  {data['title']}, directed by {', '.join(data['directors']) or 'nobody we know of'}")
    counted = (await http.get("/movie/count", params={"rating": "PG"})).json()["count"]
    print(f"Rated PG: {counted}")


async def update_twice(http: httpx.AsyncClient) -> None:
    """One film, two revisions more, and a write that comes too late."""
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
        late, tag = tag, written.headers["etag"]
    refused = await http.put(path, json=data | {"title": "?"}, headers={"If-Match": late})
    print(f"  PUT with the ETag before last: {refused.status_code}, {refused.json()['detail']}")


async def main() -> int:
    """Load, look, update, and say what was done."""
    base = os.environ.get("AUTOCRUD_URL", "http://127.0.0.1:8000")
    async with httpx.AsyncClient(base_url=base, timeout=60) as http:
        try:
            await http.get("/readyz")
        except httpx.TransportError:
            print(f"Nothing answers at {base}: start the service with `make run`, or set AUTOCRUD_URL.")
            return 1
        results, reasons = await load(http, films())
        for code, number in results.most_common():
            print(f"{code}: {number}")
        for reason in reasons:
            print(f"  {reason}")
        await look_around(http)
        await update_twice(http)
        total = (await http.get("/movie/count")).json()["count"]
        print(f"\n{total} films are stored. Look at them: {base}/movie?limit=5, or {base}/docs")
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
