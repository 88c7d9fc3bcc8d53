"""Publication of the contract of a model, at the start of a process."""

import logging
from dataclasses import replace
from hashlib import sha256
from typing import Any

from autocrud.errors import StorageUnavailable
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.index_backfill.column_state import signature
from autocrud.storage.ports.contracts import Contract, describe_rules, rules_of
from autocrud.storage.ports.transactions import Transaction, TransactionStore
from autocrud.storage.ports.types import ContractExists

logger = logging.getLogger(__name__)

_ATTEMPTS = 20  # of processes that start at the same moment


class ModelContract:
    """The contract of one model as this process knows it.

    The newest contract in the store counts. A process whose model lacks a rule of it may read, and writes nothing.
    Rules are added by any process, and removed or changed only with a higher schema version. So no restart of an older
    process removes a rule.

    Attributes:
        rules: rules that this process knows.
    """

    def __init__(self, spec: ModelSpec[Any], store: TransactionStore) -> None:
        self._spec = spec
        self._store = store
        self._previous: Contract | None = None
        self.rules = rules_of(spec)

    async def publish(self) -> bool:
        """Store the contract, unless the store has a newer one. Return True if it has rules that the store lacked.

        Raises:
            StorageUnavailable: the store does not answer, or other processes publish all the time.
        """
        contract = self._contract()
        stored = await self._submit(contract, number=0)
        for _ in range(_ATTEMPTS):
            if not self._replaces(contract, stored):
                return False
            found = await self._submit(contract, number=1 if stored is None else stored.number + 1)
            if found is None:
                self._previous = stored
                return stored is None or bool(contract.rules_beyond(stored.rules))
            stored = found
        raise StorageUnavailable(f"other processes publish contracts of {self._spec.name!r}; try again")

    async def withdraw(self) -> None:
        """Publish the contract that this process has replaced, so that older processes go on."""
        contract = self._contract()
        previous = self._previous or Contract(contract.model, 0, contract.schema_version)
        stored = await self._submit(contract, number=0)
        if stored is not None and replace(stored, number=0) == contract:
            await self._submit(previous, number=stored.number + 1)

    def _contract(self) -> Contract:
        spec = self._spec
        index = sha256("\n".join(sorted(map(signature, spec.index_fields))).encode()).hexdigest()
        return Contract(spec.folder, 0, spec.schema.version, self.rules, index)

    def _replaces(self, contract: Contract, stored: Contract | None) -> bool:
        """Return True if the own contract is newer than the one in the store."""
        if stored is None:
            return bool(contract.rules)  # without rules, there is nothing that another process could break
        if contract.schema_version > stored.schema_version:
            return True
        if missing := stored.rules_beyond(contract.rules):
            logger.warning(
                "%s: other processes have rules that this process does not know, so its writes are refused: %s. They"
                " come from schema version %d, and this process has version %d. To remove or change a rule, raise the"
                " schema version.",
                self._spec.name, describe_rules(missing), stored.schema_version, contract.schema_version,
            )  # fmt: skip
            return False
        return contract.schema_version == stored.schema_version and bool(contract.rules_beyond(stored.rules))

    async def _submit(self, contract: Contract, *, number: int) -> Contract | None:
        """Commit a contract under a number. Return None if it is accepted, else the contract in the store.

        No contract has the number 0, so that a commit of it only reads.
        """
        ((outcome,),) = await self._store.commit([Transaction((replace(contract, number=number),))])
        if outcome is None:
            return None
        if isinstance(outcome, ContractExists):
            return outcome.stored
        raise outcome
