"""Example of a transaction in a route of an application: `uvicorn examples.box_office:create_app --factory`."""

from typing import Annotated

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, Field

from autocrud import AutoCRUD, Ref, Transaction
from autocrud.storage.disk import DiskStorageFactory
from autocrud.storage.ports import IStorageFactory


class Show(BaseModel):
    """A show with free seats."""

    title: str
    seats: int = Field(ge=0)


class Ticket(BaseModel):
    """A ticket for one seat."""

    show: Annotated[str, Ref("show")]
    buyer: str


def create_app(factory: IStorageFactory | None = None) -> FastAPI:
    """Return the application. Tickets are sold, and are read like any resource."""
    crud = AutoCRUD(storage_factory=factory or DiskStorageFactory("./data/box-office"))
    crud.add_model(Show)
    crud.add_model(Ticket, routes=["read", "list", "count"])
    app = FastAPI(title="Box office")
    crud.apply(app)

    @app.post("/show/{show_id}/sale", status_code=201)
    async def sell(show_id: str, buyer: str) -> dict[str, str]:
        """Sell a ticket, and lower the number of free seats."""

        async def sale(tx: Transaction) -> str:
            show = await tx.get(Show, show_id)
            if show.data.seats == 0:
                raise HTTPException(409, "The show is sold out.")
            ticket = await tx.create(Ticket, Ticket(show=show_id, buyer=buyer))
            await tx.patch(Show, show_id, {"seats": show.data.seats - 1})
            return ticket.resource_id

        return {"ticket": await crud.transact(sale, by=buyer)}

    return app
