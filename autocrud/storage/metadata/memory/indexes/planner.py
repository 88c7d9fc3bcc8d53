"""Planner: finds the candidates of a condition through the indexes of a partition."""

from dataclasses import replace
from typing import Any

from autocrud.query.conditions import And, Condition, Matches, Or, Term
from autocrud.query.evaluate import holds
from autocrud.query.operators import Operator
from autocrud.query.text_search import Clause
from autocrud.schema.index_field import IndexField
from autocrud.storage.metadata.memory.indexes.candidates import Candidates, no_candidates
from autocrud.storage.metadata.memory.indexes.partition import Partition, creation_time_of
from autocrud.storage.metadata.memory.indexes.spans import find_span
from autocrud.storage.metadata.memory.indexes.value_index import ValueIndex

_SPAN_OPERATORS = {
    Operator.gt, Operator.gte, Operator.lt, Operator.lte, Operator.between, Operator.starts_with,
}  # fmt: skip


def find_candidates(partition: Partition, condition: Condition | None) -> Candidates:
    """Return the candidates of a condition: of the most selective part of an `And`, and of all parts of an `Or`.

    All resources are candidates of a condition that no index supports.
    """
    match condition:
        case None:
            return partition.all(is_exact=True)
        case And(parts):
            found = [find_candidates(partition, part) for part in parts]
            return _most_selective(found) if found else partition.all(is_exact=True)
        case Or(parts):
            return _union(partition, [find_candidates(partition, part) for part in parts])
        case Term(field, operator, value):
            if field.column == "is_deleted":
                is_held = holds(condition, {"is_deleted": int(partition.is_deleted)})
                return partition.all(is_exact=True) if is_held else no_candidates()
            return _find_by_term(partition, field, operator, value) or partition.all(is_exact=False)
        case Matches(field, text):
            index = partition.index(field)
            found = [word for clause in text.required for word in _find_by_words(index, clause)]
            return replace(_most_selective(found), is_exact=False)
    return partition.all(is_exact=False)


def _most_selective(found: list[Candidates]) -> Candidates:
    best = min(found, key=lambda candidates: candidates.size)
    return best if len(found) == 1 else replace(best, is_exact=False)


def _union(partition: Partition, found: list[Candidates]) -> Candidates:
    if len(found) == 1:
        return found[0]
    size = sum(candidates.size for candidates in found)
    is_exact = all(candidates.is_exact for candidates in found)
    if size >= len(partition.places) and not is_exact:
        return partition.all(is_exact=False)
    return Candidates(
        lambda: (places for candidates in found for places in candidates.load()), size, is_exact, is_disjoint=False
    )


def _find_by_term(partition: Partition, field: IndexField, operator: Operator, value: Any) -> Candidates | None:
    """Return the candidates of a comparison; None if no index supports the operator."""
    if operator is Operator.is_null and value:
        return partition.index(field).find((None,))
    if field.is_list:
        return _find_by_items(partition, field, operator, value)
    if operator is Operator.eq or operator is Operator.in_:
        values = value if operator is Operator.in_ else (value,)
        return partition.index(field).find(item for item in values if item is not None)
    if field.column == "created_time":
        span = find_span(operator, value, partition.places, creation_time_of)
        return None if span is None else partition.created_in(span)
    if operator in _SPAN_OPERATORS or operator is Operator.is_null:
        index = partition.index(field)
        span = index.span(operator, value)
        return None if span is None else index.find_in_span(span)
    return None


def _find_by_items(partition: Partition, field: IndexField, operator: Operator, value: Any) -> Candidates | None:
    items = value if isinstance(value, tuple) else (value,)
    if operator is Operator.contains_any:
        return partition.index(field).find((item for item in items if item is not None), is_disjoint=False)
    if operator not in (Operator.contains, Operator.contains_all) or not items:
        return None
    if None in items:
        return no_candidates()
    index = partition.index(field)
    return _most_selective([index.find((item,)) for item in items])


def _find_by_words(index: ValueIndex, clause: Clause) -> list[Candidates]:
    """Return the candidates of each word of a clause."""
    complete_words = clause.words[:-1] if clause.prefix else clause.words
    found = [index.find((word,)) for word in complete_words]
    if clause.prefix:
        found.append(index.find_by_prefix(clause.words[-1]))
    return found
