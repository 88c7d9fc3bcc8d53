"""Routes: every operation of a registered model over HTTP."""

from autocrud.routes.route_table import FAMILIES

__all__ = ["FAMILIES"]
