"""Loads the state that a decision needs, in one statement."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

from autocrud.resource import timestamp
from autocrud.storage.commit_log.records.header import EMPTY_TAIL, Tail
from autocrud.storage.decision.state import NamedKey, ReadSet, ReadState, Referrer, ResourceState, StoredKey
from autocrud.storage.metadata.postgres.commits.constraints import decode_constraints
from autocrud.storage.metadata.postgres.commits.store_tables import StoreTables
from autocrud.storage.metadata.postgres.compiler import shift_placeholders
from autocrud.storage.metadata.postgres.tables import PostgresTables, columns_of
from autocrud.storage.ports.contracts import Contract


class LoadedRow(NamedTuple):
    """A row of any part of the statement. Each part uses some of the columns."""

    name: str
    number: int
    time: datetime
    flag: bool
    content: bytes | None
    text1: str
    text2: str
    text3: str


class StateLoader:
    """Loads the state of one read set. A model without tables has no resources.

    Attributes:
        tail: last batch, if it was loaded.
    """

    def __init__(self, store: StoreTables, models: Mapping[str, PostgresTables], reads: ReadSet) -> None:
        self._store = store
        self._models = models
        self._parts: list[str] = []
        self._arguments: list[Any] = []
        self._readers: list[Callable[[LoadedRow], None]] = []
        self.tail = EMPTY_TAIL
        self._referrers: dict[NamedKey, list[Referrer]] = {target: [] for target in reads.referrers}
        self._state = ReadState(
            dict.fromkeys(reads.resources),
            dict.fromkeys(reads.holders),
            dict.fromkeys(reads.keys),
            dict.fromkeys(reads.blobs, False),
            dict(self._referrers),
            contracts=dict.fromkeys(reads.contracts),
        )

    async def load(self, connection: Any, *, with_tail: bool = False) -> ReadState:
        """Return the state that the read set names, as of the open transaction.

        Args:
            with_tail: load the last batch and the existence of on-delete tasks, too.
        """
        if with_tail:
            self._add(self._store.load_tail, [], self._read_tail)
        self._add_models()
        self._add_names()
        if self._parts:
            for part, *row in await connection.fetch(" UNION ALL ".join(self._parts), *self._arguments):
                self._readers[part](LoadedRow._make(row))
        return self._state

    def _add_models(self) -> None:
        for model, ids in _by_model(self._state.resources).items():
            if model in self._models:
                self._add(self._models[model].load_states, [ids], partial(self._read_resource, model))
        for model, file_ids in _by_model(self._state.blobs).items():
            if model in self._models:
                tables = self._models[model].side_tables
                self._add(tables.load_blobs, [file_ids], partial(self._read_blob, model))

    def _add_names(self) -> None:
        store, state = self._store, self._state
        if holders := list(state.holders):
            names = columns_of([(model, *claim) for model, claim in holders])
            self._add(store.load_holders, names, lambda row: state.holders.update({holders[row.number - 1]: row.name}))
        if keys := list(state.keys):
            self._add(store.load_keys, columns_of(keys), partial(self._read_key, keys))
        if models := sorted(state.contracts):
            self._add(store.load_contracts, [models], self._read_contract)
        if targets := list(self._referrers):
            self._add(store.load_referrers, columns_of(targets), partial(self._read_referrer, targets))

    def _add(self, sql: str, arguments: list[Any], read: Callable[[LoadedRow], None]) -> None:
        """Add a part of the statement, with the function that reads its rows."""
        shifted = shift_placeholders(sql, len(self._arguments))
        self._parts.append(f"SELECT {len(self._parts)}, part.* FROM ({shifted}) AS part")
        self._arguments += arguments
        self._readers.append(read)

    def _read_tail(self, row: LoadedRow) -> None:
        self._state.has_tasks = row.flag
        if row.number:
            self.tail = Tail(row.number, row.name, row.text1, 0, 0, 0)

    def _read_resource(self, model: str, row: LoadedRow) -> None:
        constraints = decode_constraints(row.content)
        self._state.resources[model, row.name] = ResourceState(row.number, timestamp(row.time), row.flag, *constraints)

    def _read_blob(self, model: str, row: LoadedRow) -> None:
        self._state.blobs[model, row.name] = True

    def _read_key(self, keys: list[NamedKey], row: LoadedRow) -> None:
        self._state.keys[keys[row.number - 1]] = StoredKey(row.text1, row.text2, row.name)

    def _read_contract(self, row: LoadedRow) -> None:
        self._state.contracts[row.name] = Contract.from_json(row.name, row.text1)

    def _read_referrer(self, targets: list[NamedKey], row: LoadedRow) -> None:
        self._referrers[targets[row.number - 1]].append(Referrer(row.text1, row.name, row.text2, row.text3))


async def load_state(
    connection: Any, store: StoreTables, models: Mapping[str, PostgresTables], reads: ReadSet
) -> ReadState:
    """Return the state that a read set names, as of the open transaction."""
    return await StateLoader(store, models, reads).load(connection)


def _by_model(keys: Iterable[NamedKey]) -> dict[str, list[str]]:
    """Return the names of each model, the models in order, so that equal sets have equal statements."""
    found: dict[str, list[str]] = {}
    for model, name in keys:
        found.setdefault(model, []).append(name)
    return dict(sorted(found.items()))
