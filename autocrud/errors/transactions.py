"""Errors of transactions over several models."""

from autocrud.errors.base import AutoCRUDError


class DifferentStores(AutoCRUDError):
    """The models of a transaction are in different stores: give the models one storage factory, or write separately.

    Args:
        first: name of a model, and name of its store.
        second: those of another model.
    """

    code = "different_stores"

    def __init__(self, first: tuple[str, str], second: tuple[str, str]) -> None:
        (model, store), (other_model, other_store) = first, second
        super().__init__(
            f"A transaction writes to one store. {model} is in the store {store!r}, and {other_model} is in the store"
            f" {other_store!r}."
        )
        self.models = (model, other_model)
        self.stores = (store, other_store)


class TransactionClosed(AutoCRUDError):
    """The transaction has ended, or has not begun: use it inside its `async with` block."""

    code = "transaction_closed"

    def __init__(self) -> None:
        super().__init__("The transaction is not open. Call its methods inside `async with crud.transaction() as tx`.")
