"""Newer referrers: resources of newer schema versions that refer to a resource, or may refer to it."""

from collections.abc import Iterable, Sequence

from autocrud.errors import NewerSchema
from autocrud.query.conditions import And, Condition, Query, Term
from autocrud.query.metadata_fields import META_FIELDS
from autocrud.query.operators import Operator
from autocrud.references.graph import Reference
from autocrud.references.referrer_writes import meta_of
from autocrud.schema.markers import OnDelete

_SCHEMA_VERSION = next(field for field in META_FIELDS if field.name == "schema_version")


async def refuse_newer_referrers(references: Iterable[Reference], resource_ids: Sequence[str]) -> None:
    """Refuse to delete resources if the on-delete actions could not be run on referrers of newer schema versions.

    Raises:
        NewerSchema: a referrer that the delete would change has a newer version, or the model of the referrers has
            data of a newer version that this process cannot read, so that its references are unknown.
    """
    for reference in references:
        if reference.ref.on_delete is OnDelete.dangling:
            continue
        await reference.refresh_index(resource_ids[0])
        node, upgrader = reference.source, reference.source.spec.upgrader
        for condition in _conditions(reference, resource_ids) if upgrader.newer_versions else ():
            for head in (await node.storage.search(Query(condition, limit=1))).items:
                raise NewerSchema(node.name, head.resource_id, meta_of(head).schema_version, upgrader.version)


def _conditions(reference: Reference, resource_ids: Sequence[str]) -> Iterable[Condition]:
    upgrader = reference.source.spec.upgrader
    unreadable = upgrader.newer_versions - upgrader.downgrades.keys()
    if unreadable:
        yield Term(_SCHEMA_VERSION, Operator.in_, tuple(sorted(unreadable)))
    if reference.ref.on_delete in (OnDelete.set_null, OnDelete.cascade):
        is_newer = Term(_SCHEMA_VERSION, Operator.gt, upgrader.version)
        yield And((reference.refers_to(resource_ids), is_newer))
