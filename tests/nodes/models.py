"""Model of the node tests: films, with unique title and year."""

from app.models import Movie
from autocrud import AutoCRUD


def register(crud: AutoCRUD) -> None:
    """Register the model."""
    crud.add_model(Movie, unique_together=[("title", "year")])
