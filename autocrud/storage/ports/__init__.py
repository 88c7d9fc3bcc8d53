"""Ports of a backend, with the types of their arguments and results."""

from autocrud.storage.ports.blobs import BlobStore, UploadSessions
from autocrud.storage.ports.claims import Claim, StoredReference
from autocrud.storage.ports.engine import StoreEngine
from autocrud.storage.ports.metadata import MetaStore
from autocrud.storage.ports.objects import ObjectExists, ObjectMissing, ObjectStore, Part, PutUndecided
from autocrud.storage.ports.ordered_map import MapConflict, OrderedMap
from autocrud.storage.ports.schema_records import SchemaRecord, SchemaRecords, VersionRecord
from autocrud.storage.ports.storage import Check, IStorage, IStorageFactory
from autocrud.storage.ports.transactions import Position, StoreChange, Transaction, VersionCheck
from autocrud.storage.ports.types import (
    Blob,
    Commit,
    CommitEntry,
    Head,
    Item,
    OnDeleteTask,
    Outcome,
    Page,
    Repeated,
    RequestKey,
    Revision,
    RevisionSpan,
    ScanItem,
    UnknownBlob,
    Write,
)
from autocrud.storage.ports.uploaded_types import UploadedType, UploadedTypes
from autocrud.storage.ports.uploads import Upload

__all__ = [
    "Blob",
    "BlobStore",
    "Check",
    "Claim",
    "Commit",
    "CommitEntry",
    "Head",
    "IStorage",
    "IStorageFactory",
    "Item",
    "MapConflict",
    "MetaStore",
    "ObjectExists",
    "ObjectMissing",
    "ObjectStore",
    "OnDeleteTask",
    "OrderedMap",
    "Outcome",
    "Page",
    "Part",
    "Position",
    "PutUndecided",
    "Repeated",
    "RequestKey",
    "Revision",
    "RevisionSpan",
    "ScanItem",
    "SchemaRecord",
    "SchemaRecords",
    "StoreChange",
    "StoreEngine",
    "StoredReference",
    "Transaction",
    "UnknownBlob",
    "Upload",
    "UploadSessions",
    "UploadedType",
    "UploadedTypes",
    "VersionCheck",
    "VersionRecord",
    "Write",
]
