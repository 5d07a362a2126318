"""API keys and usage plans: which key may call which stage, how fast and how often. Pure; the caller brings the time.

A plan's limits count for each of its keys by itself. A quota's period begins at midnight UTC: every day, on the day of
the week that its offset names (0 is Sunday), or on that day of the month (0 is the first).
Sources: https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-api-usage-plans.html
and https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/aws-properties-apigateway-usageplan-quotasettings.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from localcloud.gateway.errors import GatewayError
from localcloud.gateway.throttle import TokenBucket

__all__ = ["PERIODS", "ApiKey", "Call", "PlanStage", "Quota", "Rate", "UsagePlan", "UsagePlans"]

PERIODS: Final[Mapping[str, int]] = {"DAY": 0, "WEEK": 6, "MONTH": 27}
"""The highest offset of each period."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """One key; `value` is what clients send."""

    id: str
    name: str
    value: str
    enabled: bool = False


@dataclass(frozen=True, slots=True)
class Rate:
    """`rate` requests a second, `burst` at once."""

    rate: float
    burst: float


@dataclass(frozen=True, slots=True)
class Quota:
    """`limit` requests a `period` (DAY, WEEK, MONTH)."""

    limit: int
    period: str
    offset: int = 0

    def start(self, now_s: float) -> datetime:
        """When the period that `now_s` (epoch seconds) is in began."""
        midnight = datetime.fromtimestamp(now_s, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        if self.period == "DAY":
            return midnight
        if self.period == "WEEK":
            return midnight - timedelta(days=(midnight.isoweekday() - self.offset) % 7)
        first = self.offset + 1
        if midnight.day >= first:
            return midnight.replace(day=first)
        return (midnight.replace(day=1) - timedelta(days=1)).replace(day=first)


@dataclass(frozen=True, slots=True)
class PlanStage:
    """A stage of a plan. `rates`: the limits of single methods, by resource path and method, instead of the plan's."""

    api_id: str
    stage: str
    rates: Mapping[tuple[str, str], Rate] = field(default_factory=dict[tuple[str, str], Rate])


@dataclass(frozen=True, slots=True)
class UsagePlan:
    """One plan; None is no limit of its own."""

    id: str
    name: str
    stages: tuple[PlanStage, ...] = ()
    rate: Rate | None = None
    quota: Quota | None = None

    def find(self, api_id: str, stage: str) -> PlanStage | None:
        """Its entry for a stage."""
        return next((each for each in self.stages if (each.api_id, each.stage) == (api_id, stage)), None)


@dataclass(frozen=True, slots=True)
class Call:
    """A request that needs a key: `path` and `method` are those of the definition."""

    api_id: str
    stage: str
    path: str
    method: str


@dataclass(slots=True)
class _Used:
    since: datetime
    count: int = 0


class UsagePlans:
    """The keys and plans of one account in one Region."""

    def __init__(self) -> None:
        self._keys: dict[str, ApiKey] = {}
        self._plans: dict[str, UsagePlan] = {}
        self._members: dict[str, list[str]] = {}  # plan id -> key ids
        self._buckets: dict[tuple[str, str, str, str], TokenBucket] = {}
        self._used: dict[tuple[str, str], _Used] = {}

    @property
    def keys(self) -> Mapping[str, ApiKey]:
        """The keys by id."""
        return self._keys

    @property
    def plans(self) -> Mapping[str, UsagePlan]:
        """The plans by id."""
        return self._plans

    def members(self, plan_id: str) -> tuple[ApiKey, ...]:
        """The keys of a plan."""
        return tuple(self._keys[each] for each in self._members.get(plan_id, ()) if each in self._keys)

    def add_key(self, key: ApiKey) -> None:
        """Know a key. Raises ValueError where another has its value."""
        if any(each.value == key.value for each in self._keys.values()):
            raise ValueError("API Key already exists")
        self._keys[key.id] = key

    def remove_key(self, key_id: str) -> None:
        """Forget a key."""
        self._keys.pop(key_id, None)
        for plan_id in self._plans:
            self.detach(plan_id, key_id)

    def add_plan(self, plan: UsagePlan) -> None:
        """Know a plan."""
        self._plans[plan.id] = plan

    def remove_plan(self, plan_id: str) -> None:
        """Forget a plan and what its keys have used."""
        for key_id in list(self._members.get(plan_id, ())):
            self.detach(plan_id, key_id)
        self._plans.pop(plan_id, None)

    def attach(self, plan_id: str, key_id: str) -> None:
        """Put a key into a plan. Raises ValueError where it has a plan of one of its stages: which would count?"""
        plan = self._plans[plan_id]
        for other_id, key_ids in self._members.items():
            if key_id not in key_ids:
                continue
            other = self._plans[other_id]
            shared = next((each for each in plan.stages if other.find(each.api_id, each.stage) is not None), None)
            if other_id == plan_id or shared is not None:
                raise ValueError(f"the key is in the usage plan {other.name or other_id} of the same stage already")
        self._members.setdefault(plan_id, []).append(key_id)

    def detach(self, plan_id: str, key_id: str) -> None:
        """Take a key out of a plan, with what it has used there."""
        if key_id in self._members.get(plan_id, ()):
            self._members[plan_id].remove(key_id)
        self._used.pop((plan_id, key_id), None)
        for bucket in [each for each in self._buckets if each[:2] == (plan_id, key_id)]:
            del self._buckets[bucket]

    def used(self, plan_id: str, key_id: str, *, now_s: float) -> int:
        """How much of the quota's period is used."""
        quota = self._plans[plan_id].quota
        found = self._used.get((plan_id, key_id))
        return found.count if quota is not None and found is not None and found.since == quota.start(now_s) else 0

    def admit(self, value: str, call: Call, *, now_s: float) -> ApiKey:
        """Let a request with this key pass, and count it. Raises GatewayError.

        A request that is throttled uses nothing of the quota.
        """
        key = next((each for each in self._keys.values() if value and each.value == value), None)
        if key is None or not key.enabled:
            raise GatewayError("INVALID_API_KEY", reason="no such API key" if key is None else f"{key.id} is disabled")
        for plan_id, key_ids in self._members.items():
            entry = self._plans[plan_id].find(call.api_id, call.stage) if key.id in key_ids else None
            if entry is not None:
                self._count(self._plans[plan_id], entry, key, call=call, now_s=now_s)
                return key
        raise GatewayError("INVALID_API_KEY", reason=f"{key.id} has no usage plan of {call.api_id}/{call.stage}")

    def _count(self, plan: UsagePlan, entry: PlanStage, key: ApiKey, *, call: Call, now_s: float) -> None:
        used = self._used_now(plan, key, now_s)
        if plan.quota is not None and used.count >= plan.quota.limit:
            raise GatewayError("QUOTA_EXCEEDED", reason=f"{key.id} has used its {plan.quota.limit} of {plan.id}")
        bucket = self._bucket(plan, entry, key, call=call)
        if bucket is not None and not bucket.take(now_s):
            raise GatewayError("THROTTLED", reason=f"{key.id} in {plan.id}")
        used.count += 1

    def _used_now(self, plan: UsagePlan, key: ApiKey, now_s: float) -> _Used:
        since = (plan.quota or Quota(0, "DAY")).start(now_s)
        used = self._used.setdefault((plan.id, key.id), _Used(since))
        if used.since != since:
            used.since, used.count = since, 0
        return used

    def _bucket(self, plan: UsagePlan, entry: PlanStage, key: ApiKey, *, call: Call) -> TokenBucket | None:
        own = entry.rates.get((call.path, call.method))
        rate = own or plan.rate
        if rate is None:
            return None
        path, method = (f"{entry.api_id}/{entry.stage}{call.path}", call.method) if own is not None else ("", "")
        return self._buckets.setdefault((plan.id, key.id, path, method), TokenBucket(rate.rate, rate.burst))
