"""Streamed responses between runtime and caller: pace, buffer, limits, callers that leave, and how each one ends."""

from __future__ import annotations

import asyncio
import base64
import json

import pytest

from localcloud.clock import run_virtual
from localcloud.compute.environment import Outcome, Request
from localcloud.compute.response_stream import BUFFER_BYTES, BURST_BYTES, RATE_BYTES_S, Pace, ResponseStream
from localcloud.compute.runtime_api import TRUNCATED, Answer, Call, Event, RuntimeApi
from localcloud.services.lambda_.errors import LambdaError
from tests.unit.streaming_setup import Writer, functions_of

RESPONSE = "/2018-06-01/runtime/invocation/r-1/response"
HEADERS = {"lambda-runtime-function-response-mode": "streaming", "content-type": "text/plain"}


def test_a_pace_lets_the_burst_through_and_then_so_much_a_second() -> None:
    """Nothing waits inside the burst; what is over it takes its time, idle time is not saved up."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        pace = Pace(100, 10)
        await pace.take(60)
        await pace.take(40)
        assert loop.time() == 0
        await pace.take(20)
        assert loop.time() == 0
        await pace.take(5)
        assert loop.time() == pytest.approx(2)
        await asyncio.sleep(60)
        await pace.take(20)
        await pace.take(1)
        assert loop.time() == pytest.approx(64)

    run_virtual(main)


def test_a_large_response_arrives_at_lambdas_rate() -> None:
    """6 MB at once, 2 MB a second after them."""

    async def answer(request: Request) -> Outcome:
        writer = Writer(request)
        for _ in range((BURST_BYTES + 4 * RATE_BYTES_S) // 65536):
            await writer.write(bytes(65536))
        return writer.end()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with functions_of(answer) as functions:
            invocation = await functions.invoke_stream("f", b"{}")
            size, burst_s = 0, 0.0
            async for chunk in invocation.chunks():
                size += len(chunk)
                burst_s = loop.time() if size <= BURST_BYTES else burst_s
            assert size == BURST_BYTES + 4 * RATE_BYTES_S
            assert burst_s == 0
            assert loop.time() == pytest.approx(4, abs=0.1)

    run_virtual(main)


def test_a_slow_reader_makes_the_runtime_wait() -> None:
    """No more than the buffer and one write is ever held."""
    written: list[int] = []

    async def answer(request: Request) -> Outcome:
        writer = Writer(request)
        for _ in range(100):
            await writer.write(bytes(10_000))
            written.append(10_000)
        return writer.end()

    async def main() -> None:
        async with functions_of(answer) as functions:
            invocation = await functions.invoke_stream("f", b"{}")
            read = 0
            async for chunk in invocation.chunks():
                read += len(chunk)
                await asyncio.sleep(1)
                assert sum(written) - read <= BUFFER_BYTES + 10_000
            assert read == 1_000_000

    run_virtual(main)


def test_a_caller_who_leaves_does_not_stop_the_function() -> None:
    """Lambda interrupts nothing: the function writes to nobody, never waits, and frees its place at its end."""
    done: list[bool] = []

    async def answer(request: Request) -> Outcome:
        writer = Writer(request)
        for _ in range(50):
            await writer.write(bytes(10_000))
            await asyncio.sleep(1)
        done.append(True)
        return writer.end()

    async def main() -> None:
        async with functions_of(answer, reserved_concurrency=1) as functions:
            invocation = await functions.invoke_stream("f", b"{}")
            async for _ in invocation.chunks():
                break
            invocation.leave()
            with pytest.raises(LambdaError, match="TooManyRequests"):
                await functions.invoke_stream("f", b"{}")
            await invocation.outcome()
            assert done == [True]
            (await functions.invoke_stream("f", b"{}")).leave()

    run_virtual(main)


def test_a_caller_who_is_cancelled_before_the_first_byte_leaves() -> None:
    """What begins later is thrown away."""
    streams: list[ResponseStream] = []

    async def answer(request: Request) -> Outcome:
        await asyncio.sleep(5)
        writer = Writer(request)
        streams.append(writer.stream)
        await writer.write(bytes(BUFFER_BYTES * 2))
        return writer.end()

    async def main() -> None:
        async with functions_of(answer) as functions:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1):
                    await functions.invoke_stream("f", b"{}")
            await asyncio.sleep(10)
            assert [stream.is_full for stream in streams] == [False]

    run_virtual(main)


def test_a_response_that_does_not_stream_is_one_chunk() -> None:
    """With the content type that the runtime gave it."""

    async def answer(request: Request) -> Outcome:
        return Outcome(b'{"a":1}', content_type="application/json")

    async def main() -> None:
        async with functions_of(answer) as functions:
            invocation = await functions.invoke_stream("f", b"{}")
            assert invocation.content_type == "application/json"
            assert [chunk async for chunk in invocation.chunks()] == [b'{"a":1}']

    run_virtual(main)


def test_an_error_before_the_response_has_no_chunks() -> None:
    """The outcome has the error; there is no content type."""

    async def answer(request: Request) -> Outcome:
        return Outcome(b'{"errorType":"KeyError"}', "KeyError")

    async def main() -> None:
        async with functions_of(answer) as functions:
            invocation = await functions.invoke_stream("f", b"{}")
            assert (invocation.content_type, [chunk async for chunk in invocation.chunks()]) == ("", [])
            assert (await invocation.outcome()).error_type == "KeyError"

    run_virtual(main)


def test_a_buffered_invocation_of_a_function_never_streams() -> None:
    """Invoke offers no stream: the runtime's response is gathered."""
    offered: list[object] = []

    async def answer(request: Request) -> Outcome:
        offered.append(request.on_stream)
        return Outcome(b"1")

    async def main() -> None:
        async with functions_of(answer) as functions:
            await functions.invoke("f", b"{}")
            assert offered == [None]

    run_virtual(main)


# ---------------------------------------------------------------- the Runtime API's side


def streaming_api(taken: list[ResponseStream]) -> tuple[RuntimeApi, asyncio.Future[Answer]]:
    api = RuntimeApi()
    event = Event(request_id="r-1", payload=b"{}", deadline_ms=1, function_arn="arn", on_stream=taken.append)
    answer = api.offer(event)
    assert api.call(Call("GET", "/2018-06-01/runtime/invocation/next", {})) is not None
    return api, answer


async def test_a_streamed_response_begins_at_its_head_and_is_settled_at_its_end() -> None:
    """The caller has the stream while the body still comes; 202 at the end."""
    taken: list[ResponseStream] = []
    api, answer = streaming_api(taken)
    stream = api.begin(Call("POST", RESPONSE, HEADERS))
    assert stream is not None
    assert (taken, stream.content_type, answer.done()) == ([stream], "text/plain", False)
    stream.feed(b"one")
    assert api.finish(stream, {}).status == 202
    assert answer.result() == Answer(b"", content_type="text/plain")
    assert [chunk async for chunk in stream.chunks()] == [b"one"]


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("GET", RESPONSE, HEADERS),
        ("POST", RESPONSE.replace("r-1", "r-2"), HEADERS),
        ("POST", RESPONSE.replace("response", "error"), HEADERS),
        ("POST", RESPONSE, {}),
        ("POST", RESPONSE, {"lambda-runtime-function-response-mode": "buffered"}),
    ],
)
async def test_whatever_else_is_gathered(method: str, path: str, headers: dict[str, str]) -> None:
    """Only the POST of this invocation's response with mode `streaming` begins a stream."""
    api, _ = streaming_api([])
    assert api.begin(Call(method, path, headers)) is None


async def test_while_a_response_streams_nothing_else_is_allowed() -> None:
    """A second response, an error and the next invocation are refused with 403."""
    api, _ = streaming_api([])
    assert api.begin(Call("POST", RESPONSE, HEADERS)) is not None
    assert api.begin(Call("POST", RESPONSE, HEADERS)) is None
    for call in (
        Call("POST", RESPONSE, HEADERS, b"{}"),
        Call("POST", RESPONSE.replace("response", "error"), {}, b"{}"),
        Call("GET", "/2018-06-01/runtime/invocation/next", {}),
    ):
        reply = api.call(call)
        assert reply is not None
        assert reply.status == 403


async def test_trailers_tell_an_error_midway() -> None:
    """The error's type and its JSON, out of base64."""
    api, answer = streaming_api([])
    stream = api.begin(Call("POST", RESPONSE, HEADERS))
    assert stream is not None
    error = json.dumps({"errorType": "Broken", "errorMessage": "m"}).encode()
    trailers = {
        "lambda-runtime-function-error-type": "Broken",
        "lambda-runtime-function-error-body": base64.b64encode(error).decode(),
    }
    assert api.finish(stream, trailers).status == 202
    assert answer.result() == Answer(error, "Broken", failed=True)


async def test_a_response_that_breaks_off_is_truncated() -> None:
    """The connection ended: Runtime.TruncatedResponse, and what came is still there to be read."""
    api, answer = streaming_api([])
    stream = api.begin(Call("POST", RESPONSE, HEADERS))
    assert stream is not None
    stream.feed(b"half")
    api.break_off(stream)
    api.break_off(stream)
    assert answer.result() is TRUNCATED
    assert [chunk async for chunk in stream.chunks()] == [b"half"]


async def test_a_response_over_the_limit_is_cut_and_told_so() -> None:
    """What is over is not passed on, the runtime gets 413, the invocation is a failure."""
    stream = ResponseStream("text/plain", limit_bytes=5)
    stream.feed(b"four")
    stream.feed(b"four")
    assert stream.is_oversized
    api, answer = streaming_api([])
    begun = api.begin(Call("POST", RESPONSE, HEADERS))
    assert begun is not None
    begun._size = 200 * 1024 * 1024
    begun.feed(b"x")
    assert api.finish(begun, {}).status == 413
    assert answer.result().error_type == "Function.ResponseSizeTooLarge"
    stream.end()
    assert [chunk async for chunk in stream.chunks()] == [b"four", b"f"]
