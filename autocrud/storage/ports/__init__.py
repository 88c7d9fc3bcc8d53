"""Ports of a backend, with the types of their arguments and results."""

from autocrud.storage.ports.blobs import BlobStore, UploadSessions
from autocrud.storage.ports.metadata import MetaStore
from autocrud.storage.ports.objects import ObjectExists, ObjectMissing, ObjectStore, Part, PutUndecided
from autocrud.storage.ports.schema_records import SchemaRecord, SchemaRecords, VersionRecord
from autocrud.storage.ports.storage import Check, IStorage, IStorageFactory
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
    "Commit",
    "CommitEntry",
    "Head",
    "IStorage",
    "IStorageFactory",
    "Item",
    "MetaStore",
    "ObjectExists",
    "ObjectMissing",
    "ObjectStore",
    "OnDeleteTask",
    "Outcome",
    "Page",
    "Part",
    "PutUndecided",
    "Repeated",
    "RequestKey",
    "Revision",
    "RevisionSpan",
    "ScanItem",
    "SchemaRecord",
    "SchemaRecords",
    "UnknownBlob",
    "Upload",
    "UploadSessions",
    "UploadedType",
    "UploadedTypes",
    "VersionRecord",
    "Write",
]
