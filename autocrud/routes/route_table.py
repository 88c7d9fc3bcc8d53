"""Route table: the families of operations. A new family is a file in `endpoints/` and a row here."""

from collections.abc import Callable, Iterator

from autocrud.routes.endpoints import (
    aggregate,
    blobs,
    bulk,
    by_query,
    create,
    delete,
    patch,
    read,
    referrers,
    replace,
    revisions,
    transfer,
    uploads,
)
from autocrud.routes.endpoints import list as list_resources
from autocrud.routes.operation import ModelRoutes, Operation

# In the order in which the routes are matched: a fixed segment stands before `{resource_id}`.
_MODULES: tuple[Callable[[ModelRoutes], Iterator[Operation]], ...] = (
    create.operations,
    bulk.operations,
    by_query.operations,
    list_resources.operations,
    transfer.operations,
    aggregate.operations,
    blobs.operations,
    uploads.operations,
    read.operations,
    referrers.operations,
    replace.operations,
    patch.operations,
    revisions.operations,
    delete.operations,
)

FAMILIES = frozenset(
    {
        "create", "bulk", "list", "count", "aggregate",
        "read", "replace", "patch", "revisions", "revision", "diff", "switch", "delete", "restore", "purge",
        "delete_many", "restore_many",
        "upload_blob", "read_blob", "begin_upload", "read_upload", "upload_part", "finish_upload", "abort_upload",
        "export", "import",
        "referrers",
    }
)  # fmt: skip


def operations(routes: ModelRoutes, families: frozenset[str]) -> list[Operation]:
    """Return a model's operations of these families, in the order of matching."""
    return [operation for module in _MODULES for operation in module(routes) if operation.family in families]
