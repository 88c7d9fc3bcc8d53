"""A library of persons, films and reviews in memory, whose references have all on-delete actions."""

from typing import Annotated, Any

from pydantic import BaseModel

from autocrud import Index, OnDelete, Ref, ResourceManager
from autocrud.references.graph import Graph, ModelNode, Reference
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.memory import MemoryStorageFactory


class Person(BaseModel):
    """A person."""

    name: Annotated[str, Index()] = ""
    boss: Annotated[str | None, Ref("person")] = None


class Film(BaseModel):
    """A film."""

    title: str = ""
    director: Annotated[str | None, Ref("person")] = None
    producer: Annotated[str | None, Ref("person", on_delete=OnDelete.set_null)] = None
    cast: Annotated[list[str], Ref("person", on_delete=OnDelete.set_null)] = []


class Review(BaseModel):
    """A review, which is deleted with its film."""

    film: Annotated[str, Ref("film", on_delete=OnDelete.cascade)]
    answers: Annotated[str | None, Ref("review", on_delete=OnDelete.cascade)] = None


class Quote(BaseModel):
    """A quote, which keeps a review from being deleted."""

    review: Annotated[str, Ref("review")]


class Library:
    """Managers of the models, by name, which share one graph."""

    def __init__(self) -> None:
        factory = MemoryStorageFactory()
        specs: list[ModelSpec[Any]] = [ModelSpec(model) for model in (Person, Film, Review, Quote)]
        self.graph = Graph([ModelNode(spec, factory.build(spec)) for spec in specs])
        self.nodes = self.graph.nodes
        self.managers: dict[str, ResourceManager[Any]] = {
            name: ResourceManager(node.spec, node.storage, graph=self.graph) for name, node in self.nodes.items()
        }

    async def open(self) -> "Library":
        """Open all storages."""
        for node in self.nodes.values():
            await node.storage.open()
        return self

    def reference(self, model: str, field: str) -> Reference:
        """Return the reference of a field."""
        return next(item for item in self.graph.outgoing(model) if item.field.name == field)

    async def create(self, model: str, resource_id: str, **fields: Any) -> None:
        """Create a resource."""
        await self.managers[model].create(fields, resource_id=resource_id)

    async def live(self, model: str) -> list[str]:
        """Return the ids of all live resources of a model, in order."""
        page = await self.managers[model].search(sort="resource_id", limit=1000)
        return [resource.resource_id for resource in page.items]
