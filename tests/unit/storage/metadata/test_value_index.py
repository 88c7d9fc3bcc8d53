"""ValueIndex: places by value, and the sorted values after many changes."""

from random import Random
from typing import Any

import pytest

from autocrud.query.operators import Operator
from autocrud.storage.metadata.memory.indexes.value_index import ValueIndex

Place = tuple[str, str]


@pytest.mark.parametrize("kept_values", [10, 3000], ids=["few resources", "many resources"])
def test_value_index_after_many_changes_equals_a_dict(kept_values: int) -> None:
    """Values come and go in numbers that need insertions, sorts and a new list."""
    chance, index, contents = Random(1), ValueIndex(lambda content: (content,)), dict[Place, Any]()
    for number in range(12_000):
        place = (f"{number:06}", "a")
        contents[place] = chance.choice([None, number % 5, number, -number])
        index.add(contents[place], place)
        if len(contents) > kept_values:
            removed = chance.choice(list(contents)[:10])
            index.remove(contents.pop(removed), removed)
        if number % 1000 in (0, 1, 2, 50) or number == 11_999:
            _compare(index, contents, chance.choice([3, number, -number]))


def _compare(index: ValueIndex, contents: dict[Place, Any], bound: int) -> None:
    span = index.span(Operator.gte, bound)
    assert span is not None
    found = index.find_in_span(span)
    expected = sorted(place for place, value in contents.items() if value is not None and value >= bound)
    assert sorted(found.places()) == expected
    assert found.count() == len(expected)
    equal = [place for place, value in contents.items() if value == bound]
    assert list(index.find((bound, bound)).sorted_places()) == sorted(equal) == list(index.places_of(bound))
    assert list(index.places_of(None)) == [place for place, value in contents.items() if value is None]
    values = [value for value in index.values() if index.places_of(value)]
    assert values == sorted({value for value in contents.values() if value is not None})
