"""Errors: one class per thing that a caller can do about it.

Each class has a stable `code` for clients to branch on. `routes/response/problems.py` maps classes to HTTP statuses.
"""

from autocrud.errors.access import (
    Forbidden,
    IssuerUnavailable,
    Unauthenticated,
)
from autocrud.errors.base import (
    AutoCRUDError,
    ConfigurationError,
    FieldError,
    FieldErrors,
)
from autocrud.errors.blobs import (
    BlobNotFound,
    RangeNotSatisfiable,
    UploadIncomplete,
    UploadNotFound,
)
from autocrud.errors.inputs import (
    DifferenceTooLarge,
    InvalidData,
    InvalidInput,
    InvalidParameter,
    InvalidPatch,
    KeyReused,
    MalformedBody,
    PayloadTooLarge,
    QueryTooExpensive,
    ReferenceNotFound,
    UnsupportedMediaType,
    ValidatorNotIdempotent,
)
from autocrud.errors.limits import RateLimited
from autocrud.errors.resources import (
    Aborted,
    AlreadyExists,
    BulkRefused,
    Conflict,
    Deleted,
    DifferentHolders,
    NotDraft,
    NotFound,
    PatchFailed,
    PreconditionFailed,
    PreconditionRequired,
    Referenced,
    RevisionNotFound,
    TooManyDependents,
    UnhandledReferrers,
    UniqueViolation,
)
from autocrud.errors.schema_versions import (
    NewerSchema,
    Unreadable,
)
from autocrud.errors.storage import (
    DataCorrupted,
    IndexNotReady,
    Overloaded,
    StorageUnavailable,
)
from autocrud.errors.transactions import (
    DifferentStores,
    TransactionClosed,
)

__all__ = [
    "Aborted",
    "AlreadyExists",
    "AutoCRUDError",
    "BlobNotFound",
    "BulkRefused",
    "ConfigurationError",
    "Conflict",
    "DataCorrupted",
    "Deleted",
    "DifferenceTooLarge",
    "DifferentHolders",
    "DifferentStores",
    "FieldError",
    "FieldErrors",
    "Forbidden",
    "IndexNotReady",
    "InvalidData",
    "InvalidInput",
    "InvalidParameter",
    "InvalidPatch",
    "IssuerUnavailable",
    "KeyReused",
    "MalformedBody",
    "NewerSchema",
    "NotDraft",
    "NotFound",
    "Overloaded",
    "PatchFailed",
    "PayloadTooLarge",
    "PreconditionFailed",
    "PreconditionRequired",
    "QueryTooExpensive",
    "RangeNotSatisfiable",
    "RateLimited",
    "ReferenceNotFound",
    "Referenced",
    "RevisionNotFound",
    "StorageUnavailable",
    "TooManyDependents",
    "TransactionClosed",
    "Unauthenticated",
    "UnhandledReferrers",
    "UniqueViolation",
    "Unreadable",
    "UnsupportedMediaType",
    "UploadIncomplete",
    "UploadNotFound",
    "ValidatorNotIdempotent",
]

# Tracebacks and logs show the path from which applications import the classes.
for _name in __all__:
    globals()[_name].__module__ = __name__
