"""Model of the bulk benchmark: six fields, four of them indexed."""

from typing import Annotated

from pydantic import BaseModel, Field

from autocrud import Index


class Product(BaseModel):
    """A product."""

    name: Annotated[str, Index()] = Field(max_length=200)
    category: Annotated[str, Index()]
    price: Annotated[float, Index()] = Field(ge=0)
    quantity: Annotated[int, Index()]
    in_stock: bool
    note: str = ""
