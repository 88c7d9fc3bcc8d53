"""Models of an older version of a service."""

from pydantic import BaseModel

from autocrud import AutoCRUD


class Article(BaseModel):
    """An article."""

    title: str


def register(crud: AutoCRUD) -> None:
    """Register the model."""
    crud.add_model(Article)
