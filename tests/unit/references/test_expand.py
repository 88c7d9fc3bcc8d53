"""Expand: targets of resources, and pages of referrers."""

from typing import Any

import pytest

from autocrud.errors import InvalidParameter
from autocrud.references.expand import find_referrers
from tests.unit.references.library import Library


async def films_of_ann() -> Library:
    """The person `ann`, with three films by two fields each."""
    library = await Library().open()
    await library.create("person", "ann", name="Ann")
    for number in range(3):
        await library.create("film", f"f{number}", director="ann", cast=["ann"])
    return library


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 7])
async def test_referrers_paged_return_each_field_of_each_referrer_once(limit: int) -> None:
    """Pages end within a field and between fields; the last page has no cursor."""
    library = await films_of_ann()
    references, pairs, cursor = library.graph.incoming("person"), [], None
    while True:
        page = await find_referrers(references, "ann", limit=limit, cursor=cursor, include_deleted=False)
        assert 0 < len(page.items) <= limit
        pairs += [(item.reference.field.name, item.resource.resource_id) for item in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert pairs == [(field, f"f{number}") for field in ("director", "cast") for number in (2, 1, 0)]


@pytest.mark.parametrize("cursor", ["", "x", "é", "W10", "WyJmaWxtIiwiZGlyZWN0b3IiLDFd"])
async def test_malformed_referrers_cursor_is_refused(cursor: str) -> None:
    """Texts that are no cursor, and JSON of another shape."""
    library = await films_of_ann()
    with pytest.raises(InvalidParameter, match="cursor"):
        await library.managers["person"].referrers("ann", cursor=cursor)


async def test_expanded_returns_none_for_null_missing_and_deleted_targets() -> None:
    """A list field has an entry for each of its ids."""
    library = await films_of_ann()
    await library.create("person", "bob")
    await library.create("film", "g", producer="bob", cast=["bob", "ann"])
    films = library.managers["film"]
    resources = [await films.get("g")]
    await library.managers["person"].delete("bob")
    (expanded,) = await films.expanded(resources, ["director", "producer", "cast"])
    cast: Any = expanded["cast"]
    assert (expanded["director"], expanded["producer"]) == (None, None)
    assert [None if person is None else person.data.name for person in cast] == [None, "Ann"]
