"""Access: the rules of one model, one for each right and for fields."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from autocrud.policy.rules import Rule, anyone, authenticated, same_tenant


class Right(StrEnum):
    """A right on a model. Each operation needs one, and the right to read the resource."""

    read = "read"
    list = "list"
    create = "create"
    update = "update"
    delete = "delete"
    restore = "restore"
    purge = "purge"
    switch = "switch"
    history = "history"
    export = "export"
    import_ = "import"
    blobs = "blobs"


@dataclass(frozen=True)
class FieldRule:
    """Rule of one field.

    Attributes:
        visible: who may see and change the field.
        is_read_only: True if no client may change the field.
    """

    visible: Rule
    is_read_only: bool = False


def read_only(visible: Rule | None = None) -> FieldRule:
    """Return the rule of a field that no client may change.

    Args:
        visible: who may see the field; everyone by default.
    """
    return FieldRule(anyone() if visible is None else visible, is_read_only=True)


@dataclass(frozen=True, kw_only=True)
class Access:
    """Rules of one model. A right without a rule has the rule `default`, else that of a signed-in principal.

    Nobody may do anything with a resource that he may not read. A rule with a condition holds for a write if the
    resource meets the condition before the write, and after it.

    Attributes:
        list: lists, counts, aggregates, searches and referrers.
        history: revisions, differences, past states and the record of commits.
        import_: imports, which set authors and times, and may replace the history of a resource.
        blobs: uploads, and reads of the bytes of a resource.
        fields: rules of fields, by the name that clients see. A rule must not depend on the resource.
        tenant: name of an indexed text field. A new resource gets the tenant of its principal, and nobody sees the
            resources of other tenants.
    """

    read: Rule | None = None
    list: Rule | None = None
    create: Rule | None = None
    update: Rule | None = None
    delete: Rule | None = None
    restore: Rule | None = None
    purge: Rule | None = None
    switch: Rule | None = None
    history: Rule | None = None
    export: Rule | None = None
    import_: Rule | None = None
    blobs: Rule | None = None
    fields: Mapping[str, Rule | FieldRule] = field(default_factory=dict)
    default: Rule | None = None
    tenant: str | None = None

    def rule_of(self, right: Right) -> Rule:
        """Return the rule of a right, those of tenants included."""
        found: Rule | None = getattr(self, right.name)
        rule = next((item for item in (found, self.default) if item is not None), authenticated())
        return rule & same_tenant(self.tenant) if self.tenant is not None else rule

    def field_rules(self) -> dict[str, FieldRule]:
        """Return the rules of the fields."""
        return {name: rule if isinstance(rule, FieldRule) else FieldRule(rule) for name, rule in self.fields.items()}
