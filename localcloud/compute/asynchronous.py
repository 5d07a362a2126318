"""Asynchronous invocations: tried again, given up in the end, and what is told of that, to whom.

Owns the order of attempts, the event's age, and what becomes of it: a record to the on-success or on-failure
destination, the event itself to the dead-letter queue, a line in the function's log, metrics. Knows no service: what
reaches queues and topics is given to it.
Sources: https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html,
https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, Protocol

from localcloud.clock import Clock
from localcloud.compute.environment import Outcome, Request
from localcloud.compute.function import LATEST, FunctionSpec
from localcloud.compute.invocation_records import Given, Letter, make_letter, make_record
from localcloud.compute.recursion import CONDITION, DROPPED
from localcloud.compute.trace import LambdaSpans
from localcloud.compute.versions import AsyncSettings, FunctionRecord, Target
from localcloud.services.lambda_.errors import LambdaError
from localcloud.services.logs.model import Logs

__all__ = ["DROPPED_STREAM", "MAX_EVENT_AGE_S", "AsyncInvocations", "Attempt", "MetricSink", "Outlets", "Queued"]

_LOG = logging.getLogger(__name__)

MAX_EVENT_AGE_S: Final = 6 * 3600  # invocation-async-error-handling: 6 hours
MAX_RETRIES: Final = 2  # the same
RETRY_WAITS_S: Final = (60.0, 120.0)  # the same: one minute, then two
THROTTLE_WAITS_S: Final = (1.0, 300.0)  # the same: from 1 second to 5 minutes
DROPPED_STREAM: Final = "dropped-events"
_NOT_FOUND: Final = 404
_THROTTLED: Final = 429


class MetricSink(Protocol):
    """Where metrics go: CloudWatch's own `Metrics` is one."""

    def put(self, namespace: str, name: str, value: float, *, dimensions: Mapping[str, str], unit: str) -> None:
        """One value, measured now."""
        ...


class Outlets(Protocol):
    """Where records and events go. Both raise what keeps them from arriving."""

    async def send_record(self, arn: str, record: bytes, *, spec: FunctionSpec, given: Given) -> None:
        """Tell a destination of an event, by the role of the function."""
        ...

    async def send_letter(self, arn: str, letter: Letter, *, spec: FunctionSpec) -> None:
        """Put an event into the dead-letter queue or topic, by the role of the function."""
        ...


@dataclass(frozen=True, slots=True)
class Queued:
    """An event. `qualifier` "" where the caller named none. `is_recursive`: it is of a chain that ends with it."""

    record: FunctionRecord
    qualifier: str
    request: Request
    is_recursive: bool = False


@dataclass(frozen=True, slots=True)
class Attempt:
    """What one attempt reached, and what came of it; `error` where the function was not run."""

    spec: FunctionSpec
    outcome: Outcome | None = None
    error: Exception | None = None


class _Given(Exception):
    """The event is given up, for this reason."""

    def __init__(self, condition: str) -> None:
        super().__init__(condition)
        self.condition = condition


@dataclass(slots=True)
class _Course:
    """What has been tried of one event."""

    began: float
    failures: int = 0
    throttles: int = 0
    runs: int = 0
    last: Attempt | None = None

    @property
    def attempts(self) -> int:
        """The number of the attempt that comes next."""
        return 1 + self.failures + self.throttles


class AsyncInvocations:
    """Carries events. `attempt` runs one; `outlets` may come later than the first event, without them nothing is told.

    `metrics` as well: AsyncEventsReceived, AsyncEventAge, AsyncEventsDropped, DeadLetterErrors,
    DestinationDeliveryFailures, in AWS/Lambda.
    """

    def __init__(
        self,
        attempt: Callable[[Queued, Request], Awaitable[Attempt]],
        resolve: Callable[[Queued], Target],
        *,
        clock: Clock,
        logs: Logs,
        spans: LambdaSpans,
    ) -> None:
        self._attempt = attempt
        self._resolve = resolve
        self._clock = clock
        self._logs = logs
        self._spans = spans
        self.outlets: Outlets | None = None
        self.metrics: MetricSink | None = None

    async def deliver(self, queued: Queued) -> None:
        """Try an event until it succeeds, has failed too often, or is too old; and tell what became of it."""
        self._measure(queued.record.spec, "AsyncEventsReceived", 1)
        course = _Course(asyncio.get_running_loop().time())
        try:
            await self._try(queued, course)
        except _Given as given:
            await self._give_up(queued, course.last, Given(given.condition, course.runs))
        else:
            await self._tell(queued, course.last, Given("Success", course.runs))

    async def drop(self, queued: Queued) -> None:
        """Tell of an event that a mapping brought and that was not run, for its chain has no end."""
        await self._hand_over(queued, None, Given(CONDITION, 0))

    def count_dropped(self, queued: Queued) -> None:
        """Say aloud that a chain was ended."""
        _LOG.warning("lambda.recursion_stopped %s", queued.record.spec.name)
        self._measure(queued.record.spec, DROPPED, 1)

    async def _try(self, queued: Queued, course: _Course) -> None:
        """Come back when the function has taken the event. Raises _Given."""
        if queued.is_recursive:
            raise _Given(CONDITION)
        loop = asyncio.get_running_loop()
        spec = queued.record.spec
        attempt, waiting = self._spans.begin_waiting(spec, queued.request, attempt=1)
        while True:
            self._spans.end_waiting(waiting)
            if queued.record.spec.reserved_concurrency == 0:
                raise _Given("ZeroReservedConcurrency")
            self._measure(spec, "AsyncEventAge", (loop.time() - course.began) * 1000, unit="Milliseconds")
            course.last = await self._attempt(queued, attempt)
            wait_s = self._weigh(queued, course.last, course)
            if wait_s is None:
                return
            if loop.time() + wait_s > course.began + (self._settings(queued).max_age_s or MAX_EVENT_AGE_S):
                raise _Given("EventAgeExceeded")
            attempt, waiting = self._spans.begin_waiting(spec, queued.request, attempt=course.attempts)
            await asyncio.sleep(wait_s)

    def _settings(self, queued: Queued) -> AsyncSettings:
        return queued.record.settings.get(queued.qualifier or LATEST, AsyncSettings())

    def _weigh(self, queued: Queued, last: Attempt, course: _Course) -> float | None:
        """How long to wait for the next attempt, None where this one was the last. Raises _Given."""
        if last.error is not None:
            if not isinstance(last.error, LambdaError):
                raise _Given(f"{type(last.error).__name__}: {last.error}")
            if last.error.status == _NOT_FOUND:
                raise _Given("FunctionNotFound")
            wait_s = min(THROTTLE_WAITS_S[0] * 2**course.throttles, THROTTLE_WAITS_S[1])
            course.throttles += 1
            return wait_s
        course.runs += 1
        if last.outcome is None or not last.outcome.error_type:
            return None
        retries = self._settings(queued).max_retries
        if course.failures >= (MAX_RETRIES if retries is None else retries):
            raise _Given("RetriesExhausted")
        course.failures += 1
        return RETRY_WAITS_S[course.failures - 1]

    async def _give_up(self, queued: Queued, last: Attempt | None, given: Given) -> None:
        spec, request = self._spec(queued, last), queued.request
        dropped = {"type": "event.dropped", "requestId": request.request_id, "condition": given.condition}
        self._logs.append(spec.group, DROPPED_STREAM, json.dumps(dropped))
        self._measure(spec, "AsyncEventsDropped", 1)
        await self._hand_over(queued, last, given)

    async def _hand_over(self, queued: Queued, last: Attempt | None, given: Given) -> None:
        """Give what was given up to the on-failure destination and to the dead letters."""
        spec, outlets = self._spec(queued, last), self.outlets
        await self._tell(queued, last, given)
        if not spec.dead_letter_arn or outlets is None:
            return
        letter = make_letter(queued.request, last.outcome if last is not None else None, given)
        await self._reach(
            outlets.send_letter(spec.dead_letter_arn, letter, spec=spec),
            spec=spec,
            arn=spec.dead_letter_arn,
            metric="DeadLetterErrors",
        )

    async def _tell(self, queued: Queued, last: Attempt | None, given: Given) -> None:
        settings, outlets = self._settings(queued), self.outlets
        arn = settings.on_success if given.is_success else settings.on_failure
        if not arn or outlets is None:
            return
        spec = self._spec(queued, last)
        given = replace(
            given,
            function_arn=f"{spec.arn}:{queued.qualifier or LATEST}",
            at_s=self._clock.time(),
            trace_header=queued.request.trace_header,
        )
        outcome = last.outcome if last is not None else None
        record = make_record(queued.request, spec, outcome, given=given)
        await self._reach(
            outlets.send_record(arn, record, spec=spec, given=given),
            spec=spec,
            arn=arn,
            metric="DestinationDeliveryFailures",
        )

    async def _reach(self, sending: Awaitable[None], *, spec: FunctionSpec, arn: str, metric: str) -> None:
        """A delivery that fails is said aloud, in the function's log and as a metric, and is not tried again."""
        try:
            await sending
        except Exception as error:  # noqa: BLE001 - whatever a service answers, the event is settled
            _LOG.warning("lambda.undelivered %s %s", metric, arn)
            failed = {"type": "event.undelivered", "metric": metric, "destination": arn, "reason": str(error)[:500]}
            self._logs.append(spec.group, DROPPED_STREAM, json.dumps(failed))
            self._measure(spec, metric, 1)

    def _spec(self, queued: Queued, last: Attempt | None) -> FunctionSpec:
        if last is not None:
            return last.spec
        try:
            return self._resolve(queued).version.spec
        except LambdaError:
            return queued.record.spec

    def _measure(self, spec: FunctionSpec, name: str, value: float, *, unit: str = "Count") -> None:
        if self.metrics is None:
            return
        try:
            self.metrics.put("AWS/Lambda", name, value, dimensions={"FunctionName": spec.name}, unit=unit)
        except Exception:  # noqa: BLE001 - what goes wrong with a metric costs no event anything
            _LOG.exception("lambda.metric_failed")
