"""A REST API over versioned resources: register a Pydantic model, choose where its bytes go."""

from autocrud.binary import Binary
from autocrud.crud import AutoCRUD
from autocrud.fields import Index, OnDelete, Ref, Unique
from autocrud.manager import ResourceManager
from autocrud.query.builder import QB
from autocrud.resource import ResourceMeta, Retention, RevisionInfo, RevisionStatus
from autocrud.results import Resource, ResourcePage, RevisionPage
from autocrud.transfer.planning import OnDuplicate

__all__ = [
    "QB",
    "AutoCRUD",
    "Binary",
    "Index",
    "OnDelete",
    "OnDuplicate",
    "Ref",
    "Resource",
    "ResourceManager",
    "ResourceMeta",
    "ResourcePage",
    "Retention",
    "RevisionInfo",
    "RevisionPage",
    "RevisionStatus",
    "Unique",
]
