"""A REST API over versioned resources: register a Pydantic model, choose where its bytes go."""

from autocrud.crud import AutoCRUD
from autocrud.fields import Index, Unique
from autocrud.manager import Resource, ResourceManager, ResourcePage
from autocrud.resource import ResourceMeta, RevisionInfo, RevisionStatus

__all__ = [
    "AutoCRUD",
    "Index",
    "Resource",
    "ResourceManager",
    "ResourceMeta",
    "ResourcePage",
    "RevisionInfo",
    "RevisionStatus",
    "Unique",
]
