"""Model and data of `query_latency`: a catalogue of a million products."""

from collections.abc import Iterator
from random import Random
from typing import Annotated, Any

from pydantic import BaseModel

from autocrud import Index

PER_MAKER = 20  # products, however many there are in all
WORDS = 20_000
COLOURS = ("black", "blue", "green", "red", "white")


class Product(BaseModel):
    """A product. The price is in cents."""

    name: Annotated[str, Index(text=True)]
    maker: Annotated[str, Index()]
    price: Annotated[int, Index()]
    colour: Annotated[str, Index()]
    weight: float
    note: str


def word(number: int) -> str:
    """Return a distinct word for each number."""
    letters = ""
    for _ in range(4):
        number, letter = divmod(number, 26)
        letters += "aeiou"[letter % 5] + "bcdfghjklmnpqrstvwxyz"[letter % 21]
    return letters


def products(start: int, end: int, total: int) -> Iterator[dict[str, Any]]:
    """Return the product of a number. Equal arguments give equal products."""
    for number in range(start, end):
        chance = Random(number)
        words = [word(chance.randrange(WORDS)) for _ in range(3)]
        yield {
            # Each number stands in one name: a rare word. `screw` stands in each tenth: a common one.
            "name": f"{' '.join(words)} {'screw' if number % 10 == 0 else 'bolt'} n{number}",
            "maker": f"maker {number % max(total // PER_MAKER, 1)}",
            "price": chance.randrange(total * 10),
            "colour": COLOURS[number % len(COLOURS)],
            "weight": chance.random(),
            "note": "as good as new " * 8,
        }
