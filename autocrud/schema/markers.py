"""Markers: annotations that make a field an index field, a unique field or a reference."""

from dataclasses import dataclass
from enum import StrEnum

from autocrud.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """Marks a field that lists can filter and sort by: `Annotated[str, Index()]`.

    Args:
        text: let `q=` search the words of the field, a text or a list of texts.
        filters: let lists filter and sort by the field. With False, `q=` alone uses the text, at any length.
    """

    text: bool = False
    filters: bool = True


@dataclass(frozen=True, slots=True)
class Unique(Index):
    """Marks an index field whose value no two live resources of the model may share. Nulls never conflict.

    Args:
        group: make all fields of the group unique as a set, not each alone. A resource with a null in the set never
            conflicts.
    """

    group: str | None = None


class OnDelete(StrEnum):
    """On-delete actions: the effect on a referrer if the resource that it refers to is deleted or purged.

    `restrict` refuses the delete. `set_null` writes a new revision of the referrer with null, or without the list item.
    `cascade` soft-deletes the referrer. `dangling` does not change the referrer.
    """

    restrict = "restrict"
    set_null = "set_null"
    cascade = "cascade"
    dangling = "dangling"


@dataclass(frozen=True, slots=True)
class Ref(Index):
    """Marks an index field that holds the id, or a list of ids, of resources: `Annotated[str, Ref("person")]`.

    Args:
        model: the name of the referred model. It may be the model itself, or a model that is registered later.
        on_delete: the action on the referrer if the referred resource is deleted.
        must_exist: refuse a write that adds a reference to a missing or deleted resource.
        expand: let readers of either model see resources of the other model through this field, even if dependencies
            guard the other model.
    """

    model: str
    on_delete: OnDelete = OnDelete.restrict
    must_exist: bool = True
    expand: bool = False

    def __post_init__(self) -> None:
        """Accept the name of an action, as users without a type checker write it.

        Raises:
            ConfigurationError: `on_delete` is not an action.
        """
        try:
            object.__setattr__(self, "on_delete", OnDelete(self.on_delete))
        except ValueError as error:
            actions = ", ".join(OnDelete)
            raise ConfigurationError(f"Ref(on_delete={self.on_delete!r}) must be one of {actions}") from error
