"""Schema: the path of steps between versions, and the schemas that are refused."""

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel

from autocrud import AutoCRUD, Schema
from autocrud.errors import ConfigurationError
from autocrud.migrations import convert, fill, move, remove, rename


def keep(document: dict[str, Any]) -> dict[str, Any]:
    """Return the document."""
    return document


async def wait(document: dict[str, Any]) -> dict[str, Any]:
    """Return the document, asynchronously."""
    return document


class Note(BaseModel):
    """A model."""

    text: str


def path_of(schema: Schema, version: int) -> list[int]:
    """Return the versions on the path."""
    return [step.new for step in schema.paths("Note")[version]]


def test_shortest_path_is_taken() -> None:
    chain = Schema(4).step(1, 2, keep).step(2, 3, keep).step(3, 4, keep)
    assert path_of(chain, 1) == [2, 3, 4]
    assert path_of(chain.step(2, 4, keep), 1) == [2, 4]
    assert path_of(chain.step(1, 4), 1) == [4]
    assert path_of(chain, 4) == []
    assert list(Schema(4, oldest=3).step(3, 4).paths("Note")) == [4, 3]


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        (Schema(2), "no step leads from schema version 1 to 2"),
        (Schema(3).step(1, 2), "no step leads from schema version 2 to 3"),
        (Schema(3).step(2, 3), "no step leads from schema version 1 to 3"),
        (Schema(3).step(1, 3), "no step leads from schema version 2 to 3"),
        (Schema(4).step(1, 2).step(2, 4).step(1, 3).step(3, 4), "two paths of steps .* from schema version 1"),
        (Schema(5).step(1, 2).step(2, 3).step(2, 4).step(3, 5).step(4, 5), "two paths .* from schema version 2"),
        (2, "no step leads"),
        (True, "must be a Schema"),
        ("2", "must be a Schema"),
        (0, "not a schema version"),
    ],
)
def test_gap_or_ambiguity_is_refused_at_registration(schema: Any, reason: str) -> None:
    """The error names the model, the version and the remedy."""
    with pytest.raises(ConfigurationError, match=reason):
        AutoCRUD().add_model(Note, schema=schema)


WRONG: list[Callable[[], Schema]] = [
    lambda: Schema(0),
    lambda: Schema(2**31),
    lambda: Schema("1"),  # type: ignore[arg-type]
    lambda: Schema(2, oldest=3),
    lambda: Schema(2).step(2, 1, keep),
    lambda: Schema(2).step(1, 1, keep),
    lambda: Schema(2).step(2, 3, keep),
    lambda: Schema(2).step(0, 1, keep),
    lambda: Schema(2).step(1, 2, keep).step(1, 2, keep),
    lambda: Schema(2).step(1, 2, "rename"),  # type: ignore[arg-type]
    lambda: Schema(2).step(1, 2, wait),  # type: ignore[arg-type]
    lambda: Schema(2).step(1, 2, dict),
    lambda: Schema(2).step(1, 2, downgrade=keep),
    lambda: Schema(2).step(1, 2, downgrade=[convert("a", abs)]),
    lambda: Schema(2).step(1, 2, downgrade=[fill("a", keep)]),
]


@pytest.mark.parametrize("number", range(len(WRONG)))
def test_wrong_step_is_refused_where_it_is_declared(number: int) -> None:
    with pytest.raises(ConfigurationError):
        WRONG[number]()


def test_schema_is_immutable() -> None:
    base = Schema(2)
    assert base.step(1, 2).steps != base.steps == ()


def test_downgrades_lead_back_by_the_shortest_way() -> None:
    schema = (
        Schema(4)
        .step(1, 2, downgrade=[remove("a")])
        .step(2, 3, downgrade=rename("c", "b"))
        .step(3, 4, downgrade=[move("d", "c")])
        .step(2, 4, downgrade=[rename("d", "b")])
    )
    assert schema.downgrades() == {
        3: (move("d", "c"),),
        2: (rename("d", "b"),),
        1: (rename("d", "b"), remove("a")),
    }
    assert Schema(2).step(1, 2).downgrades() == {}
