"""`/healthz`: the process answers. `/readyz`: its storages do, too."""

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field
from pydantic_core import to_json

from autocrud import AutoCRUD
from autocrud.routes.response.problems import problem_response


class Health(BaseModel):
    """The process is alive."""

    status: str = Field(examples=["ok"])


class Readiness(BaseModel):
    """Whether requests can be served, by backend."""

    status: str = Field(examples=["ready"])
    storage: dict[str, str] = Field(examples=[{"postgresql": "ok", "s3 bucket movies": "ok"}])


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
        found = await crud.check()
        states = {name: "ok" if trouble is None else trouble for name, trouble in found.items()}
        if any(trouble is not None for trouble in found.values()):
            detail = "A storage is not available."
            return problem_response(503, "Not ready", "not_ready", detail, storage=states)
        return Response(to_json({"status": "ready", "storage": states}), media_type="application/json")

    return router
