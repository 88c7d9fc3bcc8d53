"""Health routes: `/healthz` (the process is alive) and `/readyz` (its backends answer)."""

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field
from pydantic_core import to_json

from autocrud import AutoCRUD
from autocrud.routes.response.problems import problem_response

HEALTH_PATHS = frozenset({"/healthz", "/readyz"})  # no limit refuses them


class Health(BaseModel):
    """State of the process."""

    status: str = Field(examples=["ok"])


class Readiness(BaseModel):
    """State of each backend in use."""

    status: str = Field(examples=["ready"])
    storage: dict[str, str] = Field(examples=[{"postgresql": "ok", "s3 bucket movies": "ok"}])


def health_router(crud: AutoCRUD) -> APIRouter:
    """Return a router with `/healthz` and `/readyz`."""
    router = APIRouter(tags=["Service"])

    @router.get("/healthz", operation_id="healthz", response_model=Health, summary="Check that the process is alive")
    async def healthz() -> Response:
        return Response(b'{"status":"ok"}', media_type="application/json")

    @router.get(
        "/readyz",
        operation_id="readyz",
        response_model=Readiness,
        summary="Check that requests can be served",
        responses={503: {"description": "A backend is not available."}},
    )
    async def readyz() -> Response:
        failures = await crud.check()
        states = {name: "ok" if failure is None else failure for name, failure in failures.items()}
        if any(failure is not None for failure in failures.values()):
            detail = "A backend is not available; `storage` names it."
            return problem_response(503, "Not ready", "not_ready", detail, storage=states)
        return Response(to_json({"status": "ready", "storage": states}), media_type="application/json")

    return router
