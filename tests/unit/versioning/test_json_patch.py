"""JSON Patch and Merge Patch: differences, and operations that are applied or refused."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import from_json, to_json

from autocrud.errors import InvalidPatch, PatchFailed
from autocrud.versioning.difference import difference
from autocrud.versioning.json_patch import OperationsPatch, as_patch

SCALARS = (
    st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from([0.0, 1.0, -0.5]) | st.sampled_from(["", "a"])
)
NAMES = st.sampled_from(["a", "b", "0", "1", "-", "", "~", "/", "01"])
DOCUMENTS = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4), max_leaves=12
)
POINTERS = st.lists(NAMES, max_size=3).map(
    lambda names: "".join("/" + name.replace("~", "~0").replace("/", "~1") for name in names)
)
OPERATIONS = st.fixed_dictionaries(
    {
        "op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test"]),
        "path": POINTERS,
        "from": POINTERS,
        "value": DOCUMENTS,
    }
)


@given(DOCUMENTS, DOCUMENTS)
def test_difference_transforms_one_document_into_the_other(one: Any, other: Any) -> None:
    """Exactly: 1, 1.0 and true are three values."""
    patch = OperationsPatch(to_json(difference(one, other)))
    assert to_json(_sorted(patch.apply(from_json(to_json(one)), 10**6))) == to_json(_sorted(other))


@given(DOCUMENTS, st.lists(OPERATIONS, max_size=5))
def test_operations_are_applied_or_refused(document: Any, operations: list[dict[str, Any]]) -> None:
    """The result is JSON."""
    with suppress(PatchFailed):
        to_json(OperationsPatch(to_json(operations)).apply(document, 10**6))


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _sorted(value[name]) for name in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("patch", [None, 5, "x", {1, 2}])
def test_object_that_is_no_patch_is_refused(patch: Any) -> None:
    """The error lists the accepted types."""
    with pytest.raises(InvalidPatch, match=f"not {type(patch).__name__}"):
        as_patch(patch)
