"""Entity tags (RFC 9110, 8.8.3): how the tag of a resource's state is written and read in headers."""

import re

from autocrud.errors import InvalidParameter
from autocrud.manager import ANY, Tags

_ONE = re.compile(r'(?P<weak>W/)?"(?P<tag>[\x21\x23-\x7e\x80-\xff]*)"')


def etag(tag: str) -> str:
    """The strong entity tag for a header."""
    return f'"{tag}"'


def parse_tags(header: str, value: str) -> Tags:
    """The tags that an If-Match header lists. Weak ones are left out: If-Match compares strongly (RFC 9110, 13.1.1).

    Raises:
        InvalidParameter: it is neither `*` nor a list of entity tags.
    """
    if value.strip() == "*":
        return ANY
    tags = []
    for item in value.split(","):
        match = _ONE.fullmatch(item.strip())
        if match is None:
            raise InvalidParameter(header, 'must be * or a list of entity tags, as in "3-20260102030405000000"')
        if not match["weak"]:
            tags.append(match["tag"])
    return tags
