"""Service: builds the FastAPI application from the settings."""

import gc
from typing import Any

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response

from autocrud.errors import ConfigurationError
from autocrud.pages import add_docs, add_home
from autocrud.routes.response.problems import problem_response
from autocrud.service.access_log import AccessLog
from autocrud.service.allowed_hosts import AllowedHosts
from autocrud.service.health import health_router
from autocrud.service.limits.rate_policy import RATE_HEADERS, RatePolicy
from autocrud.service.limits.requests_in_flight import RequestsInFlight
from autocrud.service.listen_address import LoopbackOnly, refuse_open_address
from autocrud.service.logging_setup import configure_logging
from autocrud.service.registry import build_registry
from autocrud.service.settings import Settings, describe_error, load_settings

VERSION = "0.1.0"
DESCRIPTION = "REST over versioned resources: updates append revisions, deletes are soft, nothing is overwritten."


def create_app(settings: Settings | None = None) -> FastAPI:
    """Build the service.

    Args:
        settings: settings to use; None reads them from the environment.

    Raises:
        ConfigurationError: a setting or a model is wrong.
        SystemExit: a setting of the environment is wrong, or a model is; the message is one sentence.
    """
    if settings is not None:
        return _create(settings)
    try:
        return _create(load_settings())
    except ConfigurationError as error:
        raise SystemExit(describe_error(error)) from error


_LINKS = (
    ("Swagger UI", "/docs"),
    ("ReDoc", "/redoc"),
    ("OpenAPI document", "/openapi.json"),
    ("Health", "/healthz"),
    ("Readiness", "/readyz"),
)
# Headers that a web page of another origin may read, beyond the few that browsers always show.
_SHOWN_HEADERS = (
    "Accept-Patch", "Accept-Ranges", "Allow", "Content-Disposition", "Content-Range", "ETag", "Link", "Location",
    "Preference-Applied", "RateLimit-Limit", "RateLimit-Policy", "RateLimit-Remaining", "RateLimit-Reset",
    "Retry-After", "WWW-Authenticate", "X-Request-ID",
)  # fmt: skip
_YOUNG = 250_000  # objects that have been made, and not freed, before a collection looks at them


def _create(settings: Settings) -> FastAPI:
    configure_logging(settings)
    registry = build_registry(settings)
    crud = registry.crud
    is_anonymous = crud.authenticator is None
    if is_anonymous:
        refuse_open_address(settings)
    app = FastAPI(
        title=settings.title,
        version=VERSION,
        description=DESCRIPTION,
        root_path=settings.root_path,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # a redirect would go to the `Host` that the client sent
    )
    app.state.crud = crud
    app.state.models = registry.models
    crud.apply(app, prefix=settings.prefix)
    app.include_router(health_router(crud))
    add_docs(app)
    add_home(app, links=_LINKS, counts=True)  # `AUTOCRUD_USER_HEADER` alone refuses nobody
    app.add_exception_handler(HTTPException, _answer_http_exception)
    if is_anonymous and not settings.allow_anonymous:
        app.add_middleware(LoopbackOnly)
    if settings.rate_policy is not None:
        _limit_rate(app, settings.rate_policy, settings.rate_storage)
    app.add_middleware(RequestsInFlight, most=settings.max_requests)
    if settings.trusted_hosts:
        app.add_middleware(AllowedHosts, hosts=settings.trusted_hosts)
    app.add_middleware(AccessLog, enabled=settings.access_log)
    if settings.allowed_origins:
        _allow_origins(app, settings.allowed_origins)
    # Modules, schemas and routes are never freed. A collection that walks them stalls every request by 50 ms.
    gc.collect()
    gc.freeze()
    # Reference counting frees what a request makes. Searching for cycles every 700 objects finds none.
    gc.set_threshold(_YOUNG, 10, 10)
    return app


def _limit_rate(app: FastAPI, policy: RatePolicy, storage: str) -> None:
    """Limit the rate of requests per client."""
    # Here, because the library is an extra.
    from autocrud.service.limits.rate_limit import RateLimit
    from autocrud.service.limits.rate_limiter import RateLimiter

    app.add_middleware(RateLimit, limiter=RateLimiter(policy, storage))


def _allow_origins(app: FastAPI, origins: list[str]) -> None:
    """Let web pages of these origins send requests and read the headers of the answers (CORS)."""
    # The outermost middleware, so that a page can read every error.
    app.add_middleware(
        CORSMiddleware,
        allow_origins=origins,
        allow_methods=["*"],
        allow_headers=["*"],
        expose_headers=[*_EXPOSED_HEADERS, *RATE_HEADERS],
    )


# Beyond those that web pages may read anyway (Fetch, "CORS-safelisted response-header name").
_EXPOSED_HEADERS = (
    "Accept-Patch",
    "Allow",
    "Content-Disposition",
    "Content-Range",
    "ETag",
    "Link",
    "Location",
    "Preference-Applied",
    "Retry-After",
    "WWW-Authenticate",
    "X-Request-ID",
)


async def _answer_http_exception(request: Request, error: Exception) -> Response:
    """Answer unknown paths and methods with problem details."""
    if not isinstance(error, HTTPException):
        raise error
    headers: dict[str, Any] = dict(error.headers or {})
    code = {404: "no_such_route", 405: "method_not_allowed"}.get(error.status_code, "http_error")
    detail = f"{request.method} {request.url.path}: {error.detail}."
    return problem_response(error.status_code, str(error.detail), code, detail, headers=headers)
