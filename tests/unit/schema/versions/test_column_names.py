"""Names of columns that carry a schema version."""

import pytest

from autocrud.schema.versions.column_names import (
    columns_in_target,
    retired_versions,
    version_in_target,
    version_of_name,
    versioned,
)


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("ix_title", 1), ("ix2_title", 2), ("cf12_title", 12), ("document_0f", 1), ("document3_0f_words", 3),
        ("indexed", 1), ("indexed2", 2), ("states", 1), ("states2_insert", 2), ("ix_ix2_title", 1),
        ("version", None), ("index", None), ("ix2title", None), ("states_2", 1),
    ],
)  # fmt: skip
def test_version_of_a_name_is_the_number_after_its_prefix(name: str, version: int | None) -> None:
    """Names of version 1 have no number, and shared names have no version."""
    assert version_of_name(name) == version


def test_versioned_prefix_of_version_1_stays() -> None:
    """Stores from before schema versions have these names."""
    assert [versioned("ix", version) for version in (1, 2)] == ["ix", "ix2"]


@pytest.mark.parametrize(
    ("target", "version", "columns"),
    [
        ('("ix2_a", created_time, resource_id) WHERE is_deleted = 0', 2, ["ix2_a"]),
        ('("ix_a""ix2_b", "ix_c")', 1, ['ix_a"ix2_b', "ix_c"]),
        ('(resource_id) WHERE schema_version <> 3 AND ("indexed3" IS NULL)', 3, ["indexed3"]),
        ("(created_time, resource_id)", None, []),
    ],
)
def test_version_of_an_index_is_that_of_its_columns(target: str, version: int | None, columns: list[str]) -> None:
    """Quotes inside a name are doubled."""
    assert (version_in_target(target), columns_in_target(target)) == (version, columns)


@pytest.mark.parametrize(
    ("version", "present", "retired"),
    [(1, [], set()), (2, [1], set()), (3, [1, 2, 3], set()), (5, [1, 2, 3, 4, 7], {1, 2}), (1, [2, 3], set())],
)
def test_retired_versions_are_below_the_two_next_lower(version: int, present: list[int], retired: set[int]) -> None:
    """Higher versions and the two next lower ones may still run."""
    assert retired_versions(version, present) == retired
