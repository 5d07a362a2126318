"""Which failures are tried again, how often and after how long: the standard mode of the AWS SDKs.

The revision of 2026, the default of the SDKs since November 2026: short pauses after transient errors, long ones
after throttling, a retry quota that makes a lasting outage fail fast, and the service's own advice. Pure decisions
and one counter; chance is an argument.

Sources: https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html and
https://aws.amazon.com/blogs/developer/announcing-updated-retry-behavior-for-aws-sdks-and-tools/
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from sluiceway.errors import Misconfigured

__all__ = ["Cause", "RetryQuota", "choose_pause_s", "classify", "read_max_attempts"]

Cause = Literal["transient", "throttling"]

QUOTA: Final = 500
COST: Final[Mapping[Cause, int]] = {"transient": 14, "throttling": 5}
THROTTLING_BASE_S: Final = 1.0
MAX_PAUSE_S: Final = 20.0
MAX_ADVICE_S: Final = 5.0  # how much longer than the computed pause a service's advice may make it

TRANSIENT_STATUS: Final = frozenset({500, 502, 503, 504})
TRANSIENT_CODES: Final = frozenset(
    {
        "RequestTimeout",
        "RequestTimeoutException",
        "InternalError",  # S3 with status 200 and the query protocols
        "ModelNotReadyException",  # modelled as retryable by Bedrock
        "ReplicatedWriteConflictException",  # modelled as retryable by DynamoDB
    }
)
THROTTLING_CODES: Final = frozenset(
    {
        "BandwidthLimitExceeded",
        "EC2ThrottledException",
        "LimitExceededException",
        "PriorRequestNotComplete",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
        "TransactionInProgressException",
    }
)


class RetryQuota:
    """Tokens that retries spend and successes win back: when most calls fail, retries stop."""

    __slots__ = ("tokens",)

    def __init__(self) -> None:
        self.tokens = QUOTA

    def spend(self, cause: Cause) -> int:
        """Take what a retry after `cause` costs; returns it, or 0 when too little is left and there must be none."""
        cost = COST[cause]
        if cost > self.tokens:
            return 0
        self.tokens -= cost
        return cost

    def win_back(self, spent: int) -> None:
        """After a success: what its last retry cost, or 1 where there was none."""
        self.tokens = min(QUOTA, self.tokens + (spent or 1))


def classify(status: int, code: str) -> Cause | None:
    """Why an error answer is worth another attempt; None when it is not."""
    if code in THROTTLING_CODES or status == 429:
        return "throttling"
    if status in TRANSIENT_STATUS or code in TRANSIENT_CODES:
        return "transient"
    return None


def choose_pause_s(cause: Cause, retries: int, *, chance: float, base_s: float, advice: str | None) -> float:
    """Seconds to wait before the next attempt.

    `retries`: how many there were already. `chance`: 0 to 1. `base_s`: the service's first pause after a transient
    error. `advice`: the `x-amz-retry-after` header (milliseconds), which is heeded within limits.
    """
    base = THROTTLING_BASE_S if cause == "throttling" else base_s
    pause = chance * min(base * 2.0**retries, MAX_PAUSE_S)
    if advice is None or not (advice.isascii() and advice.isdigit()) or len(advice) > 9:
        return pause
    return max(pause, min(int(advice) / 1000, pause + MAX_ADVICE_S))


def read_max_attempts(environ: Mapping[str, str]) -> int | None:
    """`AWS_MAX_ATTEMPTS`, None where it is not set. Raises Misconfigured."""
    text = environ.get("AWS_MAX_ATTEMPTS", "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 100):
        raise Misconfigured(f"AWS_MAX_ATTEMPTS must be a number from 1 to 99, not {text!r}", what="AWS_MAX_ATTEMPTS")
    return int(text)
