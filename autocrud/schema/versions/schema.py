"""Schema: the version of a model's stored form, and the steps that lead to it from older versions."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from inspect import iscoroutinefunction
from typing import Any

from autocrud.errors import ConfigurationError
from autocrud.schema.versions.steps import Function, ReadyStep

MAX_VERSION = 2**31 - 1


@dataclass(frozen=True)
class SchemaStep:
    """The change from one version to another.

    Attributes:
        functions: applied in order.
        downgrade: ready-made steps that lead back; None if an older process cannot read the new version.
    """

    old: int
    new: int
    functions: tuple[Function, ...]
    downgrade: tuple[ReadyStep, ...] | None = None

    def __str__(self) -> str:
        return f"step {self.old} to {self.new}"


SchemaPath = tuple[SchemaStep, ...]


class Schema:
    """The schema version of a model. Immutable: `step` returns a new schema.

    Raise the version with each change of the model that older data does not fit. Versions are numbered without gaps.

    Args:
        version: the version of the model as it is now, from 1.
        oldest: the oldest version whose data can still be stored. Older data is readable raw only.

    Raises:
        ConfigurationError: a number is out of range.
    """

    def __init__(self, version: int = 1, *, oldest: int = 1) -> None:
        self.version = _check_version("Schema", version)
        self.oldest = _check_version("Schema(oldest=)", oldest)
        if self.oldest > self.version:
            raise ConfigurationError(f"Schema({version}, oldest={oldest}): oldest must not be above the version")
        self.steps: tuple[SchemaStep, ...] = ()

    def __repr__(self) -> str:
        return f"Schema({self.version})"

    def step(
        self, old: int, new: int, *functions: Callable[[dict[str, Any]], dict[str, Any]], downgrade: Any = None
    ) -> "Schema":
        """Return a schema with one more step.

        Args:
            functions: applied in order to the document in the stored form. Each is synchronous and pure, and returns
                the changed document. `autocrud.migrations` has ready-made ones. Without functions, the document stays.
            downgrade: ready-made steps that lead back, so that processes of the old version can read the new one. They
                are kept in the store, so no step may run a function of your own.

        Raises:
            ConfigurationError: the step leads backwards or beyond the version, its pair of versions has a step
                already, or an argument is not a function.
        """
        name = f"Schema({self.version}).step({old!r}, {new!r})"
        _check_version(name, old)
        _check_version(name, new)
        if new <= old:
            raise ConfigurationError(f"{name}: a step leads from an older to a newer version; downgrade= leads back")
        if new > self.version:
            raise ConfigurationError(f"{name}: version {new} is newer than the schema; raise Schema({self.version})")
        if any((step.old, step.new) == (old, new) for step in self.steps):
            raise ConfigurationError(f"{name}: these two versions have a step already; a pair has one step")
        for function in functions:
            _check_function(name, function)
        changed = Schema(self.version, oldest=self.oldest)
        changed.steps = (*self.steps, SchemaStep(old, new, functions, _check_downgrade(name, downgrade)))
        return changed

    def paths(self, model: str) -> dict[int, SchemaPath]:
        """Return the shortest path of steps from each older version to the newest.

        Args:
            model: name of the model, for messages.

        Raises:
            ConfigurationError: a version has no path, or two paths of the same length.
        """
        paths: dict[int, SchemaPath] = {self.version: ()}
        counts = {self.version: 1}
        # A step leads to a higher version, so the paths from there are known before.
        for version in range(self.version - 1, self.oldest - 1, -1):
            found = [step for step in self.steps if step.old == version and step.new in paths]
            if not found:
                raise ConfigurationError(
                    f"{model}: no step leads from schema version {version} to {self.version}; add"
                    f" .step({version}, {version + 1}, …), or name the oldest version in use:"
                    f" Schema({self.version}, oldest=…)"
                )
            length = min(len(paths[step.new]) for step in found)
            shortest = [step for step in found if len(paths[step.new]) == length]
            counts[version] = sum(counts[step.new] for step in shortest)
            if counts[version] > 1:
                raise ConfigurationError(
                    f"{model}: two paths of steps with the same length lead from schema version {version} to"
                    f" {self.version}; remove a step, or add a direct step({version}, {self.version}, …)"
                )
            paths[version] = (shortest[0], *paths[shortest[0].new])
        return paths

    def downgrades(self) -> Mapping[int, tuple[ReadyStep, ...]]:
        """Return the steps that lead from this version back to older ones, by the older version."""
        found: dict[int, tuple[ReadyStep, ...]] = {self.version: ()}
        # Versions near to the newest first, so that each older version gets the shortest way.
        queue = [self.version]
        for version in queue:
            for step in self.steps:
                if step.new == version and step.downgrade is not None and step.old not in found:
                    found[step.old] = (*found[version], *step.downgrade)
                    queue.append(step.old)
        del found[self.version]
        return found


def as_schema(model: str, schema: Any) -> Schema:
    """Return the argument `schema` of a model as a schema.

    Raises:
        ConfigurationError: the argument is neither a schema nor a version.
    """
    if isinstance(schema, Schema):
        return schema
    if isinstance(schema, int) and not isinstance(schema, bool):
        return Schema(schema)
    raise ConfigurationError(f"{model}: schema={schema!r} must be a Schema, as in Schema(2).step(1, 2, …)")


def _check_version(name: str, version: Any) -> int:
    if not isinstance(version, int) or isinstance(version, bool) or not 1 <= version <= MAX_VERSION:
        raise ConfigurationError(f"{name}: {version!r} is not a schema version; versions are integers from 1")
    return version


def _check_function(name: str, function: Any) -> None:
    if not callable(function) or isinstance(function, type):
        raise ConfigurationError(f"{name}: {function!r} is not a function of a document")
    if iscoroutinefunction(function):
        raise ConfigurationError(f"{name}: {function!r} is asynchronous; a step must be a synchronous function")


def _check_downgrade(name: str, downgrade: Any) -> tuple[ReadyStep, ...] | None:
    if downgrade is None:
        return None
    steps = downgrade if isinstance(downgrade, Sequence) else (downgrade,)
    for step in steps:
        if not isinstance(step, ReadyStep) or step.to_json() is None:
            raise ConfigurationError(
                f"{name}: the downgrade must be made of rename, remove, fill, move, and convert with str, int, float or"
                f" bool, because processes without this code run it; {step!r} is none of them"
            )
    return tuple(steps)
