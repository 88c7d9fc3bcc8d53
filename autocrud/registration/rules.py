"""Rules of a registry: which rules each model has, and the managers that enforce them."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Literal, TypeVar

from autocrud.errors import ConfigurationError
from autocrud.guard.current_principal import System, Who, current_principal
from autocrud.manager.manager import ResourceManager
from autocrud.manager.transaction.retries import ATTEMPTS, Retries
from autocrud.manager.transaction.transaction import Transaction
from autocrud.policy.access import Access
from autocrud.policy.principal import Principal
from autocrud.policy.rules import anyone, authenticated, nobody
from autocrud.registration.registry import Registration, Registry

R = TypeVar("R")

DefaultAccess = Literal["open", "deny"]
Find = Callable[[type[Any] | str], ResourceManager[Any]]


class RegistryRules:
    """Rules of the models of one registry.

    Args:
        default: `open` lets every principal do everything with a model without rules; `deny` lets nobody.

    Raises:
        ConfigurationError: `default` has another value.
    """

    def __init__(self, registry: Registry, default: DefaultAccess) -> None:
        if default not in ("open", "deny"):
            raise ConfigurationError("default_access must be 'open' or 'deny'", argument="default_access")
        self._registry = registry
        self._default = default
        self._retries = Retries()

    def route_managers(self, *, has_authenticator: bool) -> list[ResourceManager[Any]]:
        """Return the managers that the routes use, in order of registration.

        Without any rules these are the managers without rules, because the routes themselves ask for credentials.
        """
        if not self._has_rules:
            return self._registry.all_managers()
        return list(self._guarded(current_principal, has_authenticator=has_authenticator).values())

    def route_transact(self, managers: Sequence[ResourceManager[Any]]) -> Callable[..., Awaitable[Any]]:
        """Return `transact` over the managers that the routes use."""
        by_name = {manager.spec.name: manager for manager in managers}
        return partial(self.transact, lambda model: by_name[str(model)])

    async def transact(
        self, find: Find, function: Callable[[Transaction], Awaitable[R]], *, attempts: int = ATTEMPTS, by: str | None
    ) -> R:
        """Run a function in a transaction, again after a conflict. See `AutoCRUD.transact`."""
        return await self._retries.run(lambda: Transaction(find, by), function, attempts)

    def finder(self, principal: Principal | System | None) -> Find:
        """Return a function that finds the manager of a model for a principal; None is a caller without credentials."""
        if isinstance(principal, System):
            return self._registry.manager
        managers = self._guarded(lambda: principal, has_authenticator=True)
        return lambda model: managers[self._registry.manager(model).spec.name]

    @property
    def _has_rules(self) -> bool:
        models = self._registry.public_models().values()
        return self._default == "deny" or any(item.access is not None for item in models)

    def _guarded(self, who: Who, *, has_authenticator: bool) -> dict[str, Any]:
        rules = {
            name: self._access_of(item, has_authenticator=has_authenticator)
            for name, item in self._registry.models.items()
        }
        return dict(self._registry.guarded_managers(rules, who))

    def _access_of(self, registration: Registration, *, has_authenticator: bool) -> Access:
        """Return the rules of a model. Without an authenticator no request has a principal."""
        every = authenticated() if has_authenticator else anyone()
        access = registration.access
        if registration.is_system or (access is None and self._default == "deny"):
            return Access(default=nobody())
        if access is None:
            return Access(default=every)
        return access if access.default is not None else replace(access, default=every)
