"""Errors of limits on clients."""

from collections.abc import Mapping

from autocrud.errors.base import AutoCRUDError


class RateLimited(AutoCRUDError):
    """The quota of the client is used up.

    Args:
        quota: number of requests within the window.
        window: seconds.
        retry_after: seconds until the next request may succeed.
        headers: headers of the answer that describe the quota.
    """

    code = "rate_limited"

    def __init__(self, quota: int, window: int, retry_after: int, headers: Mapping[str, str]) -> None:
        super().__init__(f"More than {quota} requests within {window} s; try again in {retry_after} s.")
        self.retry_after = retry_after
        self.headers = headers
