"""A REST API over versioned resources: register a Pydantic model, choose where its bytes go."""

from autocrud.crud import AutoCRUD
from autocrud.manager.manager import ResourceManager
from autocrud.manager.transaction.transaction import Transaction
from autocrud.manager.transfer.import_planner import OnDuplicate
from autocrud.manager.upsert.on_conflict import OnConflict
from autocrud.query.builder import QB
from autocrud.resource import ResourceMeta, Retention, RevisionInfo, RevisionStatus
from autocrud.schema.binary import Binary
from autocrud.schema.markers import Index, OnDelete, Ref, Unique
from autocrud.schema.versions.schema import Schema
from autocrud.versioning.json_patch import MergePatch, OperationsPatch
from autocrud.versioning.stored_resource import Resource, ResourcePage, RevisionPage

__all__ = [
    "QB",
    "AutoCRUD",
    "Binary",
    "Index",
    "MergePatch",
    "OnConflict",
    "OnDelete",
    "OnDuplicate",
    "OperationsPatch",
    "Ref",
    "Resource",
    "ResourceManager",
    "ResourceMeta",
    "ResourcePage",
    "Retention",
    "RevisionInfo",
    "RevisionPage",
    "RevisionStatus",
    "Schema",
    "Transaction",
    "Unique",
]
