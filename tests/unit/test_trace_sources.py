"""Who makes spans: invocations, messages, AWS calls, generations, requests at the gateways; on virtual time."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from localcloud.clock import LoopClock, run_virtual
from localcloud.compute.environment import Outcome, Request
from localcloud.compute.event_source_sqs import SqsMapping, SqsMappingConfig
from localcloud.compute.function import FunctionSpec
from localcloud.compute.functions import Functions, InvokeResult
from localcloud.gateway.message import HttpRequest, HttpResponse, StreamCutError
from localcloud.models.scripted import Fault, Reply, Script, ScriptedEngine
from localcloud.services.bedrock.wire import BedrockService
from localcloud.services.contract import BodyCut, WireRequest, WireResponse
from localcloud.services.lambda_.errors import LambdaError
from localcloud.services.logs.model import Logs
from localcloud.services.sqs.message import AttributeValue, Content, Message
from localcloud.services.sqs.model import Queues
from localcloud.traces.calls import CallSpans, name_operation
from localcloud.traces.engine import TracedEngine
from localcloud.traces.header import read_parent, read_root
from localcloud.traces.queues import QueueSpans
from localcloud.traces.recorder import Recorder, Span
from localcloud.traces.requests import RequestSpans
from tests.unit.gateway_setup import FakeFunctions, ask, make_stage, proxy, sqs
from tests.unit.gateway_setup import Recorder as Dispatch
from tests.unit.websocket_setup import open_world

ROOT = "1-6748a000-0123456789abcdef01234567"
OTHER = "1-6748a000-fedcba98765432100fedcba9"
HEADER = f"Root={ROOT}"


def recorder_here() -> Recorder:
    return Recorder(clock=LoopClock(asyncio.get_running_loop()), rng=random.Random(1))


def spans_of(recorder: Recorder, trace_id: str = ROOT) -> list[Span]:
    trace = recorder.find(trace_id)
    assert trace is not None
    return recorder.spans_of(trace)


def shown(spans: list[Span]) -> list[tuple[str, str, str]]:
    return [(span.kind, span.name, "error" if span.failed else "ok") for span in spans]


def lasted_s(span: Span) -> float:
    assert span.end_ms is not None
    return round((span.end_ms - span.start_ms) / 1000, 6)


# ---------------------------------------------------------------- invocations


class Room:
    """An environment that starts in two seconds and runs a coroutine function of the test."""

    def __init__(self, handler: Callable[[Request], Awaitable[Outcome]], *, fails: bool = False) -> None:
        self._handler = handler
        self._fails = fails
        self.alive = True
        self._is_fresh = True

    async def initialise(self) -> bool:
        await asyncio.sleep(2)
        return self._fails

    async def invoke(self, request: Request) -> Outcome:
        outcome = await self._handler(request)
        cold, self._is_fresh = self._is_fresh, False
        return Outcome(outcome.payload, outcome.error_type, cold_start=cold)

    async def stop(self) -> None:
        self.alive = False


@asynccontextmanager
async def functions_of(
    handler: Callable[[Request], Awaitable[Outcome]], *, fails: bool = False, **changes: Any
) -> AsyncIterator[tuple[Functions, Recorder]]:
    recorder = recorder_here()
    clock = LoopClock(asyncio.get_running_loop())
    async with asyncio.TaskGroup() as group:
        functions = Functions(
            lambda _: Room(handler, fails=fails),
            group=group,
            clock=clock,
            logs=Logs(clock=clock),
            rng=random.Random(7),
            recorder=recorder,
        )
        arn = "arn:aws:lambda:us-east-1:123456789012:function:f"
        functions.add(FunctionSpec(name="f", arn=arn, handler="app.handler", code_dir=Path("/nowhere"), **changes))
        yield functions, recorder
        await functions.close()


def test_a_cold_start_lies_inside_its_invocation() -> None:
    """The start is a span of its own below the invocation's; the next invocation is warm and has none."""
    headers: list[str] = []

    async def work(request: Request) -> Outcome:
        headers.append(request.trace_header)
        await asyncio.sleep(1)
        return Outcome(b"{}")

    async def main() -> None:
        async with functions_of(work) as (functions, recorder):
            await functions.invoke("f", b"{}", trace_header=HEADER)
            await functions.invoke("f", b"{}", trace_header=HEADER)
            cold, init, warm = spans_of(recorder)
            assert shown([cold, init, warm]) == [("function", "f", "ok"), ("init", "f", "ok"), ("function", "f", "ok")]
            assert (lasted_s(cold), lasted_s(init), lasted_s(warm)) == (3.0, 2.0, 1.0)
            assert (init.parent, cold.detail["cold_start"], warm.detail["cold_start"]) == (cold.id, True, False)
            assert [(read_root(each), read_parent(each)) for each in headers] == [(ROOT, cold.id), (ROOT, warm.id)]

    run_virtual(main)


@pytest.mark.parametrize(
    ("outcome", "error_type"), [(Outcome(b"{}", "ValueError"), "ValueError"), (OSError("no process"), "OSError")]
)
def test_a_failed_invocation_says_what_failed(outcome: Outcome | Exception, error_type: str) -> None:
    """The handler's error type, or that of what kept it from running; never its message."""

    async def work(_: Request) -> Outcome:
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def main() -> None:
        async with functions_of(work) as (functions, recorder):
            with suppress(OSError):
                await functions.invoke("f", b"{}", trace_header=HEADER)
            span = spans_of(recorder)[0]
            assert (span.failed, span.detail["error_type"]) == (True, error_type)
            assert "no process" not in json.dumps(span.to_json())

    run_virtual(main)


def test_a_failed_start_is_a_failed_span() -> None:
    """The environment tells whether its init phase failed."""

    async def work(_: Request) -> Outcome:
        return Outcome(b"{}", "Runtime.ExitError")

    async def main() -> None:
        async with functions_of(work, fails=True) as (functions, recorder):
            await functions.invoke("f", b"{}", trace_header=HEADER)
            assert [span.failed for span in spans_of(recorder)] == [True, True]

    run_virtual(main)


def test_a_throttled_invocation_is_a_failed_span() -> None:
    """What was never run is there too."""

    async def work(_: Request) -> Outcome:
        return Outcome(b"{}")

    async def main() -> None:
        async with functions_of(work, reserved_concurrency=0) as (functions, recorder):
            with pytest.raises(LambdaError):
                await functions.invoke("f", b"{}", trace_header=HEADER)
            (span,) = spans_of(recorder)
            assert (span.failed, span.detail["error_type"]) == (True, "TooManyRequestsException")

    run_virtual(main)


def test_an_asynchronous_invocation_waits_before_each_attempt() -> None:
    """Accepted, tried, waiting a minute, tried again: one trace, each attempt below its wait."""
    outcomes = [Outcome(b"{}"), Outcome(b"{}", "ValueError")]

    async def work(_: Request) -> Outcome:
        return outcomes.pop()

    async def main() -> None:
        async with functions_of(work) as (functions, recorder):
            await functions.invoke("f", b"{}", invocation_type="Event", trace_header=HEADER)
            await asyncio.sleep(100)
            spans = [span for span in spans_of(recorder) if span.kind != "init"]
            kinds = [(span.kind, span.failed, span.detail.get("attempt")) for span in spans]
            assert kinds == [
                ("queue", False, 1),
                ("function", True, None),
                ("queue", False, 2),
                ("function", False, None),
            ]
            assert [lasted_s(span) for span in spans] == [0.0, 2.0, 60.0, 0.0]
            assert [spans[1].parent, spans[3].parent] == [spans[0].id, spans[2].id]
            assert spans[3].detail["asynchronous"] is True
            assert len({span.detail["request_id"] for span in spans}) == 1

    run_virtual(main)


# ---------------------------------------------------------------- queues


@dataclass
class Post:
    """Queues `jobs`, with dead letters, and what is recorded of them."""

    queues: Queues
    spans: QueueSpans
    recorder: Recorder

    async def send(self, header: str, body: str = "x") -> str:
        system = {"AWSTraceHeader": AttributeValue("String", header)} if header else {}
        return await self.queues.get("jobs", "us-east-1").send(Content(body, system=system))

    async def receive(self, queue: str = "jobs", **options: Any) -> list[Message]:
        return await self.queues.get(queue, "us-east-1").receive(10, **options)


def post_here() -> Post:
    recorder = recorder_here()
    spans = QueueSpans(recorder)
    queues = Queues(clock=LoopClock(asyncio.get_running_loop()), rng=random.Random(3), watch=spans)
    spans.is_dead_letters = queues.takes_dead_letters
    dead = queues.create("dead", "us-east-1", attributes={}, tags={})
    redrive = json.dumps({"deadLetterTargetArn": dead.arn, "maxReceiveCount": 2})
    attributes = {"RedrivePolicy": redrive, "VisibilityTimeout": "30"}
    queues.create("jobs", "us-east-1", attributes=attributes, tags={})
    return Post(queues, spans, recorder)


def test_a_message_waits_from_send_to_receive() -> None:
    """Its span is there while it waits, and ends with the receive."""

    async def main() -> None:
        post = post_here()
        message_id = await post.send(HEADER)
        (span,) = spans_of(post.recorder)
        assert (span.kind, span.name, span.end_ms) == ("queue", "jobs", None)
        await asyncio.sleep(5)
        (message,) = await post.receive()
        assert (lasted_s(span), span.detail) == (5.0, {"message_id": message_id, "receive": 1})
        assert (read_root(post.spans.header_of(message)), read_parent(post.spans.header_of(message))) == (ROOT, span.id)

    run_virtual(main)


def test_each_further_receive_counts_from_when_the_message_was_visible_again() -> None:
    """30 s hidden, 7 s visible: the second span is the 7 s."""

    async def main() -> None:
        post = post_here()
        await post.send(HEADER)
        await post.receive()
        await asyncio.sleep(37)
        await post.receive()
        first, second = spans_of(post.recorder)
        assert (lasted_s(first), lasted_s(second), second.detail["receive"]) == (0.0, 7.0, 2)

    run_virtual(main)


def test_a_message_of_an_earlier_run_waited_since_it_was_sent() -> None:
    """Its span begins with the receive, and says when the wait began."""

    async def main() -> None:
        post = post_here()
        await post.send(HEADER)
        post.spans._spans.clear()
        await asyncio.sleep(100)
        await post.receive()
        assert lasted_s(spans_of(post.recorder)[-1]) == 100.0

    run_virtual(main)


def test_a_dead_letter_ends_its_trace_as_a_failure() -> None:
    """The move to the dead-letter queue is a span without length; the trace runs no longer, whoever reads it when."""

    async def main() -> None:
        post = post_here()
        await post.send(HEADER)
        for _ in range(3):
            await post.receive()
            await asyncio.sleep(31)
        trace = post.recorder.find(ROOT)
        assert trace is not None
        last = spans_of(post.recorder)[-1]
        assert shown([last]) == [("queue", "dead", "error")]
        assert (last.detail["dead_letter"], trace.running, trace.failed) == (True, 0, True)
        await post.receive("dead")
        assert trace.running == 0

    run_virtual(main)


def test_a_message_that_is_dropped_waits_no_longer() -> None:
    """Purged, deleted with its queue, or too old."""

    async def main() -> None:
        post = post_here()
        await post.send(HEADER)
        post.queues.get("jobs", "us-east-1").purge()
        assert spans_of(post.recorder)[0].end_ms is not None

    run_virtual(main)


@pytest.mark.parametrize("header", ["", "hello", "Root="])
def test_a_message_without_a_trace_has_no_span(header: str) -> None:
    """And none is made for it."""

    async def main() -> None:
        post = post_here()
        await post.send(header)
        (message,) = await post.receive()
        assert (post.recorder.latest(5), post.spans.header_of(message)) == ([], header)

    run_virtual(main)


def test_a_batch_has_the_trace_of_its_first_message_and_is_linked_to_the_others() -> None:
    """The waterfall of either message goes from its queue over the function to the function's calls."""

    async def main() -> None:
        async with functions_of(lambda request: asyncio.sleep(1, Outcome(b"null"))) as (functions, recorder):
            spans = QueueSpans(recorder)
            queues = Queues(clock=LoopClock(asyncio.get_running_loop()), rng=random.Random(3), watch=spans)
            queue = queues.create("jobs", "us-east-1", attributes={}, tags={})
            for root in (ROOT, OTHER, ""):
                system = {"AWSTraceHeader": AttributeValue("String", f"Root={root}")} if root else {}
                await queue.send(Content("x", system=system))

            async def invoke(payload: bytes, batch: Any) -> InvokeResult:
                return await functions.invoke("f", payload, batch=tuple(map(spans.header_of, batch)))

            task = asyncio.ensure_future(SqsMapping(queue, invoke, SqsMappingConfig(), rng=random.Random(1)).run())
            await asyncio.sleep(10)
            task.cancel()
            mine, others = spans_of(recorder), spans_of(recorder, OTHER)
            assert [span.kind for span in mine] == ["queue", "function", "init"]
            assert [(span.kind, span.trace) for span in others] == [
                ("queue", OTHER),
                ("function", ROOT),
                ("init", ROOT),
            ]
            assert (mine[1].parent, mine[1].detail["batch_size"]) == (mine[0].id, 3)

    run_virtual(main)


# ---------------------------------------------------------------- AWS calls


def call(service: str, method: str = "POST", path: str = "/", **more: Any) -> WireRequest:
    headers = {"x-amzn-trace-id": HEADER, **more.pop("headers", {})}
    given: dict[str, Any] = {"query": "", "body": b"", "access_key": "AK", "request_id": "r", "region": "us-east-1"}
    return WireRequest(service=service, method=method, path=path, headers=headers, **(given | more))


@pytest.mark.parametrize(
    ("request_", "name"),
    [
        (call("dynamodb", headers={"x-amz-target": "DynamoDB_20120810.PutItem"}), "PutItem"),
        (call("sqs", headers={"x-amz-target": "AmazonSQS.SendMessage"}), "SendMessage"),
        (call("sqs", body=b"MessageBody=Action%3Dx&Action=SendMessage&Version=1"), "SendMessage"),
        (call("sqs", query="Action=ListQueues"), "ListQueues"),
        (call("sqs", body=b"Action=" + b"x" * 100), "POST"),
        (call("sqs", body=b"\xff\xfe"), "POST"),
        (call("dynamodb", headers={"x-amz-target": "DynamoDB_20120810.<script>"}), "POST"),
        (call("dynamodb", headers={"x-amz-target": "x." + "A" * 200}), "POST"),
        (call("bedrock", path="/model/amazon.nova-micro-v1%3A0/converse-stream"), "ConverseStream"),
        (call("bedrock", path="/guardrails"), "POST"),
        (call("lambda", path="/2015-03-31/functions/f/invocations"), "Invoke"),
        (call("lambda", path="/2021-11-15/functions/f/response-streaming-invocations"), "InvokeWithResponseStream"),
        (call("lambda", "GET", "/2015-03-31/functions"), "GET"),
        (call("execute-api", path="/v1/@connections/abc"), "PostToConnection"),
        (call("execute-api", "DELETE", "/v1/@connections/abc"), "DeleteConnection"),
        (call("s3", "PUT", "/bucket/a/secret-name"), "PutObject"),
        (call("s3", "PUT", "/key", headers={"host": "bucket.s3.us-east-1.amazonaws.com"}), "PutObject"),
        (call("s3", "PUT", "/bucket"), "PutBucket"),
        (call("s3", "GET", "/bucket"), "ListObjects"),
        (call("s3", "GET", "/"), "ListBuckets"),
    ],
)
def test_a_call_is_named_as_its_api_names_it(request_: WireRequest, name: str) -> None:
    """By target, action or path; never by what a caller may have put there."""
    assert name_operation(request_) == name


def watch(request: WireRequest, response: WireResponse | Exception) -> tuple[Span | None, list[bytes]]:
    """The span of a call that is answered so after a second, and the chunks that were read of its body."""

    async def main() -> tuple[Span | None, list[bytes]]:
        recorder = recorder_here()

        async def answer(_: WireRequest) -> WireResponse:
            await asyncio.sleep(1)
            if isinstance(response, Exception):
                raise response
            return response

        chunks: list[bytes] = []
        try:
            found = await CallSpans(recorder).watch(request, answer)
            if not isinstance(found.body, bytes):
                async for chunk in found.body:
                    chunks.append(chunk)
        except (BodyCut, asyncio.CancelledError, OSError):
            pass
        traces = recorder.latest(1)
        return (traces[0].root if traces else None), chunks

    return run_virtual(main)


PUT = call("dynamodb", headers={"x-amz-target": "DynamoDB_20120810.PutItem"})
FAILED = b'{"__type":"com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException","message":"secret"}'


@pytest.mark.parametrize(
    ("request_", "response", "status", "detail"),
    [
        (PUT, WireResponse(200, b"{}"), "ok", {"status_code": 200}),
        (
            PUT,
            WireResponse(400, FAILED),
            "error",
            {"status_code": 400, "error_code": "ConditionalCheckFailedException"},
        ),
        (
            call("lambda", path="/2015-03-31/functions/f/invocations"),
            WireResponse(429, b"{}", {"x-amzn-ErrorType": "TooManyRequestsException:http://x"}),
            "error",
            {"status_code": 429, "error_code": "TooManyRequestsException"},
        ),
        (
            call("s3", "GET", "/b/k"),
            WireResponse(404, b"<Error><Code>NoSuchKey</Code><Key>secret</Key></Error>"),
            "error",
            {"status_code": 404, "error_code": "NoSuchKey"},
        ),
        (call("s3", "GET", "/b/k"), WireResponse(500, b"?"), "error", {"status_code": 500, "error_code": "500"}),
        (PUT, OSError("gone"), "ok", {"left": True}),
    ],
)
def test_a_call_ends_with_its_answer(
    request_: WireRequest, response: WireResponse | Exception, status: str, detail: dict[str, Any]
) -> None:
    """With its status, and the error's code where it is one; nothing else of either body."""
    span, _ = watch(request_, response)
    assert span is not None
    told = span.to_json()
    assert (told["kind"], lasted_s(span), told["status"]) == ("call", 1.0, status)
    named = {"service": request_.service, "operation": name_operation(request_)}
    assert told["detail"] == named | detail
    assert "secret" not in json.dumps(told)


def test_a_call_without_a_header_has_no_span() -> None:
    """A developer's own calls are no part of a request."""
    span, _ = watch(call("dynamodb", headers={"x-amzn-trace-id": ""}), WireResponse(200))
    assert span is None


async def three(*, cut: bool = False) -> AsyncIterator[bytes]:
    for number in range(3):
        await asyncio.sleep(1)
        if cut and number == 2:
            raise BodyCut
        yield str(number).encode()


@pytest.mark.parametrize(("cut", "seconds", "status"), [(False, 4.0, "ok"), (True, 4.0, "error")])
def test_a_streamed_answer_ends_its_call(cut: bool, seconds: float, status: str) -> None:
    """With the last chunk, or where it breaks off."""
    span, chunks = watch(PUT, WireResponse(200, three(cut=cut)))
    assert span is not None
    assert (lasted_s(span), span.to_json()["status"]) == (seconds, status)
    assert chunks == [b"0", b"1", b"2"][: 2 if cut else 3]


def test_a_reader_who_leaves_ends_the_call() -> None:
    """That is no failure, and the body below is closed as well."""
    closed: list[bool] = []

    async def body() -> AsyncIterator[bytes]:
        try:
            yield b"a"
            yield b"b"
        finally:
            closed.append(True)

    async def main() -> None:
        recorder = recorder_here()

        async def answer(_: WireRequest) -> WireResponse:
            return WireResponse(200, body())

        found: Any = (await CallSpans(recorder).watch(PUT, answer)).body
        await anext(found)
        await found.aclose()
        (span,) = spans_of(recorder)
        assert (span.failed, span.detail["left"], closed) == (False, True, [True])

    run_virtual(main)


# ---------------------------------------------------------------- generations

ASK = json.dumps({"messages": [{"role": "user", "content": [{"text": "the secret prompt"}]}]}).encode()
MODEL = "amazon.nova-micro-v1:0"


async def generate(action: str, script: Script) -> Span:
    recorder = recorder_here()
    service = BedrockService(TracedEngine(ScriptedEngine(script), recorder))
    request = call("bedrock", path=f"/model/{MODEL.replace(':', '%3A')}/{action}", body=ASK)
    response = await CallSpans(recorder).watch(request, service.handle)
    if not isinstance(response.body, bytes):
        async for _ in response.body:
            pass
    (span,) = spans_of(recorder)
    return span


@pytest.mark.parametrize(("action", "name"), [("converse", "Converse"), ("converse-stream", "ConverseStream")])
def test_a_generation_tells_its_first_token_and_its_tokens(action: str, name: str) -> None:
    """Both ways; never what was asked or said."""
    script = Script(first_token_s=1.5, replies=(Reply("secret", "a secret answer"),))
    span = run_virtual(lambda: generate(action, script))
    told = span.to_json()
    assert (told["kind"], told["name"], told["status"]) == ("model", name, "ok")
    assert told["detail"] == {
        "model": MODEL,
        "first_token_ms": 1500.0,
        "input_tokens": 3,
        "output_tokens": 3,
        "stop_reason": "end_turn",
        "status_code": 200,
    }
    assert "secret" not in json.dumps(told)


@pytest.mark.parametrize("after_tokens", [0, 1])
def test_a_model_that_fails_fails_its_span(after_tokens: int) -> None:
    """Before the first text as an answer of its own, and inside a stream whose status was 200."""
    fault = Fault("unavailable", call=0, after_tokens=after_tokens)
    script = Script(replies=(Reply("secret", "one two three"),), faults=(fault,))
    span = run_virtual(lambda: generate("converse-stream", script))
    assert span.failed
    assert span.detail["error_code"] in {"unavailable", "ServiceUnavailableException"}


# ---------------------------------------------------------------- gateways


@pytest.mark.parametrize(
    ("method", "path", "name", "code"),
    [
        ("POST", "/jobs/secret", "POST /jobs/{id}", 200),
        ("GET", "/jobs/secret", "GET /jobs/{id}", 502),
        ("PUT", "/jobs/secret", "PUT /jobs/{id}", 403),
        ("GET", "/secret", "GET", 403),
    ],
)
def test_requests_are_named_by_their_resource(method: str, path: str, name: str, code: int) -> None:
    """Never by a path with values in it, nor by a query; the status is the client's."""

    async def main() -> None:
        recorder = recorder_here()
        paths = {"/jobs/{id}": {"post": sqs(), "get": proxy()}}
        stage = make_stage(paths, recorder=recorder, functions=FakeFunctions({"work": b"no reply"}))
        response = await ask(stage, method, path, query="q=secret", X_Amzn_Trace_Id=HEADER)
        (span,) = spans_of(recorder)
        told = span.to_json()
        request_id = response.header("x-amzn-requestid")
        assert (response.status, told["name"], told["status"]) == (code, name, "ok" if code < 400 else "error")
        assert told["detail"] == {"api": "abc123", "stage": "v1", "request_id": request_id, "status_code": code}
        assert "secret" not in json.dumps(told)

    run_virtual(main)


@pytest.mark.parametrize("given", ["", "hello", "Self=1-a-b", "Root=;Parent=x"])
def test_a_client_without_a_root_gets_one_that_goes_on_to_the_service(given: str) -> None:
    """Of AWS's form; a root of the client's own goes on with all that stands beside it."""

    async def main() -> None:
        recorder, dispatch = recorder_here(), Dispatch()
        stage = make_stage({"/jobs": {"post": sqs()}}, recorder=recorder, dispatch=dispatch)
        await ask(stage, "POST", "/jobs", X_Amzn_Trace_Id=given)
        await ask(stage, "POST", "/jobs", X_Amzn_Trace_Id=f"{HEADER};Sampled=0")
        made, own = (request.headers["x-amzn-trace-id"] for request in dispatch.requests)
        assert (len(read_root(made)), own) == (35, f"{HEADER};Sampled=0")
        assert [trace.id for trace in recorder.latest(5)] == [ROOT, read_root(made)]

    run_virtual(main)


def test_a_preflight_is_no_request() -> None:
    """A browser's question whether it may ask would be half of all traces."""

    async def main() -> None:
        recorder = recorder_here()
        spans = RequestSpans(recorder)
        asked = (("Access-Control-Request-Method", "POST"),)
        assert spans.begin_request(HEADER, HttpRequest("OPTIONS", "/jobs", "", asked, b""), "/jobs") is None
        own = spans.begin_request(HEADER, HttpRequest("OPTIONS", "/jobs", "", (), b""), "/jobs")
        assert own is not None
        assert own.name == "OPTIONS /jobs"

    run_virtual(main)


class Chunks:
    """A streamed body of two chunks, which may break off."""

    def __init__(self, *, cut: bool) -> None:
        self._chunks = self._make(cut)
        self.closed = False

    async def _make(self, cut: bool) -> AsyncIterator[bytes]:
        for chunk in (b"a", b"b"):
            await asyncio.sleep(1)
            yield chunk
        if cut:
            raise StreamCutError("the function failed midway")

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._chunks

    async def aclose(self) -> None:
        self.closed = True


@pytest.mark.parametrize(
    ("cut", "reads", "seconds", "status", "code"),
    [(False, 9, 2.0, "ok", 200), (True, 9, 2.0, "error", 502), (False, 1, 1.0, "ok", 200)],
)
def test_a_streamed_answer_ends_its_request(cut: bool, reads: int, seconds: float, status: str, code: int) -> None:
    """With its last chunk, where it breaks off, or where the client leaves."""

    async def main() -> None:
        recorder, body = recorder_here(), Chunks(cut=cut)
        spans = RequestSpans(recorder)
        span = spans.begin(HEADER, "GET /answers")
        assert span is not None
        stream = spans.end_response(span, HttpResponse(200, stream=body)).stream
        assert stream is not None
        assert span.end_ms is None
        try:
            async for _ in stream:
                reads_left.append(None)
                if len(reads_left) == reads:
                    break
        except StreamCutError:
            pass
        finally:
            await stream.aclose()
        assert (lasted_s(span), span.to_json()["status"], span.detail["status_code"]) == (seconds, status, code)
        assert body.closed

    reads_left: list[None] = []
    run_virtual(main)


def test_a_socket_has_a_trace_for_its_handshake_and_one_for_each_event() -> None:
    """Named by route; the authorizer and `$connect` share the client's trace, every message has its own."""

    async def main() -> None:
        async with open_world() as world:
            connection, wire = await world.open(x_amzn_trace_id=HEADER)
            await world.say(connection, wire, {"action": "ask", "prompt": "the secret prompt"})
            await world.say(connection, wire, {"action": "unheard-of"})
            connection.cut()
            connection.lost()
            await asyncio.sleep(1)
            traces = world.recorder.latest(10)[::-1]
            assert [trace.root.name for trace in traces] == ["$connect", "ask", "$default", "$disconnect"]
            assert traces[0].id == ROOT
            assert len({trace.id for trace in traces}) == 4
            assert {trace.root.detail["connection"] for trace in traces} == {connection.id}
            assert traces[1].root.detail["status_code"] == 200
            assert "secret" not in json.dumps(
                [span.to_json() for trace in traces for span in world.recorder.spans_of(trace)]
            )
            assert (connection.messages_in, "abort" in wire.log) == (2, True)

    run_virtual(main)


def test_a_refused_handshake_is_a_failed_span() -> None:
    """With the status that the client got."""

    async def main() -> None:
        async with open_world() as world:
            world.functions.replies["Serve"] = b'{"statusCode":403}'
            await world.shake()
            (trace,) = world.recorder.latest(10)
            assert (trace.failed, trace.root.detail["status_code"]) == (True, 403)

    run_virtual(main)
