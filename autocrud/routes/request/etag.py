"""Entity tags (RFC 9110, 8.8.3): writes the tag of a resource's state to headers, and reads preconditions."""

import re

from fastapi import Request

from autocrud.errors import InvalidParameter, PreconditionRequired
from autocrud.versioning.mutations import ANY, Tags, WeakTags

# The characters of an entity tag (RFC 9110, 8.8.3): any but controls, space, the quote and DEL.
_TAG = r'(W/)?"([\x21\x23-\x7e\x80-\xff]*)"'
_TAG_LIST = re.compile(rf"[ \t]*{_TAG}([ \t]*,[ \t]*{_TAG})*[ \t]*")


def etag(tag: str) -> str:
    """Return the strong entity tag for a header."""
    return f'"{tag}"'


def parse_tags(header: str, value: str, *, weak: bool = False) -> Tags:
    """Return the tags that a header lists; `ANY` for `*`.

    Args:
        weak: return weak tags, too. If-None-Match compares them, If-Match does not (RFC 9110, 13.1).

    Raises:
        InvalidParameter: the value is neither `*` nor a list of entity tags.
    """
    if value.strip() == "*":
        return ANY
    if not _TAG_LIST.fullmatch(value):
        raise InvalidParameter(header, 'must be * or a list of entity tags such as "3-20260102030405000000"')
    found = re.findall(_TAG, value)
    tags = [tag for is_weak, tag in found if weak or not is_weak]
    return WeakTags(tags) if len(tags) < len(found) else tags


def if_match(request: Request, required: str | None = None) -> Tags | None:
    """Return the tags of the If-Match header; None without the header.

    Args:
        required: the name of a model whose writes need the header; None if the header is optional.

    Raises:
        InvalidParameter: the header is malformed.
        PreconditionRequired: the header is required and absent.
    """
    values = request.headers.getlist("if-match")
    if values:
        return parse_tags("If-Match", ", ".join(values))
    if required is not None:
        raise PreconditionRequired(required)
    return None


def matches_if_none_match(request: Request, tag: str) -> bool:
    """Return True if the If-None-Match header lists the tag: the client has this state already.

    Raises:
        InvalidParameter: the header is malformed.
    """
    values = request.headers.getlist("if-none-match")
    if not values:
        return False
    tags = parse_tags("If-None-Match", ", ".join(values), weak=True)
    return tag in tags or tags is ANY
