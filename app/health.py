"""`/healthz`: the process answers. `/readyz`: its storages do, too."""

import asyncio

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field
from pydantic_core import to_json

from autocrud import AutoCRUD
from autocrud.routes.problems import problem_response

_PATIENCE = 5.0  # seconds, after which a storage counts as away


class Health(BaseModel):
    """The process is alive."""

    status: str = Field(examples=["ok"])


class Readiness(BaseModel):
    """Whether requests can be served, by storage factory."""

    status: str = Field(examples=["ready"])
    storage: dict[str, str] = Field(examples=[{"DiskStorageFactory": "ok"}])


def health_router(crud: AutoCRUD) -> APIRouter:
    """The two routes."""
    router = APIRouter(tags=["Service"])

    @router.get("/healthz", operation_id="healthz", response_model=Health, summary="Is the process alive?")
    async def healthz() -> Response:
        return Response(b'{"status":"ok"}', media_type="application/json")

    @router.get(
        "/readyz",
        operation_id="readyz",
        response_model=Readiness,
        summary="Can requests be served?",
        responses={503: {"description": "A storage is not available."}},
    )
    async def readyz() -> Response:
        try:
            found = await asyncio.wait_for(crud.check(), _PATIENCE)
        except TimeoutError:
            found = {"storage": f"no answer within {_PATIENCE:g} s"}
        states = {name: "ok" if trouble is None else trouble for name, trouble in found.items()}
        if any(trouble is not None for trouble in found.values()):
            detail = "A storage is not available."
            return problem_response(503, "Not ready", "not_ready", detail, storage=states)
        return Response(to_json({"status": "ready", "storage": states}), media_type="application/json")

    return router
