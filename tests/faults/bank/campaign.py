"""Campaign: processes that write to the bank and follow it, killed at random points and started again."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from random import Random
from signal import SIGKILL

from autocrud import AutoCRUD
from autocrud.errors import ConfigurationError, StorageUnavailable
from autocrud.references import plan
from autocrud.storage import s3
from autocrud.storage.ports.storage import IStorageFactory
from autocrud.storage.ports.transactions import Position
from tests.faults.bank.clients import run_clients
from tests.faults.bank.journal import KINDS, Accepted, Journal, Report
from tests.faults.bank.models import bank
from tests.faults.forks import FORKS

_MAX_ACCEPTED = 20  # operations of a process before it is killed
_EARLY_KILLS = 0.2  # of the kills; they come while the process starts
_START_S = 0.5  # about the time of a start
_MAX_EXTRA_KILLS = 30  # of a slot, until the campaign has an accepted operation of each kind

# More dependents than this are handled by an on-delete task.
MAX_DEPENDENTS = 2

BuildFactory = Callable[[str], IStorageFactory]


def run_process(
    build: BuildFactory, servers: set[tuple[str, str]], pipe: Connection, slot: str, name: str, after: Position
) -> None:
    """Run clients in this process until it is killed.

    Args:
        build: returns a factory of the store for a slot.
        servers: S3 servers that have been probed.
        slot: name of the follower. A process that is started again has the slot of its predecessor.
    """
    s3._PROBED_SERVERS.update(servers)
    plan.MAX_DEPENDENTS = MAX_DEPENDENTS

    async def run() -> None:
        while True:
            crud = bank(build(slot))
            try:
                async with crud.running():
                    await run_clients(crud, pipe.send, name, slot, after)
            except StorageUnavailable:
                continue  # the start has met a fault of the server, and is tried again
            except ConfigurationError as error:
                if "cannot be reached" not in str(error):
                    raise

    asyncio.run(run())


def run_slot(build: BuildFactory, slot: str, kills: int, chance: Random, kinds: set[str]) -> Journal:
    """Start a process, kill it at a random point of its start or of its work, and start the next one.

    Args:
        kills: number of kills. A slot goes on for some more until there is an accepted operation of each kind.
        kinds: kinds of the accepted operations of all slots.
    """
    journal = Journal()
    for number in range(kills + _MAX_EXTRA_KILLS):
        kinds |= {operation.kind for operation in journal.accepted}
        if number >= kills and len(kinds) == len(KINDS):
            break
        reports, pipe = FORKS.Pipe(duplex=False)
        arguments = (build, s3._PROBED_SERVERS, pipe, slot, f"{slot}-{number}", journal.position(slot))
        process = FORKS.Process(target=run_process, args=arguments)
        process.start()
        pipe.close()
        is_early = chance.random() < _EARLY_KILLS
        remaining = 0 if is_early else chance.randrange(1, _MAX_ACCEPTED)
        try:
            if is_early:
                process.join(chance.uniform(0, _START_S))
            _read_reports(reports, journal, process, remaining)
        finally:
            process.kill()
            process.join()
        # 255 stands for a signal that the fork server has not reported.
        assert process.exitcode in (-SIGKILL, 255), f"the process ended with {process.exitcode} before it was killed"
    return journal


def _read_reports(reports: Connection, journal: Journal, process: BaseProcess, remaining: int) -> None:
    """Read reports, and kill the process after so many accepted operations. Read the rest of its reports."""
    if remaining == 0:
        process.kill()
    try:
        while True:
            report: Report = reports.recv()
            journal.add(report)
            remaining -= isinstance(report, Accepted)
            if remaining == 0:
                process.kill()
    except (EOFError, OSError):  # the process has ended; its last report may be cut off
        reports.close()


async def kill_processes(build: BuildFactory, slots: int, kills: int, seed: int) -> Journal:
    """Run a process per slot, each killed so many times. Return all reports."""
    kinds: set[str] = set()
    with ThreadPoolExecutor(slots) as threads:
        loop = asyncio.get_running_loop()
        runs = [
            loop.run_in_executor(threads, run_slot, build, f"slot{number}", kills, Random(seed + number), kinds)
            for number in range(slots)
        ]
        return Journal().merge(await asyncio.gather(*runs))


async def cancel_tasks(crud: AutoCRUD, slots: int, kills: int, seed: int) -> Journal:
    """Run the clients of each slot in tasks of this process, cancelled so many times. Return all reports."""

    async def run_slot_here(slot: str, chance: Random) -> Journal:
        journal = Journal()
        for number in range(kills):
            remaining, is_due = count(chance.randrange(1, _MAX_ACCEPTED), -1), asyncio.Event()

            def tell(report: Report, remaining: "count[int]" = remaining, is_due: asyncio.Event = is_due) -> None:
                journal.add(report)
                if isinstance(report, Accepted) and next(remaining) == 0:
                    is_due.set()

            task = asyncio.create_task(run_clients(crud, tell, f"{slot}-{number}", slot, journal.position(slot)))
            due = asyncio.create_task(is_due.wait())
            await asyncio.wait([task, due], return_when=asyncio.FIRST_COMPLETED)
            assert not task.done()
            task.cancel()
            await asyncio.wait([task])
        return journal

    runs = [run_slot_here(f"slot{number}", Random(seed + number)) for number in range(slots)]
    return Journal().merge(await asyncio.gather(*runs))
