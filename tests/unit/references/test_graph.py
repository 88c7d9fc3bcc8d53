"""Graph of references: connections between models, and refused fields."""

from typing import Annotated, Any

import pytest
from pydantic import BaseModel

from autocrud import OnDelete, Ref
from autocrud.errors import ConfigurationError
from autocrud.references.graph import Graph, ModelNode
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.memory import MemoryStorageFactory


class Person(BaseModel):
    """A person."""

    name: str


class Film(BaseModel):
    """A film with its makers."""

    director: Annotated[str | None, Ref("person", on_delete=OnDelete.restrict)] = None
    cast: Annotated[list[str], Ref("person", on_delete=OnDelete.set_null)] = []


class Review(BaseModel):
    """A review of a film."""

    film: Annotated[str, Ref("film", on_delete=OnDelete.cascade)]


def node(model: type[Any]) -> ModelNode:
    """Return the node of a model in memory."""
    spec: ModelSpec[Any] = ModelSpec(model)
    return ModelNode(spec, MemoryStorageFactory().build(spec))


def test_graph_connects_models_in_both_directions() -> None:
    """Each reference knows its source and target."""
    graph = Graph([node(Person), node(Film), node(Review)])
    assert [item.field.name for item in graph.outgoing("film")] == ["director", "cast"]
    assert [item.source.name for item in graph.incoming("film")] == ["review"]
    assert graph.unknown_models == []


def test_graph_reports_an_unknown_model_until_it_is_added() -> None:
    """Models may be added in any order, and existing references stay the same objects."""
    graph = Graph([node(Film)])
    assert "refers to 'person'" in graph.unknown_models[0]
    graph.add([node(Person)])
    director = graph.outgoing("film")[0]
    graph.add([node(Review)])
    assert graph.unknown_models == []
    assert graph.outgoing("film")[0] is director


def test_leads_to_restrict_follows_cascades() -> None:
    """A delete of a person may be refused; a delete of a film cascades freely."""
    graph = Graph([node(Person), node(Film), node(Review)])
    assert graph.leads_to_restrict("person")
    assert not graph.leads_to_restrict("film")
    assert graph.has_on_delete_actions("film")
    assert not graph.has_on_delete_actions("review")


def test_remove_ids_sets_null_and_drops_items() -> None:
    """Other members and items stay."""
    director, cast = Graph([node(Person), node(Film)]).outgoing("film")
    data = {"director": "a", "cast": ["a", "b"]}
    assert director.remove_ids(data, {"a"}) == {"director": None, "cast": ["a", "b"]}
    assert cast.remove_ids(data, {"a"}) == {"director": "a", "cast": ["b"]}


def test_reference_that_cannot_be_null_refuses_set_null() -> None:
    """The error names the field."""

    class Ticket(BaseModel):
        owner: Annotated[str, Ref("person", on_delete=OnDelete.set_null)]

    with pytest.raises(ConfigurationError, match=r"Ticket\.owner cannot be null"):
        Graph([node(Person), node(Ticket)])
