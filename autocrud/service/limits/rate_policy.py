"""Policy of the rate limit: the meaning of `AUTOCRUD_RATE_LIMIT`."""

import re
from dataclasses import dataclass

_FORM = re.compile(r"(?P<rate>[1-9][0-9]{0,8})/(?P<unit>second|minute|hour|day)(;burst=(?P<burst>[1-9][0-9]{0,8}))?")
MEMORY = "memory"  # storage of the counters
# draft-ietf-httpapi-ratelimit-headers-06. Later drafts join them to one header, which few clients know yet.
RATE_HEADERS = ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset", "RateLimit-Policy")
_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}


@dataclass(frozen=True, slots=True)
class RatePolicy:
    """A quota of requests per window of time.

    Attributes:
        quota: number of requests within one window, which is the burst.
        window: seconds of the window.
    """

    quota: int
    window: int

    @property
    def header(self) -> str:
        """Value of the header `RateLimit-Policy`."""
        return f"{self.quota};w={self.window}"


def parse_policy(text: str) -> RatePolicy:
    """Return the policy of a text such as `200/second;burst=400`: 200 per second, and up to 400 at once.

    A burst is reached by a longer window: 400 requests within two seconds.

    Raises:
        ValueError: the text has another form, or the burst is no multiple of the rate.
    """
    found = _FORM.fullmatch(text)
    if found is None:
        raise ValueError("must be like 200/second or 200/second;burst=400, per second, minute, hour or day")
    rate = int(found["rate"])
    burst = int(found["burst"] or rate)
    if burst % rate:
        raise ValueError(f"burst must be a multiple of {rate}")
    return RatePolicy(burst, burst // rate * _SECONDS[found["unit"]])
