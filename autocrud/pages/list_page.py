"""Page of a list: a table of resources with filters, search, order and pages."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from pydantic_core import from_json
from starlette.responses import RedirectResponse, Response

from autocrud.pages.form import address, local_time, query_pairs, replaced, submitted_query
from autocrud.pages.model_pages import ModelPages
from autocrud.pages.values import shorten, text_of, value_at
from autocrud.query.operators import OPERATORS, Operator
from autocrud.routes.endpoints.list import Listing
from autocrud.routes.request.filters import QB
from autocrud.schema.column_types import ColumnKind
from autocrud.schema.index_field import IndexField
from autocrud.versioning.stored_resource import Resource

_META_COLUMNS = ("created_time", "updated_time", "version", "status", "updated_by")
_OPERATOR_TEXTS: Mapping[Operator, str] = {
    Operator.eq: "is", Operator.ne: "is not", Operator.gt: "is greater than", Operator.gte: "is at least",
    Operator.lt: "is less than", Operator.lte: "is at most", Operator.between: "is between (a,b)",
    Operator.in_: "is one of (a,b,…)", Operator.not_in: "is none of (a,b,…)", Operator.contains: "contains",
    Operator.icontains: "contains, in any case", Operator.starts_with: "starts with", Operator.ends_with: "ends with",
    Operator.regex: "matches the pattern", Operator.contains_any: "contains any of (a,b,…)",
    Operator.contains_all: "contains all of (a,b,…)", Operator.is_null: "is null (true or false)",
}  # fmt: skip


@dataclass(frozen=True)
class _Column:
    """A column of the table.

    Attributes:
        name: name of the field in queries.
        path: path of the value in the shown form.
        url: address of the list in the order of the column; None if the list cannot be sorted by it.
        order: `ascending` or `descending` if the list is sorted by the column, else `none`.
    """

    name: str
    field: IndexField
    path: tuple[str, ...]
    url: str | None
    order: str

    @property
    def is_number(self) -> bool:
        """True if the values are numbers."""
        return self.style == "number"

    @property
    def style(self) -> str:
        """Class of a cell in the style sheet."""
        if self.field.kind in (ColumnKind.integer, ColumnKind.real, ColumnKind.decimal) and not self.field.is_list:
            return "number"
        if self.field.kind in (ColumnKind.datetime, ColumnKind.date, ColumnKind.time):
            return "moment"
        return "plain"


async def show_list(pages: ModelPages, request: Request) -> Response:
    """Return the page of a list."""
    pairs, path = query_pairs(request), pages.path(request)
    submitted = submitted_query(pairs)
    if submitted is not None:
        return RedirectResponse(address(path, submitted), 303)
    listing: Listing = await pages.fetch("list", request)
    columns = list(_columns(pages, pairs, path))
    fields = pages.manager.fields
    return pages.response(
        request,
        "list.html",
        columns=columns,
        rows=[_row(path, columns, item, pairs) for item in listing.page.items],
        total=listing.total,
        total_url=address(path, replaced(pairs, count="exact")),
        next_url=pages.next_url(request, path, listing.page.next_cursor),
        first_url=address(path, replaced(pairs)) if "cursor" in dict(pairs) else None,
        filters=_filters(pages, pairs, path),
        clear_url=path,
        options=dict(_filter_options(pages)),
        operators={operator.value: _OPERATOR_TEXTS[operator] for operator in OPERATORS},
        has_search=fields.document is not None,
        current=dict(pairs),
        at=local_time(dict(pairs).get("at")),
        kept=[(name, value) for name, value in pairs if name not in ("cursor", "q", "limit", "include_deleted")],
        orders=_orders(pages, dict(pairs).get("sort")),
        limits=sorted({20, 50, 100, listing.values["limit"]}),
        limit=listing.values["limit"],
        is_deleted_shown=listing.values["include_deleted"],
    )


def _columns(pages: ModelPages, pairs: Sequence[tuple[str, str]], path: str) -> Iterator[_Column]:
    fields = pages.manager.fields
    sort = dict(pairs).get("sort", "-created_time" if "q" not in dict(pairs) else "").split(",")[0]
    data = [name for name, field in fields.fields.items() if not field.is_meta]
    meta = [name for name, field in fields.fields.items() if field.is_meta and field.name in _META_COLUMNS]
    sortable = set(fields.sortable)
    for name in [*data, *sorted(meta, key=lambda name: _META_COLUMNS.index(fields.fields[name].name))]:
        order = {name: "ascending", f"-{name}": "descending"}.get(sort, "none")
        target = f"-{name}" if order == "ascending" else name
        url = address(path, replaced(pairs, sort=target)) if name in sortable else None
        yield _Column(name, fields.fields[name], pages.shown_path(fields.fields[name]), url, order)


def _orders(pages: ModelPages, current: str | None) -> dict[str, str]:
    """Return each value of the parameter `sort` with its text, for narrow windows, which show no column heads."""
    orders = {"": "newest first" if pages.manager.fields.document is None else "best match, newest"}
    for name in pages.manager.fields.sortable:
        orders |= {name: f"{name} ↑", f"-{name}": f"{name} ↓"}
    # An address may name several fields.
    return orders if current is None else {**orders, current: orders.get(current, current)}


def _row(
    path: str, columns: Sequence[_Column], item: Resource[Any], pairs: Sequence[tuple[str, str]]
) -> dict[str, Any]:
    meta = from_json(item.head.meta)
    data = None if item.head.data is None or item.hidden_by else from_json(item.shown_json)
    cells = []
    for column in columns:
        value = meta[column.field.name] if column.field.is_meta else value_at(data, column.path)
        text = text_of(value)
        if column.field.is_meta and column.name.endswith("_time"):
            text = f"{text[:10]} {text[11:19]}"
        cell = {"name": column.name, "text": shorten(text), "is_null": value is None, "style": column.style}
        cells.append(cell)
    state = [(name, value) for name, value in pairs if name in ("at", "include_deleted")]
    return {
        "url": address(f"{path}/{item.resource_id}", state),
        "id": item.resource_id,
        "cells": cells,
        "is_deleted": item.head.is_deleted,
        "is_pruned": item.head.data is None and item.head.fault is None,
        "is_unreadable": item.head.fault is not None,
    }


def _filters(pages: ModelPages, pairs: Sequence[tuple[str, str]], path: str) -> list[dict[str, str]]:
    """Return each filter of the query, with the address of the list without the filter."""
    filters = []
    for number, (name, value) in enumerate(pairs):
        if name != QB.name and not pages.routes.filters.is_filter(name):
            continue
        remaining = [pair for other, pair in enumerate(pairs) if other != number and pair[0] != "cursor"]
        if name == QB.name:
            text = value
        else:
            field, operator = pages.manager.fields.parameter(name) or (name, Operator.eq)
            text = f"{field} {_OPERATOR_TEXTS[operator].partition(' (')[0]} {value}"
        filters.append({"text": shorten(text), "url": address(path, remaining)})
    return filters


def _filter_options(pages: ModelPages) -> Iterator[tuple[str, str]]:
    """Yield the name of each filter field with its operators: data, then referred data, then metadata."""
    fields = pages.manager.fields
    for name in fields.own_fields:
        yield name, " ".join(fields.operators[name])
    for reference, target in fields.targets.items():
        for name in target.own_fields:
            yield f"{reference}.{name}", " ".join(target.operators[name])
    for name, field in fields.fields.items():
        if field.is_meta:
            yield name, " ".join(fields.operators[name])
