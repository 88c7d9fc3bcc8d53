"""Comparison of two revisions."""

from typing import Any

import pytest

from autocrud.pages.comparison import Part, compare


def rows_of(before: Any, after: Any) -> list[tuple[str, str, str, str]]:
    """Return path, change and both texts of each row."""
    return [
        (row.path, row.change, "".join(part.text for part in row.before), "".join(part.text for part in row.after))
        for row in compare(before, after)
    ]


def test_members_are_compared_by_name() -> None:
    """In the order of the second document."""
    before = {"same": 1, "old": "x", "nested": {"a": 1, "b": None}}
    after = {"new": True, "same": 1, "nested": {"a": 2, "b": None}}
    assert rows_of(before, after) == [
        ("new", "added", "", "true"),
        ("same", "same", "1", "1"),
        ("nested.a", "changed", "1", "2"),
        ("nested.b", "same", "null", "null"),
        ("old", "removed", "x", ""),
    ]


def test_item_at_the_front_changes_no_other_item() -> None:
    """Lists are aligned."""
    assert rows_of({"tags": ["b", "c"]}, {"tags": ["a", "b", "c"]}) == [
        ("tags.0", "added", "", "a"),
        ("tags.1", "same", "b", "b"),
        ("tags.2", "same", "c", "c"),
    ]


def test_changed_item_is_compared_inside() -> None:
    """Not as a whole."""
    before, after = [{"kind": "p", "text": "one"}], [{"kind": "p", "text": "two"}]
    assert rows_of(before, after) == [("0.kind", "same", "p", "p"), ("0.text", "changed", "one", "two")]


def test_added_object_has_a_row_per_member() -> None:
    """Also inside a list."""
    assert rows_of({}, {"place": {"city": "Wien", "tags": ["a"]}}) == [
        ("place.city", "added", "", "Wien"),
        ("place.tags.0", "added", "", "a"),
    ]


@pytest.mark.parametrize(
    ("before", "after"), [(1, "1"), (None, ""), ([], {}), ([], None), (1, True), ({}, {"a": 1}), ("a", ["a"])]
)
def test_values_of_different_types_differ(before: Any, after: Any) -> None:
    """Although some have the same text."""
    assert all(change != "same" for _, change, _, _ in rows_of({"x": before}, {"x": after}))


def test_words_of_a_text_are_compared() -> None:
    """Only the words that differ are marked."""
    (row,) = compare("the third man", "the other man")
    assert list(row.before) == [Part("the", False), Part("third", True), Part("man", False)]
    assert list(row.after) == [Part("the", False), Part("other", True), Part("man", False)]


def test_large_values_are_compared_in_bounded_time() -> None:
    """Without aligning items or words."""
    before, after = list(range(5000)), list(range(1, 5001))
    assert len(compare(before, after)) == 5000
    text = "word " * 50_000
    (row,) = compare(text, f"{text}more")
    assert row.change == "changed"
    words = "word " * 400
    rows = compare([words] * 200, [f"{words}{number}" for number in range(200)])
    assert {row.change for row in rows} == {"changed"}
    deep: Any = 0
    for _ in range(150):
        deep = [deep]
    assert [row.change for row in compare(deep, [deep])] == ["changed"]
