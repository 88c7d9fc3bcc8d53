"""Authentication of the service: the authenticators that `AUTOCRUD_AUTH` selects."""

from autocrud.access import ApiKeys, Authenticator, JWTAuthenticator, TrustedHeader, first_of
from autocrud.errors import ConfigurationError
from autocrud.service.auth_settings import AuthKind, split_names
from autocrud.service.settings import PREFIX, Settings, SettingsError


def build_authenticator(settings: Settings) -> Authenticator | None:
    """Return the authenticator of the settings; None if `AUTOCRUD_AUTH` is empty.

    Raises:
        SettingsError: a setting is missing or wrong.
    """
    kinds = settings.auth_kinds
    if kinds and settings.user_header is not None and AuthKind.header not in kinds:
        raise SettingsError(f"{PREFIX}USER_HEADER: is read only if {PREFIX}AUTH contains header.")
    return first_of(*(_build(kind, settings) for kind in kinds)) if kinds else None


def _build(kind: AuthKind, settings: Settings) -> Authenticator:
    match kind:
        case AuthKind.keys:
            return ApiKeys()
        case AuthKind.header:
            return TrustedHeader(_require(settings.user_header, "USER_HEADER", kind))
        case AuthKind.jwt:
            return _build_jwt(settings)


def _build_jwt(settings: Settings) -> Authenticator:
    try:
        return JWTAuthenticator(
            _require(settings.jwt_issuer, "JWT_ISSUER", AuthKind.jwt),
            split_names(_require(settings.jwt_audience, "JWT_AUDIENCE", AuthKind.jwt)),
            algorithms=split_names(settings.jwt_algorithms),
            jwks_url=settings.jwt_jwks_url,
            leeway=settings.jwt_leeway,
            roles_claim=settings.jwt_roles_claim,
            tenant_claim=settings.jwt_tenant_claim,
        )
    except SettingsError:
        raise
    except ConfigurationError as error:
        names = {"issuer": "JWT_ISSUER", "audience": "JWT_AUDIENCE", "jwks_url": "JWT_JWKS_URL"}
        raise SettingsError(f"{PREFIX}{names.get(error.argument or '', 'AUTH')}: {error}.") from error


def _require(value: str | None, name: str, kind: AuthKind) -> str:
    if value is None:
        raise SettingsError(f"{PREFIX}{name}: must be set if {PREFIX}AUTH contains {kind}.")
    return value
