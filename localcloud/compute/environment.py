"""One execution environment: a runtime process, its init phase, one invocation at a time, and how each ends.

The rules, as Lambda has them:
1. Init may take 10 s. Where it fails or takes longer, it is done again by the first invocation, in the function's own
   time, and what that meets is the invocation's error.
2. An invocation that outlives its timeout, whose process ends, or that cuts its streamed response short, costs the
   environment: `alive` is False after it.
3. An error that the handler raises costs nothing: the process goes on.
4. More memory than the function has ends the process; between invocations it is frozen.

Source: https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import shutil
import signal
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Protocol, TypeAlias

from localcloud.clock import Clock, SystemClock
from localcloud.compute.debugging import Debugger
from localcloud.compute.freezing import Unfinished
from localcloud.compute.function import FunctionSpec
from localcloud.compute.platform_log import OUT_OF_MEMORY, PlatformLog, Report
from localcloud.compute.process import Guard, Interpose, RuntimeProcess, describe_exit
from localcloud.compute.reaper import Reaper
from localcloud.compute.response_stream import ResponseStream
from localcloud.compute.runtime_api import TRUNCATED, Answer, Event
from localcloud.compute.runtimes import ManagedRuntime, Runtimes
from localcloud.compute.variables import CredentialsSource, Sandbox
from localcloud.services.logs.model import Logs

__all__ = ["Environment", "EnvironmentEnded", "ExecutionEnvironment", "Host", "Outcome", "Request"]

INIT_TIMEOUT_S: Final = 10.0  # lambda-runtime-environment: the Init phase is limited to 10 seconds
SETTLE_S: Final = 0.1  # ours: from an answer until the runtime asks for the next event, or has ended
DEBUGGED_S: Final = 24 * 3600.0  # what a function is told to have left while an editor is attached
_EXIT_ERROR: Final = "Runtime.ExitError"
_Awaited: TypeAlias = asyncio.Future[Answer] | asyncio.Future[Answer | None]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Request:
    """One invocation. `request_id` stays the same over the retries of an asynchronous one.

    `on_stream`: whom to give a response that streams, when it begins; without, one is gathered as any other.
    `on_init`: told that an environment starts for it; what it gives is told the end, and whether that was a failure.
    `batch`: the trace headers of the messages in it, "" for those without. `asynchronous`: it was queued.
    """

    request_id: str
    payload: bytes
    trace_header: str = ""
    client_context: str = ""
    function_arn: str = ""
    on_stream: Callable[[ResponseStream], None] | None = None
    on_init: Callable[[], Callable[[bool], None]] | None = None
    batch: tuple[str, ...] = ()
    asynchronous: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it. `error_type` "" is success; `log_tail` is the last 4 KB of the log.

    `payload` is the response, empty where it was streamed, or the error's JSON. `cold_start`: the first in its
    environment. `duration_ms`: what its log's report says.
    """

    payload: bytes
    error_type: str = ""
    log_tail: bytes = b""
    content_type: str = ""
    cold_start: bool = False
    duration_ms: float = 0.0


class EnvironmentEnded(Exception):
    """The runtime ended between two invocations: nothing has seen the event, which another environment may have."""


class ExecutionEnvironment(Protocol):
    """What the pool asks of an environment; a simulation may run handlers in the same process instead."""

    @property
    def alive(self) -> bool:
        """Whether another invocation may come."""
        ...

    async def initialise(self) -> bool:
        """The init phase, and whether it failed: the failure shows at the first invocation."""
        ...

    async def invoke(self, request: Request) -> Outcome:
        """Run one invocation to its end, whatever that is. Raises EnvironmentEnded."""
        ...

    async def stop(self) -> None:
        """End it, and everything that it started."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """What all environments of a local cloud share. `group` owns the watch over their processes.

    `interpose`: what to put before the Runtime API of one that starts. `debugger`: what functions connect to. `roots`:
    the certificates that they trust, None for this machine's.
    `machine` is the clock that processes read, by which they are told their deadlines; `clock` may be ahead of it.
    """

    runtimes: Runtimes
    clock: Clock
    logs: Logs
    credentials: CredentialsSource
    endpoint_url: Callable[[], str]
    rng: random.Random
    reaper: Reaper
    group: asyncio.TaskGroup
    interpose: Interpose | None = None
    debugger: Debugger | None = None
    roots: Path | None = None
    machine: Clock = field(default_factory=SystemClock)


class Environment:
    """An execution environment that is a process of its own, on this machine."""

    def __init__(self, spec: FunctionSpec, host: Host) -> None:
        self._spec = spec
        self._host = host
        self._log = PlatformLog(spec, _stream_name(spec, host), logs=host.logs, clock=host.clock)
        self._home = Path(tempfile.mkdtemp(dir=host.reaper.scratch()))
        self._process: RuntimeProcess | None = None
        self._init_ms = 0.0
        self._last_id = ""
        self._is_fresh = True
        self._ended = False

    @property
    def alive(self) -> bool:
        """Whether another invocation may come."""
        process = self._process
        return not self._ended and (process is None or not process.exited.done())

    async def initialise(self) -> bool:
        """Start the process and wait until it asks for work, 10 s at most; whether that failed."""
        failed = await self._start("init", limit_s=INIT_TIMEOUT_S) is not None
        if failed:
            self._drop_process()
        return failed

    async def invoke(self, request: Request) -> Outcome:
        """Run one invocation to its end, whatever that is. Never two at a time. Raises EnvironmentEnded."""
        loop = asyncio.get_running_loop()
        if self._process is not None and not await self._asks_again(self._process):
            self._ended = True
            self._drop_process()
            raise EnvironmentEnded
        began = loop.time()
        deadline = began + self._spec.timeout_s
        if self._process is None:
            failed = await self._start("invoke", limit_s=self._spec.timeout_s)
            self._init_ms = 0.0  # it was done in the invocation's own time
            if failed is not None:
                self._log.start(request.request_id)
                return self._finish(request, self._word(failed, request), began)
        self._log.start(request.request_id)
        return self._finish(request, await self._ask(request, deadline), began)

    async def stop(self) -> None:
        """Kill the process and wait until nothing of it is left."""
        self._ended = True
        process = self._process
        self._drop_process()
        try:
            if process is not None:
                await process.wait_closed()
        finally:  # also when the local cloud ends in a hurry
            shutil.rmtree(self._home, ignore_errors=True)

    # ------------------------------------------------------------------ inside

    async def _asks_again(self, process: RuntimeProcess) -> bool:
        """Whether the runtime goes on after its last answer: Lambda gives it no event before it has asked for one."""
        asked = process.api.asked()
        if not asked.done():
            await asyncio.wait({asked, process.exited}, timeout=SETTLE_S, return_when=asyncio.FIRST_COMPLETED)
        return not process.exited.done()

    async def _start(self, phase: str, *, limit_s: float) -> Answer | None:
        """Start the process; None once it asks for work, else what went wrong (told to the log)."""
        loop = asyncio.get_running_loop()
        runtime = await self._host.runtimes.get(self._spec.runtime)
        if self._ended:  # while the runtime was being installed
            return Answer(describe_exit(0).encode(), _EXIT_ERROR, failed=True)
        began = loop.time()
        debugged = self._host.debugger is not None
        guard = Guard(None if debugged else self._tell_unfinished, limits_memory=not debugged)
        process = self._process = RuntimeProcess(self._log.write, reaper=self._host.reaper, guard=guard)
        if phase == "init":
            self._log.init_start(f"python:{'.'.join(map(str, runtime.interpreter.version))}")
        failed = await self._launch(process, runtime) or await self._wait(process, process.api.ready, began + limit_s)
        process.drain()
        self._init_ms = (loop.time() - began) * 1000
        if failed is None:
            return None
        status = "timeout" if failed.error_type == "Sandbox.Timedout" else "error"
        error_type = OUT_OF_MEMORY if process.out_of_memory else failed.error_type
        self._log.init_report(phase, self._init_ms, status=status, error_type=error_type)
        return failed

    async def _launch(self, process: RuntimeProcess, runtime: ManagedRuntime) -> Answer | None:
        host, spec = self._host, self._spec
        credentials = host.credentials(spec.role_arn, function_name=spec.name)
        sandbox = Sandbox(
            runtime_api=await process.listen(spec.name, host.interpose),
            log_stream=self._log.stream,
            credentials=credentials,
            endpoint_url=host.endpoint_url(),
            home=self._home,
            roots=host.roots,
            prepare=None if host.debugger is None else host.debugger.variables,
        )
        try:
            await process.start(spec, runtime, sandbox, group=host.group)
        except OSError as error:
            process.close()
            await process.wait_closed()
            message = f"fork/exec {error.filename}: {error.strerror}"
            return Answer(message.encode(), "Runtime.InvalidEntrypoint", failed=True)
        return None

    async def _ask(self, request: Request, deadline: float) -> Answer:
        """Hand the event to the process and wait for its answer, its end, or the deadline."""
        process = self._process
        if process is None:
            return Answer(describe_exit(0).encode(), _EXIT_ERROR, failed=True)
        left_s = deadline - asyncio.get_running_loop().time()
        self._last_id = request.request_id
        process.wake()
        answer = process.api.offer(
            Event(
                request_id=request.request_id,
                payload=request.payload,
                deadline_ms=int((self._host.machine.time() + self._told_s(left_s)) * 1000),
                function_arn=request.function_arn or self._spec.arn,
                trace_header=request.trace_header,
                client_context=request.client_context,
                on_stream=request.on_stream,
            )
        )
        failed = await self._wait(process, answer, deadline)
        if process.settle_memory():
            failed = Answer(describe_exit(-signal.SIGKILL).encode(), _EXIT_ERROR, failed=True)
            await process.exited
        process.drain()
        found = failed or answer.result()
        return self._word(found, request) if failed or found is TRUNCATED else found

    def _told_s(self, left_s: float) -> float:
        """How much time the function is told to have."""
        debugger = self._host.debugger
        return DEBUGGED_S if debugger is not None and debugger.attached else left_s

    async def _wait(self, process: RuntimeProcess, future: _Awaited, deadline: float) -> Answer | None:
        """None once `future` has a good result; else what was posted, how the process ended, or that time ran out.

        No time runs out while an editor is attached; when it goes, all of it is there again.
        """
        loop, debugger = asyncio.get_running_loop(), self._host.debugger
        limit_s = max(0.0, deadline - loop.time())
        while True:
            awaited = {future, process.exited}
            await asyncio.wait(awaited, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
            if debugger is None or not debugger.attached or any(each.done() for each in awaited):
                break
            await debugger.wait_detached(awaited)
        if future.done():
            found = future.result()
            return found if future is process.api.ready else None
        if process.exited.done():
            return Answer(describe_exit(process.exited.result()).encode(), _EXIT_ERROR, failed=True)
        return Answer(b"", "Sandbox.Timedout", failed=True)

    def _word(self, failed: Answer, request: Request) -> Answer:
        """The platform's own failures in Lambda's words, and in the log; what the runtime posted stays as it is."""
        if failed.error_type == "Sandbox.Timedout":
            message = f"Task timed out after {self._spec.timeout_s}.00 seconds"
        elif failed.error_type in {_EXIT_ERROR, "Runtime.InvalidEntrypoint"} or failed is TRUNCATED:
            message = failed.payload.decode()
        else:
            return failed
        self._log.failure(request.request_id, message, failed.error_type)
        body = {"errorType": failed.error_type, "errorMessage": f"RequestId: {request.request_id} Error: {message}"}
        return Answer(json.dumps(body, separators=(",", ":")).encode(), failed.error_type, failed=True)

    def _finish(self, request: Request, answer: Answer, began: float) -> Outcome:
        """Write the report, and drop the process where it cannot serve another."""
        process = self._process
        duration_ms = (asyncio.get_running_loop().time() - began) * 1000
        status = "error" if answer.failed else "success"
        gone = process is None or process.exited.done() or not process.started
        if answer.error_type == "Sandbox.Timedout":
            status, duration_ms = "timeout", self._spec.timeout_s * 1000.0
        elif gone or answer.error_type == TRUNCATED.error_type:
            status = "failure"
        out_of_memory = process is not None and process.out_of_memory
        self._log.report(
            Report(
                request_id=request.request_id,
                duration_ms=duration_ms,
                init_ms=self._init_ms,
                max_memory_mb=process.max_memory_mb() if process is not None else 0,
                status="error" if out_of_memory else status,
                error_type=OUT_OF_MEMORY if out_of_memory else answer.error_type,
                trace_header=request.trace_header,
            )
        )
        self._init_ms = 0.0
        if status in {"timeout", "failure"} or (process is not None and process.api.failed_init):
            self._ended = True
            self._drop_process()
        error_type = answer.error_type if answer.failed else ""
        cold_start, self._is_fresh = self._is_fresh, False
        return Outcome(answer.payload, error_type, self._log.tail(), answer.content_type, cold_start, duration_ms)

    def _tell_unfinished(self, unfinished: Unfinished) -> None:
        self._log.frozen(self._last_id, unfinished)
        log.warning(
            "environment.frozen_at_work",
            extra={"function": self._spec.name, "request_id": self._last_id, "work": str(unfinished)},
        )

    def _drop_process(self) -> None:
        if self._process is not None:
            self._process.close()
            if not self._ended:
                self._process = None


def _stream_name(spec: FunctionSpec, host: Host) -> str:
    """`2026/11/23/[$LATEST]<32 hex digits>`; the function's name is in it where the log group is not its own."""
    day = datetime.fromtimestamp(host.clock.time(), UTC).strftime("%Y/%m/%d")
    name = spec.name if spec.log_group else ""
    return f"{day}/{name}[{spec.version}]{host.rng.getrandbits(128):032x}"
