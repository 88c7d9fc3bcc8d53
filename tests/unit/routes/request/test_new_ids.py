"""Names of new resources in the reference fields of operations."""

from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field

from autocrud import Ref
from autocrud.errors import InvalidData
from autocrud.routes.request.new_ids import NewIds, replace_references
from autocrud.schema.model_spec import ModelSpec


class Role(BaseModel):
    """A part of a film, with another name for clients."""

    actor: Annotated[str, Ref("person")] = Field(alias="playedBy")
    name: str = ""


class Film(BaseModel):
    """A film with references at several depths."""

    director: Annotated[str | None, Ref("person")] = None
    writers: Annotated[list[str], Ref("person")] = []
    cast: list[Role] = []
    studio: Role | None = None


SPEC: ModelSpec[Film] = ModelSpec(Film)


def names() -> NewIds:
    """Return two names with ids, and one whose operation has not run."""
    new_ids = NewIds()
    new_ids.declare("$a", "1")
    new_ids.declare("$b", "2")
    new_ids.declare("$later", None)
    return new_ids


def replaced(**members: Any) -> dict[str, Any]:
    """Return the members of an operation with ids in place of names."""
    replace_references(SPEC, members, names())
    return members


def test_names_are_replaced_at_every_depth_and_under_every_name_of_a_field() -> None:
    """Also in lists, and under a field's own name. Other values and other types stay."""
    data = {
        "director": "$a",
        "writers": ["$b", "x", 5, None],
        "cast": [{"playedBy": "$a", "name": "$a"}, {"actor": "$$a"}, "$a", {}],
        "studio": {"playedBy": "$b"},
        "$a": "$a",
    }
    assert replaced(data=data, id="$a") == {
        "id": "$a",
        "data": {
            "director": "1",
            "writers": ["2", "x", 5, None],
            "cast": [{"playedBy": "1", "name": "$a"}, {"actor": "$a"}, "$a", {}],
            "studio": {"playedBy": "2"},
            "$a": "$a",
        },
    }
    assert replaced(merge={"director": None, "cast": "x"}) == {"merge": {"director": None, "cast": "x"}}
    assert replaced(data=["$a"]) == {"data": ["$a"]}


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("/director", "$a", "1"),
        ("/writers/0", "$a", "1"),
        ("/writers/-", "$b", "2"),
        ("/writers", ["$a", "x"], ["1", "x"]),
        ("/cast/0/playedBy", "$a", "1"),
        ("/cast/0/actor", "$a", "1"),
        ("/cast/0/name", "$a", "$a"),
        ("/cast/-", {"playedBy": "$a", "name": "$a"}, {"playedBy": "1", "name": "$a"}),
        ("/cast", [{"actor": "$b"}], [{"actor": "2"}]),
        ("", {"director": "$a", "studio": {"playedBy": "$b"}}, {"director": "1", "studio": {"playedBy": "2"}}),
        ("/unknown/~1/~0", "$a", "$a"),
        ("director", "$a", "$a"),
    ],
)
def test_names_are_replaced_in_values_of_a_json_patch(path: str, value: Any, expected: Any) -> None:
    """Where the value becomes a reference, or holds one."""
    steps = [
        {"op": "add", "path": path, "value": value},
        {"op": "remove", "path": path},
        "no step",
        {"path": 5, "value": 1},
    ]
    assert replaced(patch=steps)["patch"][0]["value"] == expected


@pytest.mark.parametrize("text", ["$c", "$later", "$"])
def test_name_without_an_id_is_refused_with_its_field(text: str) -> None:
    """The error has the name that clients know."""
    with pytest.raises(InvalidData) as refusal:
        replaced(data={"cast": [{"playedBy": text}]})
    assert [error.field for error in refusal.value.errors] == ["cast.playedBy"]


@pytest.mark.parametrize("name", ["$a", "$", "$$a", "$a b", "$" + "a" * 65, "$é"])
def test_malformed_or_repeated_name_is_refused(name: str) -> None:
    """Two resources cannot have one name."""
    with pytest.raises(InvalidData, match="id: "):
        names().declare(name, "3")
