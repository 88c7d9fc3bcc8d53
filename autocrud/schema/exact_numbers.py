"""Exact numbers: keep all digits of JSON numbers that a float cannot hold, for decimal fields and through patches.

Pydantic reads a JSON number with a fraction as a float, also for a decimal field. This module reads the digits of such
numbers from the JSON itself. JSON without such numbers, which is the usual case, is read by Pydantic alone.
"""

import json
import re
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from decimal import Decimal
from functools import cached_property
from typing import Any
from uuid import uuid4

from pydantic_core import (
    PydanticCustomError,
    PydanticSerializationError,
    SchemaValidator,
    core_schema,
    from_json,
    to_json,
)

from autocrud.errors import FieldError, InvalidData
from autocrud.schema.unstorable_values import SURROGATE_MESSAGE, surrogate_paths

LONG_BYTES = 64 * 1024  # of JSON, above which a validator reports only the first error of a list
# A number of at most 15 digits, and of a usual size, is the same as a float.
_CANDIDATE = re.compile(rb"[0-9.]{17}|[eE][+-]?[0-9]{3}")
_CONTAINERS = ("list", "set", "frozenset", "tuple", "dict", "generator")
_OPAQUE_KEYS = {"metadata", "serialization", "config", "default"}
_MARK = uuid4().hex  # nobody knows it outside this process, so no client can send it
_MARKED = re.compile(rb'"%s:([-+.0-9eE]+)"' % _MARK.encode())

# Decimals by float, for the JSON that is being validated; None where several numbers become one float.
_Decimals = Mapping[str, Decimal | None]
_decimals: ContextVar[_Decimals] = ContextVar("decimals")


class ExactValidator:
    """Validates JSON as a validator does, with all digits of numbers for decimal fields.

    Args:
        validate: validates JSON.
        schema: the core schema of the validator.
    """

    def __init__(self, validate: Callable[..., Any], schema: Any) -> None:
        self._validate = validate
        self._schema = schema

    def validate_json(self, data: bytes, **options: Any) -> Any:
        """Return the value of the JSON.

        Raises:
            ValidationError: the JSON is not valid, or a number for a decimal field cannot be kept exactly.
        """
        # Each item of a long body could have an error, and a validator keeps all errors in memory.
        is_long = len(data) > LONG_BYTES
        decimals = _inexact_decimals(data) if self.has_decimals else None
        if not decimals and not (self.has_json_decimals and _may_quote_decimals(data)):
            return self._brief_validator.validate_json(data, **options) if is_long else self._validate(data, **options)
        token = _decimals.set(decimals or {})
        try:
            validator = self._brief_exact_validator if is_long else self._exact_validator
            return validator.validate_json(data, **options)
        finally:
            _decimals.reset(token)

    def validate_python(self, value: Any, **options: Any) -> Any:
        """Return the value of Python data, in which a `Json` field is a text.

        Raises:
            ValidationError: the data is not valid, or a number for a decimal field cannot be kept exactly.
        """
        token = _decimals.set({})
        try:
            return self._exact_validator.validate_python(value, **options)
        finally:
            _decimals.reset(token)

    @cached_property
    def has_json_decimals(self) -> bool:
        """True if a `Json` field holds decimals: JSON inside a text of the JSON."""
        return self.has_decimals and contains_part(self._schema, _is_json_text)

    @cached_property
    def has_decimals(self) -> bool:
        """True if there are decimals. Without them, the validator adds nothing."""
        return contains_part(self._schema, is_decimal)

    @cached_property
    def _exact_validator(self) -> SchemaValidator:
        # Validators that the models have already would be used in place of their schemas.
        return SchemaValidator(_with_exact_decimals(self._schema, strict=False), _use_prebuilt=False)

    @cached_property
    def _brief_validator(self) -> SchemaValidator:
        return SchemaValidator(_with_first_errors(self._schema), _use_prebuilt=False)

    @cached_property
    def _brief_exact_validator(self) -> SchemaValidator:
        exact_schema = _with_exact_decimals(self._schema, strict=False)
        return SchemaValidator(_with_first_errors(exact_schema), _use_prebuilt=False)


def load_json(data: bytes) -> Any:
    """Parse JSON. A number that a float cannot hold becomes a text, which `restore_numbers` writes as the number again.

    Raises:
        ValueError: the bytes are not JSON.
    """
    value = from_json(data)
    return json.loads(data, parse_float=_parse_marked) if has_inexact_numbers(data) else value


def dump_json(value: Any) -> bytes:
    """Return the JSON of a value, with the numbers as `load_json` read them.

    NaN and infinities stay, so that a validator refuses them.

    Raises:
        InvalidData: a text is not valid Unicode.
    """
    try:
        return restore_numbers(to_json(value, inf_nan_mode="constants"))
    except PydanticSerializationError as error:
        errors = (FieldError(path, SURROGATE_MESSAGE) for path in surrogate_paths(value))
        raise InvalidData("The value cannot be written as JSON.", errors) from error


def restore_numbers(data: bytes) -> bytes:
    """Return JSON with the numbers in the place of the texts that `load_json` made of them."""
    return _MARKED.sub(rb"\1", data) if _MARK.encode() in data else data


def has_inexact_numbers(data: bytes) -> bool:
    """Return True if JSON contains a number that a float cannot hold exactly."""
    return bool(_inexact_decimals(data))


def _parse_marked(text: str) -> float | str:
    number = float(text)
    return number if Decimal(repr(number)) == parse_decimal(text) else f"{_MARK}:{text}"


def parse_decimal(text: str) -> Decimal | None:
    """Return the decimal of a JSON number; None if its exponent has more digits than a decimal can hold."""
    try:
        return Decimal(text)
    except ArithmeticError:
        return None


def _inexact_decimals(data: bytes | bytearray) -> _Decimals:
    """Return the decimals of JSON by the float that Pydantic reads, if any of them is inexact as a float."""
    if _CANDIDATE.search(data) is None:
        return {}
    decimals: dict[str, Decimal | None] = {}
    is_exact = True

    def note(text: str) -> float:
        nonlocal is_exact
        number, decimal = float(text), parse_decimal(text)
        key = repr(number)
        is_exact = is_exact and Decimal(key) == decimal
        decimals[key] = decimal if decimals.get(key, decimal) == decimal else None
        return number

    try:
        json.loads(data, parse_float=note)
    except (ValueError, RecursionError):
        return {}  # Pydantic tells what is wrong with the JSON
    return {} if is_exact else decimals


def contains_part(schema: Any, is_part: Callable[[Mapping[str, Any]], bool]) -> bool:
    """Return True if `is_part` holds for a part of a core schema."""
    if isinstance(schema, dict):
        parts = [part for key, part in schema.items() if key not in _OPAQUE_KEYS]
        return is_part(schema) or any(contains_part(part, is_part) for part in parts)
    return isinstance(schema, list | tuple) and any(contains_part(part, is_part) for part in schema)


def is_decimal(schema: Mapping[str, Any]) -> bool:
    """Return True if a core schema is one of decimals."""
    return schema.get("type") == "decimal"


def may_be_infinite(schema: Mapping[str, Any]) -> bool:
    """Return True if a core schema is one of numbers that may be infinite or NaN."""
    return schema.get("type") == "float" or (is_decimal(schema) and bool(schema.get("allow_inf_nan")))


def _with_first_errors(schema: Any) -> Any:
    """Return a core schema that accepts the same values, and reports the first error of each list and mapping."""
    if isinstance(schema, list | tuple):
        return type(schema)(_with_first_errors(part) for part in schema)
    if not isinstance(schema, dict):
        return schema
    copy = {key: part if key in _OPAQUE_KEYS else _with_first_errors(part) for key, part in schema.items()}
    return copy | {"fail_fast": True} if schema.get("type") in _CONTAINERS else copy


def _is_json_text(schema: Mapping[str, Any]) -> bool:
    return schema.get("type") == "json"


def _may_quote_decimals(data: bytes) -> bool:
    """Return True if a text in JSON may hold JSON with inexact decimals. Escapes can hide the digits."""
    return _CANDIDATE.search(data) is not None or b"\\u" in data


def _with_exact_decimals(schema: Any, *, strict: bool) -> Any:
    """Return a core schema in which decimals take the digits of the JSON."""
    if isinstance(schema, list | tuple):
        return type(schema)(_with_exact_decimals(part, strict=strict) for part in schema)
    if not isinstance(schema, dict):
        return schema
    strict = bool({"strict": strict, **(schema.get("config") or {}), **schema}["strict"])
    copy = {
        key: part if key in _OPAQUE_KEYS else _with_exact_decimals(part, strict=strict) for key, part in schema.items()
    }
    if _is_json_text(schema):
        return core_schema.no_info_wrap_validator_function(_exact_json, copy)
    if not is_decimal(schema):
        return copy
    return core_schema.no_info_before_validator_function(_strict_decimal if strict else _exact_decimal, copy)


def _exact_json(text: Any, handler: Callable[[Any], Any]) -> Any:
    """Return the value of JSON inside a text, with all digits of its own numbers."""
    content = text.encode(errors="replace") if isinstance(text, str) else text
    token = _decimals.set(_inexact_decimals(content) if isinstance(content, bytes | bytearray) else {})
    try:
        return handler(text)
    finally:
        _decimals.reset(token)


def _exact_decimal(value: Any) -> Any:
    if not isinstance(value, float) or repr(value) not in _decimals.get():
        return value
    decimal = _decimals.get()[repr(value)]
    if decimal is None:
        raise PydanticCustomError("inexact_number", "must be sent as a text, because a JSON number loses its digits")
    return decimal


def _strict_decimal(value: Any) -> Any:
    """Return a decimal for each form that a strict decimal field takes from JSON, but not from Python."""
    value = _exact_decimal(value)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return value
    try:
        return Decimal(repr(value) if isinstance(value, float) else value)
    except ArithmeticError:
        return value
