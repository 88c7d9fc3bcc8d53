"""What somebody asks of `aggregate`, by names, and what is answered."""

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
    """A page of groups, each its `key` and its `values`, by the names that were asked for."""

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
    """Find the groups, and name what is in them.

    Args:
        reached: the same condition, of terms on the model's own columns; a cursor belongs to what was asked.

    Raises:
        InvalidParameter: a name, a limit or the cursor cannot be used.
    """
    if not 1 <= limit <= MAX_GROUPS:
        raise InvalidParameter("limit", f"must be from 1 to {MAX_GROUPS}")
    names = [] if group_by is None else _names("group_by", group_by, _MAX_KEYS)
    unknown = [name for name in names if name not in resolver.fields]
    if unknown:
        raise InvalidParameter("group_by", f"{unknown[0]!r} is not an index field; these are: {resolver.names}")
    keys = tuple(resolver.fields[name] for name in names)
    wanted = _names("metrics", metrics, _MAX_METRICS)
    figures = tuple(_metric(resolver, name) for name in wanted)
    by, descending = (None, False) if sort is None else _order(sort, wanted)
    if by is not None and cursor is not None:
        raise InvalidParameter("cursor", "is for groups in the order of their keys; leave sort out")
    shape = (where, resolver.model, names, wanted, include_deleted)
    after = None if cursor is None else decode_keys(shape, cursor, keys)
    asked = Aggregation(where, keys, figures, include_deleted, by, descending, limit, after)
    found = await storage.aggregate(replace(asked, where=resolved))
    more = len(found) > limit and by is None
    page = found[:limit]
    following = encode_keys(shape, page[-1].keys) if more else None
    return GroupPage([_named(asked, group, names, wanted) for group in page], following)


def _named(asked: Aggregation, group: GroupRow, names: list[str], wanted: list[str]) -> dict[str, Any]:
    keys = [json_value(field.kind, key) for field, key in zip(asked.group_by, group.keys, strict=True)]
    values = [_shown(metric, figure) for metric, figure in zip(asked.metrics, group.figures, strict=True)]
    return {"key": dict(zip(names, keys, strict=True)), "values": dict(zip(wanted, values, strict=True))}


def _shown(metric: Metric, figure: Any) -> Any:
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
        known = ", ".join(Function)
        raise InvalidParameter("metrics", f"{name!r} is none; these are: {known}, as in count or avg:price")
    if field and field not in resolver.fields:
        raise InvalidParameter("metrics", f"{field!r} is not an index field; these are: {resolver.names}")
    metric = Metric(Function(function), resolver.fields[field] if field else None)
    if not metric.is_supported():
        raise InvalidParameter("metrics", f"{name!r} has no meaning: the field has no {function}")
    return metric


def _order(sort: str, wanted: list[str]) -> tuple[int, bool]:
    name = sort.removeprefix("-")
    if name not in wanted:
        raise InvalidParameter("sort", f"{name!r} is not one of the metrics; these are: {', '.join(wanted)}")
    return wanted.index(name), sort.startswith("-")
