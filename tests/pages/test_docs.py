"""Swagger UI and ReDoc over HTTP."""

import json

import httpx
import pytest
from fastapi import FastAPI

from autocrud.errors import ConfigurationError
from autocrud.pages import add_docs
from tests.http.conftest import serving
from tests.pages.html_reader import Page


def application(**options: object) -> FastAPI:
    """Return an application without FastAPI's own pages."""
    return FastAPI(docs_url=None, redoc_url=None, **options)  # type: ignore[arg-type]  # options of the tests


@pytest.mark.parametrize("root", ["", "/api"])
async def test_docs_load_files_of_the_package_alone(root: str) -> None:
    """Under a root path, too."""
    app = application(swagger_ui_parameters={"docExpansion": "none"})
    add_docs(app)
    transport = httpx.ASGITransport(app, root_path=root)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
        for path in ("/docs", "/redoc"):
            response = await http.get(path)
            policy = response.headers["content-security-policy"]
            assert "script-src 'self';" in policy
            assert "connect-src 'self'" in policy
            page = Page(response.text)
            addresses = [
                item.get("src") or item.get("href", "") for tag in ("script", "link") for item in page.find(tag)
            ]
            for address in addresses:
                assert address.startswith((f"{root}/docs/assets/", "data:,"))
                if address != "data:,":
                    file = await http.get(address.removeprefix(root))
                    assert file.status_code == 200
                    assert file.headers["x-content-type-options"] == "nosniff"
                    unchanged = await http.get(
                        address.removeprefix(root), headers={"If-None-Match": file.headers["etag"]}
                    )
                    assert unchanged.status_code == 304
        script = Page((await http.get("/docs")).text).find("script")[-1]
        config = json.loads(script["data-config"])
        assert (config["url"], config["validatorUrl"], config["docExpansion"]) == (f"{root}/openapi.json", None, "none")


async def test_docs_have_the_paths_of_the_call() -> None:
    """Either program may be left out."""
    app = application()
    add_docs(app, docs_url=None, redoc_url="/reference")
    async with serving(app) as http:
        assert (await http.get("/docs")).status_code == 404
        page = Page((await http.get("/reference")).text)
        assert (await http.get(page.find("script")[0]["src"])).status_code == 200
        assert (await http.get("/reference/assets/../docs.py")).status_code == 404


def test_docs_refuse_an_application_that_cannot_have_them() -> None:
    """With the reason."""
    with pytest.raises(ConfigurationError, match="is taken"):
        add_docs(FastAPI())
    with pytest.raises(ConfigurationError, match="OpenAPI document"):
        add_docs(application(openapi_url=None))
