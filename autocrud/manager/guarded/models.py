"""Guarded models: the managers of all models of a service under their rules."""

from collections.abc import Callable, Mapping
from typing import Any

from autocrud.guard.current_principal import Who
from autocrud.guard.field_guard import FieldGuard
from autocrud.guard.masked_storage import MaskedStorage
from autocrud.guard.model_guard import ModelGuard
from autocrud.guard.row_storage import RowStorage
from autocrud.manager.guarded.commits import GuardedIntegrity
from autocrud.manager.guarded.encoder import GuardedEncoder
from autocrud.manager.guarded.judge import Judge
from autocrud.manager.guarded.manager import GuardedManager
from autocrud.manager.manager import ResourceManager
from autocrud.manager.ports import ManagerPorts
from autocrud.policy.access import Access
from autocrud.references.graph import Graph, ModelNode
from autocrud.schema.markers import Ref


def build_guarded_managers(
    managers: Mapping[str, ResourceManager[Any]],
    rules: Mapping[str, Access],
    who: Who,
    graph: Graph,
    is_visible: Callable[[Ref, str, str], bool],
    limits: Mapping[str, Any],
) -> dict[str, GuardedManager[Any]]:
    """Return managers under rules.

    Args:
        managers: managers without rules, by the name of the model.
        rules: rules of each model.
        who: returns the principal of a call.
        graph: the models with storages that hide nothing.
        is_visible: as in `Graph`.
        limits: arguments of each manager.

    Raises:
        ConfigurationError: a rule cannot work.
    """
    guards = {name: ModelGuard(manager.spec, rules[name], who) for name, manager in managers.items()}
    readers = {
        name: ModelNode(guard.spec, MaskedStorage(graph.nodes[name].storage, guard)) for name, guard in guards.items()
    }
    readable_graph = Graph(readers.values(), is_visible)
    judge = Judge(graph, guards)
    return {
        name: GuardedManager(
            guard,
            guards,
            _ports(managers[name], guard, judge, graph, readers[name], readable_graph),
            inner=managers[name],
            **limits,
        )
        for name, guard in guards.items()
    }


def _ports(
    manager: ResourceManager[Any], guard: ModelGuard, judge: Judge, graph: Graph, reader: ModelNode, readable: Graph
) -> ManagerPorts:
    node, fields = graph.nodes[guard.spec.name], FieldGuard(guard)
    return ManagerPorts(
        reads=reader,
        graph=readable,
        changes=ModelNode(guard.spec, RowStorage(node.storage, guard)),
        references=GuardedIntegrity(node, graph, judge, manager.references),
        keys=node.storage,
        encoder=GuardedEncoder(guard, fields, node.storage.blobs),
        fields=fields,
    )
