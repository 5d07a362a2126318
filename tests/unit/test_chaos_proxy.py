"""The Runtime API proxy: what passes untouched, and what each fault does to an event and to its answer."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable

import pytest

from localcloud.chaos.drawing import Verdict
from localcloud.chaos.faults import Change, Drop, Duplicate, Fail, Kill, Late
from localcloud.clock import run_virtual
from localcloud.compute.response_stream import ResponseStream
from localcloud.compute.runtime_api import Event
from tests.unit.chaos_setup import ARN, NEXT, Lane, hit, open_lane

HTTP = json.dumps({"statusCode": 200, "body": "fine", "headers": {"a": "b"}}).encode()
STREAM_HEAD = (
    b"POST /2018-06-01/runtime/invocation/r-1/response HTTP/1.1\r\nHost: x\r\nContent-Type: %b\r\n"
    b"Lambda-Runtime-Function-Response-Mode: streaming\r\nTransfer-Encoding: chunked\r\n"
    b"Trailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body\r\n\r\n"
)
INTEGRATION = b"application/vnd.awslambda.http-integration-response"


def drive(check: Callable[[Lane], Awaitable[None]], *verdicts: Verdict) -> None:
    """Run `check` on virtual time with a proxy that carries out `verdicts`."""

    async def main() -> None:
        async with asyncio.timeout(60), open_lane(*verdicts) as lane:
            await check(lane)

    run_virtual(main)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


# ---------------------------------------------------------------------- untouched


def test_an_event_and_its_answer_pass_with_their_headers() -> None:
    """Without a fault the runtime cannot tell the proxy from the Runtime API."""

    async def check(lane: Lane) -> None:
        answer = lane.offer(b'{"a": 1}')
        runtime = await lane.connect()
        event = await runtime.next()
        assert (event.status, event.body) == (200, b'{"a": 1}')
        assert event.headers["lambda-runtime-aws-request-id"] == "r-1"
        assert event.headers["lambda-runtime-invoked-function-arn"] == ARN
        assert event.headers["lambda-runtime-trace-id"] == "Root=1-2-3"
        reply = await runtime.answer("r-1", b"[1]", Content_Type="text/own")
        assert (reply.status, reply.body) == (202, b'{"status":"OK"}\n')
        assert ((await answer).payload, (await answer).content_type) == (b"[1]", "text/own")
        assert lane.done == []

    drive(check)


def test_one_connection_serves_invocation_after_invocation() -> None:
    """As the Runtime API's own does: a runtime need not connect again."""

    async def check(lane: Lane) -> None:
        runtime = await lane.connect()
        for number in range(3):
            answer = lane.offer(b"{}", f"r-{number}")
            assert (await runtime.next()).headers["lambda-runtime-aws-request-id"] == f"r-{number}"
            await runtime.answer(f"r-{number}", b"%d" % number)
            assert (await answer).payload == b"%d" % number

    drive(check)


def test_errors_of_the_runtime_api_are_passed_on() -> None:
    """A wrong id, a second answer, an unknown path: status and body are the Runtime API's."""

    async def check(lane: Lane) -> None:
        lane.offer(b"{}")
        runtime = await lane.connect()
        await runtime.next()
        assert (await runtime.answer("other", b"1")).status == 400
        assert (await runtime.answer("r-1", b"1")).status == 202
        again = await runtime.answer("r-1", b"1")
        assert (again.status, b"InvalidStateTransition" in again.body) == (403, True)
        assert (await runtime.ask("GET", "/2018-06-01/runtime/restore/next")).status == 404

    drive(check)


def test_an_init_error_passes_with_its_type() -> None:
    """The header that names it is among the forwarded ones."""

    async def check(lane: Lane) -> None:
        runtime = await lane.connect()
        headers = {"Lambda_Runtime_Function_Error_Type": "Runtime.ImportModuleError"}
        path = "/2018-06-01/runtime/init/error"
        assert (await runtime.ask("POST", path, b'{"errorMessage":"no"}', **headers)).status == 202
        found = await lane.api.ready
        assert found is not None
        assert (found.error_type, found.payload) == ("Runtime.ImportModuleError", b'{"errorMessage":"no"}')

    drive(check)


def test_a_handlers_error_passes() -> None:
    """`/error` is settled as it is posted."""

    async def check(lane: Lane) -> None:
        answer = lane.offer(b"{}")
        runtime = await lane.connect()
        await runtime.next()
        await runtime.answer("r-1", b'{"errorType":"Boom"}', "error", Lambda_Runtime_Function_Error_Type="Boom")
        assert ((await answer).error_type, (await answer).failed) == ("Boom", True)

    drive(check)


def test_every_header_passes_both_ways_as_it_was_written() -> None:
    """Names in their own case, unknown ones, and several of one name: the upstream here is a bare socket."""
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Tenant-Id: T-1\r\nX-Two: a\r\nX-Two: b\r\n")
        writer.write(b"Content-Length: 2\r\n\r\n{}")
        await writer.drain()
        writer.close()

    async def check(lane: Lane) -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        lane.proxy.upstream = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        runtime = await lane.connect()
        mine = b"Host: h:9\r\nX-Mine: 1\r\nX-Mine: 2\r\nUSER-Agent: me\r\n"
        await runtime.write(b"GET %b HTTP/1.1\r\n%b\r\n" % (NEXT.encode(), mine))
        raw = await runtime.reader.readuntil(b"\r\n\r\n")
        assert b"Lambda-Runtime-Aws-Tenant-Id: T-1\r\nX-Two: a\r\nX-Two: b\r\n" in raw
        assert mine in seen[0]
        server.close()

    drive(check)


def _streaming(lane: Lane) -> asyncio.Future[ResponseStream]:
    """An invocation whose caller takes a stream."""
    begun: asyncio.Future[ResponseStream] = asyncio.get_running_loop().create_future()
    lane.api.offer(Event("r-1", b"{}", 0, ARN, on_stream=begun.set_result))
    return begun


def test_a_streamed_answer_passes_as_it_comes() -> None:
    """Each chunk is with the caller before the next one is written."""

    async def check(lane: Lane) -> None:
        begun = _streaming(lane)
        runtime = await lane.connect()
        await runtime.next()
        await runtime.write(STREAM_HEAD % b"text/plain")
        stream = await begun
        assert stream.content_type == "text/plain"
        chunks = aiter(stream.chunks())
        for text in (b"one", b"two"):
            await runtime.write(chunk(text))
            assert await anext(chunks) == text
        await runtime.write(b"0\r\n\r\n")
        assert (await runtime.read()).status == 202
        assert [part async for part in chunks] == []

    drive(check)


def test_the_trailers_of_a_streamed_answer_pass() -> None:
    """An error in the middle of a stream stands in its trailers, and nowhere else."""

    async def check(lane: Lane) -> None:
        answer = lane.offer(b"{}")
        runtime = await lane.connect()
        await runtime.next()
        error = base64.b64encode(b'{"errorType":"Mid"}')
        await runtime.write(STREAM_HEAD % b"text/plain" + chunk(b"some") + b"0\r\n")
        await runtime.write(
            b"Lambda-Runtime-Function-Error-Type: Mid\r\nLambda-Runtime-Function-Error-Body: %b\r\n\r\n" % error
        )
        assert (await runtime.read()).status == 202
        found = await answer
        assert (found.error_type, found.payload) == ("Mid", b'{"errorType":"Mid"}')

    drive(check)


def test_a_stream_that_breaks_off_breaks_off_behind_the_proxy_too() -> None:
    """The runtime died in the middle: Lambda sees a truncated response, not an end."""

    async def check(lane: Lane) -> None:
        begun = _streaming(lane)
        runtime = await lane.connect()
        await runtime.next()
        await runtime.write(STREAM_HEAD % b"text/plain" + chunk(b"some"))
        stream = await begun
        assert await anext(aiter(stream.chunks())) == b"some"
        answer = lane.api._answer
        runtime.writer.transport.abort()
        assert answer is not None
        assert (await answer).error_type == "Runtime.TruncatedResponse"

    drive(check)


@pytest.mark.parametrize(
    "garbage", [b"\x00\x01\r\n\r\n", b"GET\r\n\r\n", b"POST /x HTTP/1.1\r\nContent-Length: x\r\n\r\n"]
)
def test_what_is_no_http_is_refused(garbage: bytes) -> None:
    """With 400, and the connection ends; another one is served."""

    async def check(lane: Lane) -> None:
        runtime = await lane.connect()
        await runtime.write(garbage)
        assert (await runtime.read()).status == 400
        assert await runtime.reader.read() == b""
        lane.offer(b"{}")
        assert (await (await lane.connect()).next()).status == 200

    drive(check)


def test_a_runtime_that_goes_while_it_waits_is_forgotten() -> None:
    """The event goes to the connection that asks next, and to none that is gone."""

    async def check(lane: Lane) -> None:
        gone = await lane.connect()
        await gone.send("GET", NEXT)
        await asyncio.sleep(1)
        assert len(lane.proxy._tasks) == 1
        gone.writer.transport.abort()
        await asyncio.sleep(1)
        assert lane.proxy._tasks == set()
        lane.offer(b"{}")
        assert (await (await lane.connect()).next()).body == b"{}"

    drive(check)


def test_without_an_upstream_the_connection_ends() -> None:
    """As the end of Lambda's own connection would look; nothing is answered in its name."""

    async def check(lane: Lane) -> None:
        lane.proxy.upstream = "127.0.0.1:9"
        runtime = await lane.connect()
        await runtime.send("GET", NEXT)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await runtime.read()

    drive(check)


# ---------------------------------------------------------------------- faults


def test_a_delay_comes_before_the_event_is_handed_over() -> None:
    """The invocation is under way, and the handler does not know of it yet."""

    async def check(lane: Lane) -> None:
        lane.offer(b"{}")
        runtime = await lane.connect()
        began = lane.clock.time()
        await runtime.next()
        assert lane.clock.time() - began == pytest.approx(1.5, abs=0.01)
        assert lane.done == [1]

    drive(check, hit(delay_s=1.5))


def test_an_error_is_posted_and_the_event_is_swallowed() -> None:
    """The handler gets the event after it, and never this one."""

    async def check(lane: Lane) -> None:
        answer = lane.offer(b'"first"')
        runtime = await lane.connect()
        await runtime.send("GET", NEXT)
        found = await answer
        error = json.loads(found.payload)
        assert (found.error_type, error["errorType"], error["errorMessage"]) == ("Storm", "Storm", "as asked")
        lane.offer(b'"second"', "r-2")
        assert (await runtime.read()).body == b'"second"'
        assert lane.done == [7]

    drive(check, hit(Fail("Storm", "as asked")))


def test_a_dropped_answer_is_accepted_and_never_arrives() -> None:
    """The runtime is told 202; Lambda waits until the deadline, and until then there is no other event."""

    async def check(lane: Lane) -> None:
        answer = lane.offer(b"1", timeout_s=3.0)
        began = lane.clock.time()
        runtime = await lane.connect()
        await runtime.next()
        assert (await runtime.answer("r-1", b"lost")).status == 202
        await runtime.send("GET", NEXT)
        await asyncio.sleep(2.5)
        assert not answer.done()
        assert lane.done == [7]
        assert (await runtime.read()).body == b"1"  # this Runtime API kills nobody, and has not heard of an answer
        assert lane.clock.time() - began == pytest.approx(3.0, abs=0.01)

    drive(check, hit(Drop()))


def test_a_duplicate_is_the_same_event_with_the_same_id() -> None:
    """The handler works twice; the second answer is the one that Lambda gets, which was asked for one event."""

    async def check(lane: Lane) -> None:
        asked, call = list[str](), lane.api.call
        lane.api.call = lambda each: call(each) if asked.append(each.path) is None else None
        answer = lane.offer(b'{"n": 1}')
        runtime = await lane.connect()
        first = await runtime.next()
        assert (await runtime.answer("r-1", b'"first"')).status == 202
        assert not answer.done()
        second = await runtime.next()
        assert (second.body, second.headers) == (first.body, first.headers)
        assert (await runtime.answer("r-1", b'"second"')).status == 202
        assert (await answer).payload == b'"second"'
        assert asked == [NEXT, "/2018-06-01/runtime/invocation/r-1/response"]
        assert lane.done == [7]

    drive(check, hit(Duplicate()))


def test_a_late_answer_arrives_after_the_deadline() -> None:
    """So long after it as the plan says, however quick the handler was."""

    async def check(lane: Lane) -> None:
        answer = lane.offer(b"{}", timeout_s=3.0)
        began = lane.clock.time()
        runtime = await lane.connect()
        await runtime.next()
        assert (await runtime.answer("r-1", b"late")).status == 202
        assert lane.clock.time() - began == pytest.approx(3.5, abs=0.01)
        assert (await answer).payload == b"late"
        assert lane.done == [7]

    drive(check, hit(Late(0.5)))


def test_an_http_answer_gets_another_status() -> None:
    """Body and headers stay, unless the plan has a body too."""

    async def check(lane: Lane) -> None:
        runtime = await lane.connect()
        for body in ("fine", "gone"):
            answer = lane.offer(b"{}")
            await runtime.next()
            await runtime.answer("r-1", HTTP, Content_Type="application/json")
            expected = {"statusCode": 503, "body": body, "headers": {"a": "b"}}
            assert json.loads((await answer).payload) == expected
        assert lane.done == [7, 7]

    drive(check, hit(Change(503)), hit(Change(503, "gone")))


@pytest.mark.parametrize("body", [b'{"ok": true}', b"[1]", b"text", b"", b'{"statusCode"'])
def test_what_is_no_http_answer_is_not_changed(body: bytes) -> None:
    """It passes byte for byte, and is not counted."""

    async def check(lane: Lane) -> None:
        answer = lane.offer(b"{}")
        runtime = await lane.connect()
        await runtime.next()
        await runtime.answer("r-1", body)
        assert ((await answer).payload, lane.done) == (body, [])

    drive(check, hit(Change(503)))


def test_a_streamed_http_answer_gets_another_status_in_its_prelude() -> None:
    """However the prelude is cut into chunks; what follows it streams on."""

    async def check(lane: Lane) -> None:
        begun = _streaming(lane)
        runtime = await lane.connect()
        await runtime.next()
        await runtime.write(STREAM_HEAD % INTEGRATION)
        prelude = json.dumps({"statusCode": 200, "headers": {"a": "b"}}).encode() + bytes(8)
        for part in (prelude[:10], prelude[10:-3], prelude[-3:] + b"be"):
            await runtime.write(chunk(part))
        stream = await begun
        chunks = aiter(stream.chunks())
        head, _, rest = (await anext(chunks)).partition(bytes(8))
        assert (json.loads(head), rest) == ({"statusCode": 429, "headers": {"a": "b"}}, b"be")
        await runtime.write(chunk(b"gun"))
        assert await anext(chunks) == b"gun"
        await runtime.write(b"0\r\n\r\n")
        assert (await runtime.read()).status == 202
        assert lane.done == [7]

    drive(check, hit(Change(429)))


@pytest.mark.parametrize(("kind", "body"), [(b"text/plain", b"plain"), (INTEGRATION, b'{"statusCode":200}')])
def test_a_stream_without_a_prelude_is_not_changed(kind: bytes, body: bytes) -> None:
    """Of another kind, or ended before its delimiter."""

    async def check(lane: Lane) -> None:
        answer = lane.offer(b"{}")
        runtime = await lane.connect()
        await runtime.next()
        await runtime.write(STREAM_HEAD % kind + chunk(body) + b"0\r\n\r\n")
        assert (await runtime.read()).status == 202
        assert ((await answer).payload, lane.done) == (body, [])

    drive(check, hit(Change(503)))


def test_a_kill_before_the_handler_comes_instead_of_the_event() -> None:
    """The runtime never sees it, and its connection ends."""

    async def check(lane: Lane) -> None:
        answer = lane.offer(b"{}")
        runtime = await lane.connect()
        await runtime.send("GET", NEXT)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await runtime.read()
        assert (len(lane.killed), lane.done, answer.done()) == (1, [7], False)

    drive(check, hit(Kill("before")))


def test_a_kill_during_the_handler_comes_so_long_after_it_began() -> None:
    """The event was handed over; whoever answers before that is not killed."""

    async def check(lane: Lane) -> None:
        runtime = await lane.connect()
        answer = lane.offer(b"{}")
        await runtime.next()
        await runtime.answer("r-1", b"quick")
        assert (await answer).payload == b"quick"
        lane.offer(b"{}", "r-2")
        began = lane.clock.time()
        await runtime.next()
        assert (lane.killed, lane.done) == ([], [])
        await asyncio.sleep(5)
        assert [at - began for at in lane.killed] == [pytest.approx(0.4, abs=0.01)]
        assert lane.done == [7]

    drive(check, hit(Kill("during", 0.4)), hit(Kill("during", 0.4)))


def test_a_kill_after_the_handler_loses_its_answer() -> None:
    """The work is done, the runtime is dead, and Lambda has heard nothing."""

    async def check(lane: Lane) -> None:
        answer = lane.offer(b"{}")
        runtime = await lane.connect()
        await runtime.next()
        await runtime.send("POST", "/2018-06-01/runtime/invocation/r-1/response", b"done")
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await runtime.read()
        assert (len(lane.killed), lane.done, answer.done()) == (1, [7], False)

    drive(check, hit(Kill("after")))


def test_a_proxy_that_is_closed_kills_nobody_later() -> None:
    """A timer that was set for an invocation under way goes with the proxy."""
    lanes: list[Lane] = []

    async def main() -> None:
        async with open_lane(hit(Kill("during", 2.0))) as lane:
            lanes.append(lane)
            lane.offer(b"{}")
            await (await lane.connect()).next()
        await asyncio.sleep(5)

    run_virtual(main)
    assert lanes[0].killed == []


@pytest.mark.parametrize("has_event", [False, True])
def test_closing_ends_a_wait_and_a_delay(has_event: bool) -> None:
    """Whatever a connection is doing; `wait_closed` leaves nothing."""

    async def check(lane: Lane) -> None:
        if has_event:
            lane.offer(b"{}")
        runtime = await lane.connect()
        await runtime.send("GET", NEXT)
        await asyncio.sleep(1)
        lane.proxy.close()
        await lane.proxy.wait_closed()
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await runtime.read()

    drive(check, hit(delay_s=500.0))
