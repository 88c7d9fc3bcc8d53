"""Missing routes: fixed path segments of a collection that the model does not serve."""

from collections.abc import Collection

from autocrud.errors import NotFound
from autocrud.resource import RESERVED_IDS


class RouteNotFound(NotFound):
    """The model has no route of this name. A resource cannot have the name as its id."""

    code = "route_not_found"

    def __init__(self, collection: str, name: str) -> None:
        Exception.__init__(self, f"{collection} has no route {name!r}, and no resource can have this id.")


def refuse_missing_route(collection: str, name: str, served_names: Collection[str]) -> None:
    """Refuse a path whose id is the name of a route that is left out.

    Raises:
        RouteNotFound: the id is a reserved name, and the collection serves no route of this name.
    """
    if name in RESERVED_IDS and name not in served_names:
        raise RouteNotFound(collection, name)
