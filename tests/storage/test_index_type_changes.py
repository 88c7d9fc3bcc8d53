"""Changes of an index field's type: the same answers on each backend, or an error that names the field."""

from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError, create_model

from autocrud import AutoCRUD, Index, Unique
from autocrud.errors import ConfigurationError, IndexNotReady
from autocrud.storage.ports.storage import IStorageFactory
from tests.storage.backends import BACKENDS
from tests.storage.backfill_probe import wait_until_filled

# A type, and values of it. Some fit another type, and some do not.
VALUES: dict[Any, list[Any]] = {
    str: ["2026-01-02", "5", "x", "13:00", "00000000-0000-0000-0000-000000000001", "true"],
    int: [5, 1, 0],
    float: [5.0, 1.5],
    Decimal: [Decimal("5.00"), Decimal("99999999999999.999")],
    bool: [True, False],
    date: [date(2026, 1, 2)],
    datetime: [datetime(2026, 1, 2), datetime(2026, 1, 2, 3, 4, 5)],
    time: [time(13)],
    UUID: [UUID(int=1)],
    list[str]: [["a", "b"], []],
    list[int]: [[1, 2]],
}
KINDS = list(VALUES)
FIELDS = {f"f{number}": field for number, field in enumerate((kind, value) for kind in KINDS for value in VALUES[kind])}
# Without the memory backend, which keeps nothing.
PERSISTENT = {name: factory for name, factory in BACKENDS.items() if name != "memory"}


def build(factory: IStorageFactory, kinds: dict[str, Any], marker: Any = None) -> tuple[AutoCRUD, type[BaseModel]]:
    """Return a registry with one model that has index fields of these types."""
    fields: Any = {name: (Annotated[kind, marker or Index()], ...) for name, kind in kinds.items()}
    crud, model = AutoCRUD(storage_factory=factory), create_model("Thing", **fields)
    crud.add_model(model)
    return crud, model


def read_as(kind: Any, new_kind: Any, value: Any) -> list[Any] | None:
    """Return the items of a stored value as the new type reads it; None if the new type does not accept the value."""
    try:
        found = TypeAdapter(new_kind).validate_json(TypeAdapter(kind).dump_json(value))
    except ValidationError:
        return None
    return found if isinstance(found, list) else [found]


@pytest.mark.parametrize("shift", range(1, len(KINDS)))
@pytest.mark.parametrize("backend", PERSISTENT)
async def test_changed_index_type_finds_what_the_new_type_reads(
    backend: str, shift: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A stored value that the new type does not accept makes the field unavailable. The log names the resource."""
    crud, model = build(PERSISTENT[backend](tmp_path), {name: kind for name, (kind, _) in FIELDS.items()})
    async with crud.running():
        values = {name: value for name, (_, value) in FIELDS.items()}
        await crud.manager(model).create(model(**values), resource_id="t0")
    new_kinds = {name: KINDS[(KINDS.index(kind) + shift) % len(KINDS)] for name, (kind, _) in FIELDS.items()}
    crud, model = build(PERSISTENT[backend](tmp_path), new_kinds)
    async with crud.running():
        await wait_until_filled("thing")
        things = crud.manager(model)
        assert await things.count() == 1
        for name, (kind, value) in FIELDS.items():
            new_kind, expected = new_kinds[name], read_as(kind, new_kinds[name], value)
            if expected is None:
                with pytest.raises(IndexNotReady, match=f"{name} of thing"):
                    await things.count(where={f"{name}__is_null": False})
                assert f"'t0': {name} " in caplog.text, (kind, new_kind, value)
                continue
            operator = "__contains" if new_kind in (list[str], list[int]) else ""
            for item in expected:
                assert await things.count(where={f"{name}{operator}": item}) == 1, (kind, new_kind, value)
            assert await things.count(where={f"{name}__is_null": False}) == 1


@pytest.mark.parametrize("backend", PERSISTENT)
async def test_unique_field_of_another_type_stops_the_start(backend: str, tmp_path: Path) -> None:
    """The error names the model, the resource and the field."""
    crud, model = build(PERSISTENT[backend](tmp_path), {"when": datetime}, Unique())
    async with crud.running():
        await crud.manager(model).create(model(when=datetime(2026, 1, 2, 3)), resource_id="t0")
    crud, _ = build(PERSISTENT[backend](tmp_path), {"when": date}, Unique())
    with pytest.raises(ConfigurationError, match="Thing 't0': when is indexed as date, but is stored as"):
        async with crud.running():
            pass
