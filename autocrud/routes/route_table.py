"""Route table: the families of operations. A new family is a file in `endpoints/` and a row here."""

from collections.abc import Callable, Collection, Iterator

from autocrud.errors import ConfigurationError
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
        "delete_many", "restore_many", "patch_many",
        "upload_blob", "read_blob", "begin_upload", "read_upload", "upload_part", "finish_upload", "abort_upload",
        "export", "import",
        "referrers",
    }
)  # fmt: skip


def operations(routes: ModelRoutes, families: frozenset[str]) -> list[Operation]:
    """Return a model's operations of these families, in the order of matching."""
    return [operation for module in _MODULES for operation in module(routes) if operation.family in families]


def check_families(model: str, families: Collection[str] | None) -> frozenset[str]:
    """Return the route families of a model; all families if None.

    Raises:
        ConfigurationError: a name is not a route family.
    """
    chosen = FAMILIES if families is None else frozenset(families)
    unknown = sorted(chosen - FAMILIES)
    if unknown:
        names = ", ".join(sorted(FAMILIES))
        raise ConfigurationError(f"{model}: {unknown[0]!r} is not a route family; the families are: {names}")
    return chosen
