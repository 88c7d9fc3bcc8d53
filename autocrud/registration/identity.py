"""Identity: the settings that name the author of a request, and keep others out."""

from autocrud.access.api_key import MODEL as API_KEY
from autocrud.access.api_key import ApiKey
from autocrud.access.api_keys import ApiKeys
from autocrud.access.authenticator import Authenticator, AuthenticatorFunction, as_authenticator, authentication_of
from autocrud.errors import ConfigurationError
from autocrud.registration.registry import Registry
from autocrud.routes.authentication import Authentication
from autocrud.routes.request.current_user import UserDependency, anonymous
from autocrud.schema.model_spec import ModelSpec


class Identity:
    """The `current_user` or the authenticator of one registry.

    Attributes:
        current_user: dependency that names the author of a request.
        authenticator: authenticator of the routes; None if anybody may use them.

    Raises:
        ConfigurationError: both are given, or the authenticator is no async function.
    """

    def __init__(
        self,
        current_user: UserDependency = anonymous,
        authenticator: Authenticator | AuthenticatorFunction | None = None,
    ) -> None:
        self.current_user = current_user
        self.authenticator = None if authenticator is None else as_authenticator(authenticator)
        if self.authenticator is not None and current_user is not anonymous:
            raise ConfigurationError(
                "current_user and authenticator exclude each other: the principal's id is the author of writes",
                argument="current_user",
            )

    def changed(
        self, current_user: UserDependency | None, authenticator: Authenticator | AuthenticatorFunction | None
    ) -> "Identity":
        """Return an identity with other settings. None leaves a setting unchanged.

        Raises:
            ConfigurationError: the result has both settings.
        """
        return Identity(current_user or self.current_user, authenticator or self.authenticator)

    def including(self, other: "Identity") -> "Identity":
        """Return an identity with the authenticator of another registry, if that has one.

        Raises:
            ConfigurationError: this registry has another authenticator, or a `current_user`.
        """
        if other.authenticator is None or other.authenticator is self.authenticator:
            return self
        if self.authenticator is not None:
            raise ConfigurationError(
                "both registries have an authenticator, and the routes can have only one", argument="authenticator"
            )
        return self.changed(None, other.authenticator)

    @property
    def authentication(self) -> Authentication | None:
        """Authentication of the routes; None if anybody may use them."""
        return None if self.authenticator is None else authentication_of(self.authenticator)

    def bind_api_keys(self, registry: Registry) -> None:
        """Register the system model of the API keys, if the authenticator has some. Idempotent.

        Raises:
            ConfigurationError: the registry has no default storage factory, or the keys belong to another registry.
        """
        for part in () if self.authenticator is None else self.authenticator.parts():
            if isinstance(part, ApiKeys):
                registry.add_system_model(ModelSpec(ApiKey, name=API_KEY))
                part.bind(registry.manager(API_KEY))
