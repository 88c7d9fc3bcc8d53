"""Ready-made steps: what each makes of a document, and the documents and arguments that it refuses."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autocrud.errors import ConfigurationError
from autocrud.migrations import convert, fill, merge, move, remove, rename, split
from autocrud.schema.versions.steps import ReadyStep, StepError, read_step

NAMES = st.sampled_from(["a", "b", "c"])
DOCUMENTS = st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
).filter(lambda value: isinstance(value, dict))


@pytest.mark.parametrize(
    ("step", "before", "after"),
    [
        (rename("a", "b"), {"a": 1, "c": 2}, {"b": 1, "c": 2}),
        (rename("a", "b"), {"c": 2}, {"c": 2}),
        (rename("a.b", "c"), {"a": {"b": None}}, {"a": {"c": None}}),
        (rename("a.b", "c"), {"a": [{"b": 1}, {}, 5, [{"b": 2}]]}, {"a": [{"c": 1}, {}, 5, [{"c": 2}]]}),
        (rename(["a.b"], "c"), {"a.b": 1, "a": {"b": 2}}, {"c": 1, "a": {"b": 2}}),
        (remove("a"), {"a": 1, "b": 2}, {"b": 2}),
        (remove("a.b"), {"a": None, "b": 2}, {"a": None, "b": 2}),
        (fill("a", []), {}, {"a": []}),
        (fill("a", 1), {"a": None}, {"a": None}),
        (fill("a", 1, nulls=True), {"a": None}, {"a": 1}),
        (fill("a", lambda document: document["b"] * 2), {"b": 2}, {"b": 2, "a": 4}),
        (fill("a.b", 1), {"a": [{}, {"b": 2}]}, {"a": [{"b": 1}, {"b": 2}]}),
        (convert("a", str), {"a": 1}, {"a": "1"}),
        (convert("a", str), {"a": None}, {"a": None}),
        (convert("a", str, nulls=True), {"a": None}, {"a": "None"}),
        (convert("a.b", int), {"a": [{"b": "1"}, {"b": "2"}]}, {"a": [{"b": 1}, {"b": 2}]}),
        (move("a", "b.c"), {"a": 1}, {"b": {"c": 1}}),
        (move("a", "b.c"), {"a": 1, "b": None}, {"b": {"c": 1}}),
        (move("a.b", "c"), {"a": {"b": 1, "d": 2}}, {"a": {"d": 2}, "c": 1}),
        (move("a.b", "c"), {"a": None}, {"a": None}),
        (split("a", ["b", "c"], str.split), {"a": "x y"}, {"b": "x", "c": "y"}),
        (split("a.b", ["b", "c"], str.split), {"a": {"b": "x y"}}, {"a": {"b": "x", "c": "y"}}),
        (merge(["a", "b"], "c", lambda a, b: f"{a} {b}"), {"a": "x", "b": "y"}, {"c": "x y"}),
        (merge(["a", "b"], "a", lambda a, b: [a, b]), {"a": "x"}, {"a": ["x", None]}),
        (merge(["a", "b"], "c", lambda a, b: 0), {"d": 1}, {"d": 1}),
    ],
)
def test_step_changes_a_document(step: ReadyStep, before: dict[str, Any], after: dict[str, Any]) -> None:
    assert step(before) == after


@pytest.mark.parametrize(
    ("step", "document", "field", "reason"),
    [
        (rename("a", "b"), {"a": 1, "b": 2}, "b", "exists already"),
        (rename("x.a", "b"), {"x": {"a": 1, "b": 2}}, "x.b", "exists already"),
        (move("a", "b.c"), {"a": 1, "b": {"c": 2}}, "b.c", "exists already"),
        (move("a", "b.c"), {"a": 1, "b": [1]}, "b", "not an object"),
        (convert("a", int), {"a": "x"}, "a", "ValueError"),
        (split("a", ["b", "c"], str.split), {"a": "x"}, "a", "into 2 values"),
        (split("a", ["b", "c"], lambda value: value), {"a": "xy"}, "a", "into 2 values"),
        (split("a", ["b", "c"], str.split), {"a": "x y", "c": 1}, "c", "exists already"),
        (merge(["a", "b"], "c", lambda a, b: a + b), {"a": 1}, "c", "TypeError"),
        (merge(["a", "b"], "c", lambda a, b: 0), {"a": 1, "c": 1}, "c", "exists already"),
    ],
)
def test_step_names_the_field_that_it_cannot_change(
    step: ReadyStep, document: dict[str, Any], field: str, reason: str
) -> None:
    with pytest.raises(StepError, match=reason) as raised:
        step(document)
    assert raised.value.field == field


WRONG: list[Callable[[], ReadyStep]] = [
    lambda: rename("", "b"),
    lambda: rename("a..b", "c"),
    lambda: rename("a", ""),
    lambda: rename(5, "a"),  # type: ignore[arg-type]
    lambda: remove([]),
    lambda: fill("a", object()),
    lambda: convert("a", None),  # type: ignore[arg-type]
    lambda: move("a", "a.b"),
    lambda: move("a", "a"),
    lambda: split("a", "bc", list),
    lambda: split("a", [], list),
    lambda: merge(["a", "a"], "b", max),
]


@pytest.mark.parametrize("number", range(len(WRONG)))
def test_step_with_wrong_arguments_is_refused(number: int) -> None:
    with pytest.raises(ConfigurationError):
        WRONG[number]()


@given(DOCUMENTS, NAMES)
def test_rename_and_move_lead_back(document: dict[str, Any], name: str) -> None:
    """No other part of the document changes, not even its order."""
    original = repr(document)
    renamed = rename(name, "other")(document)
    assert (name in original) or repr(renamed) == original
    assert repr(rename("other", name)(renamed)) == original
    moved = move(name, "far.away")(document)
    back = move("far.away", name)(moved)
    assert back.pop("far", {}) == {}
    assert back == eval(original)


def test_portable_step_is_read_back() -> None:
    """A downgrade stands in the store as JSON."""
    steps = [rename("a.b", "c"), remove("a"), fill("a", {"x": [1]}, nulls=True), convert("a", int), move("a", "b.c")]
    for step in steps:
        assert read_step(step.to_json()) == step
    assert [step.to_json() for step in (convert("a", abs), split("a", ["b"], list), fill("a", dict))] == [None] * 3
    for content in (
        ["unknown", []],
        None,
        ["rename"],
        ["convert", ["a"], "eval", False],
        ["remove", []],
        ["rename", ["a"], 5],
    ):
        with pytest.raises(ValueError, match="unknown step"):
            read_step(content)
