"""Models of the campaign: accounts, transfers between them, and notes on transfers."""

from typing import Annotated

from pydantic import BaseModel

from autocrud import AutoCRUD, OnDelete, Ref
from autocrud.storage.ports.storage import IStorageFactory
from autocrud.storage.ports.transactions import TransactionStore

ACCOUNTS = tuple(f"account{number}" for number in range(12))
OPENING_BALANCE = 1000
MODELS = ("account", "transfer", "note")


class Account(BaseModel):
    """An account. Transfers keep the total of all balances."""

    balance: int


class Transfer(BaseModel):
    """A transfer. The transaction that creates it changes both accounts."""

    payer: Annotated[str, Ref("account")]
    payee: Annotated[str, Ref("account")]
    amount: int


class Note(BaseModel):
    """A note on a transfer. A note cannot be deleted while a live note answers it."""

    transfer: Annotated[str, Ref("transfer", on_delete=OnDelete.cascade)]
    answers: Annotated[str | None, Ref("note", on_delete=OnDelete.restrict)] = None


def bank(factory: IStorageFactory) -> AutoCRUD:
    """Return a service of these models."""
    crud = AutoCRUD(storage_factory=factory)
    for model in (Account, Transfer, Note):
        crud.add_model(model)
    return crud


def store_of(crud: AutoCRUD) -> TransactionStore:
    """Return the store of the models."""
    store = crud.manager(Account).node.storage.store
    assert store is not None
    return store


async def open_accounts(crud: AutoCRUD) -> None:
    """Create the accounts, in one transaction."""
    async with crud.transaction() as tx:
        for name in ACCOUNTS:
            await tx.create(Account, {"balance": OPENING_BALANCE}, resource_id=name)
