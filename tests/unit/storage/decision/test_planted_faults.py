"""Mutation check: the property test of the decision finds each of these planted faults."""

import inspect
import textwrap
from collections.abc import Callable
from typing import Any

import pytest

from autocrud.storage.decision import claims, decide, references, writes
from autocrud.storage.decision.overlay import Overlay
from tests.unit.storage.decision.comparison import compare
from tests.unit.storage.decision.random_batches import random_batches

_conflict, _keys = writes._find_conflict, writes._find_key_refusal
_moved, _refused, _live = claims.move_claims, claims.claim_refusals, claims._live_claims
_targets, _referrers = references._find_missing_targets, references._find_binding_referrers
_refusals = references.reference_refusal_steps

# Each fault: its name, the function, a text of it, and the text that takes its place.
FAULTS: list[tuple[str, Any, str, str]] = [
    ("stale version is accepted", _conflict, "before.version != write.follows", "False"),
    ("resource that was created again is accepted", _conflict, "before.created_time != timestamp(", "() == ("),
    ("stored id is created", _conflict, "if before is None else AlreadyExists(resource_id)", ""),
    ("check is ignored", writes.apply_check, "return Conflict", "return None and Conflict"),
    ("check compares the version alone", writes.apply_check, "state.created_time != check.created_time", "False"),
    ("claim of an earlier transaction is forgotten", Overlay.set_holder, "self._set(self._holders,", "(lambda *_: 0)("),
    ("deleted resource keeps its claims", _live, "state is None or state.is_deleted", "state is None"),
    ("claims are not released", _moved, "for claim in released:", "for claim in ():"),
    ("claim of another resource is taken", _moved, "holder in (None, resource_id)", "True"),
    ("claims are judged before the end", _refused, "if _has(overlay, (model, name), claim)", ""),
    ("earlier holder loses its claim", _refused, "not _had(overlay, (model, name), claim)", "0"),
    ("swapped claim has no holder", _refused, "overlay.set_holder(key, keeper)", "pass"),
    ("disputes are not judged", decide._decide_one, "and overlay.disputes", "and False"),
    ("unexpired key is ignored", _keys, "stored is not None and", "False and"),
    ("missing rule is ignored", writes.apply_write, "return NewerSchema", "NewerSchema"),
    ("equal rules count as missing", writes.apply_write, "contract.rules_beyond(write.rules)", "contract.rules"),
    ("contract replaces a newer one", writes.apply_contract, "contract.number !=", "False and 0 !="),
    ("contract is not stored", writes.apply_contract, "overlay.set_contract(contract)", "pass"),
    ("expired key counts", _keys, "stored.expires > timestamp(write.meta.updated_time)", "True"),
    ("purged resource keeps its keys", Overlay.keys_of, "key[0] == model", "False"),
    ("unknown blob is accepted", writes._find_unknown_blob, "return UnknownBlob(file_id)", "pass"),
    ("blob is registered twice", writes.register_blob, "return AlreadyExists", "return None and AlreadyExists"),
    ("deleted target passes", references._is_alive, "state is None or state.is_deleted", "state is None"),
    ("missing target passes", _targets, "reference.must_exist", "False"),
    ("unchanged reference is judged again", _targets, "reference not in existing", "True"),
    ("resource that was created again inherits references", _targets, "before.created_time !=", "() =="),
    ("dangling reference prevents a restore", _targets, "not (is_restored and", "not (False and"),
    ("tasks are ignored in the cascade chain", references._is_alive, "if overlay.has_tasks", "if False"),
    ("cascade chain ends after one step", references._is_alive, "pending.append(target)", "pass"),
    ("restrict behind a cascade is ignored", _refusals, "in writes.items()", "in list(writes.items())[:1]"),
    ("later write hides a removal", _refusals, "elif key in removals", "elif removals.get(key) == number"),
    ("unplanned referrer passes", _referrers, "if unplanned and", "if False and"),
    ("task excuses a cascade that is not named", _referrers, "has_task and _is_awaited(overlay, key)", "has_task"),
    ("awaited resource needs a plan", _referrers, "has_task and _is_awaited(overlay, key)", "False"),
    ("task does not excuse set_null", _referrers, "has_task and item.on_delete == OnDelete.set_null", "False"),
    ("named dependent counts as unplanned", _referrers, "and item[:2] not in dependents", ""),
    ("dependent is not judged", _refusals, "in dependents.items()", "in ()"),
    ("awaited referrer restricts", _referrers, "overlay.has_tasks and not _is_alive(overlay, item[:2])", "False"),
    ("renamed field has a new reference", references._existing, "or item[1:] in released", ""),
    ("copied reference is not new", references._existing, "(item.field, item.resource_id) not in now", "True"),
    ("task excuses a restrict", _referrers, "if restricting:", "if restricting and not has_task:"),
    ("referrer of the same batch passes", Overlay.referrers, "state is not None and not state.is_deleted", "False"),
    ("lifted restrict counts", Overlay.referrers, "if not self._is_written(item[:2])", ""),
    ("refused transaction is not reverted", decide._decide_one, "overlay.revert()", "pass"),
    ("resources are not reverted", Overlay.revert, "self._resources.update(self.before)", "pass"),
    ("task of a refused transaction counts", Overlay.revert, "self.has_tasks = self._had_tasks", "pass"),
    ("refused transaction is applied", decide.decision_steps, "if not any(outcome)", "if True"),
    ("items without a fault are not aborted", decide._decide_one, "if len(outcome) > 1", "if False"),
]
_MAX_SEEDS = 2500


@pytest.mark.parametrize(("function", "text", "fault"), [pytest.param(*each[1:], id=each[0]) for each in FAULTS])
def test_5_planted_fault_is_found(
    function: Callable[..., Any], text: str, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The comparison with the naive store fails with the fault."""
    monkeypatch.setattr(function, "__code__", _plant(function, text, fault))
    with pytest.raises((AssertionError, KeyError)):
        _compare_all()


def _compare_all() -> None:
    for seed in range(_MAX_SEEDS):
        compare(random_batches(seed), seed)


def _plant(function: Callable[..., Any], text: str, fault: str) -> Any:
    """Return the code of a function with a fault in place of a text, which must occur in it once."""
    source = textwrap.dedent(inspect.getsource(function))
    assert source.count(text) == 1
    code = compile(source.replace(text, fault), function.__module__, "exec")
    scope: dict[str, Any] = {}
    exec(code, function.__globals__, scope)
    return scope[function.__name__].__code__
