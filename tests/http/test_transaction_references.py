"""References and unique values in transactions over HTTP: judged at the end."""

import httpx

from tests.http import test_transaction
from tests.http.test_transaction import committed, counts, customer, order, refused

http = test_transaction.http


async def test_missing_target_refuses_the_transaction(http: httpx.AsyncClient) -> None:
    """A doubled `$` begins a literal value, which is no id here."""
    for missing in ("nobody", "$$a"):
        operations = [customer(id="$a"), order(customer=missing)]
        assert await refused(http, *operations) == (422, "reference_not_found", 1, "order")
    assert await counts(http) == [0, 0, 0]


async def test_unique_value_and_reference_move_within_a_transaction(http: httpx.AsyncClient) -> None:
    """A restricting referrer may go after its target."""
    await committed(http, customer("a@x", id="a"), order("o", customer="a"))
    drop = {"op": "delete", "model": "customer", "id": "a"}
    assert await refused(http, drop) == (409, "referenced", 0, "customer")
    await committed(http, drop, {"op": "delete", "model": "order", "id": "o"}, customer("a@x", id="b"))
    restore = {"op": "restore", "model": "order", "id": "o"}
    assert await refused(http, restore) == (422, "reference_not_found", 0, "order")
