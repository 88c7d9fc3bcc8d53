"""Models with binary fields, and helpers of the blob tests."""

from typing import Annotated, Any

import httpx
from pydantic import BaseModel

from autocrud import Binary


class Picture(BaseModel):
    """A picture on a page."""

    image: Annotated[Binary, Binary(max_size=1000, content_types=["image/*", "application/pdf"])]


class Album(BaseModel):
    """Pictures and other values."""

    title: str = "Vienna"
    cover: Binary | None = None
    pages: list[Binary] = []
    pictures: list[Picture] = []
    named: dict[str, Binary] = {}


async def uploaded(http: httpx.AsyncClient, content: bytes, kind: str = "text/plain") -> Any:
    """Upload bytes and return the reference to the blob."""
    response = await http.post("/album/blobs", content=content, headers={"Content-Type": kind})
    assert response.status_code == 201, response.text
    return response.json()


async def album(http: httpx.AsyncClient, **fields: Any) -> str:
    """Create an album and return its path."""
    response = await http.post("/album", json=fields)
    assert response.status_code == 201, response.text
    return response.headers["location"]
