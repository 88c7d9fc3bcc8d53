"""Names of columns and tables that carry a schema version, so that processes of several versions share one store."""

import re
from collections.abc import Iterable

# `ix`: index fields. `cf`: texts with folded case. `document`: search documents. `indexed`: see `marker_name`.
# `states`: states of a temporal model. `claims`, `references`: names of the progress of filling these tables.
_VERSIONED = re.compile(r"(?:ix|cf|document|indexed|states|claims|references)(\d*)(?:_|$)")
_KEPT_VERSIONS = 2  # lower ones
_QUOTED = re.compile(r'"((?:[^"]|"")+)"')


def versioned(prefix: str, version: int) -> str:
    """Return a prefix with the schema version. Version 1 has none, as stores from before schema versions."""
    return prefix if version == 1 else f"{prefix}{version}"


def marker_name(version: int) -> str:
    """Return the name of the marker column of a schema version.

    The marker is the version of the resource that the index columns are filled from, if data of another schema version
    was upgraded for them.
    """
    return versioned("indexed", version)


def version_of_name(name: str) -> int | None:
    """Return the schema version in the name of a column; None for a column that all versions share."""
    found = _VERSIONED.match(name)
    return None if found is None else int(found[1] or 1)


def version_in_target(target: str) -> int | None:
    """Return the schema version of the columns in the target of an index, where names stand in double quotes.

    None if the index has no column of a version.
    """
    return next((version_of_name(name) for name in columns_in_target(target)), None)


def columns_in_target(target: str) -> list[str]:
    """Return the columns in the target of an index that carry a schema version."""
    names = (name.replace('""', '"') for name in _QUOTED.findall(target))
    return [name for name in names if version_of_name(name) is not None]


def retired_versions(version: int, present: Iterable[int]) -> set[int]:
    """Return the schema versions whose columns are dropped.

    The two next lower versions may still run, and so may all higher versions: a deploy that was taken back leaves the
    version before it running.

    Args:
        version: schema version of this process.
        present: schema versions that have columns.
    """
    lower = sorted({other for other in present if other < version})
    return set(lower[:-_KEPT_VERSIONS])
