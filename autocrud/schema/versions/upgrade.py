"""Upgrader: brings stored documents of any schema version to the version of the model."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError, from_json

from autocrud.errors import InvalidData
from autocrud.schema.exact_numbers import dump_json
from autocrud.schema.forms.validation_errors import error_items
from autocrud.schema.versions.schema import Schema
from autocrud.schema.versions.steps import Function, ReadyStep, StepError, error_text
from autocrud.schema.versions.time_limit import TimeUp, call_with_limit

if TYPE_CHECKING:  # the spec has an upgrader
    from autocrud.schema.model_spec import ModelSpec

STEP_SECONDS = 1.0  # a step changes one document, which takes microseconds
_MAX_ENDLESS = 1000  # documents


class UpgradeError(Exception):
    """A stored document cannot be upgraded.

    Attributes:
        step: the step at fault, as text.
        field: path of the field at fault, in stored names; None if it is not known.
        lacks_fields: True if the model would accept the document with some more fields.
    """

    def __init__(self, step: str, field: str | None, reason: str, *, lacks_fields: bool = False) -> None:
        super().__init__(reason)
        self.lacks_fields = lacks_fields
        self.step = step
        self.field = field


class NewerVersion(Exception):
    """A document has a newer schema version than the model, and no known downgrade."""

    def __init__(self, version: int) -> None:
        super().__init__(f"version {version} is newer than the model")
        self.version = version


class Upgrader:
    """Upgrades the documents of one model.

    Attributes:
        version: schema version of the model.
        downgrades: steps to this version, by newer version. Processes that know the newer version provide them.
        newer_versions: newer versions that the store may have data of.
        learn: adds the downgrade of a newer version, if the store knows it; None without a store that can.

    Raises:
        ConfigurationError: the schema has a gap or an ambiguity.
    """

    def __init__(self, spec: "ModelSpec[Any]", schema: Schema) -> None:
        self.version = schema.version
        self.downgrades: dict[int, Sequence[ReadyStep]] = {}
        self.newer_versions: set[int] = set()
        self.learn: Callable[[int], Awaitable[None]] | None = None
        self._spec = spec
        self._oldest = schema.oldest
        self._paths = schema.paths(spec.type_name)
        # Documents whose step did not end. Each read of one would stop the service for the time limit.
        self._endless: OrderedDict[tuple[int, bytes], str] = OrderedDict()

    def upgrade(self, data: bytes, version: int) -> bytes:
        """Return a stored document in the version of the model, as the model writes it.

        Args:
            version: schema version of the document.

        Raises:
            UpgradeError: a step fails, or the model does not accept the result.
            NewerVersion: the version is newer than the model, and no downgrade is known.
        """
        if version == self.version:
            return data
        key = (version, sha256(data).digest())
        if (step := self._endless.get(key)) is not None:
            raise _endless_error(step)
        document, last_step = from_json(data), ""
        try:
            for last_step, function in self._functions(version):
                document = _run(last_step, function, document)
            fitted: bytes = call_with_limit(self._fit, document, last_step, seconds=STEP_SECONDS)
        except TimeUp:
            self._endless[key] = last_step
            if len(self._endless) > _MAX_ENDLESS:
                self._endless.popitem(last=False)
            raise _endless_error(last_step) from None
        return fitted

    def fit(self, data: bytes) -> bytes:
        """Return stored data of the model's version as the model writes it now.

        Raises:
            UpgradeError: the model has changed since, and does not accept the data.
        """
        return self._fit(from_json(data), "")

    def _functions(self, version: int) -> Iterator[tuple[str, Function]]:
        """Yield the functions that lead from a version to the model's version, each with the name of its step."""
        if version > self.version:
            self.newer_versions.add(version)
            if version not in self.downgrades:
                raise NewerVersion(version)
            yield from ((f"downgrade from {version} to {self.version}", step) for step in self.downgrades[version])
            return
        if version < self._oldest:
            raise UpgradeError("", None, f"schema version {version} is older than the oldest known, {self._oldest}")
        for step in self._paths[version]:
            yield from ((f"{step}, {_name(function)}", function) for function in step.functions)
            if not step.functions:
                yield str(step), _keep

    def _fit(self, document: Any, step: str) -> bytes:
        """Return the stored form of a document. A document that the model does not accept is refused."""
        spec = self._spec
        try:
            value = spec.stored_form.read(dump_json(document))
            return spec.check(value, spec.dump(value))
        except ValidationError as error:
            faults = error_items(error)
            fault, lacks_fields = faults[0], all(item["type"] == "missing" for item in faults)
            field = ".".join(map(str, fault["loc"])) or None
            reason = f"does not fit the model: {fault['msg']}"
            raise UpgradeError(step, field, reason, lacks_fields=lacks_fields) from error
        except InvalidData as error:
            fault_of_value = error.errors[0] if error.errors else None
            field, reason = (fault_of_value.field, fault_of_value.message) if fault_of_value else (None, str(error))
            raise UpgradeError(step, field, f"does not fit the model: {reason}") from error
        except (PydanticSerializationError, RecursionError, ValueError, TypeError) as error:
            raise UpgradeError(step, None, f"the result cannot be JSON: {error}") from error
        except (KeyboardInterrupt, TimeUp):
            raise
        except BaseException as error:  # a user's validator; Pydantic reports only ValueError and AssertionError
            reason = f"does not fit the model: a validator raises {error_text(error)}"
            raise UpgradeError(step, None, reason) from error


def _run(name: str, function: Function, document: Any) -> Any:
    """Return the document that a function of a step makes.

    Raises:
        UpgradeError: the function fails.
        TimeUp: the function does not return in time.
    """
    try:
        changed = call_with_limit(function, document, seconds=STEP_SECONDS)
    except StepError as error:
        raise UpgradeError(name, error.field, str(error)) from error
    except (KeyboardInterrupt, TimeUp):
        raise
    except BaseException as error:  # a user's function, which may call `sys.exit`; the error names the step
        (key, *_) = error.args if isinstance(error, KeyError) and error.args else (None,)
        raise UpgradeError(name, key if isinstance(key, str) else None, error_text(error)) from error
    # The document of a RootModel need not be an object.
    if changed is None or (isinstance(document, dict) and not isinstance(changed, dict)):
        raise UpgradeError(name, None, f"returned {type(changed).__name__}; a step must return a dict")
    return changed


def _keep(document: Any) -> Any:
    """Return the document of a step without functions."""
    return document


def _endless_error(step: str) -> UpgradeError:
    return UpgradeError(step, None, f"did not end within {STEP_SECONDS:g} s")


def _name(function: Function) -> str:
    """Return a function as text for messages, without the values in it."""
    if isinstance(function, ReadyStep):
        return str(function)
    return str(getattr(function, "__qualname__", type(function).__name__))
