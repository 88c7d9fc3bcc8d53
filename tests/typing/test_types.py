"""Types that an editor shows: `make types` checks them, and the test runs them."""

from typing import Annotated, Any, assert_type

from pydantic import BaseModel

from autocrud import AutoCRUD, Binary, Resource, ResourceManager, Transaction
from autocrud.storage.memory import MemoryStorageFactory


class Article(BaseModel):
    """An article with limits on its image."""

    title: str
    image: Annotated[Binary | None, Binary(max_size=1000, content_types=["image/*"])] = None


async def test_manager_has_the_type_of_its_model() -> None:
    """A class gives a typed manager, a name gives a manager of any type."""
    crud = AutoCRUD(storage_factory=MemoryStorageFactory())
    crud.add_model(Article)
    articles = crud.manager(Article)
    assert_type(articles, ResourceManager[Article])
    assert_type(crud.manager("article"), ResourceManager[Any])
    async with crud.running():
        created = await articles.create(Article(title="Vienna"))
        assert_type(created, Resource[Article])
        assert_type(created.data, Article)
        image = Binary(data=b"x", content_type="image/png")
        replaced = await articles.replace(created.resource_id, {"title": "Graz", "image": image})
        assert_type(replaced.data.title, str)
        assert (replaced.data.title, (await articles.create(b'{"title": "Linz"}')).data.title) == ("Graz", "Linz")
        page = await articles.search()
        assert_type(page.items[0].data, Article)


async def test_transaction_has_the_types_of_its_models() -> None:
    """A class gives a typed resource, a name gives one of any type. `transact` returns the type of its function."""
    crud = AutoCRUD(storage_factory=MemoryStorageFactory())
    crud.add_model(Article)

    async def add(tx: Transaction) -> int:
        created = await tx.create(Article, Article(title="Vienna"), resource_id="a")
        assert_type(created, Resource[Article])
        assert_type((await tx.get(Article, "a")).data.title, str)
        assert_type(await tx.get("article", "a"), Resource[Any])
        patched = await tx.patch(Article, "a", {"title": "Graz"}, if_match=created.tag, modify=False)
        assert_type(patched, Resource[Article])
        assert_type(await tx.delete(Article, "a"), Resource[Article])
        return patched.head.version

    async with crud.running():
        version = await crud.transact(add, by="ada")
        assert_type(version, int)
        assert version == 2


async def wrong_option(tx: Transaction) -> None:
    """An unknown option is refused by the type checker."""
    await tx.patch(Article, "a", {}, iff_match="x")  # type: ignore[call-overload]


def wrong_value(articles: ResourceManager[Article]) -> None:
    """A value of another type is refused by the type checker; nothing calls this function."""
    articles.create(3)  # type: ignore[arg-type, unused-coroutine]
