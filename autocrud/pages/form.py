"""Forms of the data view: the address that a submitted form stands for. Forms work without scripts."""

from collections.abc import Sequence
from datetime import UTC, datetime
from urllib.parse import parse_qsl, urlencode

from fastapi import Request

# Names of the form's own controls. Index fields and parameters of the routes do not begin with an underscore.
FORM, FIELD, OPERATOR, VALUE, TIME, VERSION = "_form", "_field", "_operator", "_value", "_at", "_version"
_CONTROLS = frozenset({FORM, FIELD, OPERATOR, VALUE, TIME, VERSION})

Pairs = Sequence[tuple[str, str]]


def query_pairs(request: Request) -> list[tuple[str, str]]:
    """Return the names and values of the query string."""
    return parse_qsl(request.scope["query_string"].decode("latin-1"), keep_blank_values=True)


def address(path: str, pairs: Pairs) -> str:
    """Return a path with a query string."""
    return f"{path}?{urlencode(pairs)}" if pairs else path


def replaced(pairs: Pairs, **values: str | None) -> list[tuple[str, str]]:
    """Return a query with other values of these parameters, on the first page. None removes a parameter."""
    remaining = [(name, value) for name, value in pairs if name not in values and name != "cursor"]
    return [*remaining, *((name, value) for name, value in values.items() if value is not None)]


def submitted_query(pairs: Pairs) -> list[tuple[str, str]] | None:
    """Return the query that a submitted form stands for; None if the request comes from no form.

    A browser submits all controls, also empty ones, whose parameters the routes would refuse.
    """
    controls = {name: value.strip() for name, value in pairs if name in _CONTROLS}
    if FORM not in controls:
        return None
    query = [(name, value) for name, value in pairs if name not in _CONTROLS and name != "cursor" and value.strip()]
    if FIELD in controls and controls.get(VALUE):
        query.append((f"{controls[FIELD]}__{controls.get(OPERATOR, 'eq')}", controls[VALUE]))
    if TIME in controls:
        at = dict(query).get("at")
        query = [(name, value) for name, value in query if name != "at"]
        # The control has no fractions of a second. An unchanged time stays as it is.
        changed = utc_time(controls[TIME])
        at = at if at is not None and utc_time(local_time(at)) == changed else changed
        query += [("at", at)] if at else []
    return query


def local_time(text: str | None) -> str:
    """Return a time (RFC 3339) as the value of a `datetime-local` control, in UTC; empty if the text is no time."""
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return ""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S") if moment.tzinfo else ""


def utc_time(text: str) -> str:
    """Return the value of a `datetime-local` control as a time (RFC 3339), or other text unchanged."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return text
    return text if moment.tzinfo is not None else f"{moment.isoformat()}Z"
