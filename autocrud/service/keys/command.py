"""Command `autocrud keys`: creates, lists and revokes API keys."""

import asyncio
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from autocrud import AutoCRUD
from autocrud.access import ApiKey, ApiKeys
from autocrud.access.api_key import id_of_key
from autocrud.errors import AutoCRUDError, NotFound
from autocrud.resource import ResourceMeta
from autocrud.service.keys.options import KeyOptions, parse_key_options
from autocrud.service.logging_setup import configure_logging, without_warnings
from autocrud.service.options import prepare_process, report_failure
from autocrud.service.settings import PREFIX, LogLevel, Settings, SettingsError, StorageKind, load_settings

# The models of the service are not registered here.
_START_LOGGER = "autocrud.registration.start"


def main(arguments: Sequence[str]) -> int:
    """Run the command, and return the exit status.

    Args:
        arguments: arguments behind `autocrud keys`.
    """
    options = parse_key_options(arguments)
    prepare_process(options.variables)
    try:
        settings = load_settings()
        if "log_level" not in settings.model_fields_set:
            settings = settings.model_copy(update={"log_level": LogLevel.warning})
        asyncio.run(run_keys(settings, options))
    except NotFound:
        print(f"There is no API key {options.subject!r}.", file=sys.stderr)
        return 2
    except AutoCRUDError as error:
        return report_failure(error, options.names)
    return 0


async def run_keys(settings: Settings, options: KeyOptions) -> None:
    """Create, list or revoke keys in the storage of the settings.

    Raises:
        AutoCRUDError: a setting or an option is wrong, or the storage cannot be used.
    """
    if settings.storage is StorageKind.memory:
        raise SettingsError(f"{PREFIX}STORAGE: must not be memory, which exists in one process only.")
    configure_logging(settings)
    keys = ApiKeys()
    crud = AutoCRUD(storage_factory=settings.storage_factory(), authenticator=keys)
    with without_warnings(_START_LOGGER):
        async with crud.running():
            if options.action == "create":
                await _create(keys, options)
            elif options.action == "revoke":
                # People may paste a whole key.
                await keys.revoke(id_of_key(options.subject) or options.subject, by=options.by)
                print(f"Revoked {id_of_key(options.subject) or options.subject}.")
            else:
                async for meta, key in keys.list_keys():
                    print(_line_of(meta, key))


async def _create(keys: ApiKeys, options: KeyOptions) -> None:
    expires_at = None if options.days is None else datetime.now(UTC) + timedelta(days=options.days)
    text = await keys.create(
        options.subject,
        scopes=options.scopes,
        roles=options.roles,
        tenant=options.tenant,
        expires_at=expires_at,
        by=options.by,
    )
    print(text)
    print("This key is shown once. The store keeps only its SHA-256.", file=sys.stderr)


def _line_of(meta: ResourceMeta, key: ApiKey) -> str:
    """Return a line with tabs: id, name, scopes, roles, tenant, creation, and state."""
    if key.revoked_at is not None:
        state = f"revoked {_time(key.revoked_at)}"
    elif key.expires_at is not None:
        state = f"{'expires' if key.is_valid else 'expired'} {_time(key.expires_at)}"
    else:
        state = "valid"
    parts = (
        meta.resource_id,
        key.name,
        ",".join(key.scopes),
        ",".join(key.roles) or "-",
        key.tenant or "-",
        _time(meta.created_time),
        state,
    )
    return "\t".join(parts)


def _time(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
