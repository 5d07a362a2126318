"""What CloudWatch is told of functions: each invocation, what it took, how many ran at a time, who was refused.

Owns the names, units and dimensions of the namespace AWS/Lambda. An invocation counts under the function, under the
resource that the caller named (function, version or alias), where that is an alias under the version that ran, and over
all functions. Errors, and with them the invocations, bear the date of their beginning.
Sources: https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
and https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-view.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from localcloud.compute.concurrency import ACCOUNT_CONCURRENCY, unreserved
from localcloud.compute.environment import Outcome
from localcloud.compute.versions import FunctionRecord, Target
from localcloud.services.cloudwatch.counting import Counters, Dimensions, Tally

__all__ = ["NAMESPACE", "Course", "FunctionMeters"]

NAMESPACE: Final = "AWS/Lambda"
_Key = tuple[str, str, str]  # function, the ARN that was invoked, version


class _Running:
    """How many invocations run of something, and the tally that is told of it."""

    __slots__ = ("now", "tally")

    def __init__(self, tally: Tally) -> None:
        self.tally = tally
        self.now = 0

    def begin(self) -> None:
        """One more."""
        self.now += 1
        self.tally.note(self.now)

    def sample(self) -> None:
        """Tell of what runs for long."""
        if self.now:
            self.tally.note(self.now)


class _Meter:
    """The tallies of one target."""

    def __init__(self, counters: Counters, target: Target, function: _Running) -> None:
        spec = target.record.spec
        self._counters, self._region = counters, spec.region
        self.function = function
        name, version = spec.name, target.version.spec.version
        qualifier = target.arn[len(spec.arn) + 1 :]
        own = {"FunctionName": name}
        resource = own | {"Resource": f"{name}:{qualifier}" if qualifier else name}
        executed = [resource | {"ExecutedVersion": version}] if qualifier in target.record.aliases else []
        self._resource_sets: list[Dimensions] = [resource, *executed]
        everywhere: list[Dimensions] = [{}, own, resource, *executed]
        self.invocations = self._tally("Invocations", everywhere)
        self.errors = self._tally("Errors", everywhere)
        self.throttles = self._tally("Throttles", everywhere)
        self.duration = self._tally("Duration", everywhere, unit="Milliseconds")
        self.running = _Running(self._tally("ConcurrentExecutions", self._resource_sets))
        self.provisioned = _Running(self._tally("ProvisionedConcurrentExecutions", [own, *self._resource_sets]))
        self.provided = self._tally("ProvisionedConcurrencyInvocations", [own, *self._resource_sets])
        self.spilled = self._tally("ProvisionedConcurrencySpilloverInvocations", [own, *self._resource_sets])
        self.utilization = self._tally("ProvisionedConcurrencyUtilization", self._resource_sets)

    def _tally(self, name: str, sets: list[Dimensions], *, unit: str = "Count") -> Tally:
        return self._counters.tally(NAMESPACE, name, sets, region=self._region, unit=unit)


class Course:
    """One invocation from its beginning to its end."""

    __slots__ = ("_counters", "_meter", "_minute_s", "_running")

    def __init__(self, counters: Counters, meter: _Meter, running: tuple[_Running, ...]) -> None:
        self._counters = counters
        self._meter = meter
        self._minute_s = counters.minute_s
        self._running = running
        for each in running:
            each.begin()

    def end(self, result: Outcome | Exception) -> None:
        """It ended; one that never came to the function's code counts nowhere."""
        for each in self._running:
            each.now -= 1
        if not isinstance(result, Outcome):
            return
        meter = self._meter
        noted = ((meter.invocations, 1.0), (meter.errors, 1.0 if result.error_type else 0.0), (meter.throttles, 0.0))
        if self._minute_s == self._counters.minute_s:
            for tally, value in noted:
                tally.note(value)
        else:
            for tally, value in noted:
                tally.put(value, at_s=self._minute_s)
        meter.duration.note(result.duration_ms)


class FunctionMeters:
    """The meters of all functions of a Region. `records` are the functions."""

    def __init__(self, counters: Counters, records: Mapping[str, FunctionRecord], *, region: str) -> None:
        self._counters = counters
        self._records = records
        self._region = region
        self._meters: dict[_Key, _Meter] = {}
        self._functions: dict[str, _Running] = {}
        self._sinks: dict[tuple[str, ...], Tally] = {}
        self._account = _Running(self._tally("ConcurrentExecutions", [{}]))
        self._unreserved = _Running(self._tally("UnreservedConcurrentExecutions", [{}]))
        self._claimed = self._tally("ClaimedAccountConcurrency", [{}])
        counters.each_minute(self._look)

    def begin(self, target: Target, *, ready: bool = False) -> Course:
        """An invocation begins; `ready`: in an environment that was provisioned."""
        meter = self._meter(target)
        running = (meter.running, meter.function, self._account)
        if ready:
            course = Course(self._counters, meter, (*running, meter.provisioned))
            meter.provided.note(1.0)
            pool = target.ready
            if pool is not None and pool.ready:
                meter.utilization.note((pool.ready - pool.free) / pool.ready)
            return course
        if target.ready is not None:
            meter.spilled.note(1.0)
        if target.record.spec.reserved_concurrency is None:
            running = (*running, self._unreserved)
        return Course(self._counters, meter, running)

    def refuse(self, target: Target) -> None:
        """An invocation was throttled."""
        self._meter(target).throttles.note(1.0)

    def put(self, namespace: str, name: str, value: float, *, dimensions: Dimensions, unit: str) -> None:
        """A `MetricSink` for what is told by name: a value, measured now."""
        key = (namespace, name, *dimensions.values())
        tally = self._sinks.get(key)
        if tally is None:
            sets = [dimensions]
            tally = self._counters.tally(namespace, name, sets, region=self._region, unit=unit)
            self._sinks[key] = tally
        tally.note(value)

    def _meter(self, target: Target) -> _Meter:
        name = target.record.spec.name
        key = (name, target.arn, target.version.spec.version)
        meter = self._meters.get(key)
        if meter is None:
            if name not in self._functions:
                self._functions[name] = _Running(self._tally("ConcurrentExecutions", [{"FunctionName": name}]))
            meter = self._meters[key] = _Meter(self._counters, target, self._functions[name])
        return meter

    def _tally(self, name: str, sets: list[Dimensions]) -> Tally:
        return self._counters.tally(NAMESPACE, name, sets, region=self._region)

    def _look(self) -> None:
        """The end of a minute: what runs on is told again."""
        gone = [key for key in self._functions if key not in self._records]
        for name in gone:
            del self._functions[name]
        for key in [key for key in self._meters if key[0] in gone]:
            del self._meters[key]
        for running in (self._account, self._unreserved, *self._functions.values()):
            running.sample()
        for meter in self._meters.values():
            meter.running.sample()
            meter.provisioned.sample()
        if self._account.now:
            claimed = ACCOUNT_CONCURRENCY - unreserved(self._records.values()) + self._unreserved.now
            self._claimed.note(claimed)
