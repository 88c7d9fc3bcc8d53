"""Page of one resource: its data, metadata, commits, revisions and referrers."""

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import Request
from pydantic_core import from_json
from starlette.responses import RedirectResponse, Response

from autocrud.errors import RevisionNotFound
from autocrud.pages.form import FORM, VERSION, address, query_pairs
from autocrud.pages.model_pages import ModelPages
from autocrud.pages.values import Links, node_of, shorten, value_at
from autocrud.resource import timestamp
from autocrud.schema.column_types import ColumnKind
from autocrud.storage.ports.types import Commit
from autocrud.versioning.stored_resource import Resource

_MAX_COMMITS = 100  # on the time slider
_MAX_REVISIONS, _MAX_REFERRERS = 20, 20  # on the page; links lead to the rest


async def show_resource(pages: ModelPages, request: Request) -> Response:
    """Return the page of a resource, in its current state or a past one."""
    version = dict(query_pairs(request)).get(VERSION)
    if version is not None:
        return await _redirect_to_time(pages, request, version)
    values, resource = await pages.fetch("read", request)
    return await _render(pages, request, values, resource)


async def show_revision(pages: ModelPages, request: Request) -> Response:
    """Return the page of a resource with one of its revisions."""
    values, resource = await pages.fetch("revision", request)
    return await _render(pages, request, values, resource)


async def _redirect_to_time(pages: ModelPages, request: Request, text: str) -> Response:
    """Redirect to the state after the commit that the time slider points at; to the current state for the last one."""
    resource_id = request.path_params["resource_id"]
    path, state = pages.path(request, resource_id), [("include_deleted", "true")]
    version = int(text) if text.isdecimal() and len(text) < 18 else 0
    commits = await pages.manager.commits(resource_id, before=version + 1, limit=1, include_deleted=True)
    newest = await pages.manager.commits(resource_id, limit=1, include_deleted=True)
    if not commits:
        raise RevisionNotFound(f"{resource_id} at version {shorten(text, 20)}")
    if not commits[0].is_deleted:
        state = [pair for pair in query_pairs(request) if pair[0] == "include_deleted"]
    if commits != newest:
        state = [("at", timestamp(commits[0].time)), *state]
    return RedirectResponse(address(path, state), 303)


async def _render(pages: ModelPages, request: Request, values: Mapping[str, Any], resource: Resource[Any]) -> Response:
    resource_id = resource.resource_id
    path, meta = pages.path(request, resource_id), from_json(resource.head.meta)
    data = None if resource.head.data is None or resource.hidden_by else from_json(resource.shown_json)
    current = (await pages.manager.get(resource_id, include_deleted=True)).meta
    at = values.get("at")
    return pages.response(
        request,
        "resource.html",
        path=path,
        resource_id=resource_id,
        title=_title(pages, data) or resource_id,
        data=None if data is None else node_of(data, _links(pages, request, path)),
        problem=None if resource.head.fault is None else str(resource.head.fault),
        meta=meta,
        revision_info=from_json(resource.head.revision_info),
        is_current=at is None and resource.revision is None,
        at=None if at is None else timestamp(at),
        revision=resource.revision,
        is_deleted_now=current.is_deleted,
        form=FORM,
        kept=[pair for pair in query_pairs(request) if pair[0] == "include_deleted"],
        query=_deleted_query(current.is_deleted),
        **await _history(pages, path, resource, current.is_deleted),
        **await _referrers(pages, request, resource_id),
    )


def _deleted_query(is_deleted: bool) -> str:
    return "include_deleted=true" if is_deleted else ""


def _title(pages: ModelPages, data: Any) -> str:
    """Return the first text among the index fields of the data."""
    for field in pages.manager.fields.own_fields.values():
        value = value_at(data, pages.shown_path(field))
        if (
            field.kind is ColumnKind.text
            and not field.is_list
            and field.ref is None
            and isinstance(value, str)
            and value
        ):
            return shorten(value)
    return ""


def _links(pages: ModelPages, request: Request, path: str) -> Links:
    references = {place: pages.model_path(request, model) for place, model in pages.references.items()}
    blobs = f"{path}/blobs" if "read_blob" in pages.families else None
    deleted = [pair for pair in query_pairs(request) if pair[0] == "include_deleted"]
    return Links(references, blobs, address("", deleted))


async def _history(pages: ModelPages, path: str, resource: Resource[Any], is_deleted: bool) -> dict[str, Any]:
    """Return the newest commits and revisions; nothing if the model has no route of revisions."""
    if "revisions" not in pages.families:
        return {"commits": [], "revisions": [], "has_more_revisions": False, "shown_version": 0}
    manager, resource_id = pages.manager, resource.resource_id
    commits = await manager.commits(resource_id, limit=_MAX_COMMITS, include_deleted=True)
    page = await manager.revisions(resource_id, limit=_MAX_REVISIONS, include_deleted=True)
    return {
        "commits": [_describe_commit(path, commit, commit == commits[0], is_deleted) for commit in commits],
        "revisions": [{"number": _number(info.revision_id), "info": info} for info in page.items],
        "has_more_revisions": page.next_cursor is not None,
        "shown_version": resource.head.version,
    }


def _describe_commit(path: str, commit: Commit, is_newest: bool, is_deleted: bool) -> dict[str, Any]:
    pairs = [] if is_newest else [("at", timestamp(commit.time))]
    if commit.is_deleted or (is_newest and is_deleted):
        pairs.append(("include_deleted", "true"))
    return {
        "version": commit.version,
        "kind": commit.kind.value,
        "time": timestamp(commit.time),
        "by": commit.by,
        "revision": _number(commit.revision_id),
        "url": address(path, pairs),
    }


def _number(revision_id: str) -> str:
    return revision_id.rpartition(":")[2]


async def _referrers(pages: ModelPages, request: Request, resource_id: str) -> dict[str, Any]:
    """Return the first referrers; none if the model has no route of referrers."""
    if "referrers" not in pages.families:
        return {"referrers": [], "has_more_referrers": False}
    incoming = pages.manager.graph.incoming(pages.routes.spec.name)
    page = await pages.manager.referrers(
        resource_id,
        references=[reference for reference in incoming if reference.shows_source],
        limit=_MAX_REFERRERS,
        include_deleted=True,
    )
    return {
        "referrers": describe_referrers(pages, request, page.items),
        "has_more_referrers": page.next_cursor is not None,
    }


def describe_referrers(pages: ModelPages, request: Request, items: Sequence[Any]) -> list[dict[str, Any]]:
    """Return the referrers as a table shows them."""
    return [
        {
            "model": item.reference.source.name,
            "field": item.reference.field.name,
            "id": item.resource.resource_id,
            "is_deleted": item.resource.head.is_deleted,
            "url": f"{pages.model_path(request, item.reference.source.name)}/{item.resource.resource_id}",
        }
        for item in items
    ]
