"""Aggregate: groups of one model's resources with their metrics, by names."""

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from autocrud.errors import InvalidParameter
from autocrud.query.aggregation import Aggregation, Function, GroupRow, Metric, format_decimal, json_value
from autocrud.query.conditions import Condition
from autocrud.query.cursor import decode_keys, encode_keys
from autocrud.query.resolver import Resolver
from autocrud.storage.ports.storage import IStorage

MAX_GROUPS = 1000
_MAX_KEYS, _MAX_METRICS = 4, 16


@dataclass(frozen=True, slots=True)
class GroupPage:
    """A page of groups. Each group has its `key` and its `values`, by the requested names."""

    groups: list[dict[str, Any]]
    next_cursor: str | None


async def aggregate(
    storage: IStorage,
    resolver: Resolver,
    where: Condition | None,
    *,
    resolved: Condition | None,
    group_by: str | None,
    metrics: str,
    sort: str | None,
    limit: int,
    cursor: str | None,
    include_deleted: bool,
) -> GroupPage:
    """Return a page of groups with their metrics.

    Args:
        resolved: the condition with its reference filters resolved; a cursor belongs to the original condition.

    Raises:
        InvalidParameter: a name, the limit or the cursor is invalid.
    """
    if not 1 <= limit <= MAX_GROUPS:
        raise InvalidParameter("limit", f"must be from 1 to {MAX_GROUPS}")
    names = [] if group_by is None else _names("group_by", group_by, _MAX_KEYS)
    unknown = [name for name in names if name not in resolver.fields]
    if unknown:
        raise InvalidParameter("group_by", f"{unknown[0]!r} is not an index field; these are: {resolver.names}")
    keys = tuple(resolver.fields[name] for name in names)
    metric_names = _names("metrics", metrics, _MAX_METRICS)
    figures = tuple(_metric(resolver, name) for name in metric_names)
    by, descending = (None, False) if sort is None else _order(sort, metric_names)
    if by is not None and cursor is not None:
        raise InvalidParameter("cursor", "is for groups in the order of their keys; leave sort out")
    shape = (where, resolver.model, names, metric_names, include_deleted)
    after = None if cursor is None else decode_keys(shape, cursor, keys)
    aggregation = Aggregation(where, keys, figures, include_deleted, by, descending, limit, after)
    found = await storage.aggregate(replace(aggregation, where=resolved))
    has_more = len(found) > limit and by is None
    page = found[:limit]
    following = encode_keys(shape, page[-1].keys) if has_more else None
    return GroupPage([_group_to_json(aggregation, group, names, metric_names) for group in page], following)


def _group_to_json(
    aggregation: Aggregation, group: GroupRow, names: list[str], metric_names: list[str]
) -> dict[str, Any]:
    keys = [json_value(field.kind, key) for field, key in zip(aggregation.group_by, group.keys, strict=True)]
    values = [
        _figure_to_json(metric, figure) for metric, figure in zip(aggregation.metrics, group.figures, strict=True)
    ]
    return {"key": dict(zip(names, keys, strict=True)), "values": dict(zip(metric_names, values, strict=True))}


def _figure_to_json(metric: Metric, figure: Any) -> Any:
    if isinstance(figure, Decimal):
        return format_decimal(figure)
    if metric.field is not None and metric.function in (Function.min, Function.max):
        return json_value(metric.field.kind, figure)
    return figure


def _names(parameter: str, text: str, most: int) -> list[str]:
    names = text.split(",")
    if len(names) > most or len(set(names)) < len(names):
        raise InvalidParameter(parameter, f"takes at most {most} names, each once")
    return names


def _metric(resolver: Resolver, name: str) -> Metric:
    function, _, field = name.partition(":")
    if function not in set(Function):
        functions = ", ".join(Function)
        raise InvalidParameter("metrics", f"{name!r} is none; these are: {functions}, as in count or avg:price")
    if field and field not in resolver.fields:
        raise InvalidParameter("metrics", f"{field!r} is not an index field; these are: {resolver.names}")
    metric = Metric(Function(function), resolver.fields[field] if field else None)
    if not metric.is_supported():
        raise InvalidParameter("metrics", f"{name!r} has no meaning: the field has no {function}")
    return metric


def _order(sort: str, metric_names: list[str]) -> tuple[int, bool]:
    name = sort.removeprefix("-")
    if name not in metric_names:
        raise InvalidParameter("sort", f"{name!r} is not one of the metrics; these are: {', '.join(metric_names)}")
    return metric_names.index(name), sort.startswith("-")
