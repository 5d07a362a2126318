"""Health checks: each one's status from what was seen last, and how those of several go together.

Owns when a status flips; asks nobody. AWS asks from many places, and counts a check as healthy where more than 18% of
them do; here there is one place.
Source: https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/dns-failover-determining-health-of-endpoints.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from localcloud.clock import Clock
from localcloud.services.route53.alarm_data import AlarmDefinition
from localcloud.services.route53.check_config import CALCULATED, LAST_KNOWN, CheckConfig
from localcloud.services.route53.errors import no_such_check

__all__ = ["HealthCheck", "HealthChecks", "Measures", "Outcome", "Seen"]

NAMESPACE: Final = "AWS/Route53"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one look at an endpoint gave. `said` is what a StatusReport says; times in milliseconds, None: not known."""

    ok: bool
    said: str
    connect_ms: float | None = None
    first_byte_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """An outcome and when it was; `at_s` in epoch seconds."""

    ok: bool
    said: str
    at_s: float


@dataclass(slots=True)
class HealthCheck:
    """One check. `passes` is what the looks say, before `inverted` and `disabled`; a new one counts as healthy.

    `run` counts the looks in a row that speak against `passes`. `since_s`: from when on `was` has been its status.
    """

    id: str
    caller_reference: str
    config: CheckConfig
    since_s: float
    version: int = 1
    definition: AlarmDefinition | None = None
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    passes: bool = True
    run: int = 0
    last: Seen | None = None
    last_failure: Seen | None = None
    was: bool = True

    def count(self, *, ok: bool) -> None:
        """Take in one look: as many as the threshold says have to differ in a row."""
        self.run = 0 if ok == self.passes else self.run + 1
        if self.run >= self.config.threshold:
            self.passes, self.run = ok, 0


class Measures(Protocol):
    """Where metrics of health checks go: CloudWatch of us-east-1."""

    def put(self, check_id: str, name: str, value: float, *, unit: str) -> None:
        """One value of namespace AWS/Route53, measured now."""
        ...


class HealthChecks:
    """Every health check of the account. Not for use by several threads.

    `watch` is called with the id of a check that is new, has other settings, or is gone: who looks, has to look again.
    """

    def __init__(self, clock: Clock, measures: Measures) -> None:
        self.clock = clock
        self.watch: Callable[[str], None] = _nobody
        self._measures = measures
        self._checks: dict[str, HealthCheck] = {}

    def add(self, check: HealthCheck) -> None:
        """Know a check from now on."""
        self._checks[check.id] = check
        check.was = self.is_healthy(check.id)
        self.watch(check.id)

    def change(self, check: HealthCheck, config: CheckConfig) -> None:
        """Give a check other settings; what was seen of it stays."""
        check.config = config
        check.version += 1
        check.run = 0
        self._settle()
        self.watch(check.id)

    def remove(self, check_id: str) -> None:
        """Forget a check. Raises Route53Error."""
        del self._checks[self.get(check_id).id]
        self._settle()
        self.watch(check_id)

    def get(self, check_id: str) -> HealthCheck:
        """The check. Raises Route53Error (NoSuchHealthCheck)."""
        found = self._checks.get(check_id)
        if found is None:
            raise no_such_check(check_id)
        return found

    def find(self, check_id: str) -> HealthCheck | None:
        """The check, None where there is none."""
        return self._checks.get(check_id)

    def all(self) -> tuple[HealthCheck, ...]:
        """Every check, by id."""
        return tuple(self._checks[check_id] for check_id in sorted(self._checks))

    def is_healthy(self, check_id: str) -> bool:
        """The status of a check; a record whose check is gone counts as healthy."""
        check = self._checks.get(check_id)
        if check is None:
            return True
        return (check.config.disabled or self._passes(check)) != check.config.inverted

    def healthy_children(self, check: HealthCheck) -> int:
        """How many of a calculated check's children are healthy."""
        return sum(self.is_healthy(child) for child in check.config.children if child in self._checks)

    def see(self, check: HealthCheck, outcome: Outcome) -> None:
        """Take in what a look at an endpoint gave."""
        self._note(check, ok=outcome.ok, said=outcome.said)
        check.count(ok=outcome.ok)
        self._settle()
        self.report(check)
        self._measures.put(check.id, "HealthCheckPercentageHealthy", 100.0 if check.passes else 0.0, unit="Percent")
        if check.config.measures_latency:
            for name, value in (("ConnectionTime", outcome.connect_ms), ("TimeToFirstByte", outcome.first_byte_ms)):
                if value is not None:
                    self._measures.put(check.id, name, value, unit="Milliseconds")

    def judge(self, check: HealthCheck, state: str) -> None:
        """Take in what an alarm's metric says: OK, ALARM or INSUFFICIENT_DATA. A metric needs no threshold."""
        wanted = check.config.insufficient
        if state != "INSUFFICIENT_DATA":
            check.passes = state == "OK"
        elif wanted != LAST_KNOWN:
            check.passes = wanted == "Healthy"
        alarm = check.config.alarm
        name = f"{alarm.name} in {alarm.region}" if alarm is not None else ""
        self._note(check, ok=check.passes, said=f"{'Success' if check.passes else 'Failure'}: {name} is {state}")
        self._settle()
        self.report(check)

    def report(self, check: HealthCheck) -> None:
        """Put the metric of a check's status."""
        self._measures.put(check.id, "HealthCheckStatus", float(self.is_healthy(check.id)), unit="None")
        if check.config.type == CALCULATED:
            count = float(self.healthy_children(check))
            self._measures.put(check.id, "ChildHealthCheckHealthyCount", count, unit="Count")

    def _passes(self, check: HealthCheck) -> bool:
        if check.config.type != CALCULATED:
            return check.passes
        return self.healthy_children(check) >= check.config.health_threshold

    def _note(self, check: HealthCheck, *, ok: bool, said: str) -> None:
        check.last = Seen(ok, said, self.clock.time())
        if not ok:
            check.last_failure = check.last

    def _settle(self) -> None:
        """Remember since when each check has been what it is."""
        for check in self._checks.values():
            is_healthy = self.is_healthy(check.id)
            if is_healthy != check.was:
                check.was, check.since_s = is_healthy, self.clock.time()


def _nobody(_check_id: str) -> None:
    """Nobody looks."""
