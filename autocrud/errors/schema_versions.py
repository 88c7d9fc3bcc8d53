"""Errors of stored data whose schema version differs from the model's."""

from autocrud.errors.base import AutoCRUDError


class NewerSchema(AutoCRUDError):
    """The resource or the model has a newer schema version: send the request to a process of the newer version.

    Args:
        version: schema version of the resource, or of the rules.
        own_version: schema version of this process.
        rules: rules of the model in the store that this process does not know, as text. Its writes would break them.
    """

    code = "newer_schema"

    def __init__(self, model: str, resource_id: str, version: int, own_version: int, *, rules: str = "") -> None:
        resource = f"The {model} {resource_id!r}"
        reason = f"{resource} has schema version {version}, and this process knows version {own_version}."
        remedy = " Deploy the newer version of the service."
        if rules:
            reason = (
                f"{resource} is not written: the store has rules of the model that this process does"
                f" not know: {rules}. They come from schema version {version}, and this process has version"
                f" {own_version}."
            )
            remedy = f"{remedy[:-1]}; to remove or change a rule, raise the schema version."
        super().__init__(reason + remedy)
        self.version = version
        self.rules = rules


class Unreadable(AutoCRUDError):
    """The stored data cannot be upgraded, or does not fit the model: read it raw, and correct the step or the model.

    Args:
        step: the step at fault; empty if no step was run.
        field: the field at fault, or None.
        lacks_fields: True if data of the model's version only lacks required fields. Reads show the rest.
        reason: the fault, without the names of the revision, the step and the field.
    """

    code = "unreadable"

    def __init__(
        self, model: str, revision_id: str, step: str, field: str | None, reason: str, *, lacks_fields: bool = False
    ) -> None:
        place = ": ".join(part for part in (step, field) if part)
        super().__init__(
            f"The revision {revision_id!r} of {model} cannot be read: {place and f'{place}: '}{reason.rstrip('.')}."
            " `raw=true` returns the data as stored."
        )
        self.model = model
        self.revision_id = revision_id
        self.step = step
        self.field = field
        self.lacks_fields = lacks_fields
        self.reason = reason.rstrip(".")
