"""Reference filters: replaced by the ids of the matching targets."""

from typing import Any

import pytest

from autocrud.errors import InvalidParameter
from autocrud.query.builder import QB
from autocrud.query.conditions import And, Condition, Not, Or, Term
from autocrud.references import reference_filters
from autocrud.references.reference_filters import resolve_reference_filters
from tests.unit.references.library import Library


async def persons(*names: str) -> Library:
    """A library of persons, whose ids are their names."""
    library = await Library().open()
    for name in names:
        await library.create("person", name, name=name)
    return library


async def resolve(library: Library, condition: Condition) -> Condition:
    """Resolve a condition on films."""
    typed = library.graph.resolver("film").condition(condition)
    resolved = await resolve_reference_filters(typed, library.nodes)
    assert resolved is not None
    return resolved


def ids(term: Any) -> set[str]:
    """The ids of a term."""
    assert isinstance(term, Term)
    assert isinstance(term.value, tuple)
    return {str(value) for value in term.value}


async def test_missing_condition_stays_none() -> None:
    """A query without conditions makes no query of another model."""
    assert await resolve_reference_filters(None, {}) is None


async def test_filters_in_a_tree_are_replaced_where_they_are() -> None:
    """And, or and not keep their structure; other terms stay."""
    library = await persons("ann", "bob")
    ann, bob = QB["director.name"].eq("ann"), QB["cast.name"].eq("bob")
    match await resolve(library, (ann | ~bob) & QB["director"].eq("x")):
        case And((Or((first, Not(second))), third)):
            assert (ids(first), ids(second)) == ({"ann"}, {"bob"})
            assert isinstance(third, Term)
            assert third.value == "x"
        case other:
            pytest.fail(repr(other))


async def test_deleted_targets_match_only_if_the_filter_names_them() -> None:
    """A filter on `is_deleted` of the target selects deleted targets."""
    library = await persons("ann", "bob")
    await library.managers["person"].delete("bob")
    assert ids(await resolve(library, QB["director.name"].in_(["ann", "bob"]))) == {"ann"}
    assert ids(await resolve(library, QB["director.is_deleted"].eq(True))) == {"bob"}


async def test_filter_with_too_many_targets_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the filter, and the count includes all pages."""
    library = await persons("ann", "bob", "carol")
    monkeypatch.setattr(reference_filters, "_PAGE", 1)
    monkeypatch.setattr(reference_filters, "MAX_REACHED", 3)
    assert ids(await resolve(library, QB["director.name"].is_null(False))) == {"ann", "bob", "carol"}
    monkeypatch.setattr(reference_filters, "MAX_REACHED", 2)
    with pytest.raises(InvalidParameter, match=r"director\.name"):
        await resolve(library, QB["director.name"].is_null(False))
