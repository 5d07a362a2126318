"""All functions of one Region: which there are, how they are invoked, and how many at a time.

Synchronous invocations wait for the answer; asynchronous ones are queued, retried twice and then dropped aloud, in the
function's own log. Knows no process (see `environment`) and no wire (see `services.lambda_`).
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final

from localcloud.clock import Clock
from localcloud.compute.environment import ExecutionEnvironment, Outcome, Request
from localcloud.compute.function import LATEST, FunctionSpec, parse_reference
from localcloud.compute.pool import Pool
from localcloud.compute.streamed import StreamedInvocation
from localcloud.compute.trace import LambdaSpans, complete_trace_header
from localcloud.json_text import MalformedJson, parse_json
from localcloud.services.lambda_.errors import (
    LambdaError,
    bad_content,
    no_such_function,
    service_failed,
    throttled,
    too_large,
)
from localcloud.services.logs.model import Logs
from localcloud.traces.recorder import Recorder, Span

__all__ = ["DROPPED_STREAM", "Functions", "InvokeResult"]

ACCOUNT_CONCURRENCY: Final = 1000  # gettingstarted-limits: default concurrent executions
MAX_SYNC_BYTES: Final = 6 * 1024 * 1024  # gettingstarted-limits: invocation payload, synchronous
MAX_ASYNC_BYTES: Final = 1024 * 1024  # gettingstarted-limits: invocation payload, asynchronous
MAX_EVENT_AGE_S: Final = 6 * 3600.0  # invocation-async-error-handling: 6 hours
RETRY_WAITS_S: Final = (60.0, 120.0)  # invocation-async-error-handling: one minute, then two
THROTTLE_WAITS_S: Final = (1.0, 300.0)  # invocation-async-error-handling: from 1 second to 5 minutes
DROPPED_STREAM: Final = "dropped-events"
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


class _Function:
    """A function, its pool and its invocations in flight."""

    def __init__(self, spec: FunctionSpec, pool: Pool) -> None:
        self.spec = spec
        self.pool = pool
        self.in_flight = 0


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
        self._functions: dict[str, _Function] = {}
        self._retired: list[Pool] = []
        self._queued: set[asyncio.Task[None]] = set()

    # ------------------------------------------------------------------ registry

    def add(self, spec: FunctionSpec) -> None:
        """Make a function, or replace its configuration: what runs ends well, no old environment is used again."""
        known = self._functions.get(spec.name)
        if known is not None:
            self._retire(known)
        self._functions[spec.name] = _Function(spec, self._pool(spec))

    def renew(self, name: str) -> None:
        """Let no environment of a function be used again: what runs ends well, the next invocation starts another."""
        known = self._functions[name]
        self._retire(known)
        known.pool = self._pool(known.spec)

    async def remove(self, name: str) -> None:
        """Unmake a function and stop its environments; nothing where there is none."""
        known = self._functions.pop(name, None)
        if known is not None:
            await known.pool.close()

    def list(self) -> tuple[FunctionSpec, ...]:
        """Every function, by name."""
        return tuple(self._functions[name].spec for name in sorted(self._functions))

    def get(self, name_or_arn: str, *, qualifier: str = "") -> FunctionSpec:
        """The function so named. Raises LambdaError ResourceNotFoundException, also for versions and aliases."""
        return self._find(name_or_arn, qualifier).spec

    def environments(self, name: str) -> int:
        """How many environments a function has now."""
        return self._functions[name].pool.size

    async def close(self) -> None:
        """Drop what is queued and stop every environment."""
        for task in self._queued:
            task.cancel()
        for pool in [*self._retired, *(known.pool for known in self._functions.values())]:
            await pool.close()

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
        Raises LambdaError: ResourceNotFound, TooManyRequests, RequestTooLarge, InvalidRequestContent.
        """
        known = self._find(name_or_arn, qualifier)
        _check_payload(payload, MAX_ASYNC_BYTES if invocation_type == "Event" else MAX_SYNC_BYTES)
        if invocation_type == "DryRun":
            return InvokeResult(204)
        given = trace_header or next(filter(None, batch), "")
        trace = complete_trace_header(given, sampled=known.spec.tracing, clock=self._clock, rng=self._rng)
        request = Request(
            request_id=self._new_id(),
            payload=payload or b"{}",
            trace_header=trace,
            client_context=client_context,
            function_arn=known.spec.arn,
            batch=batch,
        )
        if invocation_type == "Event":
            self._queue(self._deliver(known, request))
            return InvokeResult(202)
        return _result(await self._run(known, request), request.request_id, log_tail=log_tail)

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
        known = self._find(name_or_arn, qualifier)
        _check_payload(payload, MAX_SYNC_BYTES)
        streamed = StreamedInvocation()
        request = Request(
            request_id=self._new_id(),
            payload=payload or b"{}",
            trace_header=complete_trace_header(
                trace_header, sampled=known.spec.tracing, clock=self._clock, rng=self._rng
            ),
            client_context=client_context,
            function_arn=known.spec.arn,
            on_stream=streamed.take,
        )
        await streamed.begin(self._start(known, request))
        return streamed

    async def _run(self, known: _Function, request: Request) -> Outcome:
        outcome = await asyncio.shield(self._start(known, request))
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def _start(self, known: _Function, request: Request) -> asyncio.Task[Outcome | Exception]:
        traced, span = self._spans.begin(known.spec, request)
        try:
            self._admit(known)
        except LambdaError as error:
            self._spans.end(span, error)
            raise
        known.in_flight += 1
        return self._group.create_task(self._guard(known, traced, span))

    async def _guard(self, known: _Function, request: Request, span: Span | None) -> Outcome | Exception:
        """Whatever goes wrong belongs to this invocation, never to the group."""
        result: Outcome | Exception = service_failed(BROKEN_OFF)
        try:
            result = await known.pool.run(request)
        except Exception as error:  # noqa: BLE001 - the edge: the caller gets it
            result = error
        finally:
            known.in_flight -= 1
            self._spans.end(span, result)
        return result

    def _admit(self, known: _Function) -> None:
        reserved = known.spec.reserved_concurrency
        if reserved is not None:
            if known.in_flight >= reserved:
                raise throttled("ReservedFunctionConcurrentInvocationLimitExceeded")
            return
        others = self._functions.values()
        free = ACCOUNT_CONCURRENCY - sum(other.spec.reserved_concurrency or 0 for other in others)
        if sum(other.in_flight for other in others if other.spec.reserved_concurrency is None) >= free:
            raise throttled("ConcurrentInvocationLimitExceeded")

    # ------------------------------------------------------------------ asynchronous

    def _queue(self, delivery: Coroutine[Any, Any, None]) -> None:
        task = self._group.create_task(delivery)
        self._queued.add(task)
        task.add_done_callback(self._queued.discard)

    async def _deliver(self, known: _Function, request: Request) -> None:
        """Try an event until it succeeds, has failed three times, or is too old.

        Source: https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
        """
        loop = asyncio.get_running_loop()
        expires = loop.time() + MAX_EVENT_AGE_S
        failures, throttles = 0, 0
        attempt, waiting = self._spans.begin_waiting(known.spec, request, attempt=1)
        while True:
            self._spans.end_waiting(waiting)
            try:
                outcome = await self._run(known, attempt)
            except LambdaError:
                wait_s, throttles = min(THROTTLE_WAITS_S[0] * 2**throttles, THROTTLE_WAITS_S[1]), throttles + 1
            except Exception as error:  # noqa: BLE001 - the edge of a queued event
                return self._drop(known.spec, request, f"{type(error).__name__}: {error}")
            else:
                if not outcome.error_type:
                    return None
                if failures == len(RETRY_WAITS_S):
                    return self._drop(known.spec, request, "RetriesExhausted")
                wait_s, failures = RETRY_WAITS_S[failures], failures + 1
            if loop.time() + wait_s > expires:
                return self._drop(known.spec, request, "EventAgeExceeded")
            attempts = 1 + failures + throttles
            attempt, waiting = self._spans.begin_waiting(known.spec, request, attempt=attempts)
            await asyncio.sleep(wait_s)

    def _drop(self, spec: FunctionSpec, request: Request, condition: str) -> None:
        record = {"type": "event.dropped", "requestId": request.request_id, "condition": condition}
        self._logs.append(spec.group, DROPPED_STREAM, json.dumps(record))

    # ------------------------------------------------------------------ inside

    def _pool(self, spec: FunctionSpec) -> Pool:
        return Pool(lambda: self._launch(spec), starts=self._starts, group=self._group)

    def _retire(self, known: _Function) -> None:
        known.pool.retire()
        self._retired = [*(pool for pool in self._retired if pool.size), known.pool]

    def _find(self, name_or_arn: str, qualifier: str) -> _Function:
        reference = parse_reference(name_or_arn)
        known = self._functions.get(reference.name) if reference is not None else None
        wanted = qualifier or (reference.qualifier if reference is not None else "")
        if reference is None or known is None or wanted not in {"", LATEST}:
            raise no_such_function(f"{name_or_arn}:{qualifier}" if qualifier else name_or_arn)
        if reference.region not in {"", known.spec.region}:
            raise no_such_function(name_or_arn)
        return known

    def _new_id(self) -> str:
        text = f"{self._rng.getrandbits(128):032x}"
        return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}"


def _check_payload(payload: bytes, limit_bytes: int) -> None:
    if len(payload) > limit_bytes:
        raise too_large(limit_bytes)
    try:
        if payload:
            parse_json(payload)
    except MalformedJson as error:
        raise bad_content(str(error)) from None


def _result(outcome: Outcome, request_id: str, *, log_tail: bool) -> InvokeResult:
    return InvokeResult(
        status=200,
        payload=outcome.payload,
        function_error="Unhandled" if outcome.error_type else "",
        log_tail=outcome.log_tail if log_tail else b"",
        error_type=outcome.error_type,
        request_id=request_id,
    )
