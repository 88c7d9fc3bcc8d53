"""Principal: the authenticated user or program behind a request."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from autocrud.errors import ConfigurationError

MAX_NAME = 256  # characters of an id, a role or a tenant


def is_principal_name(name: object) -> bool:
    """Return True if a value can be the id, a role or the tenant of a principal.

    A name has from 1 to 256 printable characters, and does not begin or end with a space. PostgreSQL stores no NUL
    character, and a line break would forge lines of a log.
    """
    return isinstance(name, str) and 0 < len(name) <= MAX_NAME and name.isprintable() and name.strip() == name


@dataclass(frozen=True)
class Principal:
    """The authenticated user or program behind a request.

    Args:
        id: name for `created_by` and `updated_by`; one principal has one id.
        roles: names of the roles.
        tenant: name of the tenant; None if the principal belongs to no tenant.
        claims: further facts from the authenticator, such as the claims of a token.
        scopes: operations that the credentials permit, such as `read` and `write`; None for all operations.

    Raises:
        ConfigurationError: the id, a role or the tenant is no text of 1 to 256 printable characters.
    """

    id: str
    roles: AbstractSet[str] = frozenset()
    tenant: str | None = None
    claims: Mapping[str, Any] = field(default_factory=dict, hash=False, repr=False)
    scopes: AbstractSet[str] | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "roles", frozenset(self.roles))
        object.__setattr__(self, "claims", MappingProxyType(dict(self.claims)))
        if self.scopes is not None:
            object.__setattr__(self, "scopes", frozenset(self.scopes))
        tenants = () if self.tenant is None else (self.tenant,)
        for part, names in (("id", (self.id,)), ("role", self.roles), ("tenant", tenants)):
            for name in names:
                if not is_principal_name(name):
                    raise ConfigurationError(
                        f"the {part} of a principal must be a text of 1 to {MAX_NAME} printable characters"
                    )
