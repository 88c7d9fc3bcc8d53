"""Drives the service by the client of openapi-python-client. Type checkers see the generated types here."""

import io
import sys
from typing import TypeVar

from generated_client.api.document import (
    bulk_document,
    create_document,
    delete_document,
    list_document,
    patch_document,
    read_blob_document,
    read_document,
    replace_document,
    upload_blob_document,
)
from generated_client.client import Client
from generated_client.models.binary_input import BinaryInput
from generated_client.models.binary_output import BinaryOutput
from generated_client.models.bulk_answer import BulkAnswer
from generated_client.models.bulk_delete import BulkDelete
from generated_client.models.document_bulk_create import DocumentBulkCreate
from generated_client.models.document_bulk_patch import DocumentBulkPatch
from generated_client.models.document_bulk_request import DocumentBulkRequest
from generated_client.models.document_filter import DocumentFilter
from generated_client.models.document_input import DocumentInput
from generated_client.models.document_page import DocumentPage
from generated_client.models.document_patch import DocumentPatch
from generated_client.models.document_resource import DocumentResource
from generated_client.models.metadata_filter import MetadataFilter
from generated_client.models.problem import Problem
from generated_client.models.upload_blob_document_files_body import UploadBlobDocumentFilesBody
from generated_client.types import File

T = TypeVar("T")


def expect(kind: type[T], value: object) -> T:
    """Return the value if it is of this type. An answer is a complete or a partial resource, or a problem."""
    assert isinstance(value, kind), value
    return value


def main(base: str) -> None:
    """Create, list, update, patch, write in bulk, and store blobs."""
    client = Client(base_url=base)

    created = create_document.sync_detailed(client=client, body=DocumentInput(title="Vienna", tags=["draft"]))
    vienna, tag = expect(DocumentResource, created.parsed), created.headers["etag"]
    resource_id = vienna.meta.resource_id
    assert vienna.meta.created_time.tzinfo is not None
    create_document.sync(client=client, body=DocumentInput(title="Paris", language="fr"))

    page = expect(DocumentPage, list_document.sync(client=client))
    assert [item.data.title for item in page.items] == ["Paris", "Vienna"]
    conditions = DocumentFilter(title_starts_with="Vie", tags_contains_any="draft,x")
    page = expect(DocumentPage, list_document.sync(client=client, language="en", filter_=conditions))
    assert [item.data.title for item in page.items] == ["Vienna"]
    page = expect(DocumentPage, list_document.sync(client=client, metadata=MetadataFilter(version_gte=2)))
    assert page.items == []
    assert expect(Problem, list_document.sync(client=client, sort="nothing")).code == "invalid_parameter"

    body = DocumentInput(title="Vienna, again")
    replaced = replace_document.sync(resource_id, client=client, body=body, if_match=tag)
    assert expect(DocumentResource, replaced).meta.version == 2
    late = replace_document.sync_detailed(resource_id, client=client, body=body, if_match=tag)
    assert late.status_code == 412

    patched = patch_document.sync(resource_id, client=client, body=DocumentPatch(language="de"))
    assert expect(DocumentResource, patched).data.language == "de"

    request = DocumentBulkRequest(
        operations=[
            DocumentBulkCreate(op="create", data=DocumentInput(title="Rome")),
            DocumentBulkPatch(op="patch", id=resource_id, merge=DocumentPatch(title="Wien")),
            BulkDelete(op="delete", id="absent"),
        ]
    )
    answer = expect(BulkAnswer, bulk_document.sync(client=client, body=request))
    assert (answer.succeeded, answer.failed) == (2, 1)
    assert expect(Problem, answer.items[2].problem).code == "not_found"

    form = UploadBlobDocumentFilesBody(file=File(io.BytesIO(b"hello"), "hello.txt", "text/plain"))
    blob = expect(BinaryOutput, upload_blob_document.sync(client=client, body=form))
    holding = DocumentInput(title="With bytes", attachments=[BinaryInput(file_id=blob.file_id)])
    holder = expect(DocumentResource, create_document.sync(client=client, body=holding))
    content = read_blob_document.sync(holder.meta.resource_id, blob.file_id, client=client)
    assert expect(File, content).payload.read() == b"hello"

    assert delete_document.sync_detailed(resource_id, client=client).status_code == 204
    assert read_document.sync_detailed(resource_id, client=client).status_code == 410


main(sys.argv[1])
