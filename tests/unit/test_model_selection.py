"""Selection of the models that get routes without `register(crud)`."""

from types import ModuleType
from typing import Generic, TypeVar

from pydantic import BaseModel

from autocrud.service.model_selection import select_models

T = TypeVar("T")


class Base(BaseModel):
    """A base class."""


class City(BaseModel):
    """A part of a part."""


class Address(BaseModel):
    """A part."""

    cities: dict[str, list[City | None]] = {}


class Person(Base):
    """A model."""

    addresses: tuple[Address, ...] = ()


class Comment(BaseModel):
    """A model that contains itself."""

    replies: "list[Comment]" = []


class Husband(BaseModel):
    """A model that contains a model that contains it."""

    wife: "Wife | None" = None


class Wife(BaseModel):
    """The other model of a pair."""

    husband: Husband | None = None


class Page(BaseModel, Generic[T]):
    """A generic model, which is no type yet."""

    items: list[T]


def module_of(*models: type[BaseModel], **names: object) -> ModuleType:
    """Return a module that defines these models."""
    module = ModuleType(__name__)
    vars(module).update({model.__name__: model for model in models} | names)
    return module


def test_select_models_leaves_out_bases_and_parts() -> None:
    """With the reasons."""
    models, reasons = select_models(module_of(Base, City, Address, Person, Comment, Page))
    assert models == [Person, Comment]
    assert reasons == {
        Base: "is a base class of Person",
        City: "is a part of Address",
        Address: "is a part of Person",
    }


def test_select_models_keeps_models_that_contain_each_other() -> None:
    """Neither is a part of the other."""
    assert select_models(module_of(Husband, Wife)) == ([Husband, Wife], {})


def test_select_models_respects_all_and_private_names() -> None:
    """`__all__` limits the models; without it, names with an underscore are private."""
    assert select_models(module_of(Comment, Person, __all__=["Comment"]))[0] == [Comment]
    assert select_models(module_of(Comment, _Private=Person))[0] == [Comment]
