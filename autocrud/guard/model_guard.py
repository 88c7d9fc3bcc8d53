"""Model guard: the rules of one model, as they are for the principal of a call."""

from collections.abc import Mapping
from typing import Any

from autocrud.errors import ConfigurationError, Forbidden, Unauthenticated
from autocrud.guard.current_principal import Who
from autocrud.guard.documents import Path
from autocrud.guard.rule_fields import RuleFields
from autocrud.policy.access import Access, FieldRule, Right
from autocrud.policy.principal import Principal
from autocrud.policy.rules import Verdict, all_hold
from autocrud.query.conditions import Condition
from autocrud.query.evaluate import holds
from autocrud.schema.index_discovery import stored_path
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.ports.types import Head

# The condition of these rights selects the resources of lists.
_LISTED = (Right.read, Right.list, Right.export)

# What messages call a right whose name is no verb.
_ACTIONS = {
    Right.switch: "switch the revision of",
    Right.history: "read the history of",
    Right.import_: "import data of",
    Right.blobs: "upload or read blobs of",
}


class ModelGuard:
    """Judges what a principal may do with the resources of one model.

    Args:
        who: returns the principal of a call.

    Attributes:
        permits_anonymous: True if a right has a rule that allows something without credentials.

    Raises:
        ConfigurationError: a rule names a field that the model does not have, or that lists cannot filter by.
    """

    def __init__(self, spec: ModelSpec[Any], access: Access, who: Who) -> None:
        self.spec = spec
        self.access = access
        self.who = who
        self._fields = RuleFields(spec)
        self._field_rules: Mapping[Path, tuple[str, FieldRule]] = {
            self._path(name): (name, rule) for name, rule in access.field_rules().items()
        }
        self.tenant_path = None if access.tenant is None else self._path(access.tenant)
        self._probe()
        # Rules depend on the principal alone, so this holds for every request without credentials.
        self.permits_anonymous = any(access.rule_of(right).verdict(None) is not False for right in Right)

    def principal_id(self) -> str | None:
        """Return the id of the principal."""
        principal = self.who()
        return None if principal is None else principal.id

    def verdict(self, right: Right) -> Verdict:
        """Return what the rule of a right allows: all, nothing, or the resources that meet a condition of terms."""
        found = self.access.rule_of(right).verdict(self.who())
        return found if isinstance(found, bool) else self._fields.resolve(found)

    def check(self, *rights: Right) -> None:
        """Refuse a principal to whom the rules of these rights allow nothing. Resources are judged later.

        Raises:
            Unauthenticated, Forbidden: as `require`.
        """
        principal = self.who()
        for right in rights:
            # Without resolving the condition, which the storage does where it needs the condition.
            if self.access.rule_of(right).verdict(principal) is False:
                raise self.refusal(right)

    def require(self, *rights: Right) -> Verdict:
        """Return what the rules of these rights allow together.

        Raises:
            Unauthenticated: the request has no credentials, and they allow nothing without.
            Forbidden: they allow the principal nothing.
        """
        found: Verdict = True
        for right in rights:
            found = all_hold(found, self.verdict(right))
            if found is False:
                raise self.refusal(right)
        return found

    def refusal(self, right: Right, field: str | None = None) -> Unauthenticated | Forbidden:
        """Return the error of a right that the principal lacks."""
        if self.who() is None:
            return Unauthenticated("The request has no credentials.")
        part = "" if field is None else f" the field {field} of"
        action = _ACTIONS.get(right, right.value)
        message = f"You do not have the right to {action}{part} {self.spec.name}."
        return Forbidden(message, right=right.value, field=field)

    def holds(self, verdict: Verdict, head: Head) -> bool:
        """Return True if a verdict allows a resource."""
        return verdict if isinstance(verdict, bool) else holds(verdict, self._fields.row_of(head))

    def is_visible(self, head: Head) -> bool:
        """Return True if the principal may read a resource."""
        return self.holds(self.verdict(Right.read), head)

    def hidden_paths(self) -> list[Path]:
        """Return the paths of the fields that the principal may not see."""
        principal = self.who()
        return [path for path, (_, rule) in self._field_rules.items() if rule.visible.verdict(principal) is not True]

    def fixed_paths(self) -> list[Path]:
        """Return the paths of the fields that the principal may see and not change."""
        principal = self.who()
        return [
            path
            for path, (_, rule) in self._field_rules.items()
            if rule.is_read_only and rule.visible.verdict(principal) is True
        ]

    def field_name(self, path: Path) -> str:
        """Return the name of a field with a rule, as clients see it."""
        return self._field_rules[path][0]

    @property
    def permits_all_blobs(self) -> bool:
        """True if the principal may read every blob of the model, and so refer to it."""
        return self.verdict(Right.read) is True and self.verdict(Right.blobs) is True and not self.hidden_paths()

    @property
    def has_field_rules(self) -> bool:
        """True if a field has a rule."""
        return bool(self._field_rules)

    def _path(self, name: str) -> Path:
        try:
            return stored_path(self.spec.model, name)
        except ConfigurationError as error:
            raise ConfigurationError(f"The access of {self.spec.name}: {error}", argument="access") from error

    def _probe(self) -> None:
        """Refuse rules that cannot work, as far as an invented principal shows them."""
        sample = Principal("somebody", tenant="somewhere")
        for name, rule in self._field_rules.values():
            if not isinstance(rule.visible.verdict(sample), bool):
                raise ConfigurationError(
                    f"{self.spec.name}: the rule of the field {name!r} must not depend on the resource",
                    argument="access",
                )
        for right in Right:
            self._probe_right(right, sample)

    def _probe_right(self, right: Right, sample: Principal) -> None:
        try:
            found = self.access.rule_of(right).verdict(sample)
        except (LookupError, AttributeError, TypeError, ValueError):
            return  # the function needs facts that the invented principal lacks
        if isinstance(found, bool):
            return
        names = self._fields.not_indexed(self._fields.resolve(found))
        if names and right in _LISTED:
            raise ConfigurationError(
                f"{self.spec.name}: the rule of the right to {right.value} compares {names[0]!r}, which is not indexed,"
                " so that lists cannot filter by it; mark the field as Index()",
                argument="access",
            )


def condition_of(verdict: Verdict) -> Condition | None:
    """Return the condition of a verdict that is not False; None if it allows all."""
    return None if isinstance(verdict, bool) else verdict
