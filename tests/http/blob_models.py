"""A model with binary fields of every kind, and what its tests have in common."""

from typing import Annotated, Any

import httpx
from pydantic import BaseModel

from autocrud import Binary


class Picture(BaseModel):
    """A picture on a page."""

    image: Annotated[Binary, Binary(max_size=1000, content_types=["image/*", "application/pdf"])]


class Album(BaseModel):
    """Pictures, and other things."""

    title: str = "Vienna"
    cover: Binary | None = None
    pages: list[Binary] = []
    pictures: list[Picture] = []
    named: dict[str, Binary] = {}


async def uploaded(http: httpx.AsyncClient, content: bytes, kind: str = "text/plain") -> Any:
    """The reference to bytes that were uploaded."""
    response = await http.post("/album/blobs", content=content, headers={"Content-Type": kind})
    assert response.status_code == 201, response.text
    return response.json()


async def album(http: httpx.AsyncClient, **fields: Any) -> str:
    """The path of a new album."""
    response = await http.post("/album", json=fields)
    assert response.status_code == 201, response.text
    return response.headers["location"]
