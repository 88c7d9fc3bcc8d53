"""Baseline of the benchmarks: bare FastAPI routes without storage."""

from fastapi import FastAPI
from pydantic import BaseModel
from starlette.responses import Response


class Item(BaseModel):
    """A body of four fields."""

    name: str
    price: float
    quantity: int
    in_stock: bool


app = FastAPI()
CONSTANT = b'{"name":"a bolt","price":0.25,"quantity":1200,"in_stock":true}'


@app.get("/constant")
async def constant() -> Response:
    """Return a constant response."""
    return Response(CONSTANT, media_type="application/json")


@app.post("/echo", status_code=201)
async def echo(item: Item) -> Item:
    """Validate the body and return it."""
    return item
