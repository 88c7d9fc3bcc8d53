"""The S3 factory: a log of conditional PUTs in a bucket, and a SQLite index of it on each node. No database.

`python -m autocrud.storage.s3 check` tests if an S3 server can hold a log.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Unpack

from autocrud.errors import AutoCRUDError, ConfigurationError
from autocrud.storage.identity.guard import COMPARE_INTERVAL_S
from autocrud.storage.metadata.sqlite.cache_dir import CacheFolder
from autocrud.storage.model_storage import INLINE_LIMIT
from autocrud.storage.objects.s3.location import S3Location, S3Options, s3_location
from autocrud.storage.ports.storage import Check

try:
    from autocrud.storage.metadata.sqlite.snapshots import Snapshots
    from autocrud.storage.objects.s3.store import S3ObjectStore
except ModuleNotFoundError as missing:
    raise ConfigurationError(
        f"The package {missing.name} is missing. Install it: pip install 'autocrud[s3]'"
    ) from missing
from autocrud.storage.commit_log.object_store_probe import probe
from autocrud.storage.metadata.sqlite.engine.engine import SqliteEngine
from autocrud.storage.metadata.sqlite.engine.object_commits import ObjectCommits
from autocrud.storage.store import Store
from autocrud.storage.store_factory import StoreFactory

SNAPSHOT_EVERY = 1000

_PROBED_SERVERS: set[tuple[str, str]] = set()  # servers and buckets that passed the probe


class S3StorageFactory(StoreFactory):
    """Stores all models in one store, under `<prefix>/` of a bucket, for any number of nodes that write.

    `log/` is the data, and `store.json` the identity of the store. Starting nodes read `snapshots/`. `<model>/` has
    blobs and schema records. Reads are linearizable: each read looks for new log entries first. Waiting reads share
    a look.

    Args:
        bucket: name of the bucket, or its location. The server's conditional PUT must be reliable; `open` probes it.
        max_staleness: seconds that a read may be behind, to save requests; 0 makes reads linearizable. A write is
            always judged by the current state.
        cache_dir: folder on a local disk for the SQLite file of the node between starts; None to keep nothing.
        inline_limit: bytes; data up to this size is read from SQLite, larger data from the bucket.
        snapshot_every: least number of log entries between two snapshots.
        compare_interval: seconds between two comparisons of the bucket with the SQLite file. A bucket that was deleted,
            exchanged or set back makes requests fail until it is back.
        options: `endpoint_url`, `prefix`, `region`, `access_key`, `secret_key`, `create_bucket`, `timeout` and
            `public_url`, as `S3Location` describes them.
    """

    def __init__(
        self,
        bucket: str | S3Location,
        *,
        max_staleness: float = 0.0,
        cache_dir: str | os.PathLike[str] | None = None,
        inline_limit: int = INLINE_LIMIT,
        snapshot_every: int = SNAPSHOT_EVERY,
        compare_interval: float = COMPARE_INTERVAL_S,
        **options: Unpack[S3Options],
    ) -> None:
        location = s3_location(bucket, **options)
        directory, server = None if cache_dir is None else Path(cache_dir), location.endpoint_url or ""
        self._objects = S3ObjectStore(location)
        self._server = (server, location.bucket)
        self._cache = CacheFolder(directory, server, location.bucket, location.prefix)
        name = f"{self._objects.name}, in {location.bucket}/{location.prefix}"
        self._engine = SqliteEngine(
            name,
            self._objects,
            lambda: self._cache.path / "metadata.sqlite",
            lambda file, models, replayer: ObjectCommits(file, models, replayer, self._objects, max_staleness),
            inline_limit=inline_limit,
            snapshots=Snapshots(self._objects, every=snapshot_every),
            compare_interval=compare_interval,
        )
        super().__init__(Store(self._engine, name))

    async def open(self) -> None:
        await self._cache.claim()
        await self._objects.open()
        # Once in a process: it takes a second or two.
        if self._server not in _PROBED_SERVERS:
            await probe(self._objects, f"S3 at {self._objects.host}")
            _PROBED_SERVERS.add(self._server)
        await super().open()

    async def close(self) -> None:
        await super().close()
        await self._objects.close()
        await self._cache.release()

    def checks(self) -> Mapping[str, Check]:
        return {self._objects.name: self._engine.guard.check}


async def _check(store: S3ObjectStore) -> str:
    await store.open()
    try:
        await probe(store, f"S3 at {store.host}")
    finally:
        await store.close()
    return f"S3 at {store.host} can hold a log: exactly one conditional PUT wins, and no edit is lost."


def main(arguments: list[str]) -> int:
    """`check`: run the start-up probe by hand. Credentials come from the environment, as botocore finds them."""
    parser = argparse.ArgumentParser("python -m autocrud.storage.s3", description=main.__doc__)
    commands = parser.add_subparsers(required=True)
    check = commands.add_parser("check", help="find out whether an S3 server's conditional PUT can be relied on")
    check.add_argument("--bucket", required=True)
    check.add_argument("--endpoint-url", help="of the server; AWS if it is not given")
    check.add_argument("--region")
    check.add_argument("--prefix", default="", help="the folder to probe in")
    options = parser.parse_args(arguments)
    try:
        print(asyncio.run(_check(S3ObjectStore(S3Location(**vars(options))))))
    except AutoCRUDError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
