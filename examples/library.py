"""Example of the library in an application: `uvicorn examples.library:app`."""

from typing import Annotated

from fastapi import Depends, FastAPI, Header, HTTPException
from pydantic import BaseModel

from autocrud import AutoCRUD, Binary, Index, Unique
from autocrud.storage.disk import DiskStorageFactory
from autocrud.storage.memory import MemoryStorageFactory


class User(BaseModel):
    """A user with an account."""

    email: Annotated[str, Unique()]
    name: Annotated[str, Index()]
    age: int | None = None
    portrait: Annotated[Binary | None, Binary(max_size=10_000_000, content_types=["image/*"])] = None


class Session(BaseModel):
    """A login session, kept in memory only."""

    user_id: Annotated[str, Index()]


async def signed_in(x_token: Annotated[str, Header()]) -> None:
    """Refuse requests without the token. Guards the routes of `User`."""
    if x_token != "let-me-in":
        raise HTTPException(401)


crud = AutoCRUD(storage_factory=DiskStorageFactory("./data/library"))
crud.add_model(User, dependencies=[Depends(signed_in)])
crud.add_model(Session, storage=MemoryStorageFactory(), routes=["create", "read", "delete"])

app = FastAPI(title="Users")
crud.apply(app)


@app.get("/user/{resource_id}/greeting")
async def greeting(resource_id: str) -> str:
    """Answer with a greeting: a custom route that uses the manager."""
    user = await crud.manager(User).get(resource_id)
    return f"Hello, {user.data.name}, at version {user.meta.version}."
