"""HTML answers: templates with automatic escaping, and the headers of every page."""

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import Request
from starlette.responses import Response

if TYPE_CHECKING:
    from jinja2 import Environment

HOME = "autocrud_home"  # attribute of an application's state: the path of its home page
FOLDER = Path(__file__).parent
# No page may be framed, change its base URL, or send a form to another host.
_COMMON_POLICY = "default-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; img-src 'self' data:"
_SECURITY_HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin-allow-popups",  # the popup of an OAuth 2 login
}


def page_response(template: str, values: dict[str, Any], status: int = 200) -> Response:
    """Return a page of this package. Its style and its script are part of the page.

    Pages of data must not be stored: another user of the browser would find them.
    """
    sources = f"style-src {_inline_source('page.css')}; script-src {_inline_source('page.js')}"
    content = _environment().get_template(template).render(values)
    return html_response(content, f"{_COMMON_POLICY}; {sources}", status, {"cache-control": "no-store"})


def html_response(content: str, policy: str, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return HTML with a Content-Security-Policy and the other headers of every page."""
    all_headers = {"content-security-policy": policy, **_SECURITY_HEADERS, **(headers or {})}
    return Response(content, status, all_headers, "text/html")


def docs_response(template: str, values: dict[str, Any], worker: str = "") -> Response:
    """Return a page of API documentation, whose scripts come from this service.

    Args:
        worker: sources of web workers in the form of a Content-Security-Policy.
    """
    # Both programs set styles in the page. Neither needs inline scripts.
    sources = "script-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self'; font-src 'none'"
    policy = f"{_COMMON_POLICY}; {sources}" + (f"; worker-src {worker}" if worker else "")
    return html_response(_environment().get_template(template).render(values), policy)


def asset_headers() -> dict[str, str]:
    """Return the headers of a file of the documentation."""
    return {"content-security-policy": "default-src 'none'; script-src 'self'", **_SECURITY_HEADERS}


def root_of(request: Request) -> str:
    """Return the path under which the client sees the application, without a slash at the end."""
    root: str = request.scope.get("root_path", "")
    return root.rstrip("/")


@cache
def _environment() -> "Environment":
    # An import of Jinja2 takes 50 ms, which an application without pages need not spend.
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["style"] = Markup(_read_asset("page.css"))  # a file of this package
    environment.globals["script"] = Markup(_read_asset("page.js"))  # a file of this package
    return environment


@cache
def _read_asset(name: str) -> str:
    return (FOLDER / "templates" / name).read_text()


@cache
def _inline_source(name: str) -> str:
    """Return the hash of an inline style or script, as a source of a Content-Security-Policy."""
    digest = hashlib.sha256(_read_asset(name).encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
