"""What the services on several nodes serve: films, of which no two of one year share a title."""

from app.models import Movie
from autocrud import AutoCRUD


def register(crud: AutoCRUD) -> None:
    """Add the model to the service."""
    crud.add_model(Movie, unique_together=[("title", "year")])
