"""Reference integrity: the rules of references that a write to one model keeps."""

from collections.abc import Sequence

from autocrud.errors import AutoCRUDError
from autocrud.references.committer import PlannedWrite, ReferenceCommitter
from autocrud.references.graph import Graph, ModelNode
from autocrud.references.refusals import translate
from autocrud.storage.ports.types import Head, Outcome, Write


class ReferenceIntegrity:
    """Commits writes of one model and keeps its references intact, in both directions.

    Attributes:
        committer: commits writes of several models.
    """

    def __init__(self, node: ModelNode, graph: Graph) -> None:
        self._node = node
        self._graph = graph
        self.committer = ReferenceCommitter(graph)

    async def commit(self, write: Write, before: Head | None) -> None:
        """Commit a write and enforce its references.

        Args:
            before: the resource before the write.

        Raises:
            ReferenceNotFound: a new reference has no target.
            Referenced, NewerSchema, TooManyDependents, UnhandledReferrers: referrers prevent the delete.
            StorageUnavailable: an outage. A delete may be committed with unfinished on-delete actions.
        """
        node = self._node
        if write.kind in self._graph.planned_kinds[node.spec.name]:
            (refused,) = await self.committer.commit([PlannedWrite(node, write, before)])
            if refused is not None:
                raise refused
            return
        try:
            await node.storage.commit(write)
        except AutoCRUDError as error:
            refusal = translate(self._graph, node, error)
            if refusal is error:
                raise
            raise refusal from error

    async def commit_all(self, writes: Sequence[tuple[Write, Head | None]], *, atomic: bool = False) -> list[Outcome]:
        """Commit writes together, like the storage's `commit_all`, and enforce their references.

        The writes may refer to each other. Resources that are deleted together do not prevent each other's delete.

        Args:
            writes: each write with the resource before it.
            atomic: refuse all writes if one is refused.
        """
        items = [PlannedWrite(self._node, write, before) for write, before in writes]
        return await self.committer.commit(items) if atomic else await self.committer.commit_all(items)

    async def finish(self) -> None:
        """Finish pending on-delete tasks of this model."""
        await self.committer.finish(self._node)

    async def drain(self) -> None:
        """Wait a limited time for running commits. Unfinished on-delete actions stay pending."""
        await self.committer.drain()
