"""Principal: who sends a request."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Principal:
    """A signed-in user, or a program with credentials.

    Attributes:
        id: becomes `created_by` and `updated_by` of what the principal writes.
        roles: names of roles, for the rule `role`.
        tenant: name of the tenant, for `Access(tenant=…)`.
        claims: further facts about the principal, such as the claims of a token.
    """

    id: str
    roles: Iterable[str] = frozenset()
    tenant: str | None = None
    claims: Mapping[str, Any] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        roles = [self.roles] if isinstance(self.roles, str) else self.roles
        object.__setattr__(self, "roles", frozenset(roles))
