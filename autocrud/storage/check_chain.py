"""Check of the chain of a store's log: `python -m autocrud.storage.check_chain`.

The check reads every entry, verifies order and hashes, and prints the last entry as `sequence:hash`. A changed,
removed, reordered, inserted or blanked line is found, unless a later purge or prune erased the line. The chain cannot
prove that its end was not cut off. To prove that, give a `sequence:hash` of an earlier check as `--expect`.
"""

import argparse
import asyncio
import re
import sys
from pathlib import Path

from autocrud.errors import AutoCRUDError, ConfigurationError, DataCorrupted
from autocrud.storage.commit_log.object_log import ObjectLog
from autocrud.storage.commit_log.port import CommitLog
from autocrud.storage.commit_log.records.chain import ChainChecker
from autocrud.storage.commit_log.records.header import EMPTY_TAIL, Tail
from autocrud.storage.commit_log.segments.log import SegmentLog
from autocrud.storage.commit_log.segments.segments import Segments
from autocrud.storage.objects.s3.location import S3Location
from autocrud.storage.ports.objects import ObjectStore

Expected = tuple[int, str]  # sequence and hash of an entry


async def check_log(log: CommitLog, expected: Expected | None = None) -> ChainChecker:
    """Check a log from its first entry to its end.

    Args:
        expected: entry that the log must have.

    Returns the checker. `tail` is the last entry; `unblanked` has erased parts that the next start blanks.

    Raises:
        DataCorrupted: the log has a fault. The message names the first one, with file or object, entry and line.
    """
    checker = ChainChecker()
    try:
        await _check_order(log, checker, expected)
    except DataCorrupted as error:
        suspect = checker.describe_suspect()
        if suspect is None:
            raise
        # A record behind the fault may erase the line.
        raise DataCorrupted(f"{error} Before that, {suspect} does not verify; no readable record erases it.") from error
    checker.finish()
    return checker


async def check_objects(objects: ObjectStore, expected: Expected | None = None) -> ChainChecker:
    """Check the log in an open object store.

    Raises:
        DataCorrupted: the log has a fault.
    """
    return await check_log(ObjectLog(objects, None), expected)


async def check_disk(directory: Path, expected: Expected | None = None) -> ChainChecker:
    """Check the log in the folder of a disk store, also while processes append.

    Raises:
        ConfigurationError: the folder has no log.
        DataCorrupted: the log has a fault.
    """
    folder = directory / "log"
    if not await asyncio.to_thread(folder.is_dir):
        raise ConfigurationError(f"{directory} has no folder log: it is no store", argument="disk")
    segments = Segments(folder, None)
    try:
        return await check_log(SegmentLog(segments, asyncio.to_thread), expected)
    finally:
        segments.close()


async def _check_s3(location: S3Location, expected: Expected | None) -> ChainChecker:
    try:
        from autocrud.storage.objects.s3.store import S3ObjectStore
    except ModuleNotFoundError as missing:
        raise ConfigurationError(
            f"The package {missing.name} is missing. Install it: pip install 'autocrud[s3]'"
        ) from missing
    objects = S3ObjectStore(location)
    await objects.open()
    try:
        return await check_objects(objects, expected)
    finally:
        await objects.close()


async def _check_order(log: CommitLog, checker: ChainChecker, expected: Expected | None) -> None:
    if expected is not None:
        _compare(EMPTY_TAIL, expected)
    async for entries in log.entries():
        for entry in entries:
            checker.add(entry)
            if expected is not None:
                _compare(entry.tail, expected)
    sequence = checker.tail.sequence
    if isinstance(log, ObjectLog) and (key := await log.find_key_behind(sequence + 1)) is not None:
        raise DataCorrupted(f"{log.key(sequence + 1)} is missing, and {key} exists.")
    if expected is not None and expected[0] > sequence:
        raise DataCorrupted(f"The log ends with entry {sequence}, and entry {expected[0]} is expected.")


def _compare(tail: Tail, expected: Expected) -> None:
    sequence, header_hash = expected
    if tail.sequence == sequence and tail.header_hash != header_hash:
        raise DataCorrupted(f"Entry {sequence} has the hash {tail.header_hash}, and {header_hash} is expected.")


def _parse_expected(text: str) -> Expected:
    match = re.fullmatch(r"(\d{1,18}):([0-9a-f]{64})", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not sequence:hash, as an earlier check printed it")
    return int(match[1]), match[2]


def main(arguments: list[str]) -> int:
    """Check the log of a store, and print its last entry as sequence:hash. Stop at the first fault."""
    parser = argparse.ArgumentParser("python -m autocrud.storage.check_chain", description=main.__doc__)
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument("--disk", metavar="DIR", type=Path, help="folder of a disk store")
    place.add_argument("--s3-bucket", metavar="BUCKET", help="bucket of an S3 or PostgreSQL store")
    parser.add_argument("--endpoint-url", help="URL of the S3 server; AWS if it is not given")
    parser.add_argument("--region", help="region of the bucket")
    parser.add_argument("--prefix", default="", help="folder within the bucket")
    parser.add_argument("--expect", metavar="SEQUENCE:HASH", type=_parse_expected, help="entry that the log must have")
    options = parser.parse_args(arguments)
    if options.disk is not None:
        check = check_disk(options.disk, options.expect)
    else:
        location = S3Location(
            options.s3_bucket, endpoint_url=options.endpoint_url, prefix=options.prefix, region=options.region
        )
        check = _check_s3(location, options.expect)
    try:
        checker = asyncio.run(check)
    except AutoCRUDError as error:
        print(error, file=sys.stderr)
        return 1
    if checker.unblanked:
        print(f"{len(checker.unblanked)} erased parts are not blank yet; the next start blanks them.", file=sys.stderr)
    print(f"{checker.tail.sequence}:{checker.tail.header_hash}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
