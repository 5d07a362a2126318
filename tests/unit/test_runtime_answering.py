"""runtime.answering: streamed answers byte for byte, their ends, a slow reader, and a client that has gone."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from sluiceway.app import App
from sluiceway.codec import sqs
from sluiceway.errors import DeadlineExceeded
from sluiceway.events.stream import ByteStream, HttpStream
from sluiceway.runtime.answering import Answering
from sluiceway.runtime.context import Call, LambdaContext
from sluiceway.runtime.handler import resolve
from sluiceway.runtime.outcome import RuntimeApiError
from tests.unit.fake_runtime_api import DEADLINE_MS, Reply, chunks, event, fake_api, refusal
from tests.unit.runtime_world import make_desk, serve

CALL = Call("r-1", b"{}", DEADLINE_MS)
EVENTS = "text/event-stream"


async def count_up() -> AsyncGenerator[bytes | str]:
    """Three parts, one of them empty."""
    yield b"one "
    yield ""
    yield "zwei ü "
    yield bytearray(b"three")  # type: ignore[misc]


async def fail_after(parts: int) -> AsyncGenerator[bytes]:
    """So many parts, then an error."""
    for number in range(parts):
        yield b"%d" % number
    raise ValueError("midway")


def test_an_async_generator_streams_its_parts():
    """Each part is a chunk; an empty one, which would be the end, is left out."""

    async def handler(_event: Any, _context: Any) -> AsyncIterator[Any]:
        async for part in count_up():
            yield part

    with fake_api(event(b"1", "r-1"), event(b"2", "r-2")) as api:
        serve(api, handler, count=2)
    first, second = api.answers()
    assert (first.route, second.route) == ("invocation/r-1/response", "invocation/r-2/response")
    assert first.body == "4\r\none \r\n8\r\nzwei ü \r\n5\r\nthree\r\n0\r\n\r\n".encode()
    assert first.headers["lambda-runtime-function-response-mode"] == "streaming"
    assert first.headers["content-type"] == "application/octet-stream"


def test_a_stream_may_be_returned_with_its_type():
    """By a plain function or an `async` one."""

    def handler(_event: Any, _context: Any) -> Any:
        return ByteStream(count_up(), "text/plain")

    async def handler_later(_event: Any, _context: Any) -> Any:
        return ByteStream(count_up(), "text/plain")

    with fake_api(event(b"1"), event(b"2")) as api:
        serve(api, handler)
        serve(api, handler_later)
    assert [request.headers["content-type"] for request in api.answers()] == ["text/plain"] * 2
    assert [chunks(request.body) for request in api.answers()] == [[b"one ", "zwei ü ".encode(), b"three"]] * 2


def test_an_http_stream_begins_with_its_prelude():
    """JSON, eight NUL bytes, then the body; the content type says that it is one."""

    async def handler(_event: Any, _context: Any) -> Any:
        return HttpStream(count_up(), 201, {"content-type": EVENTS, "x-ü": "ü"}, cookies=("a=1", "b=2"))

    with fake_api(event(b"1")) as api:
        serve(api, handler)
    (answer,) = api.answers()
    assert answer.headers["content-type"] == "application/vnd.awslambda.http-integration-response"
    prelude, _, body = b"".join(chunks(answer.body)).partition(bytes(8))
    assert json.loads(prelude) == {
        "statusCode": 201, "headers": {"content-type": EVENTS, "x-ü": "ü"}, "cookies": ["a=1", "b=2"],
    }  # fmt: skip
    assert b"\0" not in prelude
    assert body == "one zwei ü three".encode()


@pytest.mark.parametrize("stream", [ByteStream, HttpStream])
def test_a_stream_without_parts_is_an_empty_answer(stream: Callable[..., Any]):
    """Head, prelude where there is one, and the end."""

    async def nothing() -> AsyncGenerator[bytes]:
        return
        yield b""

    with fake_api(event(b"1")) as api:
        serve(api, lambda _event, _context: stream(nothing()))
    (answer,) = api.answers()
    assert answer.body.endswith(b"0\r\n\r\n")
    expected = b'{"statusCode":200,"headers":{}}' + bytes(8) if stream is HttpStream else b""
    assert b"".join(chunks(answer.body)) == expected


def test_a_failure_before_the_first_part_is_an_ordinary_error():
    """Nothing has left yet."""
    with fake_api(event(b"1", "r-1")) as api:
        serve(api, lambda _event, _context: fail_after(0))
    (answer,) = api.answers()
    assert answer.route == "invocation/r-1/error"
    assert json.loads(answer.body)["errorMessage"] == "midway"


def test_a_failure_midway_ends_the_stream_with_trailers():
    """Type, and the error's JSON in base64; the environment goes on."""
    with fake_api(event(b"1", "r-1"), event(b"2", "r-2")) as api:
        serve(api, lambda number, _context: fail_after(2 * number), count=2)
    first, second = api.answers()
    assert first.route == "invocation/r-1/response"
    ending = first.body.partition(b"1\r\n0\r\n1\r\n1\r\n")[2].decode()
    kind, body = ending.removeprefix("0\r\n").removesuffix("\r\n\r\n").split("\r\n")
    assert kind == "Lambda-Runtime-Function-Error-Type: ValueError"
    error = json.loads(base64.b64decode(body.removeprefix("Lambda-Runtime-Function-Error-Body: ")))
    assert (error["errorMessage"], error["requestId"]) == ("midway", "r-1")
    assert f'File "{__file__}"' in error["stackTrace"][0]
    assert len(chunks(second.body)) == 4


@pytest.mark.parametrize(("part", "kind"), [(7, "TypeError"), ("\ud800", "UnicodeEncodeError"), (None, "TypeError")])
def test_a_part_that_cannot_be_sent_is_the_functions_error(part: Any, kind: str):
    """Midway, as any other."""

    async def parts() -> AsyncGenerator[Any]:
        yield b"fine"
        yield part

    with fake_api(event(b"1")) as api:
        serve(api, lambda _event, _context: parts())
    assert f"Lambda-Runtime-Function-Error-Type: {kind}\r\n".encode() in api.answers()[0].body


def test_a_content_type_that_is_no_header_is_the_functions_error():
    """Before anything has left."""
    with fake_api(event(b"1", "r-1")) as api:
        serve(api, lambda _event, _context: ByteStream(count_up(), "a\r\nb: c"))
    assert api.answers()[0].route == "invocation/r-1/error"


def test_a_stream_that_was_cut_is_not_sent_again():
    """Its reply is lost; parts that somebody has read must not come twice."""
    with fake_api(event(b"1", "r-1"), event(b"2", "r-2")) as api:

        def decide(request: Any) -> Reply:
            return None if request.route == "invocation/r-1/response" else api.usual(request)

        api.decide = decide
        serve(api, lambda _event, _context: count_up(), count=2)
    assert [request.route for request in api.answers()] == ["invocation/r-1/response", "invocation/r-2/response"]


def test_a_stream_answered_with_500_ends_the_process():
    """As any other answer."""
    with fake_api(event(b"1")) as api:
        api.decide = lambda request: refusal(500) if "response" in request.route else api.usual(request)
        with pytest.raises(RuntimeApiError):
            serve(api, lambda _event, _context: count_up())


# ---------------------------------------------------------------- while it is on its way


class Reader:
    """The Runtime API's end of one streamed answer, read as the test likes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer


@asynccontextmanager
async def reading() -> AsyncGenerator[tuple[str, asyncio.Queue[Reader]]]:
    """An address, and the connections that come to it. They keep little, so a slow reader shows soon."""
    connections: asyncio.Queue[Reader] = asyncio.Queue()
    ended = asyncio.Event()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.put_nowait(Reader(reader, writer))
        await ended.wait()
        writer.transport.abort()

    server = await asyncio.start_server(accept, "127.0.0.1", 0, limit=1024)
    try:
        host, port = server.sockets[0].getsockname()[:2]
        yield f"{host}:{port}", connections
    finally:
        ended.set()
        server.close()
        await server.wait_closed()


class Address:
    """What `make_desk` asks of a fake."""

    def __init__(self, address: str) -> None:
        self.address = address


def answering(address: str, result: Any = None) -> tuple[Answering, Any]:
    """The answer to CALL, and the coroutine that concludes it with `result`."""
    made = Answering(CALL, make_desk(Address(address), lambda *_: None))  # type: ignore[arg-type]
    return made, made.conclude(resolve(result, made.send))


async def test_parts_leave_as_they_are_made():
    """The first is there while the generator waits for more."""
    go_on = asyncio.Event()

    async def parts() -> AsyncGenerator[bytes]:
        yield b"first"
        await go_on.wait()
        yield b"second"

    async with reading() as (address, connections), asyncio.TaskGroup() as group:
        _, work = answering(address, parts())
        task = group.create_task(work)
        peer = await connections.get()
        assert (await peer.reader.readuntil(b"first\r\n")).endswith(b"\r\n\r\n5\r\nfirst\r\n")
        go_on.set()
        assert await peer.reader.readuntil(b"0\r\n\r\n") == b"6\r\nsecond\r\n0\r\n\r\n"
        peer.writer.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")
        assert await task is None


async def test_a_slow_reader_slows_the_generator():
    """Only as many parts are made as fit into the buffers on the way; all arrive in the end."""
    made: list[int] = []
    part = b"x" * 65_536

    async def parts() -> AsyncGenerator[bytes]:
        for number in range(400):
            made.append(number)
            yield part

    async with reading() as (address, connections), asyncio.TaskGroup() as group:
        _, work = answering(address, parts())
        task = group.create_task(work)
        peer = await connections.get()
        await peer.reader.readuntil(b"\r\n\r\n")
        before = -1
        while before != len(made):  # until it stands still
            before = len(made)
            await asyncio.sleep(0.05)
        assert before < 250
        data = b""
        while not data.endswith(b"0\r\n\r\n"):
            data = data[-8:] + await peer.reader.read(1_000_000)
        peer.writer.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")
        await task
    assert len(made) == 400


@pytest.mark.parametrize("how", ["abort", "close", "early answer"])
async def test_where_nobody_reads_any_more_the_generator_is_closed(how: str, capsys: pytest.CaptureFixture[str]):
    """Its `finally` runs, and the invocation ends without another answer."""
    closed = asyncio.Event()
    made: list[bytes] = []

    async def parts() -> AsyncGenerator[bytes]:
        try:
            while True:
                made.append(b"x")
                yield b"part"
                await asyncio.sleep(0.001)
        finally:
            closed.set()

    async with reading() as (address, connections), asyncio.TaskGroup() as group:
        _, work = answering(address, parts())
        task = group.create_task(work)
        peer = await connections.get()
        await peer.reader.readuntil(b"part\r\n")
        if how == "abort":
            peer.writer.transport.abort()
        elif how == "close":
            peer.writer.write_eof()
        else:
            peer.writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
        await asyncio.wait_for(closed.wait(), 5)
        assert await task is None
    events = [json.loads(line)["message"] for line in capsys.readouterr().out.splitlines()]
    assert events == [
        "runtime.stream_abandoned",
        "runtime.answer_refused" if how == "early answer" else "runtime.stream_cut",
    ]


async def test_a_reader_that_leaves_while_the_stream_waits_for_room_ends_it():
    """Back-pressure does not hold a generator for ever."""
    closed = asyncio.Event()

    async def parts() -> AsyncGenerator[bytes]:
        try:
            while True:
                yield b"x" * 1_000_000
        finally:
            closed.set()

    async with reading() as (address, connections), asyncio.TaskGroup() as group:
        _, work = answering(address, parts())
        group.create_task(work)
        peer = await connections.get()
        await peer.reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(0.05)
        assert not closed.is_set()
        peer.writer.transport.abort()
        await asyncio.wait_for(closed.wait(), 5)


async def test_a_cancelled_answer_is_cut():
    """What is cancelled from outside (SIGTERM) says nothing more, and closes its generator."""
    closed = asyncio.Event()

    async def parts() -> AsyncGenerator[bytes]:
        try:
            yield b"part"
            await asyncio.sleep(3600)
        finally:
            closed.set()

    async with reading() as (address, connections), asyncio.TaskGroup() as group:
        _, work = answering(address, parts())
        task = group.create_task(work)
        peer = await connections.get()
        await peer.reader.readuntil(b"part\r\n")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert closed.is_set()
        assert await peer.reader.read() == b""


def test_an_invocation_has_one_answer():
    """A second stream is an error of whoever sends it, and ends the first."""
    errors: list[str] = []

    class Twice:
        """What looks like an App, and responds twice."""

        def run(self, work: Any) -> Any:
            with asyncio.Runner() as runner:
                return runner.run(work)

        async def open(self) -> None: ...

        async def aclose(self) -> None: ...

        async def invoke(self, event: Any, context: Any, *, trace_header: str, respond: Any) -> None:
            await respond(ByteStream(count_up()))
            try:
                await respond(ByteStream(count_up()))
            except RuntimeError as error:
                errors.append(str(error))
                raise

    with fake_api(event(b"1")) as api:
        serve(api, Twice())
    assert errors == ["an invocation has one answer"]
    assert b"Lambda-Runtime-Function-Error-Type: RuntimeError\r\n" in api.answers()[0].body


# ---------------------------------------------------------------- an App


@asynccontextmanager
async def lifespan() -> AsyncGenerator[list[str]]:
    yield []


def app(flow: Any, *steps: Any) -> App[Any, Any, Any]:
    return App(flow, source=sqs, lifespan=lifespan, steps=steps, margin_s=0.2)


async def stream_with_care(_batch: Any, call: Any, done: list[str]) -> HttpStream:
    async def parts() -> AsyncGenerator[str]:
        try:
            yield f"{call.request_id} "
            await asyncio.sleep(0)
            yield "ends"
        finally:
            done.append("closed")

    return HttpStream(parts(), headers={"content-type": EVENTS})


def test_an_app_streams_inside_its_steps():
    """A step around the flow is left when the last part has been sent: logs and metrics see all of it."""
    order: list[str] = []

    def step(following: Any) -> Any:
        async def run(event: Any, call: Any) -> Any:
            try:
                return await following(event, call)
            finally:
                order.append("step left")

        return run

    async def flow(_batch: Any, _call: Any, _services: Any) -> AsyncIterator[bytes]:
        yield b"a"
        order.append("second part")
        yield b"b"

    made = app(flow, step)
    with fake_api(event(b'{"Records":[]}')) as api:
        serve(api, made)
    made.close()
    assert order == ["second part", "step left"]
    assert chunks(api.answers()[0].body) == [b"a", b"b"]


def test_an_apps_stream_ends_at_the_deadline():
    """The flow is cancelled while it makes a part; the trailers say why."""
    closed: list[str] = []

    async def flow(_batch: Any, _call: Any, _services: Any) -> AsyncIterator[bytes]:
        try:
            yield b"a"
            await asyncio.sleep(3600)
        finally:
            closed.append("closed")

    made = app(flow)
    soon = event(b'{"Records":[]}').replace(str(DEADLINE_MS).encode(), b"1")
    with fake_api(soon) as api:
        serve(api, made)
    made.close()
    (answer,) = api.answers()
    assert closed == ["closed"] or answer.route.endswith("error")
    shown = answer.body + answer.headers.get("lambda-runtime-function-error-type", "").encode()
    assert DeadlineExceeded.__name__.encode() in shown


async def test_an_app_buffers_where_nobody_streams():
    """Under the official client the parts become one reply, and the generator is closed."""
    made = app(stream_with_care)
    reply = await made.invoke({"Records": []}, LambdaContext(CALL, {}))
    await made.aclose()
    assert reply == {
        "statusCode": 200, "headers": {"content-type": EVENTS}, "body": "r-1 ends", "isBase64Encoded": False,
    }  # fmt: skip


async def test_an_app_buffers_bytes_that_are_no_text_as_base64():
    """What a proxy integration asks for; a ByteStream is the bytes themselves."""

    async def parts() -> AsyncGenerator[bytes]:
        yield b"\xff"

    async def flow(_batch: Any, _call: Any, _services: Any) -> HttpStream:
        return HttpStream(parts(), cookies=("a=1",))

    async def plain(_batch: Any, _call: Any, _services: Any) -> ByteStream:
        return ByteStream(parts())

    made, other = app(flow), app(plain)
    reply = await made.invoke({"Records": []}, LambdaContext(CALL, {}))
    await made.aclose()
    assert reply == {"statusCode": 200, "headers": {}, "cookies": ["a=1"], "body": "/w==", "isBase64Encoded": True}
    assert await other.invoke({"Records": []}, LambdaContext(CALL, {})) == b"\xff"
    await other.aclose()
