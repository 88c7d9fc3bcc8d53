"""Ports of a manager: the storages and rules that its parts work with."""

from dataclasses import dataclass
from typing import Any

from autocrud.guard.field_guard import FieldGuard
from autocrud.references.graph import Graph, ModelNode
from autocrud.references.integrity import ReferenceIntegrity
from autocrud.storage.ports.storage import IStorage
from autocrud.versioning.encoder import Encoder


@dataclass(frozen=True)
class ManagerPorts:
    """Storages and rules of one manager. Without rules, all storages are the model's own.

    Attributes:
        reads: the model with the storage that answers are read from.
        graph: the models that answers may show.
        changes: the model with the storage that changes are planned on.
        references: commits writes.
        keys: storage that knows the request keys.
        encoder: encodes new resources.
        fields: rules of fields; None without rules.
    """

    reads: ModelNode
    graph: Graph
    changes: ModelNode
    references: ReferenceIntegrity
    keys: IStorage
    encoder: Encoder[Any]
    fields: FieldGuard | None = None

    @classmethod
    def of(cls, node: ModelNode, graph: Graph) -> "ManagerPorts":
        """Return the ports of a manager without rules."""
        references = ReferenceIntegrity(node, graph)
        return cls(node, graph, node, references, node.storage, Encoder(node.spec, node.storage.blobs))
