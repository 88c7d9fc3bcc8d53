"""Parser of `qb=`, a condition in Python syntax. Converts allowed syntax nodes only, and never evaluates the text."""

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
_SURROGATE = re.compile("[\ud800-\udfff]")  # UTF-8 cannot encode a lone surrogate, so no answer could quote the name
_METHODS = {operator.value: operator.value for operator in Operator} | {"in_": "in", "in": "in"}
_COMPARISONS: dict[type[ast.cmpop], str] = {
    ast.Eq: "eq",
    ast.NotEq: "ne",
    ast.Gt: "gt",
    ast.GtE: "gte",
    ast.Lt: "lt",
    ast.LtE: "lte",
}
# The operator of a comparison with the field on its right, as in `18 <= QB["age"]`.
_MIRRORED = {"gt": "lt", "gte": "lte", "lt": "gt", "lte": "gte"}


def parse_expression(text: str) -> Condition:
    """Parse a condition such as `QB["age"].gte(18) & (QB["status"].eq("active") | ~QB["tags"].contains("x"))`.

    Raises:
        InvalidParameter: the text is not a condition, too long or nested too deeply; the message gives the position.
    """
    if len(text) > MAX_LENGTH:
        raise InvalidParameter("qb", f"must have at most {MAX_LENGTH} characters")
    try:
        tree = ast.parse(text.strip(), mode="eval")
        return _Converter().condition(tree.body, 0)
    except SyntaxError as error:
        position = "" if error.offset is None else f", at character {error.offset}"
        raise InvalidParameter("qb", f"is not a valid expression: {error.msg}{position}") from error
    except (ValueError, RecursionError, MemoryError, OverflowError) as error:
        # Python's parser raises ValueError for U+0000 in some versions, and the others for deep nesting.
        raise InvalidParameter("qb", "is not a valid expression") from error


class _Converter:
    """Converts a syntax tree to a condition, and counts the comparisons."""

    def __init__(self) -> None:
        self._leaves = 0

    def condition(self, node: ast.expr, depth: int) -> Condition:
        """Convert a node to a condition."""
        if depth > _MAX_DEPTH:
            raise _error(node, f"is nested too deeply: more than {_MAX_DEPTH} levels")
        match node:
            case ast.BinOp(_, ast.BitAnd() | ast.BitOr(), _):
                return self._convert_chain(node, depth)
            case ast.UnaryOp(ast.Invert(), part):
                return ~self.condition(part, depth + 1)
            case ast.Compare(first, [comparison], [second]):
                self._count_leaf(node)
                return _convert_comparison(node, first, comparison, second)
            case ast.Call(ast.Attribute(field, method), arguments, []):
                self._count_leaf(node)
                return _convert_call(node, _field(field), method, arguments)
            case ast.BoolOp() | ast.UnaryOp(ast.Not()):
                raise _error(node, "uses and, or or not; combine conditions with & | ~ instead")
        raise _error(node, 'is not a condition; write one such as QB["age"].gte(18)')

    def _convert_chain(self, node: ast.BinOp, depth: int) -> Condition:
        """Convert a chain of one operator, which Python nests to the left, to one `And` or `Or`."""
        operator_type, operands, first = type(node.op), [node.right], node.left
        while isinstance(first, ast.BinOp) and type(first.op) is operator_type:
            operands.append(first.right)
            first = first.left
        parts = tuple(self.condition(operand, depth + 1) for operand in (first, *reversed(operands)))
        return And(parts) if operator_type is ast.BitAnd else Or(parts)

    def _count_leaf(self, node: ast.expr) -> None:
        self._leaves += 1
        if self._leaves > _MAX_LEAVES:
            raise _error(node, f"has more than {_MAX_LEAVES} comparisons")


def _convert_comparison(node: ast.expr, first: ast.expr, comparison: ast.cmpop, second: ast.expr) -> Condition:
    operator = _COMPARISONS.get(type(comparison))
    if operator is None:
        raise _error(node, "has a comparison that is not one of == != < <= > >=")
    if not isinstance(first, ast.Subscript):
        first, second, operator = second, first, _MIRRORED.get(operator, operator)
    return _build_condition(node, _field(first), operator, [_value(second)])


def _convert_call(node: ast.expr, field: FieldBuilder, method: str, arguments: list[ast.expr]) -> Condition:
    if method not in _METHODS:
        allowed = ", ".join(operator.value for operator in Operator)
        raise _error(node, f"has an unknown operator {method!r}; operators: {allowed}")
    return _build_condition(node, field, _METHODS[method], [_value(argument) for argument in arguments])


def _build_condition(node: ast.expr, field: FieldBuilder, operator: str, arguments: list[Any]) -> Condition:
    method = getattr(field, "in_" if operator == "in" else operator)
    try:
        condition: Condition = method(*arguments)
    except TypeError as error:
        # A wrong number of arguments, or a text where the operator takes a list.
        raise _error(node, f"passes arguments to {operator} that the operator does not accept") from error
    return condition


def _field(node: ast.expr) -> FieldBuilder:
    match node:
        case ast.Subscript(ast.Name(name), ast.Constant(str() as field)) if name == _NAME and not _SURROGATE.search(
            field
        ):
            return QB[field]
    raise _error(node, 'is not a field; write a field such as QB["age"]')


def _value(node: ast.expr) -> Any:
    match node:
        case ast.Constant(str() | int() | float() | bool() | None as value):
            return value
        case ast.UnaryOp(ast.USub(), ast.Constant(int() | float() as number)) if not isinstance(number, bool):
            return -number
        case ast.List(items) | ast.Tuple(items):
            return tuple(_value(item) for item in items)
    raise _error(node, "is not a value; a value is a text, a number, True, False, None, or a list of values")


def _error(node: ast.expr, reason: str) -> InvalidParameter:
    return InvalidParameter("qb", f"{reason}, at character {node.col_offset + 1}")
