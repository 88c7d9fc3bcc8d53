"""Model of the service in `deploy_old` with a unique field, without a higher schema version."""

from typing import Annotated

from pydantic import BaseModel

from autocrud import AutoCRUD, Unique


class Article(BaseModel):
    """An article."""

    title: Annotated[str, Unique()]


def register(crud: AutoCRUD) -> None:
    """Register the model."""
    crud.add_model(Article)
