"""All functions of one Region: which there are, and how they are invoked.

Synchronous invocations wait for the answer; asynchronous ones are queued (see `asynchronous`). What a function's
versions and aliases are is for `versions`, who may run when for `concurrency`. Knows no process (see `environment`) and
no wire (see `services.lambda_`).
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from localcloud.clock import Clock
from localcloud.compute.asynchronous import DROPPED_STREAM, AsyncInvocations, Attempt, MetricSink, Outlets, Queued
from localcloud.compute.concurrency import Admission
from localcloud.compute.environment import EnvironmentEnded, ExecutionEnvironment, Outcome, Request
from localcloud.compute.function import LATEST, PROVISIONED, FunctionSpec, parse_reference
from localcloud.compute.metering import Course, FunctionMeters
from localcloud.compute.pool import Pool
from localcloud.compute.provisioned import ReadyPool
from localcloud.compute.recursion import MAX_TIMES, TERMINATE, enter, stopped
from localcloud.compute.streamed import StreamedInvocation
from localcloud.compute.trace import LambdaSpans, complete_trace_header
from localcloud.compute.versions import FunctionRecord, Target
from localcloud.json_text import MalformedJson, parse_json
from localcloud.services.lambda_.errors import (
    LambdaError,
    bad_content,
    no_such_function,
    service_failed,
    too_large,
)
from localcloud.services.logs.model import Logs
from localcloud.traces.recorder import Recorder, Span

__all__ = ["DROPPED_STREAM", "Functions", "InvokeResult"]

MAX_SYNC_BYTES: Final = 6 * 1024 * 1024  # gettingstarted-limits: invocation payload, synchronous
MAX_ASYNC_BYTES: Final = 1024 * 1024  # gettingstarted-limits: invocation payload, asynchronous
_LOG: Final = logging.getLogger(__name__)
BROKEN_OFF: Final = "The local cloud ends."

Launch = Callable[[FunctionSpec], ExecutionEnvironment]


@dataclass(frozen=True, slots=True)
class InvokeResult:
    """What Invoke answers. `function_error` is "Unhandled" or ""; `error_type` says which, for those who ask inside."""

    status: int
    payload: bytes = b""
    function_error: str = ""
    log_tail: bytes = b""
    version: str = LATEST
    error_type: str = ""
    request_id: str = ""


class Functions:
    """The registry. `starts` bounds how many processes start at once; one event loop; `close()` before `group` ends."""

    def __init__(  # noqa: PLR0913 - what a registry is made of, all keyword-only but one
        self,
        launch: Launch,
        *,
        group: asyncio.TaskGroup,
        clock: Clock,
        logs: Logs,
        rng: random.Random,
        starts: int = 4,
        recorder: Recorder | None = None,
    ) -> None:
        self._launch = launch
        self._group = group
        self._clock = clock
        self._logs = logs
        self._rng = rng
        self._spans = LambdaSpans(recorder)
        self._starts = asyncio.Semaphore(starts)
        self._records: dict[str, FunctionRecord] = {}
        self._admission = Admission(self._records)
        self._events = AsyncInvocations(self._attempt, self._target, clock=clock, logs=logs, spans=self._spans)
        self._publish: Callable[[FunctionRecord], Awaitable[bool]] | None = None
        self._retired: list[Pool] = []
        self._queued: set[asyncio.Task[None]] = set()
        self.meters: FunctionMeters | None = None

    # ------------------------------------------------------------------ registry

    @property
    def records(self) -> Mapping[str, FunctionRecord]:
        """Every function with its versions and aliases, by name."""
        return self._records

    def connect(
        self,
        outlets: Outlets,
        metrics: MetricSink | None = None,
        publish: Callable[[FunctionRecord], Awaitable[bool]] | None = None,
    ) -> None:
        """Tell destinations and dead-letter queues of asynchronous invocations from now on, and measure them.

        `publish`: what publishes code that was edited, for aliases that follow it; whether there was a new version.
        """
        self._events.outlets, self._events.metrics, self._publish = outlets, metrics, publish

    def add(self, spec: FunctionSpec) -> None:
        """Make a function, or replace its configuration: what runs ends well, no old environment is used again.

        A change that keeps the revision is one of the code where it lies: aliases that follow it get a new version.
        """
        known = self._records.get(spec.name)
        if known is not None:
            is_edited = spec.revision_id == known.spec.revision_id
            self._retire(known.change(spec))
            if is_edited and known.following:
                self._queue(self._follow(known))
        else:
            self._records[spec.name] = FunctionRecord(spec, self._pool, self._make_ready)

    async def _follow(self, record: FunctionRecord) -> None:
        publish = self._publish
        try:
            if publish is not None and not await publish(record):
                self.renew(record.spec.name)  # a layer that is used where it lies
        except (LambdaError, OSError) as error:
            _LOG.warning("lambda.not_followed %s %s", record.spec.name, error)

    def renew(self, name: str) -> None:
        """Let no environment of a function be used again: what runs ends well, the next invocation starts another."""
        for pool in self._records[name].renew():
            self._retire(pool)

    async def remove(self, name: str) -> None:
        """Unmake a function, its versions too, and stop its environments; nothing where there is none."""
        known = self._records.pop(name, None)
        if known is not None:
            await known.close()

    def list(self) -> tuple[FunctionSpec, ...]:
        """Every function, by name."""
        return tuple(self._records[name].spec for name in sorted(self._records))

    def get(self, name_or_arn: str, *, qualifier: str = "") -> FunctionSpec:
        """The function so named, or its version, or the version of its alias. Raises as `find` does."""
        record, wanted = self.find(name_or_arn, qualifier=qualifier)
        return record.describe(wanted)

    def find(self, name_or_arn: str, *, qualifier: str = "") -> tuple[FunctionRecord, str]:
        """The function so named, and the qualifier, "" where there is none: it may name nothing.

        Raises LambdaError ResourceNotFoundException where there is no such function.
        """
        reference = parse_reference(name_or_arn)
        record = self._records.get(reference.name) if reference is not None else None
        if reference is None or record is None or reference.region not in {"", record.spec.region}:
            raise no_such_function(f"{name_or_arn}:{qualifier}" if qualifier else name_or_arn)
        return record, qualifier or reference.qualifier

    def environments(self, name: str) -> int:
        """How many environments a function has now, those of its versions too."""
        return sum(pool.size for pool in self._records[name].pools())

    async def close(self) -> None:
        """Drop what is queued and stop every environment."""
        for task in self._queued:
            task.cancel()
        for pool in self._retired:
            await pool.close()
        for record in self._records.values():
            await record.close()

    # ------------------------------------------------------------------ invoke

    async def invoke(  # noqa: PLR0913 - the members of an Invoke request, all keyword-only but two
        self,
        name_or_arn: str,
        payload: bytes,
        *,
        invocation_type: str = "RequestResponse",
        log_tail: bool = False,
        client_context: str = "",
        trace_header: str = "",
        batch: tuple[str, ...] = (),
        qualifier: str = "",
    ) -> InvokeResult:
        """Invoke a function: `RequestResponse`, `Event` (queued, status 202) or `DryRun` (status 204).

        `batch`: the trace headers of the messages that the payload holds, "" for those without; the invocation has the
        first one's trace where the caller names none.
        Safe to cancel: a caller that goes away leaves the invocation running, as on Lambda.
        Raises LambdaError: ResourceNotFound, TooManyRequests, RequestTooLarge, InvalidRequestContent,
        RecursiveInvocation.
        """
        target = self._resolve(name_or_arn, qualifier)
        _check_payload(payload, MAX_ASYNC_BYTES if invocation_type == "Event" else MAX_SYNC_BYTES)
        if invocation_type == "DryRun":
            return InvokeResult(204)
        trace, is_recursive = self._trace(target, trace_header or next(filter(None, batch), ""), batch)
        request = Request(
            request_id=self._new_id(),
            payload=payload or b"{}",
            trace_header=trace,
            client_context=client_context,
            function_arn=target.arn,
            batch=batch,
        )
        named = target.qualifier if target.arn != target.record.spec.arn else ""
        queued = Queued(target.record, named, request, is_recursive)
        if is_recursive:
            self._events.count_dropped(queued)
        if invocation_type == "Event":
            self._queue(self._events.deliver(queued))
            return InvokeResult(202)
        if is_recursive:
            if batch:  # a mapping's caller hears of it when it is too late: the event goes where given up ones go
                self._queue(self._events.drop(queued))
            raise stopped(target.record.spec.arn)
        outcome = await self._run(target, request)
        return _result(outcome, request.request_id, target.version.spec.version, log_tail=log_tail)

    async def invoke_stream(
        self,
        name_or_arn: str,
        payload: bytes,
        *,
        client_context: str = "",
        trace_header: str = "",
        qualifier: str = "",
    ) -> StreamedInvocation:
        """Invoke a function and give its response from the first byte; the caller owes the answer a `leave()`.

        Returns when the response begins or the invocation has ended without one. Raises as `invoke` does.
        """
        target = self._resolve(name_or_arn, qualifier)
        _check_payload(payload, MAX_SYNC_BYTES)
        streamed = StreamedInvocation(version=target.version.spec.version)
        trace, is_recursive = self._trace(target, trace_header)
        request = Request(
            request_id=self._new_id(),
            payload=payload or b"{}",
            trace_header=trace,
            client_context=client_context,
            function_arn=target.arn,
            on_stream=streamed.take,
        )
        if is_recursive:
            self._events.count_dropped(Queued(target.record, "", request))
            raise stopped(target.record.spec.arn)
        await streamed.begin(self._start(target, request))
        return streamed

    async def _run(self, target: Target, request: Request, *, counts_rate: bool = True) -> Outcome:
        outcome = await asyncio.shield(self._start(target, request, counts_rate=counts_rate))
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def _start(
        self, target: Target, request: Request, *, counts_rate: bool = True
    ) -> asyncio.Task[Outcome | Exception]:
        """Begin an invocation, in a provisioned environment where one is free. Raises LambdaError throttles."""
        record, ready = target.record, target.ready
        traced, span = self._spans.begin(target.version.spec, request)
        environment = ready.take() if ready is not None else None
        meters = self.meters
        if ready is not None and environment is not None:
            course = meters.begin(target, ready=True) if meters is not None else None
            run = partial(_run_in, ready, environment, traced, otherwise=target.version.pool)
            return self._group.create_task(self._guard(run, span, course))
        try:
            self._admission.admit(record, asyncio.get_running_loop().time(), counts_rate=counts_rate)
        except LambdaError as error:
            self._spans.end(span, error)
            if meters is not None:
                meters.refuse(target)
            raise
        record.on_demand += 1
        course = meters.begin(target) if meters is not None else None
        return self._group.create_task(self._guard(lambda: _run_on_demand(target, traced), span, course))

    async def _guard(
        self, run: Callable[[], Awaitable[Outcome]], span: Span | None, course: Course | None
    ) -> Outcome | Exception:
        """Whatever goes wrong belongs to this invocation, never to the group."""
        result: Outcome | Exception = service_failed(BROKEN_OFF)
        try:
            result = await run()
        except Exception as error:  # noqa: BLE001 - the edge: the caller gets it
            result = error
        finally:
            self._spans.end(span, result)
            if course is not None:
                course.end(result)
        return result

    # ------------------------------------------------------------------ asynchronous

    def _queue(self, delivery: Coroutine[Any, Any, None]) -> None:
        task = self._group.create_task(delivery)
        self._queued.add(task)
        task.add_done_callback(self._queued.discard)

    async def _attempt(self, queued: Queued, request: Request) -> Attempt:
        """Run an event once. An alias is asked anew each time: it may point elsewhere by then."""
        spec = queued.record.spec
        try:
            target = self._target(queued)
            spec = target.version.spec
            return Attempt(spec, await self._run(target, request, counts_rate=False))
        except Exception as error:  # noqa: BLE001 - the edge of a queued event
            return Attempt(spec, error=error)

    def _target(self, queued: Queued) -> Target:
        if self._records.get(queued.record.spec.name) is not queued.record:
            raise no_such_function(queued.record.spec.arn)
        return queued.record.resolve(queued.qualifier, self._rng)

    # ------------------------------------------------------------------ inside

    def _trace(self, target: Target, given: str, batch: tuple[str, ...] = ()) -> tuple[str, bool]:
        """The trace header of an invocation, and whether it is one too many of a chain."""
        sampled = target.version.spec.tracing
        trace = complete_trace_header(given, sampled=sampled, clock=self._clock, rng=self._rng)
        traced, times = enter(trace, batch, target.record.spec.arn)
        return traced, times >= MAX_TIMES and target.record.recursive_loop == TERMINATE

    def _resolve(self, name_or_arn: str, qualifier: str) -> Target:
        record, wanted = self.find(name_or_arn, qualifier=qualifier)
        return record.resolve(wanted, self._rng)

    def _make_ready(self, spec: FunctionSpec, count: int) -> ReadyPool:
        provisioned = replace(spec, initialization_type=PROVISIONED)
        return ReadyPool(lambda: self._launch(provisioned), count, starts=self._starts, group=self._group)

    def _pool(self, spec: FunctionSpec) -> Pool:
        return Pool(lambda: self._launch(spec), starts=self._starts, group=self._group)

    def _retire(self, pool: Pool) -> None:
        pool.retire()
        self._retired = [*(each for each in self._retired if each.size), pool]

    def _new_id(self) -> str:
        text = f"{self._rng.getrandbits(128):032x}"
        return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}"


async def _run_on_demand(target: Target, request: Request) -> Outcome:
    try:
        return await target.version.pool.run(request)
    finally:
        target.record.on_demand -= 1


async def _run_in(ready: ReadyPool, environment: ExecutionEnvironment, request: Request, *, otherwise: Pool) -> Outcome:
    try:
        return await environment.invoke(request)
    except EnvironmentEnded:
        return await otherwise.run(request)
    finally:
        ready.give(environment)


def _check_payload(payload: bytes, limit_bytes: int) -> None:
    if len(payload) > limit_bytes:
        raise too_large(limit_bytes)
    try:
        if payload:
            parse_json(payload)
    except MalformedJson as error:
        raise bad_content(str(error)) from None


def _result(outcome: Outcome, request_id: str, version: str, *, log_tail: bool) -> InvokeResult:
    return InvokeResult(
        status=200,
        payload=outcome.payload,
        function_error="Unhandled" if outcome.error_type else "",
        log_tail=outcome.log_tail if log_tail else b"",
        version=version,
        error_type=outcome.error_type,
        request_id=request_id,
    )
