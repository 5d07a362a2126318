"""How many invocations may run at a time, and how many a second: the account's limit, reserves, and who is refused why.

Pure but for the time, which it is told. Knows no environment.
Sources: https://docs.aws.amazon.com/lambda/latest/dg/lambda-concurrency.html, gettingstarted-limits.html
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Final

from localcloud.compute.versions import FunctionRecord
from localcloud.services.lambda_.errors import LambdaError, refused, throttled

__all__ = ["ACCOUNT_CONCURRENCY", "Admission", "check_provision", "check_reserve", "unreserved"]

ACCOUNT_CONCURRENCY: Final = 1000  # gettingstarted-limits: default concurrent executions
LEAST_UNRESERVED: Final = 100  # configuration-concurrency: what stays for functions without a reserve
RATE: Final = 10  # gettingstarted-limits: invocation requests a second, times the concurrency
_UNPUBLISHED: Final = "Provisioned Concurrency Configs cannot be applied to unpublished function versions."


class _Bucket:
    """As many as `rate` at once, and as many again each second."""

    def __init__(self, rate: float, now_s: float) -> None:
        self.rate = rate
        self._left = rate
        self._at_s = now_s

    def take(self, now_s: float) -> float:
        """0.0 where there was one to take; else how many seconds there will be none."""
        self._left = min(self.rate, self._left + (now_s - self._at_s) * self.rate)
        self._at_s = now_s
        if self._left < 1:
            return (1 - self._left) / self.rate
        self._left -= 1
        return 0.0


class Admission:
    """Lets invocations in, or raises the throttle that Lambda gives. `now_s` is the loop's time."""

    def __init__(self, records: Mapping[str, FunctionRecord]) -> None:
        self._records = records
        self._rates: dict[str, _Bucket] = {}

    def admit(self, record: FunctionRecord, now_s: float, *, counts_rate: bool) -> None:
        """Raises LambdaError TooManyRequestsException with its reason.

        `counts_rate`: requests a second are limited for synchronous invocations only.
        """
        reserved = record.spec.reserved_concurrency
        if reserved is not None:
            if record.on_demand >= reserved - record.provisioned:
                raise throttled("ReservedFunctionConcurrentInvocationLimitExceeded")
            self._limit_rate(record.spec.name, reserved, now_s, counts_rate=counts_rate)
            return
        others = [other for other in self._records.values() if other.spec.reserved_concurrency is None]
        if sum(other.on_demand for other in others) >= unreserved(self._records.values()):
            raise throttled("ConcurrentInvocationLimitExceeded")
        self._limit_rate("", ACCOUNT_CONCURRENCY, now_s, counts_rate=counts_rate)

    def _limit_rate(self, name: str, concurrency: int, now_s: float, *, counts_rate: bool) -> None:
        if not counts_rate:
            return
        bucket = self._rates.get(name)
        if bucket is None or bucket.rate != concurrency * RATE:
            bucket = self._rates[name] = _Bucket(concurrency * RATE, now_s)
        wait_s = bucket.take(now_s)
        if wait_s:
            reason = "ReservedFunctionInvocationRateLimitExceeded" if name else "FunctionInvocationRateLimitExceeded"
            raise throttled(reason, after_s=math.ceil(wait_s))


def unreserved(records: Iterable[FunctionRecord]) -> int:
    """What the account has for functions without a reserve, less what is provisioned of those."""
    return ACCOUNT_CONCURRENCY - sum(_held(record) for record in records)


def _held(record: FunctionRecord) -> int:
    reserved = record.spec.reserved_concurrency
    return record.provisioned if reserved is None else reserved


def check_reserve(record: FunctionRecord | None, count: int, records: Iterable[FunctionRecord]) -> None:
    """Whether a function, None for one that is yet to be made, may reserve `count`. Raises LambdaError."""
    held, provisioned = (_held(record), record.provisioned) if record is not None else (0, 0)
    if unreserved(records) + held - count < LEAST_UNRESERVED:
        raise refused(
            "Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution "
            f"below its minimum value of [{LEAST_UNRESERVED}]."
        )
    if count < provisioned:
        raise refused(
            f"ReservedConcurrentExecutions {count} should not be lower than function's total provisioned concurrency "
            f"[{provisioned}]."
        )


def check_provision(record: FunctionRecord, qualifier: str, count: int, *, records: Iterable[FunctionRecord]) -> None:
    """Whether `count` may be provisioned for a version or alias that is there. Raises LambdaError."""
    alias = record.aliases.get(qualifier)
    if qualifier == "$LATEST" or (alias is not None and alias.version == "$LATEST"):
        raise refused(_UNPUBLISHED)
    _check_apart(record, qualifier)
    current = record.provisions.get(qualifier)
    more = count - (current.requested if current is not None else 0)
    reserved = record.spec.reserved_concurrency
    if reserved is not None:
        if record.provisioned + more > reserved:
            raise refused(
                "Requested Provisioned Concurrency should not be greater than the reservedConcurrentExecution for "
                "function"
            )
        return
    if unreserved(records) - more < LEAST_UNRESERVED:
        raise refused(
            "Specified ConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its "
            f"minimum value of [{LEAST_UNRESERVED}]."
        )


def _check_apart(record: FunctionRecord, qualifier: str) -> None:
    """A version and an alias that points at it have not both provisioned concurrency."""
    alias = record.aliases.get(qualifier)
    if alias is not None and any(version in record.provisions for version in (alias.version, *alias.weights)):
        text = "Alias can't be used for Provisioned Concurrency configuration on an already Provisioned version"
        raise LambdaError("ResourceConflictException", text, 409)
    pointing = (record.aliases[name] for name in record.provisions if name in record.aliases)
    if alias is None and any(qualifier == each.version or qualifier in each.weights for each in pointing):
        text = "Version is pointed by a Provisioned Concurrency alias"
        raise LambdaError("ResourceConflictException", text, 409)
