"""Search for resources whose stored data cannot be read."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from autocrud.errors import AutoCRUDError, Unreadable
from autocrud.query.conditions import Query
from autocrud.resource import RevisionInfo
from autocrud.schema.forms.validation_errors import error_items
from autocrud.schema.model_spec import ModelSpec
from autocrud.schema.versions.steps import error_text
from autocrud.storage.ports.types import Head, Page, PartialHead
from autocrud.storage.row_view import position_of

_PAGE_SIZE = 200
_SLICE = 20  # resources that are read without a pause
_MAX_READ = 10_000  # resources of one call; a page with few items, or none, may have a next page


async def find_unreadable(spec: ModelSpec[Any], search: Callable[[Query], Awaitable[Page]], query: Query) -> Page:
    """Return a page of the matching resources whose data cannot be upgraded, or does not fit the model.

    Each head has its `fault`. A call reads a limited number of resources, so that a page may be short.
    """
    found: list[Head] = []
    limit, after = query.limit, query.after
    for _ in range(_MAX_READ // _PAGE_SIZE):
        page = await search(replace(query, limit=_PAGE_SIZE, after=after))
        for number, head in enumerate(page.items):
            if number % _SLICE == 0:
                await asyncio.sleep(0)  # to read data takes time, and other requests go on meanwhile
            fault = fault_of(spec, head)
            if fault is None:
                continue
            found.append(replace(head, data=None, stored=head.stored or head.data, fault=fault))
            if len(found) == limit:
                is_last = number == len(page.items) - 1 and page.next is None
                return Page(found, None if is_last else position_of(spec, query, head))
        after = page.next
        if after is None:
            break
    return Page(found, after)


def fault_of(spec: ModelSpec[Any], head: Head) -> AutoCRUDError | None:
    """Return the reason why the data of a head cannot be read; None if the model reads the data, or it was pruned.

    Data without hidden fields is not checked, because the model may require these fields.
    """
    if head.fault is not None or head.data is None or isinstance(head, PartialHead):
        return head.fault
    refusal = refusal_of(spec, head.data)
    if refusal is None:
        return None
    field, reason = refusal
    revision_id = RevisionInfo.model_validate_json(head.revision_info).revision_id
    return Unreadable(spec.name, revision_id, "", field, f"does not fit the model: {reason}")


def refusal_of(spec: ModelSpec[Any], data: bytes) -> tuple[str | None, str] | None:
    """Return the field and the reason why the model does not read data of its version; None if the model reads it."""
    try:
        spec.decode(data)
    except ValidationError as error:
        item = error_items(error)[0]
        return spec.field_name(item["loc"]), item["msg"]
    except Exception as error:  # a user's validator; Pydantic reports only ValueError and AssertionError
        return None, f"a validator raises {error_text(error)}"
    return None
