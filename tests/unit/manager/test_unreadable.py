"""Search for resources whose stored data cannot be read."""

from typing import ClassVar

from pydantic import BaseModel, field_validator

from autocrud import AutoCRUD
from autocrud.storage.memory import MemoryStorageFactory


class Article(BaseModel):
    """A model whose validator gets stricter, and raises an error that Pydantic does not report."""

    is_strict: ClassVar[bool] = False

    title: str

    @field_validator("title")
    @classmethod
    def look_up(cls, title: str) -> str:
        """Refuse a title."""
        if cls.is_strict and title == "unknown":
            raise LookupError(title)
        return title


async def test_search_for_unreadable_data_reports_any_error_of_a_validator() -> None:
    """The search goes on behind the resource."""
    crud = AutoCRUD(storage_factory=MemoryStorageFactory())
    crud.add_model(Article)
    async with crud.running():
        articles = crud.manager(Article)
        for title in ("unknown", "known"):
            await articles.create({"title": title}, resource_id=title)
        Article.is_strict = True
        (item,) = (await articles.search(unreadable=True)).items
    assert item.resource_id == "unknown"
    assert "does not fit the model: a validator raises LookupError: unknown" in str(item.head.fault)
