"""botocore's errors, told apart here and nowhere else."""

from typing import Any

from aiohttp import ClientConnectorError
from aiohttp import ClientError as HttpError
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    NoCredentialsError,
    PartialCredentialsError,
)

from autocrud.errors import ConfigurationError, StorageUnavailable
from autocrud.storage.ports.objects import BucketMissing

# A request that failed so never reached the server, but for the error below.
_NOT_SENT = (EndpointConnectionError, ConnectTimeoutError, NoCredentialsError, PartialCredentialsError)
# A request that failed so has no answer. Where there is one, it is a `ClientError`.
FAILURES = (BotoCoreError, HTTPClientError, HttpError, OSError, TimeoutError)

_CREDENTIALS_REFUSED = {
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "AccessDenied",
    "InvalidToken",
    "ExpiredToken",
    "403",
}
_WRONG_REGION = {"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"}


def was_not_sent(error: Exception) -> bool:
    """Return True if a request without an answer never reached the server.

    aiobotocore reports a connection that is reset behind the request as one that was never made.
    """
    if isinstance(error, EndpointConnectionError):
        return isinstance(error.kwargs.get("error"), ClientConnectorError)
    return isinstance(error, _NOT_SENT)


def answer_of(error: Exception) -> tuple[int, str]:
    """Return status and code of the server's answer; (0, "") without an answer."""
    if not isinstance(error, ClientError):
        return 0, ""
    response: Any = error.response
    return int(response["ResponseMetadata"].get("HTTPStatusCode", 0)), str(response.get("Error", {}).get("Code", ""))


def reason_of(error: Exception) -> str:
    """Return the reason of an error, for the middle of a sentence."""
    return str(error).rstrip(".") or type(error).__name__


def to_configuration_error(error: Exception, host: str, bucket: str) -> ConfigurationError:
    """Return the error for a wrong setting, with the argument at fault."""
    status, code = answer_of(error)
    server = f"S3 at {host}"
    if code == "NoSuchBucket":
        return ConfigurationError(f"{server} has no bucket {bucket!r}", argument="bucket")
    if isinstance(error, NoCredentialsError | PartialCredentialsError):
        return ConfigurationError(f"no credentials for {server} were found", argument="access_key")
    if code in _CREDENTIALS_REFUSED:
        argument = "access_key" if code == "InvalidAccessKeyId" else "secret_key"
        return ConfigurationError(f"{server} refuses the credentials for {bucket!r} ({code})", argument=argument)
    if code in _WRONG_REGION or status == 301:
        return ConfigurationError(f"the bucket {bucket!r} is not in this region ({code})", argument="region")
    if isinstance(error, ClientError):
        return ConfigurationError(f"{server} answered {status} {code} for {bucket!r}", argument="bucket")
    return ConfigurationError(f"{server} cannot be reached: {reason_of(error)}", argument="endpoint_url")


def to_storage_error(error: Exception, host: str) -> StorageUnavailable:
    """The project's error for the driver's, in the course of serving."""
    status, code = answer_of(error)
    if code == "NoSuchBucket":
        return BucketMissing(f"S3 at {host} answered {status} {code}.")
    detail = f"answered {status} {code}" if status else f"cannot be reached: {reason_of(error)}"
    return StorageUnavailable(f"S3 at {host} {detail}.")
