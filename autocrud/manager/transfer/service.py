"""Transfer: what a manager offers for moving all resources of a model out and in."""

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from functools import cached_property, partial
from typing import Any, Protocol

from pydantic import TypeAdapter

from autocrud.manager.reader import ResourceReader, Where
from autocrud.manager.transfer.blob_receiver import ArrivingBlobs
from autocrud.manager.transfer.exporter import Exporter
from autocrud.manager.transfer.import_planner import OnDuplicate, Planner
from autocrud.manager.transfer.importer import Importer, Progress, Refusal
from autocrud.manager.transfer.line_format import LEAST_LINE, LineReader, line_adapter
from autocrud.query.conditions import Query
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.ports.storage import IStorage
from autocrud.storage.ports.types import Outcome, Write
from autocrud.versioning.encoder import Encoder
from autocrud.versioning.stored_resource import Resource


class _Replace(Protocol):
    async def __call__(self, resource_id: str, value: Any, *, by: str | None = None) -> Resource[Any]: ...


class Transfer:
    """The resources of one model as NDJSON.

    Args:
        replace: appends a revision to a resource, as the manager does.
        max_blob_bytes: longer blobs are not taken in.
    """

    def __init__(
        self,
        spec: ModelSpec[Any],
        storage: IStorage,
        reader: ResourceReader[Any],
        encoder: Encoder[Any],
        replace: _Replace,
        max_blob_bytes: int,
    ) -> None:
        self._spec = spec
        self._storage = storage
        self._reader = reader
        self._encoder = encoder
        self._replace = replace
        self._max_blob_bytes = max_blob_bytes

    def export(
        self, where: Where = None, *, include_deleted: bool = False, history: bool = False, blobs: bool = False
    ) -> AsyncIterator[bytes]:
        """All resources for which a condition holds, as of one moment, by their ids; a line each, some at a time.

        The last line is `{"end":true,…}`. Whoever stops before it closes the iterator (`aclose`).

        Args:
            where, include_deleted: as for `search`.
            history: a line for each commit, in place of one for the current state; with what is soft-deleted.
            blobs: before the first line that refers to a blob, its bytes.

        Raises:
            InvalidParameter: at once, as `search`.
        """
        query = self._reader.query(where, include_deleted or history)
        return self._exported(query, Exporter(self._storage, history=history, blobs=blobs))

    def load(
        self,
        body: AsyncIterator[bytes],
        *,
        on_duplicate: OnDuplicate = OnDuplicate.error,
        start: int = 0,
        by: str | None = None,
        max_line_bytes: int = LEAST_LINE,
    ) -> AsyncIterator[Refusal | Progress]:
        """Take in lines as `export` writes them, or `{"data": …}` or `{"id": …, "data": …}` of new resources.

        A resource comes to stand as it stood where it comes from, with its versions, times and authors. What stands so
        already stays as it is, so that an import may be repeated. Each line is accepted or refused on its own; what is
        reported as progress is durable.

        Args:
            body: pieces of any size.
            on_duplicate: what becomes of a line whose id is taken by something else; `overwrite` purges that.
            start: how many lines to leave out, which an import before has done.
            by: the author of what is not said to have one.
            max_line_bytes: longer lines are refused.
        """
        return Importer(
            self._storage,
            self._commit_states,
            LineReader(self._adapter, self._encoder, max(max_line_bytes, LEAST_LINE)),
            Planner(self._spec, self._storage, on_duplicate, by),
            ArrivingBlobs(self._storage.blobs, self._max_blob_bytes),
            partial(self._replace, by=by),
        ).load(body, start)

    async def _exported(self, query: Query, exporter: Exporter) -> AsyncIterator[bytes]:
        lines: Any = exporter.export(await self._reader.resolve_reference_filters(query))
        async with aclosing(lines):
            async for some in lines:
                yield some

    async def _commit_states(self, writes: Sequence[Write]) -> list[Outcome]:
        return await self._reader.references.commit_all([(write, None) for write in writes])

    @cached_property
    def _adapter(self) -> TypeAdapter[Any]:
        return line_adapter(self._spec)
