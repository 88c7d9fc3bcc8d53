"""Swagger UI and ReDoc, served from the package."""

from typing import Any

from fastapi import FastAPI, Request
from fastapi.encoders import jsonable_encoder
from pydantic_core import to_json
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

from autocrud.errors import ConfigurationError
from autocrud.pages.html import FOLDER, asset_headers, docs_response, root_of

_SWAGGER_DEFAULTS: dict[str, Any] = {
    "layout": "BaseLayout",
    "deepLinking": True,
    "showExtensions": False,
    "showCommonExtensions": True,
    "validatorUrl": None,  # the badge would send the document to another host
}


_FILES = StaticFiles(directory=FOLDER / "static")


async def _serve_file(request: Request, path: str) -> Response:
    """Serve a file of Swagger UI or ReDoc.

    A mounted `StaticFiles` would find no file behind a proxy that strips the root path.
    """
    response = await _FILES.get_response(path, request.scope)
    # A browser asks again with the entity tag, so that a new version of the package is seen at once.
    response.headers.update({"cache-control": "no-cache", **asset_headers()})
    return response


def add_docs(app: FastAPI, *, docs_url: str | None = "/docs", redoc_url: str | None = "/redoc") -> None:
    """Serve Swagger UI and ReDoc with the files of this package. Works without internet and under a `root_path`.

    Build the application with `FastAPI(docs_url=None, redoc_url=None)`, because FastAPI's own pages load scripts from
    another host. `swagger_ui_parameters` and `swagger_ui_init_oauth` of the application apply.

    Args:
        docs_url: path of Swagger UI; None leaves Swagger UI out.
        redoc_url: path of ReDoc; None leaves ReDoc out.

    Raises:
        ConfigurationError: the application has no OpenAPI document, or serves its own pages under a path.
    """
    if app.openapi_url is None:
        raise ConfigurationError("add_docs needs an OpenAPI document: build FastAPI with an openapi_url")
    for url in (docs_url, redoc_url):
        if url is not None and url in (app.docs_url, app.redoc_url):
            raise ConfigurationError(f"{url} is taken: build FastAPI(docs_url=None, redoc_url=None) before add_docs")
    base = docs_url or redoc_url
    if base is None:
        return
    assets = f"{base}/assets"
    app.add_api_route(f"{assets}/{{path:path}}", _serve_file, methods=["GET", "HEAD"], include_in_schema=False)
    if docs_url is not None:
        app.add_api_route(docs_url, _SwaggerPage(app, assets), methods=["GET", "HEAD"], include_in_schema=False)
    if redoc_url is not None:
        app.add_api_route(redoc_url, _RedocPage(app, assets), methods=["GET", "HEAD"], include_in_schema=False)


class _SwaggerPage:
    """The page of Swagger UI.

    Args:
        assets: path of the files.
    """

    def __init__(self, app: FastAPI, assets: str) -> None:
        self._app = app
        self._assets = assets

    async def __call__(self, request: Request) -> Response:
        root, app = root_of(request), self._app
        oauth_page = f"{str(request.base_url).rstrip('/')}{self._assets}/swagger-ui-dist/oauth2-redirect.html"
        config = {
            **_SWAGGER_DEFAULTS,
            "oauth2RedirectUrl": oauth_page,
            **jsonable_encoder(app.swagger_ui_parameters or {}),
            "url": f"{root}{app.openapi_url}",
        }
        oauth = jsonable_encoder(app.swagger_ui_init_oauth) if app.swagger_ui_init_oauth else None
        values = {
            "title": app.title,
            "assets": f"{root}{self._assets}",
            "config": _to_text(config),
            "oauth": _to_text(oauth),
        }
        return docs_response("swagger.html", values)


class _RedocPage:
    """The page of ReDoc.

    Args:
        assets: path of the files.
    """

    def __init__(self, app: FastAPI, assets: str) -> None:
        self._app = app
        self._assets = assets

    async def __call__(self, request: Request) -> Response:
        root = root_of(request)
        values = {"title": self._app.title, "assets": f"{root}{self._assets}", "url": f"{root}{self._app.openapi_url}"}
        # The search index is built in a worker, which ReDoc starts from a text.
        return docs_response("redoc.html", values, worker="blob:")


def _to_text(value: Any) -> str:
    return to_json(value).decode()
