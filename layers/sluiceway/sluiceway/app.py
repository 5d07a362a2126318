"""The App: a Lambda handler around an async flow, with one event loop and one lifespan an execution environment.

Owns the loop, the lifespan, the fold of the steps, the deadline, and the tasks that an invocation starts. Must not know
any event source (a codec does), AWS client (the lifespan makes them) or rule. Why one loop: docs/adr/0001.

Rules it keeps: the lifespan is entered once, at import where a Runtime API waits, else with the first invocation; a
flow that has not returned by its deadline and its grace is cancelled; no task outlives the invocation that started it.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import AsyncIterable, Awaitable, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing
from contextvars import ContextVar, copy_context
from types import FrameType
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeVar, cast
from weakref import WeakSet

from sluiceway import log, settings
from sluiceway.cancellation import is_being_cancelled
from sluiceway.codec import Source, refuse
from sluiceway.codec.stream import encode_buffered, read_parts
from sluiceway.errors import DeadlineExceeded, Rejected, Retryable
from sluiceway.events.invocation import Invocation
from sluiceway.events.stream import ByteStream, HttpStream
from sluiceway.steps import Next, Step

__all__ = ["App", "LambdaContext"]

E = TypeVar("E")
S = TypeVar("S")
R = TypeVar("R")
T = TypeVar("T")

DEFAULT_MARGIN_S: Final = 0.5
MAX_MARGIN_SHARE: Final = 0.2  # of the time an invocation has: a function with a 1 s timeout still works for 0.8 s
GRACE_SHARE: Final = 0.5  # of the margin: how long a flow may take to hand in what it has; the rest is for us
STRAY_GRACE_S: Final = 0.1  # for a cancelled stray task to end; cancelling takes one turn of the loop where all is well
STRAY_ROUNDS: Final = 3  # a dying task may start another
MAX_NAMES: Final = 8  # of stray tasks in one log line
CLOSE_LIMIT_S: Final = 2.0  # all that Lambda leaves between SIGTERM and SIGKILL
# Source: https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html#runtimes-lifecycle-shutdown

_MakeTask = Callable[..., "asyncio.Future[Any]"]
_Sigterm = Callable[[int, FrameType | None], object] | int | None

_Stream = ByteStream | HttpStream
_Respond = Callable[[_Stream], Awaitable[None]]

_owned: ContextVar[WeakSet[asyncio.Task[Any]] | None] = ContextVar("sluiceway_owned_tasks", default=None)
_respond: ContextVar[tuple[_Respond | None, list[_Stream]]] = ContextVar("sluiceway_respond")  # and what it began


class LambdaContext(Protocol):
    """What an App asks of the second argument of a Lambda handler.

    Source: https://docs.aws.amazon.com/lambda/latest/dg/python-context.html
    """

    aws_request_id: str
    function_name: str
    invoked_function_arn: str

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until Lambda ends the invocation, 0 and more."""
        ...


class _Environment(NamedTuple):
    """What lives as long as the execution environment."""

    loop: asyncio.AbstractEventLoop
    stack: AsyncExitStack
    chain: Next
    make_task: _MakeTask
    earlier_make_task: _MakeTask | None


class _Ready(NamedTuple):
    """A reply that no codec has to write any more."""

    reply: object


class App(Generic[E, S, R]):
    """A Lambda handler: `handler = App(flow, source=codec.sqs, steps=[log_context], lifespan=lifespan)`.

    `flow(event, call, services)` is the function's work: it returns its reply, or a ByteStream or HttpStream, or is an
    async generator of bytes. `steps` wrap it, outermost first, until the last part of a stream has been sent.
    `lifespan` yields the services, opened once an environment; settings are read inside it. Made where a Runtime API
    waits, an App enters it at once, so that what it raises is an init error. `margin_s`: seconds between the flow's
    deadline and Lambda's, at most a fifth of the invocation's time.
    """

    def __init__(
        self,
        flow: Callable[[E, Invocation, S], Awaitable[R | _Stream] | AsyncIterable[bytes | str]],
        *,
        source: Source[E, R],
        lifespan: Callable[[], AbstractAsyncContextManager[S]],
        steps: Sequence[Step] = (),
        margin_s: float = DEFAULT_MARGIN_S,
    ) -> None:
        self._flow = flow
        self._source = source
        self._lifespan = lifespan
        self._steps = tuple(steps)
        self._margin_s = margin_s
        self._environment: _Environment | None = None
        self._opening: asyncio.Lock | None = None
        self._runner: asyncio.Runner | None = None
        self._running: asyncio.Task[Any] | None = None
        self._terminating = False
        self._earlier_sigterm: _Sigterm = None
        self._cold = settings.initialization_type() != "provisioned-concurrency"
        if settings.in_lambda():
            try:
                self.run(self.open())
            finally:
                if self._environment is None:
                    self.close()

    # ------------------------------------------------------------ the managed runtime's side: plain calls

    def __call__(self, event: object, context: LambdaContext) -> object:
        """Serve one invocation on the held loop; what the managed runtime and `sam local invoke` call.

        Raises: what the flow raises and the source cannot reply to; DeadlineExceeded; Rejected for another's event.
        """
        return self.run(self.invoke(event, context))

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` to its end on the loop that this environment keeps. Not for use inside a running loop."""
        if _is_loop_running():
            work.close()
            raise RuntimeError("an event loop is running here: use `await app.invoke(event, context)`")
        # Runner.run() would set a SIGINT handler (57 us on 3.11), run_until_complete() turn the loop once more (10 us).
        # There is no Ctrl-C in Lambda, and elsewhere KeyboardInterrupt comes through as it is.
        loop = self._hold_runner().get_loop()
        main = loop.create_task(_then_stop(work, loop), context=copy_context())
        self._running = main
        try:
            loop.run_forever()
            return main.result()
        finally:
            self._running = None
            if self._terminating:
                self._end_by_sigterm(signal.SIGTERM, None)

    def close(self) -> None:
        """Leave the lifespan, close the held loop and give SIGTERM back. The next invocation would open anew."""
        runner, self._runner = self._runner, None
        if runner is None:
            return
        try:
            if self._environment is not None and self._environment.loop is runner.get_loop():
                runner.run(self.aclose())
        finally:
            runner.close()
            self._release_sigterm()

    # ------------------------------------------------------------ the asynchronous side

    async def open(self) -> None:
        """Enter the lifespan on the running loop, once. Raises: what the lifespan raises (Misconfigured above all)."""
        await self._opened()

    async def aclose(self) -> None:
        """Leave the lifespan, within 2 s, on the loop that entered it."""
        environment = self._environment
        if environment is not None and not environment.loop.is_closed():
            _check_loop(environment)
        self._environment = self._opening = None
        if environment is None or environment.loop.is_closed():
            return
        if environment.loop.get_task_factory() is environment.make_task:
            environment.loop.set_task_factory(cast("Any", environment.earlier_make_task))
        async with asyncio.timeout(CLOSE_LIMIT_S):
            await environment.stack.aclose()

    async def invoke(
        self,
        event: object,
        context: LambdaContext,
        *,
        trace_header: str | None = None,
        respond: _Respond | None = None,
    ) -> object:
        """Serve one invocation on the running loop; several may run at once.

        `trace_header`: the invocation's X-Ray header; None takes the one that the managed runtime leaves in the
        environment. `respond` sends a streamed reply, and its answer is then None; without it, the reply is made of all
        its parts. Raises: as `__call__`.
        """
        environment = await self._opened()
        tasks: WeakSet[asyncio.Task[Any]] = WeakSet()
        begun: list[_Stream] = []
        token, responding = _owned.set(tasks), _respond.set((respond, begun))
        traced = settings.TRACE.set(settings.trace_header() if trace_header is None else trace_header)
        try:
            request = self._source.decode(event)
            reply = await environment.chain(request, self._describe(request, context))
            return reply.reply if isinstance(reply, _Ready) else self._source.encode(cast("R", reply))
        except (Retryable, Rejected) as error:
            if begun:  # no reply can take its place any more: the runtime client ends it as one that broke
                raise
            return self._source.encode(refuse(self._source, error))
        finally:
            _owned.reset(token)
            _respond.reset(responding)
            settings.TRACE.reset(traced)
            if tasks:
                await _end_strays(tasks, request_id=context.aws_request_id)

    # ------------------------------------------------------------ inside

    async def _opened(self) -> _Environment:
        loop = asyncio.get_running_loop()
        if self._environment is not None and self._environment.loop.is_closed():
            self._environment = self._opening = None  # what was open went with its loop
        if self._environment is None:
            self._opening = self._opening or asyncio.Lock()
            async with self._opening:
                if self._environment is None:
                    self._environment = await self._open(loop)
        return _check_loop(self._environment)

    async def _open(self, loop: asyncio.AbstractEventLoop) -> _Environment:
        async with AsyncExitStack() as opening:
            try:
                services = await opening.enter_async_context(self._lifespan())
                chain = self._fold(services)
            except Exception as cause:
                log.failure("app.init_failed", cause)
                raise
            stack = opening.pop_all()
        earlier = cast("_MakeTask | None", loop.get_task_factory())
        make_task = _owning(earlier)
        loop.set_task_factory(cast("Any", make_task))
        return _Environment(loop=loop, stack=stack, chain=chain, make_task=make_task, earlier_make_task=earlier)

    def _fold(self, services: S) -> Next:
        async def within_deadline(event: object, call: Invocation) -> object:
            limit = asyncio.timeout_at(call.deadline + call.grace_s)
            try:
                async with limit:
                    begun = self._flow(cast("E", event), call, services)
                    reply = await begun if isinstance(begun, Awaitable) else ByteStream(begun)
                    return await _hand_over(reply) if isinstance(reply, _Stream) else reply
            except TimeoutError as cause:
                if not limit.expired():
                    raise
                raise DeadlineExceeded("the invocation's deadline came before the flow ended") from cause
            except asyncio.CancelledError as cause:
                if is_being_cancelled():
                    raise
                # Left alone it would pass every `except Exception` of the runtime client and end the environment.
                raise Retryable("the flow was cancelled from within") from cause

        chain: Next = within_deadline
        for step in reversed(self._steps):
            chain = step(chain)
        return chain

    def _describe(self, request: E, context: LambdaContext) -> Invocation:
        remaining_s = context.get_remaining_time_in_millis() / 1000
        margin_s = min(self._margin_s, remaining_s * MAX_MARGIN_SHARE)
        cold, self._cold = self._cold, False
        return Invocation(
            request_id=context.aws_request_id,
            function_name=context.function_name,
            function_arn=context.invoked_function_arn,
            deadline=asyncio.get_running_loop().time() + remaining_s - margin_s,
            trace_id=settings.TRACE.get(),
            correlation_id=self._source.correlation_id(request) or context.aws_request_id,
            cold_start=cold,
            grace_s=margin_s * GRACE_SHARE,
        )

    def _hold_runner(self) -> asyncio.Runner:
        if self._runner is None:
            self._runner = asyncio.Runner()
            self._take_sigterm()
        return self._runner

    # ------------------------------------------------------------ SIGTERM, where Lambda sends it at all

    def _take_sigterm(self) -> None:
        """Only the main thread may; and a handler that was not set from Python could not be given back."""
        if threading.current_thread() is threading.main_thread():
            earlier = signal.getsignal(signal.SIGTERM)
            if earlier is not None:
                self._earlier_sigterm = earlier
                signal.signal(signal.SIGTERM, self._on_sigterm)

    def _release_sigterm(self) -> None:
        earlier, self._earlier_sigterm = self._earlier_sigterm, None
        if (
            earlier is not None
            and signal.getsignal(signal.SIGTERM) == self._on_sigterm
            and threading.current_thread() is threading.main_thread()
        ):
            signal.signal(signal.SIGTERM, earlier)

    def _on_sigterm(self, number: int, frame: FrameType | None) -> None:
        task = self._running
        if task is None:
            self._end_by_sigterm(number, frame)
        else:
            self._terminating = True
            task.get_loop().call_soon_threadsafe(task.cancel)

    def _end_by_sigterm(self, number: int, frame: FrameType | None) -> None:
        """Close, then let happen what would have happened without us: the earlier handler, or the end."""
        earlier = self._earlier_sigterm
        self._terminating = False
        self._release_sigterm()
        try:
            self.close()
        finally:
            if callable(earlier):
                earlier(number, frame)
            elif earlier == signal.SIG_DFL:
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                signal.raise_signal(signal.SIGTERM)


async def _then_stop(work: Coroutine[Any, Any, T], loop: asyncio.AbstractEventLoop) -> T:
    try:
        return await work
    finally:
        loop.stop()


async def _hand_over(stream: _Stream) -> _Ready:
    """Send a stream where this invocation can, else put it together. Either way its generator is closed after it."""
    respond, begun = _respond.get()
    if respond is not None:
        begun.append(stream)
        await respond(stream)
        return _Ready(None)
    body = bytearray()
    async with aclosing(read_parts(stream)) as parts:
        async for part in parts:
            body += part
    return _Ready(encode_buffered(stream, bytes(body)))


def _check_loop(environment: _Environment) -> _Environment:
    if environment.loop is not asyncio.get_running_loop():
        raise RuntimeError("this App is open on another event loop; close it there first")
    return environment


def _is_loop_running() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _owning(earlier: _MakeTask | None) -> _MakeTask:
    """A task factory over `earlier`: a task belongs to the invocation in whose context it was started."""

    def make_task(
        loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Any], **options: Any
    ) -> asyncio.Future[Any]:
        task = asyncio.Task(work, loop=loop, **options) if earlier is None else earlier(loop, work, **options)
        context = options.get("context")
        tasks = _owned.get() if context is None else context.get(_owned)
        if tasks is not None:
            tasks.add(cast("asyncio.Task[Any]", task))
        return task

    return make_task


async def _end_strays(tasks: WeakSet[asyncio.Task[Any]], *, request_id: str) -> None:
    """Cancel what the flow left running and wait for it; what will not end is told to the log."""
    alive = {task for task in tasks if not task.done()}
    if not alive:
        return
    names = sorted({str(getattr(task.get_coro(), "__qualname__", task.get_name())) for task in alive})
    log.warning("app.stray_tasks", request_id=request_id, count=len(alive), names=names[:MAX_NAMES])
    for _ in range(STRAY_ROUNDS):
        for task in alive:
            task.cancel()
        done, _pending = await asyncio.wait(alive, timeout=STRAY_GRACE_S)
        for task in done:
            cause = None if task.cancelled() else task.exception()
            if cause is not None:
                log.failure("app.stray_task_failed", cause, request_id=request_id)
        alive = {task for task in tasks if not task.done()}
        if not alive:
            return
    log.error("app.stray_tasks_remain", request_id=request_id, count=len(alive))
