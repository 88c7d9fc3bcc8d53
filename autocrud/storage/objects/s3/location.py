"""Location of objects in S3: server, bucket, prefix, credentials and timeout. It needs no driver."""

from dataclasses import dataclass, field, replace
from typing import TypedDict, Unpack


class S3Options(TypedDict, total=False):
    """Options of `S3Location` beside the bucket, as keyword arguments of the factories."""

    endpoint_url: str | None
    prefix: str
    region: str | None
    access_key: str | None
    secret_key: str | None
    create_bucket: bool
    timeout: float
    public_url: str | None


@dataclass(frozen=True, kw_only=True)
class S3Location:
    """A bucket of an S3 server, or the part of the bucket under a prefix.

    Args:
        endpoint_url: URL of an S3 server; None for AWS.
        prefix: folder within the bucket.
        region: region of the bucket; None for the configured default of botocore.
        access_key: credentials. If None, botocore searches the environment, the profile and the role of the instance.
        secret_key: secret of `access_key`.
        create_bucket: create the bucket if it does not exist.
        timeout: seconds to wait for an answer before a request counts as lost.
        public_url: URL of the server as clients reach it, for links to blobs; None for `endpoint_url`.
    """

    bucket: str = field(kw_only=False)
    endpoint_url: str | None = None
    prefix: str = ""
    region: str | None = None
    access_key: str | None = None
    secret_key: str | None = field(default=None, repr=False)
    create_bucket: bool = False
    timeout: float = 5.0
    public_url: str | None = None


def s3_location(bucket: str | S3Location, **options: Unpack[S3Options]) -> S3Location:
    """Return the location of a bucket with these options, or a given location with these options replaced.

    Raises:
        TypeError: an option does not exist; the message names the option.
    """
    return replace(bucket, **options) if isinstance(bucket, S3Location) else S3Location(bucket, **options)
