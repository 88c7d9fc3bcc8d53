"""Entity tags (RFC 9110, 8.8.3): how the tag of a resource's state is written and read in headers."""

import re

from fastapi import Request

from autocrud.errors import InvalidParameter, PreconditionRequired
from autocrud.versioning.mutations import ANY, Tags

_ONE = r'(W/)?"([\x21\x23-\x7e\x80-\xff]*)"'
_LIST = re.compile(rf"[ \t]*{_ONE}([ \t]*,[ \t]*{_ONE})*[ \t]*")


def etag(tag: str) -> str:
    """The strong entity tag for a header."""
    return f'"{tag}"'


def parse_tags(header: str, value: str, *, weak: bool = False) -> Tags:
    """The tags that a header lists.

    Args:
        weak: whether weak ones count: for If-None-Match they do, for If-Match they do not (RFC 9110, 13.1).

    Raises:
        InvalidParameter: it is neither `*` nor a list of entity tags.
    """
    if value.strip() == "*":
        return ANY
    if not _LIST.fullmatch(value):
        raise InvalidParameter(header, 'must be * or a list of entity tags, as in "3-20260102030405000000"')
    return [tag for is_weak, tag in re.findall(_ONE, value) if weak or not is_weak]


def if_match(request: Request, required: str | None = None) -> Tags | None:
    """The tags of the If-Match header; None without one.

    Args:
        required: the name of a model that takes no write without it.

    Raises:
        InvalidParameter: it is malformed.
        PreconditionRequired: it is required, and is not there.
    """
    values = request.headers.getlist("if-match")
    if values:
        return parse_tags("If-Match", ", ".join(values))
    if required is not None:
        raise PreconditionRequired(required)
    return None


def is_known(request: Request, tag: str) -> bool:
    """Whether the client has this state already, by its If-None-Match header.

    Raises:
        InvalidParameter: it is malformed.
    """
    values = request.headers.getlist("if-none-match")
    if not values:
        return False
    tags = parse_tags("If-None-Match", ", ".join(values), weak=True)
    return tag in tags or tags is ANY
