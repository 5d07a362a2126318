"""runtime.concurrency: many invocations on one loop, none in another's way."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any

import pytest

from sluiceway.app import App
from sluiceway.codec import sqs
from sluiceway.events.sqs import BatchReport
from sluiceway.runtime.channel import AsyncApi
from sluiceway.runtime.concurrency import run_concurrently, serve_concurrently
from sluiceway.runtime.context import CURRENT
from sluiceway.runtime.outcome import RuntimeApiError
from tests.unit.fake_runtime_api import ACCEPTED, FakeApi, Received, Reply, chunks, event, fake_api, refusal
from tests.unit.runtime_world import make_desk


async def serve_until(api: FakeApi, handler: Any, *, workers: int, answers: int) -> list[Received]:
    """Serve until there are so many answers; the answers, by request id."""
    desk = make_desk(api, handler)
    task = asyncio.get_running_loop().create_task(serve_concurrently(desk, workers=workers))
    waiting = asyncio.get_running_loop().run_in_executor(None, lambda: api.wait_for(answers))
    done, _ = await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
    if task in done:
        await task
    found = await waiting
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    return sorted(found, key=lambda request: request.route)


def bodies(answers: list[Received]) -> list[Any]:
    return [json.loads(answer.body) for answer in answers]


async def test_as_many_run_at_once_as_there_are_workers():
    """Three meet in the middle; with fewer at once they would wait for ever."""
    meeting = asyncio.Barrier(3)

    async def handler(number: Any, _context: Any) -> Any:
        await meeting.wait()
        return number

    with fake_api(*(event(b"%d" % number, f"r-{number}") for number in range(6))) as api:
        answers = await serve_until(api, handler, workers=3, answers=6)
    assert bodies(answers) == [0, 1, 2, 3, 4, 5]
    assert len({request.connection for request in api.received}) == 3


async def test_context_variables_are_each_invocations_own():
    """What one sets no other sees, at the same time or later; ids come from the invocation's own context."""
    variable: ContextVar[Any] = ContextVar("variable", default="unset")
    meeting = asyncio.Barrier(2)

    async def handler(number: Any, context: Any) -> Any:
        before = variable.get()
        variable.set(number)
        await meeting.wait()
        current = CURRENT.get()
        return [before, variable.get(), current is context and context.aws_request_id]

    with fake_api(*(event(b"%d" % number, f"r-{number}") for number in range(4))) as api:
        answers = await serve_until(api, handler, workers=2, answers=4)
    assert bodies(answers) == [["unset", number, f"r-{number}"] for number in range(4)]


class Boom(Exception):
    """What a handler raises."""


@pytest.mark.parametrize(
    ("error", "kind", "plain"),
    [
        (Boom("x"), "Boom", False),
        (Boom("x"), "Boom", True),
        (SystemExit(3), "Runtime.ExitError", False),
        (SystemExit(3), "Runtime.ExitError", True),
        (asyncio.CancelledError(), "CancelledError", False),
    ],
)
async def test_one_fails_alone(error: BaseException, kind: str, plain: bool):
    """An exception, a cancellation or an exit is that invocation's error; the others end well."""

    def act(number: Any, _context: Any) -> Any:
        if number == 1:
            raise error
        return number

    async def act_later(number: Any, context: Any) -> Any:
        await asyncio.sleep(0.01)
        return act(number, context)

    with fake_api(*(event(b"%d" % number, f"r-{number}") for number in range(4))) as api:
        answers = await serve_until(api, act if plain else act_later, workers=2, answers=4)
    assert [answer.route.rpartition("/")[2] for answer in answers] == ["response", "error", "response", "response"]
    assert bodies(answers)[1]["errorType"] == kind
    assert [bodies(answers)[at] for at in (0, 2, 3)] == [0, 2, 3]


async def test_plain_functions_run_in_threads():
    """Two of them meet, which they could not on the loop; a context variable reaches them."""
    meeting = threading.Barrier(2)

    def handler(number: Any, context: Any) -> Any:
        meeting.wait(10)
        current = CURRENT.get()
        return [number, current is context, threading.current_thread() is not threading.main_thread()]

    with fake_api(event(b"0", "r-0"), event(b"1", "r-1")) as api:
        answers = await serve_until(api, handler, workers=2, answers=2)
    assert bodies(answers) == [[0, True, True], [1, True, True]]


async def test_a_plain_function_may_give_something_to_await():
    """As a decorator without `async` does; it is awaited on the loop."""

    async def work(number: Any) -> Any:
        return [number, threading.current_thread() is threading.main_thread()]

    with fake_api(event(b"5")) as api:
        answers = await serve_until(api, lambda number, _context: work(number), workers=1, answers=1)
    assert bodies(answers) == [[5, True]]


async def test_streams_beside_one_another():
    """Each leaves over a connection of its own."""
    meeting = asyncio.Barrier(2)

    async def handler(number: Any, _context: Any) -> AsyncGenerator[str]:
        yield f"{number} begins, "
        await meeting.wait()
        yield f"{number} ends"

    with fake_api(event(b"0", "r-0"), event(b"1", "r-1")) as api:
        answers = await serve_until(api, handler, workers=2, answers=2)
    assert [chunks(answer.body) for answer in answers] == [[b"0 begins, ", b"0 ends"], [b"1 begins, ", b"1 ends"]]


@asynccontextmanager
async def lifespan() -> AsyncGenerator[asyncio.Barrier]:
    yield asyncio.Barrier(2)


def test_an_app_serves_many_on_the_loop_of_its_lifespan():
    """Its services are shared, its invocations are not."""
    ids: list[str] = []

    async def flow(_batch: Any, call: Any, together: asyncio.Barrier) -> BatchReport:
        await together.wait()
        ids.append(call.request_id)
        return BatchReport()

    app = App(flow, source=sqs, lifespan=lifespan)
    app.run(app.open())
    with fake_api(*(event(b'{"Records":[]}', f"r-{number}") for number in range(2))) as api:

        def decide(request: Received) -> Reply:
            if request.route == "invocation/next" and len(api.answers()) == 2:
                return refusal(500)  # the end of this test
            return api.usual(request)

        api.decide = decide
        threading.Timer(5, api.ended.set).start()
        with pytest.raises(ExceptionGroup) as caught:
            run_concurrently(make_desk(api, app), workers=2)
    app.close()
    assert caught.group_contains(RuntimeApiError)
    assert sorted(ids) == ["r-0", "r-1"]


async def test_a_worker_that_loses_its_connection_makes_another():
    """The others do not notice."""
    with fake_api(*(event(b"%d" % number, f"r-{number}") for number in range(3))) as api:
        cut: list[Received] = []

        def decide(request: Received) -> Reply:
            if request.route == "invocation/r-1/response" and not cut:
                cut.append(request)
                return None
            return api.usual(request)

        api.decide = decide

        async def handler(number: Any, _context: Any) -> Any:
            return number

        answers = await serve_until(api, handler, workers=2, answers=4)
    assert bodies(answers) == [0, 1, 1, 2]


# ---------------------------------------------------------------- the connection of one worker


async def ask(api: FakeApi) -> AsyncApi:
    return AsyncApi(api.address, make_desk(api, None).requests)


@pytest.mark.parametrize("cut", range(0, len(event(b'{"n":1}')), 3))
async def test_an_event_cut_anywhere_is_asked_for_again(cut: int):
    """As over a blocking socket."""
    whole = event(b'{"n":1}')
    with fake_api(whole) as api:
        done: list[int] = []

        def decide(request: Received) -> Reply:
            if not done:
                done.append(cut)
                api.closing.append(request.connection)
                return whole[:cut]
            return api.usual(request)

        api.decide = decide
        client = await ask(api)
        call = await client.next()
        client.close()
    assert (call.payload, len(api.received)) == (b'{"n":1}', 2)


@pytest.mark.parametrize("cut", range(0, len(ACCEPTED), 7))
async def test_a_reply_to_an_answer_cut_anywhere_sends_it_again(cut: int):
    """And 403 then says that it had arrived."""
    with fake_api(event(b"1")) as api:

        def decide(request: Received) -> Reply:
            if "response" not in request.route:
                return api.usual(request)
            api.closing.append(request.connection)
            return ACCEPTED[:cut] if len(api.answers()) == 1 else refusal(403)

        api.decide = decide
        client = await ask(api)
        call = await client.next()
        await client.answer(call, make_desk(api, None).requests.response(call, b"1", "x"))
        client.close()
    assert [answer.body for answer in api.answers()] == [b"1", b"1"]


async def test_a_runtime_api_that_is_gone_ends_the_worker(monkeypatch: pytest.MonkeyPatch):
    """After five more attempts."""
    waits: list[float] = []

    async def sleep(delay_s: float) -> None:
        waits.append(delay_s)

    monkeypatch.setattr("sluiceway.runtime.channel.asyncio.sleep", sleep)
    with fake_api() as api:
        pass
    client = await ask(api)
    with pytest.raises(RuntimeApiError, match="cannot be reached"):
        await client.next()
    assert waits == [0.0, 0.1, 0.2, 0.4, 0.8]


async def test_bytes_that_nobody_asked_for_close_the_connection():
    """A reply to nothing would be taken for the next one's."""
    with fake_api(event(b"1"), event(b"2")) as api:
        api.decide = lambda request: (api.usual(request) or b"") + b"HTTP/1.1 200 OK\r\n\r\n"
        client = await ask(api)
        await client.next()
        call = await client.next()
        client.close()
    assert (call.payload, [request.connection for request in api.received]) == (b"2", [1, 2])
