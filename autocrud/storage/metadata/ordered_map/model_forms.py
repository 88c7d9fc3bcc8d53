"""Model forms: keep the claims and references of stored resources in step with the code of their models.

The store remembers a form per model. A start with another form computes all claims and references anew. A process whose
form is not the stored one, such as the older version in a rolling deploy, notes each resource that it writes. The other
processes compute the claims and references of these resources anew before they decide anything.
"""

import logging
from collections import Counter
from collections.abc import Collection, Sequence
from contextlib import aclosing
from typing import Any, NamedTuple

from pydantic import TypeAdapter
from pydantic_core import to_json

from autocrud.errors import ConfigurationError, StorageUnavailable
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.index_backfill.column_state import signature
from autocrud.storage.index_backfill.engine import ConversionError
from autocrud.storage.metadata.ordered_map import layout
from autocrud.storage.metadata.ordered_map.form_update import update_resources
from autocrud.storage.metadata.ordered_map.row_reader import RowReader, Selection
from autocrud.storage.metadata.ordered_map.staged_map import StagedMap
from autocrud.storage.objects.ordered_map.keys import end_of, last_part, parts_of, prefix_of, scan
from autocrud.storage.ports.claims import Claim, claims_of
from autocrud.storage.ports.ordered_map import ABSENT, Item, MapConflict, OrderedMap

logger = logging.getLogger(__name__)

_SLICE = 100  # resources of one commit
MAX_ATTEMPTS = 50  # of a commit that other processes disturb


class Form(NamedTuple):
    """Form of a model, as far as claims and references depend on it.

    Attributes:
        unique_sets: signatures of the fields of each unique constraint.
        references: signatures of the fields, with their targets and actions; None if the targets are not known yet.
    """

    schema_version: int
    unique_sets: tuple[tuple[str, ...], ...]
    references: tuple[tuple[str, str, str, bool], ...] | None

    def completed_by(self, stored: "Form | None") -> "Form":
        """Return the form, with the stored references if its own are unknown."""
        return self._replace(references=stored.references) if self.references is None and stored else self


_FORM = TypeAdapter(Form)


def form_of(spec: ModelSpec[Any]) -> Form:
    """Return the form of a model."""
    references = []
    for number, target in spec.reference_targets.items():
        field = spec.index_fields[number]
        if field.ref is not None:
            references.append((signature(field), target, field.ref.on_delete.value, field.ref.must_exist))
    is_unknown = not references and any(field.ref is not None for field in spec.index_fields)
    sets = tuple(tuple(map(signature, unique.fields)) for unique in spec.unique_constraints)
    return Form(spec.schema.version, sets, None if is_unknown else tuple(references))


class StaleResources(Exception):
    """Resources have claims and references of another form of their model."""


class ModelForms:
    """Forms of the open models of one store."""

    def __init__(self, ordered_map: OrderedMap) -> None:
        self._map = ordered_map
        self._specs: dict[str, ModelSpec[Any]] = {}
        self._open_counts: Counter[str] = Counter()
        self._forms: dict[str, Form] = {}
        self._targets: dict[str, dict[int, str]] = {}  # those in the forms

    async def attach(self, spec: ModelSpec[Any]) -> None:
        """Make a model known that opens, and store its form.

        Raises:
            ConfigurationError: stored resources violate a unique constraint. Nothing was changed.
        """
        await self._store_form(spec)
        self._specs[spec.folder] = spec
        self._open_counts[spec.folder] += 1

    def detach(self, spec: ModelSpec[Any]) -> None:
        """Forget a model when its last storage closes."""
        self._open_counts[spec.folder] -= 1
        if not self._open_counts[spec.folder]:
            del self._specs[spec.folder]

    async def check(self, staged: StagedMap, models: Collection[str]) -> set[str]:
        """Return the models of a batch whose form is not the stored one. The process must note what it writes to them.

        Args:
            models: folders of the models in the batch.

        Raises:
            StaleResources: the batch can be decided after `refresh`.
        """
        if any(spec.reference_targets != self._targets[folder] for folder, spec in self._specs.items()):
            raise StaleResources
        await staged.load(layout.form_key(folder) for folder in {*models, *self._specs})
        current = {folder for folder in self._specs if await self._is_current(staged, folder)}
        if any(parts_of(key)[0] in current for key, _ in await staged.range(prefix_of("stale"), 1)):
            raise StaleResources
        return set(models) - current

    async def refresh(self) -> None:
        """Store forms that have changed, and update the resources that processes of another form have written."""
        for spec in list(self._specs.values()):
            await self._store_form(spec)
            prefix = prefix_of("stale", spec.folder)
            await self._update(spec, [last_part(key) async for key, _ in scan(self._map, prefix, end_of(prefix))])

    async def _is_current(self, staged: StagedMap, folder: str) -> bool:
        value = await staged.get(layout.form_key(folder))
        stored = None if value is None else _FORM.validate_json(value)
        return stored is not None and self._forms[folder].completed_by(stored) == stored

    async def _store_form(self, spec: ModelSpec[Any]) -> None:
        """Store a form unless a newer one is stored. Targets of references are known later than the rest."""
        for _ in range(MAX_ATTEMPTS):
            current_form, key = form_of(spec), layout.form_key(spec.folder)
            item = (await self._map.get([key])).get(key, Item(b"", ABSENT))
            stored = _FORM.validate_json(item.value) if item.value else None
            form = current_form.completed_by(stored)
            self._forms[spec.folder], self._targets[spec.folder] = current_form, dict(spec.reference_targets)
            if stored is not None and (stored == form or stored.schema_version > form.schema_version):
                return
            await self._refuse_duplicates(spec)
            prefix = prefix_of("head", spec.folder)
            ids = [last_part(row) async for row, _ in scan(self._map, prefix, end_of(prefix))]
            if ids:
                logger.info("%s: computing the claims and references of %d resources", spec.name, len(ids))
            await self._update(spec, ids)
            try:
                await self._map.commit({key: item.version}, {key: to_json(form)})
            except MapConflict:
                continue
            return
        raise StorageUnavailable(f"other processes changed the form of {spec.name} {MAX_ATTEMPTS} times meanwhile")

    async def _refuse_duplicates(self, spec: ModelSpec[Any]) -> None:
        claimed: set[Claim] = set()
        if not spec.unique_constraints:
            return
        columns = {field.column for unique in spec.unique_constraints for field in unique.fields}
        pages: Any = RowReader(spec, self._map).pages(Selection(columns=columns))
        try:
            async with aclosing(pages):
                async for rows in pages:
                    for claim in (claim for row in rows for claim in claims_of(spec.unique_constraints, row.index)):
                        if claim in claimed:
                            (unique,) = (unique for unique in spec.unique_constraints if unique.names == claim.names)
                            raise unique.duplicates_error(spec.type_name)
                        claimed.add(claim)
        except ConversionError as error:
            raise ConfigurationError(f"{spec.type_name} {error}") from error

    async def _update(self, spec: ModelSpec[Any], resource_ids: Sequence[str]) -> None:
        has_references = form_of(spec).references is not None
        for start in range(0, len(resource_ids), _SLICE):
            await update_resources(self._map, spec, resource_ids[start : start + _SLICE], has_references=has_references)
