"""Benchmark of query latency at 10,000 and at a million resources, with plans: `make bench-queries`.

The service is one worker on core 0, this client and the servers are on core 1. It prints a table, and writes the plans
of the engines to `benchmarks/plans/`.
"""

import argparse
import asyncio
import http.client
import json
import os
import random
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import asyncpg

from autocrud.query.conditions import Position, Query
from autocrud.query.cursor import encode_cursor
from autocrud.query.parser import parse_expression
from autocrud.query.resolver import Resolver, rank_order
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.metadata.postgres.tables import PostgresTables
from autocrud.storage.metadata.sqlite.aggregate import add_aggregates
from autocrud.storage.metadata.sqlite.compiler import add_functions
from autocrud.storage.metadata.sqlite.tables import SqliteTables
from autocrud.testing.local_stack import settings
from benchmarks.catalog import PER_MAKER, Product, products
from benchmarks.http_throughput import ROOT, server
from benchmarks.servers_throughput import servers

LIMIT = 20
PER_REQUEST = 50_000
SPEC: ModelSpec[Product] = ModelSpec(Product)
FIELDS = Resolver(SPEC)
PLANS = Path(__file__).parent / "plans"
Ask = Callable[[random.Random, int], str]
Plan = tuple[str, str, list[str]]  # a name, a statement, the steps


def questions(deep: dict[int, str], ids: list[str]) -> dict[str, Ask]:
    """Return the query paths by name, with random values for this number of resources."""
    return {
        "read by id": lambda chance, total: f"/product/{chance.choice(ids)}",
        "equality, 20 found": lambda chance, total: listing(maker=maker(chance, total)),
        "range, 20 found": lambda chance, total: listing(price__between=span(chance, total)),
        "in, 60 found, 20 shown": lambda chance, total: listing(
            maker__in=",".join(maker(chance, total) for _ in range(3))
        ),
        "sort by a field, first page": lambda chance, total: listing(sort="price"),
        "sort by a field, deep page": lambda chance, total: listing(sort="price", cursor=deep[total]),
        "newest first, first page": lambda chance, total: listing(),
        "count of 20": lambda chance, total: "/product/count?" + urlencode({"maker": maker(chance, total)}),
        "text, a rare word": lambda chance, total: listing(q=f"n{chance.randrange(total)}"),
        "text, a word of each tenth": lambda chance, total: listing(q="screw"),
        "count of all": lambda chance, total: "/product/count",
        "count of a fifth": lambda chance, total: "/product/count?colour=red",
        "aggregate of all": lambda chance, total: "/product/aggregate?group_by=colour&metrics=count,avg:price",
    }


# What cannot but look at what it counts, and is measured less often.
LINEAR = {"text, a word of each tenth", "count of all", "count of a fifth", "aggregate of all"}


def listing(**parameters: str) -> str:
    """Return the path of a list."""
    return "/product?" + urlencode({"limit": LIMIT, **parameters}, quote_via=quote)


def maker(chance: random.Random, total: int) -> str:
    """Return a random maker."""
    return f"maker {chance.randrange(max(total // PER_MAKER, 1))}"


def span(chance: random.Random, total: int) -> str:
    """Return a price range with about twenty products."""
    start = chance.randrange(total * 10 - 200)
    return f"{start},{start + 200}"


class Client:
    """Client with one persistent connection to a service."""

    def __init__(self, base: str) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(base).netloc, timeout=600)

    def get(self, path: str) -> Any:
        """Return the JSON of a 200 answer."""
        self._connection.request("GET", path)
        response = self._connection.getresponse()
        body = response.read()
        if response.status != 200:
            raise RuntimeError(f"{path}: {body.decode()}")
        return json.loads(body)

    def seconds(self, path: str) -> float:
        """Return the seconds until the complete answer."""
        began = time.perf_counter()
        self._connection.request("GET", path)
        response = self._connection.getresponse()
        response.read()
        if response.status != 200:
            raise RuntimeError(f"{path}: {response.status}")
        return time.perf_counter() - began

    def fill(self, start: int, end: int) -> float:
        """Create products in bulk, `size` per request. Return products per second."""
        seconds = 0.0
        for first in range(start, end, PER_REQUEST):
            rows = products(first, min(first + PER_REQUEST, end), end)
            body = b"".join(b'{"op":"create","data":%s}\n' % json.dumps(row).encode() for row in rows)
            began = time.monotonic()
            headers = {"Content-Type": "application/x-ndjson", "Prefer": "return=minimal"}
            self._connection.request("POST", "/product/bulk", body, headers)
            response = self._connection.getresponse()
            answer = response.read()
            if response.status != 200 or b'"problem"' in answer:
                raise RuntimeError(f"{response.status} {answer[:1000]!r}")
            seconds += time.monotonic() - began
        return (end - start) / seconds


def deep_cursor(client: Client, total: int) -> str:
    """Return the cursor at four fifths of the collection in order of price."""
    (item,) = client.get(listing(sort="price", price__gte=str(total * 8), limit="1"))["items"]
    meta = item["meta"]
    place = Position((item["data"]["price"], meta["created_time"], meta["resource_id"]))
    return encode_cursor(Query(sort=FIELDS.sort("price"), limit=LIMIT), place, "product")


def some_ids(client: Client, total: int) -> list[str]:
    """Return ids spread over the collection."""
    chance, found = random.Random(0), list[str]()
    while len(found) < 2000:
        found += [item["meta"]["resource_id"] for item in client.get(listing(maker=maker(chance, total)))["items"]]
    return found


def measure(client: Client, total: int, questions: dict[str, Ask], requests: int) -> dict[str, tuple[float, float]]:
    """Return the median and 99th percentile of each query in milliseconds."""
    found = {}
    for name, ask in questions.items():
        chance = random.Random(total)
        number = max(requests // 40, 20) if name in LINEAR else requests
        for _ in range(min(number, 50)):
            client.seconds(ask(chance, total))
        times = [client.seconds(ask(chance, total)) * 1000 for _ in range(number)]
        found[name] = (median(times), quantiles(times, n=100)[98])
    return found


def plan_queries(total: int) -> dict[str, Query]:
    """Return the queries as the storage receives them."""
    chance = random.Random(total)

    def asking(expression: str | None, sort: str | None = None, after: Position | None = None) -> Query:
        condition = None if expression is None else FIELDS.condition(parse_expression(expression))
        return Query(condition, FIELDS.sort(sort) if sort else (), limit=LIMIT, after=after)

    place = Position((total * 8, "2026-01-01T00:00:00.000000Z", "x"))
    start, end = span(chance, total).split(",")
    makers = [maker(chance, total) for _ in range(3)]
    words = FIELDS.text("n77")
    return {
        "equality, 20 found": asking(f'QB["maker"] == "{makers[0]}"'),
        "range, 20 found": asking(f'QB["price"].between({start}, {end})'),
        "in, 60 found, 20 shown": asking(f'QB["maker"].in_({makers})'),
        "sort by a field, first page": asking(None, "price"),
        "sort by a field, deep page": asking(None, "price", place),
        "newest first, first page": asking(None),
        "text, a rare word": Query(words, rank_order(words), limit=LIMIT),
    }


def sqlite_plans(path: Path, total: int) -> Iterator[Plan]:
    """Yield each query's statement and SQLite's plan."""
    tables, statements = SqliteTables(SPEC, 0), list[str]()
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        add_functions(db)
        add_aggregates(db)

        def planned(name: str, work: Callable[[], object]) -> Plan:
            statements.clear()
            db.set_trace_callback(statements.append)
            work()
            db.set_trace_callback(None)
            sql = max(statements, key=len)  # the others are internal to FTS5
            return name, sql, [step[3] for step in db.execute(f"EXPLAIN QUERY PLAN {sql}")]

        yield planned("read by id", lambda: tables.get(db, ["x"]))
        for name, query in plan_queries(total).items():
            yield planned(name, partial(tables.search, db, query))
        counted = plan_queries(total)["equality, 20 found"]
        yield planned("count of 20", lambda: tables.count(db, counted))


async def postgres_plans(url: str, total: int) -> list[Plan]:
    """Yield each query's statement and PostgreSQL's plan."""
    tables, queries = PostgresTables(SPEC, "autocrud", 0), plan_queries(total)
    statements: dict[str, tuple[str, list[Any]]] = {"read by id": (tables.get, [["x"]])}
    statements |= {name: next(tables.searches(query))(LIMIT + 1) for name, query in queries.items()}
    statements["count of 20"] = tables.count(queries["equality, 20 found"])
    found = []
    connection = await asyncpg.connect(url)
    for name, (sql, values) in statements.items():
        rows = await connection.fetch(f"EXPLAIN (ANALYZE, TIMING OFF, SUMMARY OFF) {sql}", *values)
        found.append((name, sql, [row[0] for row in rows]))
    await connection.close()
    return found


def keep_plans(storage: str, total: int, plans: Iterable[Plan]) -> None:
    """Write the plans to a file."""
    PLANS.mkdir(exist_ok=True)
    blocks = [f"## {name}\n{sql}\n\n" + "\n".join(f"    {step}" for step in steps) for name, sql, steps in plans]
    text = f"# Plans at {total:,} resources\n\n" + "\n\n".join(blocks) + "\n"
    (PLANS / f"{storage}.md").write_text(text)


def memory(pid: int) -> str:
    """Return the current and peak resident memory of a process in MiB."""
    lines = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return ", ".join(f"{name} {int(lines[name].split()[0]) / 1024:.0f} MiB" for name in ("VmRSS", "VmHWM"))


def run(storage: str, variables: dict[str, str], options: argparse.Namespace) -> None:
    """Fill and measure twice, then print a table."""
    deep, tables, filled = dict[int, str](), list[dict[str, tuple[float, float]]](), 0
    with server("app.main:create_app", variables, True) as base:
        client = Client(base)
        for total in options.resources:
            rate = client.fill(filled, total)
            filled = total
            print(f"{storage}: {total:,} resources, {rate:,.0f} creates/s in bulk, {memory(base.pid)}", flush=True)
            ids = some_ids(client, total)
            deep[total] = deep_cursor(client, total)
            tables.append(measure(client, total, questions(deep, ids), options.requests))
        print(f"  after the queries: {memory(base.pid)}")
    print(f"  {'':32}{'':>9}p50 / p99 in ms at " + ", ".join(f"{total:,}" for total in options.resources))
    for name in tables[0]:
        cells = "   ".join(f"{table[name][0]:8.2f} / {table[name][1]:8.2f}" for table in tables)
        growth = tables[-1][name][0] / tables[0][name][0]
        print(f"  {name:32}{cells}   x{growth:.2f} {'(looks at all that it counts)' if name in LINEAR else ''}")


def main() -> None:
    """Measure each storage."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--storage", choices=["disk", "s3", "postgres"], nargs="+", default=["disk", "postgres", "s3"])
    parser.add_argument("--resources", type=int, nargs="+", default=[10_000, 1_000_000])
    parser.add_argument("--requests", type=int, default=2000, help="for each figure")
    options = parser.parse_args()
    os.sched_setaffinity(0, {1})  # and so the servers
    for storage in options.storage:
        with tempfile.TemporaryDirectory(dir=ROOT, prefix=".bench-") as folder, ExitStack() as stack:
            directory = Path(folder)
            common = {"AUTOCRUD_MODELS": "benchmarks.catalog", "AUTOCRUD_ACCESS_LOG": "false"}
            if storage == "disk":
                run("disk", common | {"AUTOCRUD_STORAGE": "disk", "AUTOCRUD_DATA_DIR": folder}, options)
                path = directory / "metadata.sqlite"
                keep_plans(storage, options.resources[-1], sqlite_plans(path, options.resources[-1]))
                continue
            directory.chmod(0o755)
            s3, postgres = stack.enter_context(servers(directory))
            run(storage, common | settings(storage, s3, postgres), options)
            if storage == "postgres":
                plans = asyncio.run(postgres_plans(postgres.url, options.resources[-1]))
                keep_plans(storage, options.resources[-1], plans)


if __name__ == "__main__":
    main()
