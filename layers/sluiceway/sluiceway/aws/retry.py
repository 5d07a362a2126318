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

__all__ = ["Cause", "RetryQuota", "choose_pause_s", "classify", "read_advice_s", "read_max_attempts"]

Cause = Literal["transient", "throttling", "contention"]

QUOTA: Final = 500
COST: Final[Mapping[Cause, int]] = {"transient": 14, "throttling": 5, "contention": 0}
THROTTLING_BASE_S: Final = 1.0
MAX_PAUSE_S: Final = 20.0
MAX_ADVICE_S: Final = 5.0  # how much longer than the computed pause a service's advice may make it
MAX_ADVICE_DIGITS: Final = 9  # more is no advice
LONGEST_ADVICE_S: Final = 900.0  # no invocation lives longer, and what comes again later is asked again: Lambda's quota
# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html

TRANSIENT_STATUS: Final = frozenset({500, 502, 503, 504})
TRANSIENT_CODES: Final = frozenset(
    {
        "RequestTimeout",
        "RequestTimeoutException",
        "IDPCommunicationError",  # modelled as retryable by STS
        "InternalError",  # S3 with status 200 and the query protocols
        "ModelNotReadyException",  # modelled as retryable by Bedrock
    }
)
# Modelled as retryable by DynamoDB. The SDKs count it as transient; but another Region that writes the same item is no
# sign of an outage, and 64 writers of one item would spend what all other calls of the client have for their retries.
CONTENTION_CODES: Final = frozenset({"ReplicatedWriteConflictException"})
THROTTLING_CODES: Final = frozenset(
    {
        "BandwidthLimitExceeded",
        "EC2ThrottledException",
        "KMSThrottling",  # as SNS, Kinesis and SQS say it of a key that is asked too often: the SDKs hold it for final
        "KMSThrottlingException",
        "KmsThrottled",
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

    def spend(self, cause: Cause) -> int | None:
        """Take what a retry after `cause` costs; returns it, or None when too little is left and there must be none."""
        cost = COST[cause]
        if cost > self.tokens:
            return None
        self.tokens -= cost
        return cost

    def win_back(self, spent: int) -> None:
        """After a success: what its last retry cost, or 1 where there was none."""
        self.tokens = min(QUOTA, self.tokens + (spent or 1))


def classify(status: int, code: str) -> Cause | None:
    """Why an error answer is worth another attempt; None when it is not."""
    if code in THROTTLING_CODES or status == 429:
        return "throttling"
    if code in CONTENTION_CODES:
        return "contention"
    if status in TRANSIENT_STATUS or code in TRANSIENT_CODES:
        return "transient"
    return None


def choose_pause_s(cause: Cause, retries: int, *, chance: float, base_s: float, advice_s: float | None) -> float:
    """Seconds to wait before the next attempt.

    `retries`: how many there were already. `chance`: 0 to 1. `base_s`: the service's first pause after a transient
    error. `advice_s`: the pause that the service asks for (0 or more), which is heeded within limits.
    """
    base = THROTTLING_BASE_S if cause == "throttling" else base_s
    pause = chance * min(base * 2.0**retries, MAX_PAUSE_S)
    return pause if advice_s is None else max(pause, min(advice_s, pause + MAX_ADVICE_S))


def read_advice_s(headers: Mapping[str, str]) -> float | None:
    """The pause that a service asks for: `x-amz-retry-after` (milliseconds), else `retry-after` (seconds).

    0 to LONGEST_ADVICE_S; None where there is no such header, or no number in it.
    """
    for name, unit_s in (("x-amz-retry-after", 0.001), ("retry-after", 1.0)):
        text = headers.get(name)
        if text is not None:
            plain = text.isascii() and text.isdigit() and len(text) <= MAX_ADVICE_DIGITS
            return min(int(text) * unit_s, LONGEST_ADVICE_S) if plain else None
    return None


def read_max_attempts(environ: Mapping[str, str]) -> int | None:
    """`AWS_MAX_ATTEMPTS`, None where it is not set. Raises Misconfigured."""
    text = environ.get("AWS_MAX_ATTEMPTS", "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 100):
        raise Misconfigured(f"AWS_MAX_ATTEMPTS must be a number from 1 to 99, not {text!r}", what="AWS_MAX_ATTEMPTS")
    return int(text)
