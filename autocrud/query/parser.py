"""`qb=`: a condition as text, in the syntax of Python; read by an allow-list over its syntax tree, never evaluated."""

import ast
import re
from typing import Any

from autocrud.errors import InvalidParameter
from autocrud.query.builder import QB, FieldBuilder
from autocrud.query.conditions import And, Condition, Or
from autocrud.query.operators import Operator

MAX_LENGTH = 4000
_MAX_DEPTH = 32
_MAX_LEAVES = 200
_NAME = "QB"
_LONE = re.compile("[\ud800-\udfff]")  # no text, and nothing that an answer could repeat
_METHODS = {operator.value: operator.value for operator in Operator} | {"in_": "in", "in": "in"}
_COMPARISONS: dict[type[ast.cmpop], str] = {
    ast.Eq: "eq",
    ast.NotEq: "ne",
    ast.Gt: "gt",
    ast.GtE: "gte",
    ast.Lt: "lt",
    ast.LtE: "lte",
}
_MIRRORED = {"gt": "lt", "gte": "lte", "lt": "gt", "lte": "gte"}


def parse_expression(text: str) -> Condition:
    """Read a condition such as `QB["age"].gte(18) & (QB["status"].eq("active") | ~QB["tags"].contains("x"))`.

    Raises:
        InvalidParameter: it is anything else, or too long or too deep; the message says where.
    """
    if len(text) > MAX_LENGTH:
        raise InvalidParameter("qb", f"may have at most {MAX_LENGTH} characters")
    try:
        tree = ast.parse(text.strip(), mode="eval")
        return _Reader().condition(tree.body, 0)
    except SyntaxError as error:
        raise InvalidParameter("qb", f"is not an expression: {error.msg}, at character {error.offset}") from error
    except (ValueError, RecursionError, MemoryError, OverflowError) as error:
        # What Python's parser raises for U+0000, and for what is nested beyond its means.
        raise InvalidParameter("qb", "is not an expression") from error


class _Reader:
    def __init__(self) -> None:
        self._leaves = 0

    def condition(self, node: ast.expr, depth: int) -> Condition:
        """The condition that a node is."""
        if depth > _MAX_DEPTH:
            raise _refused(node, "is nested too deeply")
        match node:
            case ast.BinOp(left, ast.BitAnd() | ast.BitOr(), right):
                return self._joined(node, depth)
            case ast.UnaryOp(ast.Invert(), part):
                return ~self.condition(part, depth + 1)
            case ast.Compare(left, [comparison], [right]):
                self._count(node)
                return _comparison(node, left, comparison, right)
            case ast.Call(ast.Attribute(field, method), arguments, []):
                self._count(node)
                return _call(node, _field(field), method, arguments)
            case ast.BoolOp() | ast.UnaryOp(ast.Not()):
                raise _refused(node, "has and, or, not; conditions combine by & | ~")
        raise _refused(node, 'is not a condition, as in QB["age"].gte(18)')

    def _joined(self, node: ast.BinOp, depth: int) -> Condition:
        """A chain of one operator, which Python nests to the left, as one."""
        kind, parts, left = type(node.op), [node.right], node.left
        while isinstance(left, ast.BinOp) and type(left.op) is kind:
            parts.append(left.right)
            left = left.left
        found = tuple(self.condition(part, depth + 1) for part in (left, *reversed(parts)))
        return And(found) if kind is ast.BitAnd else Or(found)

    def _count(self, node: ast.expr) -> None:
        self._leaves += 1
        if self._leaves > _MAX_LEAVES:
            raise _refused(node, f"asks for more than {_MAX_LEAVES} things")


def _comparison(node: ast.expr, left: ast.expr, comparison: ast.cmpop, right: ast.expr) -> Condition:
    operator = _COMPARISONS.get(type(comparison))
    if operator is None:
        raise _refused(node, "has a comparison that is not one of == != < <= > >=")
    if not isinstance(left, ast.Subscript):
        left, right, operator = right, left, _MIRRORED.get(operator, operator)
    return _asked(node, _field(left), operator, [_value(right)])


def _call(node: ast.expr, field: FieldBuilder, method: str, arguments: list[ast.expr]) -> Condition:
    if method not in _METHODS:
        known = ", ".join(operator.value for operator in Operator)
        raise _refused(node, f"has no operator {method!r}; these are: {known}")
    return _asked(node, field, _METHODS[method], [_value(argument) for argument in arguments])


def _asked(node: ast.expr, field: FieldBuilder, operator: str, arguments: list[Any]) -> Condition:
    method = getattr(field, "in_" if operator == "in" else operator)
    try:
        condition: Condition = method(*arguments)
    except TypeError as error:
        raise _refused(node, f"gives {operator} what it does not take") from error
    return condition


def _field(node: ast.expr) -> FieldBuilder:
    match node:
        case ast.Subscript(ast.Name(name), ast.Constant(str() as field)) if name == _NAME and not _LONE.search(field):
            return QB[field]
    raise _refused(node, 'is not a field, as in QB["age"]')


def _value(node: ast.expr) -> Any:
    match node:
        case ast.Constant(str() | int() | float() | bool() | None as value):
            return value
        case ast.UnaryOp(ast.USub(), ast.Constant(int() | float() as number)) if not isinstance(number, bool):
            return -number
        case ast.List(items) | ast.Tuple(items):
            return tuple(_value(item) for item in items)
    raise _refused(node, "is not a value: a text, a number, True, False, None, or a list of these")


def _refused(node: ast.expr, reason: str) -> InvalidParameter:
    return InvalidParameter("qb", f"{reason}, at character {node.col_offset + 1}")
