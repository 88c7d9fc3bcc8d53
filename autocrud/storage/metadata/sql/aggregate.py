"""Base of the aggregate compilers: a subquery of groups, and around it the order and the page."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from autocrud.query.aggregation import Aggregation, Function, GroupRow, Metric, check_sum, compute_average
from autocrud.schema.column_types import ColumnValue
from autocrud.schema.index_field import IndexField
from autocrud.storage.metadata.sql.compiler import Compiler


class AggregateCompiler(Compiler):
    """Compile one aggregate query. A metric is one or more columns: its partial results."""

    @abstractmethod
    def item(self, field: IndexField, place: int) -> tuple[str, str]:
        """Return the join for a row per item of a list field, or a row without an item, and the item."""

    @abstractmethod
    def sums(self, field: IndexField) -> list[str]:
        """Return the columns of a sum's partial results."""

    @abstractmethod
    def combine_sum(self, field: IndexField, parts: Sequence[Any]) -> Any:
        """Return a sum, from its partial results."""

    @abstractmethod
    def mean(self, field: IndexField, names: Sequence[str]) -> str:
        """Return the sort key of an average, from the columns of its partial results."""

    @abstractmethod
    def extreme(self, function: str, field: IndexField) -> str:
        """Return the least or the greatest value, in the form of the column."""

    @abstractmethod
    def column_value(self, value: Any) -> ColumnValue:
        """Return a value of the engine's answer in the common form of all backends."""

    def statement(self, heads: str, aggregation: Aggregation) -> str:
        """Return the statement for a page of groups, plus a further group if a next page exists."""
        joins, keys = [], []
        for place, field in enumerate(aggregation.group_by):
            join, key = self.item(field, place) if field.is_list else ("", self.column(field))
            joins.append(join)
            keys.append(f"{key} AS k{place}")
        figures = [
            f"{part} AS m{number}_{place}"
            for number, metric in enumerate(aggregation.metrics)
            for place, part in enumerate(self._parts(metric))
        ]
        group = f" GROUP BY {', '.join(str(place + 1) for place in range(len(keys)))}" if keys else ""
        where = f"{self.live(aggregation)} AND {self.where(aggregation.where)}"
        inner = f"SELECT {', '.join([*keys, *figures])} FROM {heads}{''.join(joins)} WHERE {where}{group}"
        terms = [*self._metric_order(aggregation), *(f"k{place} IS NULL, k{place}" for place in range(len(keys)))]
        order = f" ORDER BY {', '.join(terms)}" if terms else ""
        after = self._after_condition(aggregation)
        return f"SELECT * FROM ({inner}) AS groups WHERE {after}{order} LIMIT {aggregation.limit + 1}"

    def group(self, aggregation: Aggregation, row: Sequence[Any]) -> GroupRow:
        """Return a row as a group."""
        rest = iter(row)
        keys = tuple(self.column_value(next(rest)) for _ in aggregation.group_by)
        figures = []
        for metric in aggregation.metrics:
            parts = [next(rest) for _ in self._parts(metric)]
            figures.append(self._figure(metric, parts))
        return GroupRow(keys, tuple(figures))

    def _parts(self, metric: Metric) -> list[str]:
        field = metric.field
        if field is None:
            return ["count(*)"]
        column = self.column(field)
        match metric.function:
            case Function.count_:
                return [f"count({column})"]
            case Function.distinct:
                return [f"count(DISTINCT {column})"]
            case Function.sum:
                return self.sums(field)
            case Function.avg:
                return [*self.sums(field), f"count({column})"]
        return [self.extreme(metric.function.value, field)]

    def _figure(self, metric: Metric, parts: Sequence[Any]) -> Any:
        if metric.field is None or metric.function in (Function.count_, Function.distinct):
            return int(parts[0])
        if metric.function is Function.sum:
            return check_sum(metric, self.combine_sum(metric.field, parts))
        if metric.function is Function.avg:
            return compute_average(metric, self.combine_sum(metric.field, parts[:-1]), int(parts[-1]))
        return self.column_value(parts[0])

    def _metric_order(self, aggregation: Aggregation) -> list[str]:
        if aggregation.by_metric is None:
            return []
        metric, direction = aggregation.metrics[aggregation.by_metric], "DESC" if aggregation.descending else "ASC"
        names = [f"m{aggregation.by_metric}_{place}" for place in range(len(self._parts(metric)))]
        columns = [self.mean(metric.field, names)] if metric.function is Function.avg and metric.field else names
        return [f"{names[0]} IS NULL", *(f"{column} {direction}" for column in columns)]

    def _after_condition(self, aggregation: Aggregation) -> str:
        """Return the condition of the groups that follow the cursor's keys; nulls come last."""
        if aggregation.after is None:
            return "true"
        fields, values = aggregation.group_by, aggregation.after
        condition = "false"
        for place in reversed(range(len(fields))):
            name, value = f"k{place}", values[place]
            if value is None:
                condition = f"({name} IS NULL AND {condition})"
            else:
                mark = self.bind(fields[place], value)
                condition = f"({name} > {mark} OR {name} IS NULL OR ({name} = {mark} AND {condition}))"
        return condition
