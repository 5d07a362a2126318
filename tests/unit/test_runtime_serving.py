"""runtime.serving over runtime.blocking: one invocation after the other, whatever the connection does."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any

import pytest

from sluiceway.app import App
from sluiceway.codec import sqs
from sluiceway.events.invocation import Invocation
from sluiceway.events.sqs import BatchReport, SqsBatch
from sluiceway.runtime.outcome import RuntimeApiError
from tests.unit.fake_runtime_api import ACCEPTED, FakeApi, Received, Reply, event, fake_api, refusal
from tests.unit.runtime_world import Lines, make_desk, serve

TRACE = "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Sampled=1"


def echo(event: Any, context: Any) -> Any:
    return {"event": event, "id": context.aws_request_id}


async def echo_later(event: Any, context: Any) -> Any:
    await asyncio.sleep(0)
    return echo(event, context)


def routes(api: FakeApi) -> list[str]:
    return [request.route for request in api.received]


@pytest.mark.parametrize("handler", [echo, echo_later])
def test_invocations_are_served_one_after_the_other_on_one_connection(handler: Any):
    """next, response, next, response; a plain function and an `async` one alike."""
    with fake_api(event(b"1", "r-1"), event(b"[2]", "r-2")) as api:
        serve(api, handler, count=2)
    assert routes(api) == ["invocation/next", "invocation/r-1/response", "invocation/next", "invocation/r-2/response"]
    assert [json.loads(request.body) for request in api.answers()] == [
        {"event": 1, "id": "r-1"}, {"event": [2], "id": "r-2"},
    ]  # fmt: skip
    assert {request.connection for request in api.received} == {1}


def test_what_is_awaited_runs_on_one_loop():
    """The loop lives as long as the environment: what one invocation made the next may use."""
    loops: set[int] = set()

    async def handler(_event: Any, _context: Any) -> None:
        loops.add(id(asyncio.get_running_loop()))

    with fake_api(event(b"1"), event(b"2"), event(b"3")) as api:
        serve(api, handler, count=3)
    assert len(loops) == 1


def test_context_variables_do_not_leak_into_the_next_invocation():
    """An `async` handler runs in a context of its own."""
    seen: list[int] = []
    variable: ContextVar[int] = ContextVar("variable", default=0)

    async def handler(number: Any, _context: Any) -> None:
        seen.append(variable.get())
        variable.set(number)

    with fake_api(event(b"1"), event(b"2")) as api:
        serve(api, handler, count=2)
    assert seen == [0, 0]


@pytest.mark.parametrize("later", [False, True])
def test_an_error_is_told_and_the_next_invocation_comes(later: bool):
    """Type and message in the body, type and cause in headers, and lines in the log."""

    def fail(event: Any, _context: Any) -> None:
        raise ValueError(f"no {event}")

    async def fail_later(event: Any, context: Any) -> None:
        fail(event, context)

    with fake_api(event(b"1", "r-1"), event(b"2", "r-2")) as api:
        serving = serve(api, fail_later if later else fail, count=2)
    assert [request.route for request in api.answers()] == ["invocation/r-1/error", "invocation/r-2/error"]
    first = api.answers()[0]
    body = json.loads(first.body)
    assert (body["errorType"], body["errorMessage"], body["requestId"]) == ("ValueError", "no 1", "r-1")
    assert f'File "{__file__}"' in body["stackTrace"][0]
    assert first.headers["lambda-runtime-function-error-type"] == "ValueError"
    assert json.loads(first.headers["lambda-runtime-function-xray-error-cause"])["exceptions"][0]["message"] == "no 1"
    sink = serving._desk.sink
    assert isinstance(sink, Lines)
    assert sink.messages[0].startswith("[ERROR] ValueError: no 1\nTraceback")


@pytest.mark.parametrize(
    ("payload", "headers", "expected"),
    [
        (b"{", {}, "Runtime.UnmarshalError"),
        (b"1", {"Lambda_Runtime_Client_Context": "{"}, "Runtime.LambdaContextUnmarshalError"),
    ],
)
def test_an_event_that_cannot_be_read_is_a_function_error(payload: bytes, headers: dict[str, str], expected: str):
    """The environment goes on."""
    with fake_api(event(payload, **headers), event(b"2")) as api:
        serve(api, echo, count=2)
    assert json.loads(api.answers()[0].body)["errorType"] == expected
    assert json.loads(api.answers()[1].body)["event"] == 2


def test_a_reply_that_cannot_be_written_is_a_function_error():
    """As under the managed runtime."""
    with fake_api(event(b"1")) as api:
        serve(api, lambda _event, _context: {1, 2})
    assert json.loads(api.answers()[0].body)["errorType"] == "Runtime.MarshalError"


def test_a_cancelled_handler_is_a_function_error():
    """It would pass every `except Exception`, and end the environment."""

    async def handler(_event: Any, _context: Any) -> None:
        raise asyncio.CancelledError

    with fake_api(event(b"1")) as api:
        serve(api, handler)
    assert json.loads(api.answers()[0].body)["errorType"] == "CancelledError"


@pytest.mark.parametrize("later", [False, True])
def test_a_handler_that_exits_ends_the_process(later: bool):
    """With its own code, and without an answer: Lambda reports Runtime.ExitError."""

    def leave(_event: Any, _context: Any) -> None:
        raise SystemExit(3)

    async def leave_later(event: Any, context: Any) -> None:
        leave(event, context)

    with fake_api(event(b"1")) as api, pytest.raises(SystemExit) as caught:
        serve(api, leave_later if later else leave)
    assert (caught.value.code, api.answers()) == (3, [])


def test_the_trace_header_is_in_the_environment_while_its_invocation_runs(monkeypatch: pytest.MonkeyPatch):
    """Where the X-Ray SDK looks; an invocation without one has none."""
    monkeypatch.delenv("_X_AMZN_TRACE_ID", raising=False)
    seen: list[str | None] = []

    def handler(_event: Any, _context: Any) -> None:
        seen.append(os.environ.get("_X_AMZN_TRACE_ID"))

    with fake_api(
        event(b"1", Lambda_Runtime_Trace_Id=TRACE), event(b"2", Lambda_Runtime_Trace_Id=TRACE), event(b"3")
    ) as api:
        serve(api, handler, count=3)
    assert seen == [TRACE, TRACE, None]


def test_lines_of_a_thread_know_the_invocation_too():
    """A thread has no context variables; the latest invocation's context is at hand."""
    seen: list[str] = []
    with fake_api(event(b"1", "r-1")) as api:
        serving: Any = None

        def handler(_event: Any, _context: Any) -> None:
            thread = threading.Thread(target=lambda: seen.append(serving.context.aws_request_id))
            thread.start()
            thread.join()

        from sluiceway.runtime.blocking import BlockingApi
        from sluiceway.runtime.serving import SerialServing

        desk = make_desk(api, handler)
        client = BlockingApi(api.address, desk.requests)
        serving = SerialServing(desk, client)
        serving.serve_next()
        client.close()
    assert seen == ["r-1"]


# ---------------------------------------------------------------- an App


@asynccontextmanager
async def lifespan() -> AsyncGenerator[str]:
    yield "services"


def test_an_app_is_driven_on_its_own_loop():
    """Its codec writes the reply, and its flow sees the trace header and the deadline."""
    calls: list[Invocation] = []
    loops: set[int] = set()

    async def flow(batch: SqsBatch, call: Invocation, services: str) -> BatchReport:
        calls.append(call)
        loops.add(id(asyncio.get_running_loop()))
        return BatchReport()

    app = App(flow, source=sqs, lifespan=lifespan)
    batch = event(b'{"Records":[]}', "r-1", Lambda_Runtime_Trace_Id=TRACE)
    with fake_api(batch, event(b'{"Records":[]}', "r-2")) as api:
        serve(api, app, count=2)
    app.close()
    assert [request.body for request in api.answers()] == [b'{"batchItemFailures": []}'] * 2
    assert [(call.request_id, call.trace_id, call.cold_start) for call in calls] == [
        ("r-1", TRACE, True), ("r-2", "", False),
    ]  # fmt: skip
    assert calls[0].deadline > 0
    assert len(loops) == 1


def test_an_event_that_is_not_the_apps_is_rejected():
    """The codec's error comes back as a function error."""
    app = App(lambda *_: asyncio.sleep(0, BatchReport()), source=sqs, lifespan=lifespan)
    with fake_api(event(b"1")) as api:
        serve(api, app)
    app.close()
    assert json.loads(api.answers()[0].body)["errorType"] == "Rejected"


# ---------------------------------------------------------------- the connection


class Cutting:
    """Closes the connection after a part of one reply."""

    def __init__(self, api: FakeApi, *, route: str, part: bytes) -> None:
        self._api, self._route, self._part = api, route, part
        self._done = False

    def __call__(self, request: Received) -> Reply:
        if request.route.endswith(self._route) and not self._done:
            self._done = True
            self._api.closing.append(request.connection)
            return self._part
        return self._api.usual(request)


def test_an_event_cut_at_any_byte_is_asked_for_again():
    """The same invocation comes again: it is run once, whole."""
    whole = event(b'{"n":"\xc3\xa4"}', "r-1")
    for at in range(len(whole)):
        ran: list[Any] = []
        with fake_api(whole) as api:
            api.decide = Cutting(api, route="next", part=whole[:at])
            serve(api, lambda event, _context, ran=ran: ran.append(event))
        assert ran == [{"n": "ä"}], at
        assert routes(api) == ["invocation/next", "invocation/next", "invocation/r-1/response"], at


def test_a_reply_to_an_answer_cut_at_any_byte_sends_it_again():
    """Nobody can say whether it arrived; the handler does not run twice, and 400 then means that it had."""
    for at in range(len(ACCEPTED)):
        ran: list[Any] = []
        with fake_api(event(b"1", "r-1"), event(b"2", "r-2")) as api:
            first = Cutting(api, route="r-1/response", part=ACCEPTED[:at])

            def decide(request: Received, api: FakeApi = api, first: Cutting = first) -> Reply:
                again = sum(answer.route == request.route for answer in api.answers()) > 1
                return refusal(400) if request.route == "invocation/r-1/response" and again else first(request)

            api.decide = decide
            serve(api, lambda event, _context, ran=ran: ran.append(event), count=2)
        assert ran == [1, 2], at
        answers = [request.route for request in api.answers()]
        assert answers == ["invocation/r-1/response", "invocation/r-1/response", "invocation/r-2/response"], at


def test_an_idle_connection_that_was_closed_is_made_again():
    """As after an environment was frozen."""
    with fake_api(event(b"1"), event(b"2")) as api:

        def decide(request: Received) -> Reply:
            if request.route != "invocation/next":
                api.closing.append(request.connection)
            return api.usual(request)

        api.decide = decide
        serve(api, echo, count=2)
    assert [request.connection for request in api.received] == [1, 1, 2, 2]


def test_connection_close_is_obeyed():
    """A reply that says so is the last on its connection."""
    closing = ACCEPTED.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
    with fake_api(event(b"1"), event(b"2")) as api:
        api.decide = lambda request: closing if request.route != "invocation/next" else api.usual(request)
        serve(api, echo, count=2)
    assert [request.connection for request in api.received] == [1, 1, 2, 2]


def test_a_runtime_api_that_is_gone_ends_the_process():
    """After five more attempts, with a growing wait."""
    with fake_api() as api:
        pass
    waits: list[float] = []
    with pytest.raises(RuntimeApiError, match="cannot be reached"):
        serve(api, echo, waits=waits)
    assert waits == [0.0, 0.1, 0.2, 0.4, 0.8]


def test_a_chunked_event_is_read():
    """A large event may come in chunks."""
    body = b"5\r\n[1, 2\r\n4\r\n, 3]\r\n0\r\n\r\n"
    head = event(b"").replace(b"Content-Length: 0\r\n", b"Transfer-Encoding: chunked\r\n")
    with fake_api(head + body) as api:
        serve(api, echo)
    assert json.loads(api.answers()[0].body)["event"] == [1, 2, 3]


def test_large_events_and_replies():
    """6 MB each way, in as many parts as the network likes."""
    text = "ä" * 3_000_000
    with fake_api(event(json.dumps(text).encode())) as api:
        serve(api, lambda event, _context: event)
    assert json.loads(api.answers()[0].body) == text


@pytest.mark.parametrize("status", [500, 503, 403, 404])
def test_a_refused_next_ends_the_process(status: int):
    """The documentation: "Non-recoverable state. Runtime should exit promptly."."""
    with fake_api() as api:
        api.decide = lambda _request: refusal(status)
        with pytest.raises(RuntimeApiError, match=f"answered with {status}"):
            serve(api, echo)
    assert len(api.received) == 1


def test_a_next_that_is_no_invocation_ends_the_process():
    """Without a request id nothing could be answered."""
    with fake_api(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") as api, pytest.raises(RuntimeApiError):
        serve(api, echo)


@pytest.mark.parametrize("status", [400, 403, 413])
def test_a_refused_answer_is_that_invocations_own_loss(status: int, capsys: pytest.CaptureFixture[str]):
    """It is logged, and the next one is asked for."""
    with fake_api(event(b"1", "r-1"), event(b"2", "r-2")) as api:
        api.decide = lambda request: (
            refusal(status) if request.route == "invocation/r-1/response" else api.usual(request)
        )
        serve(api, echo, count=2)
    assert [request.route for request in api.answers()] == ["invocation/r-1/response", "invocation/r-2/response"]
    line = json.loads(capsys.readouterr().out.splitlines()[0])
    assert (line["message"], line["request_id"], line["status"]) == ("runtime.answer_refused", "r-1", status)


def test_an_answer_refused_with_500_ends_the_process():
    """As with `next`."""
    with fake_api(event(b"1")) as api:
        api.decide = lambda request: refusal(500) if "response" in request.route else api.usual(request)
        with pytest.raises(RuntimeApiError):
            serve(api, echo)
