"""Transfer: export and import of one model's resources."""

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from functools import cached_property, partial
from typing import Any

from autocrud.manager.mutation_runner import MutationRunner
from autocrud.manager.queries import ModelQueries, Where
from autocrud.manager.transfer.blob_receiver import ArrivingBlobs
from autocrud.manager.transfer.exporter import Exporter
from autocrud.manager.transfer.import_planner import OnDuplicate, Planner
from autocrud.manager.transfer.importer import Importer, Progress, Refusal
from autocrud.manager.transfer.line_format import MIN_LINE_LIMIT, LineReader, line_adapter
from autocrud.query.conditions import Query
from autocrud.references.integrity import ReferenceIntegrity
from autocrud.schema.exact_numbers import ExactValidator
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.ports.storage import IStorage
from autocrud.storage.ports.types import Head, Outcome, Write
from autocrud.versioning.encoder import Encoder
from autocrud.versioning.mutations import Mutations
from autocrud.versioning.stored_resource import Resource
from autocrud.versioning.write_builder import Encoded


class Transfer:
    """Exports and imports one model's resources as NDJSON.

    Args:
        max_blob_bytes: maximum size of an imported blob.
    """

    def __init__(
        self,
        spec: ModelSpec[Any],
        storage: IStorage,
        queries: ModelQueries,
        encoder: Encoder[Any],
        mutations: Mutations[Any],
        runner: MutationRunner[Any],
        references: ReferenceIntegrity,
        max_blob_bytes: int,
    ) -> None:
        self._spec = spec
        self._storage = storage
        self._queries = queries
        self._encoder = encoder
        self._mutations = mutations
        self._runner = runner
        self._references = references
        self._max_blob_bytes = max_blob_bytes

    def export(
        self,
        where: Where = None,
        *,
        include_deleted: bool = False,
        history: bool = False,
        blobs: bool = False,
        raw: bool = False,
    ) -> AsyncIterator[bytes]:
        """Yield all resources that match a condition, in order of id, as of one moment, as chunks of lines.

        The last line is `{"end":true,…}`. A caller who stops earlier must close the iterator (`aclose`).

        Args:
            where: condition, as in `search`.
            include_deleted: include soft-deleted resources.
            history: yield a line per commit instead of the current state; includes soft-deleted resources.
            blobs: yield the bytes of a blob before the first line that refers to the blob.
            raw: yield data as it is stored, in the schema version that it was written with, instead of upgraded.

        Raises:
            InvalidParameter: the condition is not valid; raised by the call itself.
        """
        query = self._queries.build(where, include_deleted or history)
        version = self._spec.schema.version
        return self._export(query, Exporter(self._storage, history=history, blobs=blobs, raw=raw, version=version))

    def heads(self, where: Where = None, *, include_deleted: bool = False) -> AsyncIterator[Head]:
        """Yield the heads of all resources that match a condition, in order of id, as of one moment.

        A caller who stops early must close the iterator (`aclose`). Arguments and errors are those of `export`.
        """
        return self._heads(self._queries.build(where, include_deleted))

    def load(
        self,
        body: AsyncIterator[bytes],
        *,
        on_duplicate: OnDuplicate = OnDuplicate.error,
        start: int = 0,
        by: str | None = None,
        max_line_bytes: int = MIN_LINE_LIMIT,
    ) -> AsyncIterator[Refusal | Progress]:
        """Import lines as `export` writes them, or new resources as `{"data": …}`, optionally with an `id`. Idempotent.

        A resource is restored with its versions, times and authors. A line that equals the stored state changes
        nothing. Each line is accepted or refused on its own. Reported progress is durable.

        Args:
            body: bytes of the lines, in pieces of any size.
            on_duplicate: handling of a line if its id is taken by another resource; `overwrite` purges that resource.
            start: number of lines to skip, because an earlier import has done them.
            by: author of lines that name no author.
            max_line_bytes: longer lines are refused.
        """
        return Importer(
            self._storage,
            self._commit_states,
            LineReader(
                self._adapter,
                self._encoder,
                max(max_line_bytes, MIN_LINE_LIMIT),
                schema=self._spec.schema,
                renames=self._spec.names.rewrites_input,
            ),
            Planner(self._spec, self._storage, on_duplicate, by),
            ArrivingBlobs(self._storage.blobs, self._max_blob_bytes),
            partial(self._append_revision, by),
        ).load(body, start)

    async def _export(self, query: Query, exporter: Exporter) -> AsyncIterator[bytes]:
        chunks: Any = exporter.export(await self._queries.resolve_reference_filters(query))
        async with aclosing(chunks):
            async for chunk in chunks:
                yield chunk

    async def _heads(self, query: Query) -> AsyncIterator[Head]:
        scan: Any = self._storage.snapshot_scan(await self._queries.resolve_reference_filters(query))
        async with aclosing(scan):
            async for head in scan:
                yield head

    async def _commit_states(self, writes: Sequence[Write]) -> list[Outcome]:
        return await self._references.commit_all([(write, None) for write in writes])

    async def _append_revision(self, by: str | None, resource_id: str, encoded: Encoded) -> Resource[Any]:
        return await self._runner.run(resource_id, self._mutations.replace(encoded), by=by)

    @cached_property
    def _adapter(self) -> ExactValidator:
        return line_adapter(self._spec)
