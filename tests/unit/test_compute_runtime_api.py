"""The Runtime API's states and answers, as the documentation and the runtime interface emulator have them."""

from __future__ import annotations

import base64
import json

from localcloud.compute.runtime_api import MAX_PAYLOAD_BYTES, Answer, Call, Event, Reply, RuntimeApi

NEXT = Call("GET", "/2018-06-01/runtime/invocation/next", {})


def post(path: str, content: bytes = b"{}", **options: object) -> Call:
    headers = options.pop("headers", {})
    return Call("POST", f"/2018-06-01/runtime/{path}", headers, content, **options)  # type: ignore[arg-type]


def event(request_id: str = "r-1", payload: bytes = b'{"a":1}') -> Event:
    return Event(
        request_id=request_id,
        payload=payload,
        deadline_ms=1_700_000_000_000,
        function_arn="arn:aws:lambda:us-east-1:123456789012:function:f",
        trace_header="Root=1-a-b;Sampled=1",
    )


def message(reply: Reply | None) -> dict[str, str]:
    assert reply is not None
    return json.loads(reply.body)


def running(api: RuntimeApi, request_id: str = "r-1") -> None:
    api.offer(event(request_id))
    assert api.call(NEXT) is not None


async def test_next_gives_the_event_and_its_headers() -> None:
    """An event that was offered comes with the documented headers; empty ones are left out."""
    api = RuntimeApi()
    api.offer(event())
    reply = api.call(NEXT)
    assert reply is not None
    assert (reply.status, reply.body) == (200, b'{"a":1}')
    assert dict(reply.headers) == {
        "Content-Type": "application/json",
        "Lambda-Runtime-Aws-Request-Id": "r-1",
        "Lambda-Runtime-Deadline-Ms": "1700000000000",
        "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:us-east-1:123456789012:function:f",
        "Lambda-Runtime-Trace-Id": "Root=1-a-b;Sampled=1",
    }


async def test_next_waits_until_an_event_is_offered() -> None:
    """`next` has no answer while there is no event; the one who waits gets the event when it comes."""
    api = RuntimeApi()
    answered: list[Reply] = []
    assert api.call(NEXT) is None
    api.wait(answered.append)
    api.offer(event())
    assert [reply.body for reply in answered] == [b'{"a":1}']


async def test_the_first_next_ends_init() -> None:
    """`ready` resolves with None when the runtime asks for work for the first time."""
    api = RuntimeApi()
    assert not api.ready.done()
    api.call(NEXT)
    assert api.ready.result() is None


async def test_next_again_before_the_answer_gives_the_same_event() -> None:
    """A runtime that lost the event may ask again."""
    api = RuntimeApi()
    running(api)
    again = api.call(NEXT)
    assert again is not None
    assert again.body == b'{"a":1}'


async def test_a_response_settles_the_invocation() -> None:
    """The body of `/response` is the result; the runtime is told 202 OK."""
    api = RuntimeApi()
    answer = api.offer(event())
    api.call(NEXT)
    reply = api.call(post("invocation/r-1/response", b'"done"'))
    assert reply is not None
    assert (reply.status, reply.body) == (202, b'{"status":"OK"}\n')
    assert answer.result() == Answer(b'"done"')


async def test_an_error_settles_the_invocation_as_failed() -> None:
    """The body of `/error` is the payload, the header names the type."""
    api = RuntimeApi()
    answer = api.offer(event())
    api.call(NEXT)
    api.call(post("invocation/r-1/error", b'{"errorMessage":"x"}', headers={"lambda-runtime-function-error-type": "E"}))
    assert answer.result() == Answer(b'{"errorMessage":"x"}', "E", failed=True)


async def test_the_type_of_an_error_without_header_is_read_from_its_body() -> None:
    """A client that leaves the header out still says its type in the JSON."""
    api = RuntimeApi()
    answer = api.offer(event())
    api.call(NEXT)
    api.call(post("invocation/r-1/error", b'{"errorType":"ValueError"}'))
    assert answer.result().error_type == "ValueError"


async def test_an_unknown_request_id_is_refused_before_the_state_is_looked_at() -> None:
    """400 InvalidRequestID, in the emulator's own bytes, for a wrong id and before any event."""
    api = RuntimeApi()
    early = api.call(post("invocation/r-1/response"))
    running(api)
    wrong = api.call(post("invocation/r-2/response"))
    for reply in (early, wrong):
        assert reply is not None
        assert reply.status == 400
        assert reply.body == b'{"errorMessage":"Invalid request ID","errorType":"InvalidRequestID"}\n'


async def test_a_second_answer_is_in_the_wrong_state() -> None:
    """403 InvalidStateTransition with the emulator's sentence."""
    api = RuntimeApi()
    running(api)
    api.call(post("invocation/r-1/response"))
    second = api.call(post("invocation/r-1/error"))
    assert second is not None
    assert second.status == 403
    assert message(second) == {
        "errorMessage": "State transition from RuntimeResponseSentState to InvocationErrorResponse failed for runtime. "
        "Error: State transition is not allowed",
        "errorType": "InvalidStateTransition",
    }


async def test_init_error_is_allowed_before_the_first_next_only() -> None:
    """It settles init with the posted error; once, and never after `next`."""
    api = RuntimeApi()
    first = api.call(post("init/error", b'{"errorType":"Runtime.ImportModuleError"}'))
    assert first is not None
    assert first.status == 202
    failed = api.ready.result()
    assert failed is not None
    assert (failed.error_type, failed.failed) == ("Runtime.ImportModuleError", True)
    assert api.failed_init
    second = api.call(post("init/error"))
    assert second is not None
    assert second.status == 403
    assert message(second)["errorMessage"].startswith("State transition from InitError to InitError failed")
    refused = api.call(NEXT)
    assert refused is not None
    assert refused.status == 403
    late = RuntimeApi()
    late.call(NEXT)
    after = late.call(post("init/error"))
    assert after is not None
    assert after.status == 403


async def test_a_response_over_the_limit_fails_the_invocation_with_413() -> None:
    """The runtime is told 413, the caller Function.ResponseSizeTooLarge."""
    api = RuntimeApi()
    answer = api.offer(event())
    api.call(NEXT)
    reply = api.call(post("invocation/r-1/response", b"", oversized=True))
    assert reply is not None
    assert reply.status == 413
    assert message(reply) == {
        "errorMessage": "Exceeded maximum allowed payload size (6291556 bytes).",
        "errorType": "RequestEntityTooLarge",
    }
    assert answer.result().error_type == "Function.ResponseSizeTooLarge"
    assert MAX_PAYLOAD_BYTES == 6_291_556


async def test_a_streamed_response_is_taken_and_any_other_mode_refused() -> None:
    """`streaming` is the one response mode; another value is 400, and no answer is taken after it."""
    api = RuntimeApi()
    answer = api.offer(event())
    api.call(NEXT)
    wrong = api.call(post("invocation/r-1/response", headers={"lambda-runtime-function-response-mode": "sideways"}))
    assert wrong is not None
    assert (wrong.status, message(wrong)["errorType"]) == (400, "InvalidFunctionResponseMode")
    late = api.call(post("invocation/r-1/response", b"abc"))
    assert late is not None
    assert late.status == 403
    assert message(late)["errorMessage"].startswith("State transition from InvocationResponse to InvocationResponse")
    assert not answer.done()
    other = RuntimeApi()
    answer = other.offer(event())
    other.call(NEXT)
    other.call(post("invocation/r-1/response", b"abc", headers={"lambda-runtime-function-response-mode": "streaming"}))
    assert answer.result() == Answer(b"abc")


async def test_trailers_of_a_streamed_response_tell_a_failure_on_the_way() -> None:
    """Error-Body is base64 of the JSON error; a body that is no base64 still fails with the type."""
    for encoded, expected in ((base64.b64encode(b'{"errorType":"E"}').decode(), b'{"errorType":"E"}'), ("%", b"")):
        api = RuntimeApi()
        answer = api.offer(event())
        api.call(NEXT)
        trailers = {
            "lambda-runtime-function-error-type": "E",
            "lambda-runtime-function-error-body": encoded,
        }
        api.call(post("invocation/r-1/response", b"part", trailers=trailers))
        assert answer.result().failed
        assert answer.result().error_type == "E"
        assert answer.result().payload == (expected or b'{"errorType": "E"}')


async def test_paths_that_are_not_there() -> None:
    """404 for unknown paths, SnapStart's among them; 405 for the wrong method; ping answers."""
    api = RuntimeApi()
    statuses = {
        path: getattr(api.call(Call(method, f"/2018-06-01/{path}", {})), "status", None)
        for method, path in (
            ("GET", "runtime/restore/next"),
            ("GET", "runtime/other"),
            ("POST", "runtime/invocation/next"),
            ("GET", "runtime/init/error"),
            ("GET", "runtime/invocation/r-1/response"),
            ("GET", "ping"),
        )
    }
    assert statuses == {
        "runtime/restore/next": 404,
        "runtime/other": 404,
        "runtime/invocation/next": 405,
        "runtime/init/error": 405,
        "runtime/invocation/r-1/response": 405,
        "ping": 200,
    }


async def test_a_waiter_that_left_gets_nothing() -> None:
    """An event offered after the waiting connection was lost stays for the next one who asks."""
    api = RuntimeApi()
    answered: list[Reply] = []
    api.call(NEXT)
    api.wait(answered.append)
    api.forget_waiter(answered.append)
    api.offer(event())
    assert answered == [] or api.call(NEXT) is not None
