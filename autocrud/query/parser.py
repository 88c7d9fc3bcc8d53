"""Parser of `qb=`, a condition in Python syntax. Converts allowed syntax nodes only, and never evaluates the text."""

import ast
import re
import warnings
from decimal import Decimal
from typing import Any

from autocrud.errors import InvalidParameter
from autocrud.query.builder import QB, FieldBuilder
from autocrud.query.conditions import And, Condition, Or
from autocrud.query.operators import Operator
from autocrud.schema.exact_numbers import parse_decimal

MAX_LENGTH = 4000
_MAX_DEPTH = 32
_MAX_LEAVES = 200
_NAME = "QB"
_SURROGATE = re.compile("[\ud800-\udfff]")  # UTF-8 cannot encode a lone surrogate, so no answer could quote it
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n|$)")  # as Python's parser splits lines
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
    if _SURROGATE.search(text):
        raise InvalidParameter("qb", "must not contain a lone surrogate, which is not valid Unicode")
    expression = text.strip()
    lines = _Lines(expression, len(text) - len(text.lstrip()))
    try:
        with warnings.catch_warnings():
            # A pattern such as "\d" is an invalid escape in Python, and stands for itself.
            warnings.simplefilter("ignore", SyntaxWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            tree = ast.parse(expression, mode="eval")
        return _Converter(lines).condition(tree.body, 0)
    except _InvalidNode as error:
        raise InvalidParameter("qb", f"{error}, at character {lines.position_of(error.node)}") from error
    except SyntaxError as error:
        # A line without an offset means the end of the expression.
        offset = error.offset or len(expression) + 1
        position = "" if error.lineno is None else f", at character {lines.position(error.lineno, offset)}"
        raise InvalidParameter("qb", f"is not a valid expression: {error.msg}{position}") from error
    except (ValueError, RecursionError, MemoryError, OverflowError) as error:
        # Python's parser raises ValueError for U+0000 in some versions, and the others for deep nesting.
        raise InvalidParameter("qb", "is not a valid expression") from error


class _Lines:
    """Lines of an expression, to find positions and source texts. Python counts bytes of a line, not characters.

    Args:
        skipped: number of characters before the expression.
    """

    def __init__(self, expression: str, skipped: int) -> None:
        self._lines = _LINE.findall(expression)
        self._skipped = skipped

    def position(self, line: int, column: int) -> int:
        """Return the position in the whole text, from 1, of a character in a line. Both count from 1."""
        return self._skipped + sum(map(len, self._lines[: line - 1])) + column

    def position_of(self, node: ast.expr) -> int:
        """Return the position of a node, from 1."""
        return self.position(node.lineno, self._characters(node.lineno, node.col_offset) + 1)

    def source(self, node: ast.expr) -> str:
        """Return the text of a node that stands in one line."""
        line, end = node.lineno, node.end_col_offset or 0
        text: str = self._lines[line - 1]
        return text[self._characters(line, node.col_offset) : self._characters(line, end)]

    def _characters(self, line: int, size: int) -> int:
        return len(self._lines[line - 1].encode()[:size].decode())


class _InvalidNode(Exception):
    """A node of the syntax tree is not part of a condition."""

    def __init__(self, node: ast.expr, reason: str) -> None:
        super().__init__(reason)
        self.node = node


class _Converter:
    """Converts a syntax tree to a condition, and counts the comparisons."""

    def __init__(self, lines: _Lines) -> None:
        self._lines = lines
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
                return self._convert_comparison(node, first, comparison, second)
            case ast.Call(ast.Attribute(field, method), arguments, []):
                self._count_leaf(node)
                return self._convert_call(node, _field(field), method, arguments)
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

    def _convert_comparison(
        self, node: ast.expr, first: ast.expr, comparison: ast.cmpop, second: ast.expr
    ) -> Condition:
        operator = _COMPARISONS.get(type(comparison))
        if operator is None:
            raise _error(node, "has a comparison that is not one of == != < <= > >=")
        if not isinstance(first, ast.Subscript):
            first, second, operator = second, first, _MIRRORED.get(operator, operator)
        return _build_condition(node, _field(first), operator, [self._value(second)])

    def _convert_call(self, node: ast.expr, field: FieldBuilder, method: str, arguments: list[ast.expr]) -> Condition:
        if method not in _METHODS:
            allowed = ", ".join(operator.value for operator in Operator)
            raise _error(node, f"has an unknown operator {method!r}; operators: {allowed}")
        return _build_condition(node, field, _METHODS[method], [self._value(argument) for argument in arguments])

    def _value(self, node: ast.expr) -> Any:
        match node:
            case ast.Constant(float() as number):
                return self._number(node, number)
            case ast.Constant(str() | int() | bool() | None as value):
                return value
            case ast.UnaryOp(ast.USub(), ast.Constant(float() as number) as operand):
                return _negated(self._number(operand, number))
            case ast.UnaryOp(ast.USub(), ast.Constant(int() as number)) if not isinstance(number, bool):
                return -number
            case ast.List(items) | ast.Tuple(items):
                return tuple(self._value(item) for item in items)
        raise _error(node, "is not a value; a value is a text, a number, True, False, None, or a list of values")

    def _number(self, node: ast.expr, number: float) -> float | Decimal:
        """Return the number that a literal means: a decimal if a float does not hold all its digits."""
        exact = parse_decimal(self._lines.source(node).replace("_", ""))
        if exact is None:
            raise _error(node, "has a number whose exponent is too large")
        return number if exact == Decimal(repr(number)) else exact


def _negated(number: float | Decimal) -> float | Decimal:
    """Return the number with the other sign. The operator of `Decimal` would round it."""
    return number.copy_negate() if isinstance(number, Decimal) else -number


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


def _error(node: ast.expr, reason: str) -> _InvalidNode:
    return _InvalidNode(node, reason)
