"""Models of a newer version of the service in `deploy_old`."""

from pydantic import BaseModel

from autocrud import AutoCRUD, Schema
from autocrud.migrations import fill, remove, rename


class Article(BaseModel):
    """An article."""

    headline: str
    language: str


def register(crud: AutoCRUD) -> None:
    """Register the model with its second schema version."""
    downgrade = [rename("headline", "title"), remove("language")]
    schema = Schema(2).step(1, 2, rename("title", "headline"), fill("language", "en"), downgrade=downgrade)
    crud.add_model(Article, schema=schema)
