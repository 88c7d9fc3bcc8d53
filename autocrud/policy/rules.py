"""Rules: tell for a principal if a right holds for all resources, for none, or for those that meet a condition."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from autocrud.policy.principal import Principal
from autocrud.query.builder import QB
from autocrud.query.conditions import Condition

# True for all resources, False for none, or the condition of the resources that a rule allows.
Verdict = bool | Condition


class Rule(ABC):
    """A rule of access. Rules combine with `&`, `|` and `~`."""

    @abstractmethod
    def verdict(self, principal: Principal | None) -> Verdict:
        """Return what the rule allows a principal; None is a request without credentials."""

    def __and__(self, other: "Rule") -> "Rule":
        return _Conjunction(self, other)

    def __or__(self, other: "Rule") -> "Rule":
        return _Disjunction(self, other)

    def __invert__(self) -> "Rule":
        return _Negated(self)

    def __bool__(self) -> bool:
        raise TypeError("combine rules with & | ~ instead of and, or, not")


def anyone() -> Rule:
    """Return the rule that allows everything, also without credentials."""
    return _Anyone()


def nobody() -> Rule:
    """Return the rule that allows nothing."""
    return ~_Anyone()


def authenticated() -> Rule:
    """Return the rule that allows everything to each principal."""
    return _Authenticated()


def role(*names: str) -> Rule:
    """Return the rule that allows everything to principals with one of these roles."""
    return _Role(frozenset(names))


def where(condition: Condition | Callable[[Principal], Condition]) -> Rule:
    """Return the rule that allows the resources that meet a condition.

    Args:
        condition: a condition built with `QB`, or a function of the principal that returns one. Without credentials, a
            function allows nothing.
    """
    return _Where(condition)


def owner() -> Rule:
    """Return the rule that allows the resources that the principal has created."""
    return where(lambda principal: QB["created_by"].eq(principal.id))


def same_tenant(field: str) -> Rule:
    """Return the rule that allows the resources whose field has the principal's tenant. Others have no tenant."""
    return _SameTenant(field)


def all_hold(first: Verdict, second: Verdict) -> Verdict:
    """Return the conjunction of two verdicts."""
    if isinstance(first, bool):
        return second if first else False
    if isinstance(second, bool):
        return first if second else False
    return first & second


def one_holds(first: Verdict, second: Verdict) -> Verdict:
    """Return the disjunction of two verdicts."""
    if isinstance(first, bool):
        return True if first else second
    if isinstance(second, bool):
        return True if second else first
    return first | second


class _Anyone(Rule):
    def verdict(self, principal: Principal | None) -> Verdict:
        return True


class _Authenticated(Rule):
    def verdict(self, principal: Principal | None) -> Verdict:
        return principal is not None


@dataclass(frozen=True)
class _Role(Rule):
    names: frozenset[str]

    def verdict(self, principal: Principal | None) -> Verdict:
        return principal is not None and not self.names.isdisjoint(principal.roles)


@dataclass(frozen=True)
class _Where(Rule):
    condition: Condition | Callable[[Principal], Condition]

    def verdict(self, principal: Principal | None) -> Verdict:
        if isinstance(self.condition, Condition):
            return self.condition
        return False if principal is None else self.condition(principal)


@dataclass(frozen=True)
class _SameTenant(Rule):
    field: str

    def verdict(self, principal: Principal | None) -> Verdict:
        if principal is None or principal.tenant is None:
            return False
        return QB[self.field].eq(principal.tenant)


@dataclass(frozen=True)
class _Conjunction(Rule):
    first: Rule
    second: Rule

    def verdict(self, principal: Principal | None) -> Verdict:
        first = self.first.verdict(principal)
        return False if first is False else all_hold(first, self.second.verdict(principal))


@dataclass(frozen=True)
class _Disjunction(Rule):
    first: Rule
    second: Rule

    def verdict(self, principal: Principal | None) -> Verdict:
        first = self.first.verdict(principal)
        return True if first is True else one_holds(first, self.second.verdict(principal))


@dataclass(frozen=True)
class _Negated(Rule):
    rule: Rule

    def verdict(self, principal: Principal | None) -> Verdict:
        found = self.rule.verdict(principal)
        return not found if isinstance(found, bool) else ~found
