"""app: one loop and one lifespan an environment, a deadline, and no task left behind."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcloud.clock import run_virtual
from sluiceway import settings
from sluiceway.app import App
from sluiceway.codec import sqs
from sluiceway.errors import DeadlineExceeded, Misconfigured, Rejected, Retryable
from sluiceway.events.invocation import Invocation
from sluiceway.events.sqs import BatchReport, SqsBatch
from sluiceway.steps import Next

EVENT: dict[str, Any] = {"Records": []}
EMPTY = {"batchItemFailures": []}
LINES = Callable[[], list[dict[str, Any]]]


@dataclass
class Context:
    """A Lambda context with `remaining_ms` to go."""

    remaining_ms: int = 60_000
    aws_request_id: str = "request-1"
    function_name: str = "generate_answer"
    invoked_function_arn: str = "arn:aws:lambda:eu-west-1:123456789012:function:generate_answer"

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds, at the start of the invocation."""
        return self.remaining_ms


@dataclass
class Lifespan:
    """Counts how often it is entered and left, and on which loop."""

    entered: list[int] = field(default_factory=list)
    left: list[int] = field(default_factory=list)

    @asynccontextmanager
    async def __call__(self) -> AsyncGenerator[str]:
        """Yield the services."""
        self.entered.append(id(asyncio.get_running_loop()))
        try:
            yield "services"
        finally:
            await asyncio.sleep(0)
            self.left.append(id(asyncio.get_running_loop()))


async def report(_event: SqsBatch, _call: Invocation, _services: str) -> BatchReport:
    """The shortest flow."""
    return BatchReport()


def on_virtual_time(
    flow: Callable[[SqsBatch, Invocation, str], Coroutine[Any, Any, BatchReport]], *, remaining_ms: int = 60_000
) -> tuple[object, float, set[str]]:
    """The reply or error of one invocation, the virtual seconds it took, and the tasks it left behind."""

    async def main() -> tuple[object, float, set[str]]:
        async with aclosing(App(flow, source=sqs, lifespan=Lifespan())) as app:
            try:
                outcome: object = await app.invoke(EVENT, Context(remaining_ms))
            except Exception as error:  # noqa: BLE001 - the outcome under test
                outcome = error
            left = {task.get_name() for task in asyncio.all_tasks() if task is not asyncio.current_task()}
            return outcome, asyncio.get_running_loop().time(), left

    return run_virtual(main)


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> LINES:
    """The log lines written so far."""
    return lambda: [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_three_warm_invocations_share_one_loop_and_one_lifespan():
    """Connections live as long as the environment; a second loop would break them."""
    loops: list[int] = []
    calls: list[Invocation] = []
    lifespan = Lifespan()

    async def flow(_event: SqsBatch, call: Invocation, services: str) -> BatchReport:
        assert services == "services"
        loops.append(id(asyncio.get_running_loop()))
        calls.append(call)
        return BatchReport()

    handler = App(flow, source=sqs, lifespan=lifespan)
    assert [handler(EVENT, Context()) for _ in range(3)] == [EMPTY] * 3
    assert (lifespan.entered, lifespan.left) == (loops[:1], [])
    assert len(set(loops)) == 1
    handler.close()
    assert lifespan.left == loops[:1]
    assert [call.cold_start for call in calls] == [True, False, False]


def test_a_closed_app_opens_anew():
    """Closing is for tests and for the end: nothing forbids a new start."""
    lifespan = Lifespan()
    handler = App(report, source=sqs, lifespan=lifespan)
    for _ in range(2):
        assert handler(EVENT, Context()) == EMPTY
        handler.close()
        handler.close()
    assert (len(lifespan.entered), len(lifespan.left)) == (2, 2)


def test_an_app_does_nothing_before_its_first_invocation_outside_lambda(monkeypatch: pytest.MonkeyPatch):
    """Importing a function in a test needs no settings."""
    monkeypatch.delenv("AWS_LAMBDA_RUNTIME_API", raising=False)
    lifespan = Lifespan()
    App(report, source=sqs, lifespan=lifespan)
    assert lifespan.entered == []


def test_in_lambda_the_lifespan_is_entered_when_the_app_is_made(monkeypatch: pytest.MonkeyPatch):
    """Init has time and CPU of its own, and the first request should not pay."""
    monkeypatch.setenv("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:1")
    lifespan = Lifespan()
    handler = App(report, source=sqs, lifespan=lifespan)
    assert len(lifespan.entered) == 1
    assert handler(EVENT, Context()) == EMPTY
    assert len(lifespan.entered) == 1
    handler.close()


def test_in_lambda_a_failing_lifespan_fails_the_import(monkeypatch: pytest.MonkeyPatch, lines: LINES):
    """An error at import is an init error, and it names what is misconfigured."""
    monkeypatch.setenv("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:1")
    closed: list[str] = []

    @asynccontextmanager
    async def lifespan() -> AsyncGenerator[str]:
        try:
            raise Misconfigured("JOBS_TABLE is not set", what="JOBS_TABLE")
            yield ""
        finally:
            closed.append("closed")

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Misconfigured, match="JOBS_TABLE is not set"):
        App(report, source=sqs, lifespan=lifespan)
    assert closed == ["closed"]
    assert [(line["message"], line["what"]) for line in lines()] == [("app.init_failed", "JOBS_TABLE")]
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_failed_lifespan_is_tried_again():
    """Outside init each invocation tells what is wrong until it is mended."""
    outcomes = [Misconfigured("A is not set", what="A"), None]

    @asynccontextmanager
    async def lifespan() -> AsyncGenerator[str]:
        outcome = outcomes.pop(0)
        if outcome is not None:
            raise outcome
        yield "services"

    handler = App(report, source=sqs, lifespan=lifespan)
    with pytest.raises(Misconfigured):
        handler(EVENT, Context())
    assert handler(EVENT, Context()) == EMPTY
    handler.close()


def test_steps_wrap_the_flow_first_one_outermost_and_fold_once():
    """The list reads from outside to inside, and a step's body runs once an environment."""
    seen: list[str] = []

    def step(name: str) -> Callable[[Next], Next]:
        def fold(following: Next) -> Next:
            seen.append(f"fold {name}")

            async def run(event: object, call: Invocation) -> object:
                seen.append(f"enter {name}")
                try:
                    return await following(event, call)
                finally:
                    seen.append(f"leave {name}")

            return run

        return fold

    handler = App(report, source=sqs, steps=[step("a"), step("b")], lifespan=Lifespan())
    handler(EVENT, Context())
    handler(EVENT, Context())
    handler.close()
    once = ["enter a", "enter b", "leave b", "leave a"]
    assert seen == ["fold b", "fold a", *once, *once]


def test_an_event_of_another_source_is_rejected():
    """The codec's error comes out as it is, and the flow never runs."""
    handler = App(report, source=sqs, lifespan=Lifespan())
    with pytest.raises(Rejected, match="Records"):
        handler({"httpMethod": "GET"}, Context())
    handler.close()


def test_what_the_flow_raises_comes_out_as_it_is():
    """Lambda reports the type and text of the flow's own error, a TimeoutError too."""
    for error in (ValueError("v"), TimeoutError("t")):

        async def flow(_event: SqsBatch, _call: Invocation, _services: str, error: Exception = error) -> BatchReport:
            raise error

        outcome, _, _ = on_virtual_time(flow)
        assert outcome is error


def test_a_cancellation_from_within_is_an_error_of_the_flow():
    """CancelledError is no Exception: it would run through the official client and end the environment."""

    async def flow(_event: SqsBatch, _call: Invocation, _services: str) -> BatchReport:
        task = asyncio.create_task(linger())
        task.cancel()
        await task
        raise AssertionError

    outcome, _, left = on_virtual_time(flow)
    assert (type(outcome), left) == (Retryable, set())


def test_the_invocation_tells_what_lambda_told(monkeypatch: pytest.MonkeyPatch):
    """Ids, ARN, trace header, and the request id as correlation id where the source has none."""
    monkeypatch.setenv("_X_AMZN_TRACE_ID", "Root=1-a-b;Sampled=0")
    calls: list[Invocation] = []

    async def flow(_event: SqsBatch, call: Invocation, _services: str) -> BatchReport:
        calls.append(call)
        return BatchReport()

    handler = App(flow, source=sqs, lifespan=Lifespan())
    handler(EVENT, Context())
    handler.run(handler.invoke(EVENT, Context(), trace_header="Root=1-c-d"))
    handler.close()
    told = calls[0]
    assert (told.request_id, told.function_name, told.correlation_id) == ("request-1", "generate_answer", "request-1")
    assert told.function_arn == "arn:aws:lambda:eu-west-1:123456789012:function:generate_answer"
    assert [call.trace_id for call in calls] == ["Root=1-a-b;Sampled=0", "Root=1-c-d"]


async def test_invocations_at_once_are_traced_each_by_its_own_header(monkeypatch: pytest.MonkeyPatch):
    """AWS calls carry it, and Lambda finds loops by it. A child task has its invocation's; afterwards there is none."""
    monkeypatch.delenv("_X_AMZN_TRACE_ID", raising=False)
    seen: list[tuple[str, str]] = []

    async def look(call: Invocation) -> None:
        await asyncio.sleep(0)
        seen.append((call.trace_id, settings.trace_header()))

    async def flow(_event: SqsBatch, call: Invocation, _services: str) -> BatchReport:
        async with asyncio.TaskGroup() as group:
            group.create_task(look(call))
        return BatchReport()

    handler = App(flow, source=sqs, lifespan=Lifespan())
    async with asyncio.TaskGroup() as group:
        for number in range(5):
            group.create_task(handler.invoke(EVENT, Context(), trace_header=f"Root=1-{number}"))
    await handler.aclose()
    assert sorted(seen) == [(f"Root=1-{number}", f"Root=1-{number}") for number in range(5)]
    assert settings.trace_header() == ""


def test_provisioned_concurrency_has_no_cold_start(monkeypatch: pytest.MonkeyPatch):
    """The environment was initialised before anybody asked."""
    monkeypatch.setenv("AWS_LAMBDA_INITIALIZATION_TYPE", "provisioned-concurrency")
    calls: list[Invocation] = []

    async def flow(_event: SqsBatch, call: Invocation, _services: str) -> BatchReport:
        calls.append(call)
        return BatchReport()

    handler = App(flow, source=sqs, lifespan=Lifespan())
    handler(EVENT, Context())
    handler.close()
    assert calls[0].cold_start is False


# -------------------------------------------------------------------- deadline


@given(remaining_ms=st.integers(0, 900_000))
def test_the_flow_is_cancelled_between_its_deadline_and_lambdas(remaining_ms: int):
    """The margin is half a second, at most a fifth of the time; half of it is the flow's grace."""
    calls: list[Invocation] = []

    async def flow(_event: SqsBatch, call: Invocation, _services: str) -> BatchReport:
        calls.append(call)
        await asyncio.Event().wait()
        raise AssertionError

    outcome, took_s, left = on_virtual_time(flow, remaining_ms=remaining_ms)
    assert isinstance(outcome, DeadlineExceeded)
    margin_s = min(0.5, remaining_ms / 1000 * 0.2)
    assert calls[0].deadline == pytest.approx(remaining_ms / 1000 - margin_s)
    assert took_s == pytest.approx(remaining_ms / 1000 - margin_s / 2, abs=1e-6)
    assert left == set()


def test_a_flow_that_hands_in_partial_results_at_its_deadline_succeeds():
    """A flow's own limit at `call.deadline` comes before the App's, so both never fire together."""

    async def flow(_event: SqsBatch, call: Invocation, _services: str) -> BatchReport:
        try:
            async with asyncio.timeout_at(call.deadline), asyncio.TaskGroup() as group:
                group.create_task(asyncio.sleep(3600))
        except TimeoutError:
            return BatchReport(failed=("late",))
        raise AssertionError

    outcome, took_s, _ = on_virtual_time(flow, remaining_ms=10_000)
    assert outcome == {"batchItemFailures": [{"itemIdentifier": "late"}]}
    assert took_s == pytest.approx(9.5)


def test_a_flow_that_returns_while_it_is_cancelled_succeeds():
    """Partial results count even when the App had to ask for them."""

    async def flow(_event: SqsBatch, _call: Invocation, _services: str) -> BatchReport:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            return BatchReport(failed=("late",))
        raise AssertionError

    outcome, took_s, _ = on_virtual_time(flow, remaining_ms=10_000)
    assert outcome == {"batchItemFailures": [{"itemIdentifier": "late"}]}
    assert took_s == pytest.approx(9.75)


def test_steps_see_the_deadline():
    """The limit stands around the flow alone: a step can still count and answer."""
    seen: list[type[BaseException]] = []

    def step(following: Next) -> Next:
        async def run(event: object, call: Invocation) -> object:
            try:
                return await following(event, call)
            except DeadlineExceeded as cause:
                seen.append(type(cause))
                await asyncio.sleep(0)
                return BatchReport(failed=("all",))

        return run

    async def flow(_event: SqsBatch, _call: Invocation, _services: str) -> BatchReport:
        await asyncio.Event().wait()
        raise AssertionError

    async def main() -> object:
        async with aclosing(App(flow, source=sqs, steps=[step], lifespan=Lifespan())) as app:
            return await app.invoke(EVENT, Context(1000))

    assert run_virtual(main) == {"batchItemFailures": [{"itemIdentifier": "all"}]}
    assert seen == [DeadlineExceeded]


# -------------------------------------------------------------------- tasks


def forget(work: Coroutine[Any, Any, None]) -> None:
    """Start a task and keep nothing of it, as careless code does."""
    task = asyncio.create_task(work)
    del task


async def linger(seconds: float = 3600) -> None:
    """Work that nobody waits for."""
    await asyncio.sleep(seconds)


def test_a_stray_task_is_cancelled_and_told(lines: LINES):
    """Nothing outlives its invocation: on a frozen environment it would wake up in somebody else's."""
    strays: list[asyncio.Task[None]] = []

    async def flow(_event: SqsBatch, _call: Invocation, _services: str) -> BatchReport:
        strays.append(asyncio.create_task(linger()))
        return BatchReport()

    outcome, took_s, left = on_virtual_time(flow)
    assert (outcome, took_s, left) == (EMPTY, 0.0, set())
    assert strays[0].cancelled()
    (line,) = lines()
    assert (line["message"], line["count"], line["names"]) == ("app.stray_tasks", 1, ["linger"])
    assert line["request_id"] == "request-1"


def test_a_cancelled_flow_leaves_no_task(lines: LINES):
    """Neither those it owned nor those it forgot."""

    async def flow(_event: SqsBatch, _call: Invocation, _services: str) -> BatchReport:
        forget(linger())
        async with asyncio.TaskGroup() as group:
            for _ in range(10):
                group.create_task(linger())
        raise AssertionError

    outcome, _, left = on_virtual_time(flow, remaining_ms=5_000)
    assert (type(outcome), left) == (DeadlineExceeded, set())
    assert [(line["message"], line["count"]) for line in lines()] == [("app.stray_tasks", 1)]


def test_a_stray_that_starts_another_is_followed(lines: LINES):
    """A task that spawns as it dies takes its heir with it."""

    async def heir() -> None:
        await asyncio.sleep(3600)

    async def stray() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            forget(heir())

    async def flow(_event: SqsBatch, _call: Invocation, _services: str) -> BatchReport:
        forget(stray())
        await asyncio.sleep(0)
        return BatchReport()

    assert on_virtual_time(flow)[2] == set()
    assert [line["message"] for line in lines()] == ["app.stray_tasks"]


def test_a_stray_that_will_not_end_holds_nobody_up(lines: LINES):
    """It gets 0.1 s three times over, then the reply goes out and the log says what stays."""

    async def stubborn() -> None:
        for _ in range(10):
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                continue

    async def flow(_event: SqsBatch, _call: Invocation, _services: str) -> BatchReport:
        forget(stubborn())
        await asyncio.sleep(0)
        return BatchReport()

    outcome, took_s, _ = on_virtual_time(flow)
    assert (outcome, took_s) == (EMPTY, pytest.approx(0.3))
    assert [line["message"] for line in lines()] == ["app.stray_tasks", "app.stray_tasks_remain"]


def test_a_strays_error_is_told_by_type(lines: LINES):
    """An error that nobody waited for is not lost, and not quoted."""

    async def stray() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            raise ValueError("the prompt")

    async def flow(_event: SqsBatch, _call: Invocation, _services: str) -> BatchReport:
        forget(stray())
        await asyncio.sleep(0)
        return BatchReport()

    on_virtual_time(flow)
    written = lines()
    assert [line["message"] for line in written] == ["app.stray_tasks", "app.stray_task_failed"]
    assert (written[1]["error_type"], "the prompt" in str(written)) == ("ValueError", False)


def test_concurrent_invocations_end_their_own_strays_only():
    """One loop may serve several at once; the end of one is not the end of the others."""
    ended: list[str] = []

    async def work(name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        ended.append(name)

    async def flow(_event: SqsBatch, call: Invocation, _services: str) -> BatchReport:
        if call.request_id == "quick":
            forget(work("stray of quick", 60))
            await asyncio.sleep(1)
        else:
            async with asyncio.TaskGroup() as group:
                group.create_task(work("task of slow", 5))
        return BatchReport()

    async def main() -> None:
        lifespan = Lifespan()
        async with aclosing(App(flow, source=sqs, lifespan=lifespan)) as app:
            async with asyncio.TaskGroup() as group:
                group.create_task(app.invoke(EVENT, Context(aws_request_id="quick")))
                group.create_task(app.invoke(EVENT, Context(aws_request_id="slow")))
            assert len(lifespan.entered) == 1
        assert asyncio.get_running_loop().time() == pytest.approx(5)

    run_virtual(main)
    assert ended == ["task of slow"]


def test_a_task_of_the_lifespan_lives_on():
    """What must outlive an invocation belongs to the lifespan, which owns it."""
    beats: list[float] = []

    async def beat() -> None:
        while True:
            beats.append(asyncio.get_running_loop().time())
            await asyncio.sleep(1)

    @asynccontextmanager
    async def lifespan() -> AsyncGenerator[None]:
        task = asyncio.create_task(beat())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def flow(_event: SqsBatch, _call: Invocation, _services: None) -> BatchReport:
        await asyncio.sleep(2)
        return BatchReport()

    async def main() -> None:
        async with aclosing(App(flow, source=sqs, lifespan=lifespan)) as app:
            await app.invoke(EVENT, Context())
            await app.invoke(EVENT, Context())
        assert len(asyncio.all_tasks()) == 1

    run_virtual(main)
    assert len(beats) >= 4


async def test_a_foreign_task_factory_is_kept_and_given_back():
    """The loop may be somebody else's: their factory still makes the tasks, and is there again after."""
    made: list[str] = []

    def factory(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Any], **options: Any) -> asyncio.Task[Any]:
        made.append(getattr(work, "__qualname__", ""))
        return asyncio.Task(work, loop=loop, **options)

    async def flow(_event: SqsBatch, _call: Invocation, _services: str) -> BatchReport:
        async with asyncio.TaskGroup() as group:
            group.create_task(linger(0))
        return BatchReport()

    loop = asyncio.get_running_loop()
    loop.set_task_factory(factory)
    async with aclosing(App(flow, source=sqs, lifespan=Lifespan())) as app:
        await app.open()
        assert loop.get_task_factory() is not factory
        assert await app.invoke(EVENT, Context()) == EMPTY
    assert (made, loop.get_task_factory()) == (["linger"], factory)
    loop.set_task_factory(None)


# -------------------------------------------------------------------- loops and signals


async def test_a_plain_call_inside_a_running_loop_is_refused():
    """There `await app.invoke(...)` is the way; nothing is left half done."""
    handler = App(report, source=sqs, lifespan=Lifespan())
    with pytest.raises(RuntimeError, match="an event loop is running here"):
        handler(EVENT, Context())
    handler.close()


def test_an_app_serves_one_loop_at_a_time():
    """Its connections belong to the loop that opened them."""
    app = App(report, source=sqs, lifespan=Lifespan())
    app(EVENT, Context())
    with asyncio.Runner() as other, pytest.raises(RuntimeError, match="another event loop"):
        other.run(app.invoke(EVENT, Context()))
    with asyncio.Runner() as other, pytest.raises(RuntimeError, match="another event loop"):
        other.run(app.aclose())
    assert app(EVENT, Context()) == EMPTY
    app.close()
    with asyncio.Runner() as other:
        assert other.run(app.invoke(EVENT, Context())) == EMPTY
    with asyncio.Runner() as other:  # the first loop is closed, and what was open on it is gone
        assert other.run(app.invoke(EVENT, Context())) == EMPTY
        other.run(app.aclose())


def test_outside_the_main_thread_no_signal_is_touched():
    """Python lets only the main thread set handlers."""
    before = signal.getsignal(signal.SIGTERM)
    replies: list[object] = []

    def work() -> None:
        handler = App(report, source=sqs, lifespan=Lifespan())
        replies.append(handler(EVENT, Context()))
        replies.append(signal.getsignal(signal.SIGTERM) == before)
        handler.close()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert replies == [EMPTY, True]


def test_sigterm_closes_the_lifespan_and_calls_the_earlier_handler():
    """Whoever was there first still learns of the end."""
    told: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _frame: told.append(number))
    earlier = signal.getsignal(signal.SIGTERM)
    try:
        lifespan = Lifespan()
        handler = App(report, source=sqs, lifespan=lifespan)
        handler(EVENT, Context())
        assert signal.getsignal(signal.SIGTERM) != earlier
        signal.raise_signal(signal.SIGTERM)
        assert (told, len(lifespan.left)) == ([signal.SIGTERM], 1)
        assert signal.getsignal(signal.SIGTERM) is earlier
    finally:
        signal.signal(signal.SIGTERM, before)


def test_sigterm_during_an_invocation_cancels_it_first():
    """The flow can clean up, then the lifespan closes, then the earlier handler runs."""
    seen: list[str] = []
    before = signal.signal(signal.SIGTERM, lambda _number, _frame: seen.append("earlier handler"))

    async def flow(_event: SqsBatch, _call: Invocation, _services: str) -> BatchReport:
        signal.raise_signal(signal.SIGTERM)
        try:
            await asyncio.sleep(3600)
        finally:
            seen.append("flow ended")
        raise AssertionError

    try:
        lifespan = Lifespan()
        handler = App(flow, source=sqs, lifespan=lifespan)
        with pytest.raises(asyncio.CancelledError):
            handler(EVENT, Context())
        assert (seen, len(lifespan.left)) == (["flow ended", "earlier handler"], 1)
    finally:
        signal.signal(signal.SIGTERM, before)


SCRIPT = """
import os, signal
from contextlib import asynccontextmanager
from sluiceway.app import App
from sluiceway.codec import sqs
from sluiceway.events.sqs import BatchReport

@asynccontextmanager
async def lifespan():
    yield
    print("closed", flush=True)

async def flow(event, call, services):
    return BatchReport()

class Context:
    aws_request_id = function_name = invoked_function_arn = "x"
    def get_remaining_time_in_millis(self):
        return 1000

handler = App(flow, source=sqs, lifespan=lifespan)
handler({"Records": []}, Context())
os.kill(os.getpid(), signal.SIGTERM)
print("not reached", flush=True)
"""


def test_sigterm_ends_the_process_as_it_would_have():
    """With the default action the process still dies by the signal, after closing."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT],
        env={"PYTHONPATH": "layers/sluiceway"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGTERM, "closed\n", "")
