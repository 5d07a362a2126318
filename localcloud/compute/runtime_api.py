"""The Runtime API of one execution environment: its states, and the answer to each call. No sockets, no processes.

The rules:
1. One invocation at a time. `next` waits until one is offered; asked again before the answer, it gives the same event.
2. The request id in the path is checked before the state: an unknown id is 400, a second answer is 403.
3. `init/error` is allowed before the first `next` only. A transition that is not allowed is 403.
4. A response over the limit fails the invocation and is told so with 413.
5. A response that streams is handed on from its head (`begin`), where the caller takes it so, and settled at its end.

Sources: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html and the behaviour of the runtime interface
emulator (lambda/rapi and lambda/core of aws/aws-lambda-runtime-interface-emulator), whose
bodies these are, byte for byte.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, cast

from localcloud.compute.response_stream import MAX_STREAM_BYTES, ResponseStream
from localcloud.json_text import MalformedJson, parse_json

__all__ = ["MAX_PAYLOAD_BYTES", "TRUNCATED", "Answer", "Call", "Event", "Reply", "RuntimeApi"]

MAX_PAYLOAD_BYTES: Final = 6 * 1024 * 1024 + 100  # the emulator's MaxPayloadSize; the documentation says 6 MB

MAX_TYPE_CHARS: Final = 256  # ours: of the name of an error; the official client sends a class's name

PREFIX: Final = "/2018-06-01/runtime/"
_MODE: Final = "lambda-runtime-function-response-mode"
_ERROR_TYPE: Final = "lambda-runtime-function-error-type"
NOT_ALLOWED: Final = "State transition from {} to {} failed for runtime. Error: State transition is not allowed"


class _State(Enum):
    """The emulator's names, as its error messages show them."""

    STARTED = "Started"
    INIT_ERROR = "InitError"
    RUNNING = "Running"
    RESPONDING = "InvocationResponse"
    RESPONSE_SENT = "RuntimeResponseSentState"


@dataclass(frozen=True, slots=True)
class Event:
    """One invocation as the runtime sees it. `deadline_ms` is epoch milliseconds; "" leaves a header out."""

    request_id: str
    payload: bytes
    deadline_ms: int
    function_arn: str
    trace_header: str = ""
    client_context: str = ""
    cognito_identity: str = ""
    on_stream: Callable[[ResponseStream], None] | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """How the runtime answered. `error_type` "" is success; `payload` is the response, or the error's JSON."""

    payload: bytes
    error_type: str = ""
    failed: bool = False
    content_type: str = ""


@dataclass(frozen=True, slots=True)
class Call:
    """One request of the runtime client; `path` without query, names of headers and trailers in lower case.

    `content` is the body up to MAX_PAYLOAD_BYTES, `oversized` says that there was more.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    content: bytes = b""
    oversized: bool = False
    trailers: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Reply:
    """What goes back to the runtime client."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = field(default=(("content-type", "application/json"),))


ACCEPTED: Final = Reply(202, b'{"status":"OK"}\n')
TRUNCATED: Final = Answer(b"Response was truncated", "Runtime.TruncatedResponse", failed=True)
"""The connection ended before the streamed response did. Source: the emulator's lambda/fatalerror."""
INVALID_ID: Final = Reply(400, b'{"errorMessage":"Invalid request ID","errorType":"InvalidRequestID"}\n')
INVALID_MODE: Final = Reply(
    400, b'{"errorMessage":"Invalid function response mode","errorType":"InvalidFunctionResponseMode"}\n'
)
TOO_LARGE: Final = Reply(
    413,
    json.dumps(
        {
            "errorMessage": f"Exceeded maximum allowed payload size ({MAX_PAYLOAD_BYTES} bytes).",
            "errorType": "RequestEntityTooLarge",
        },
        separators=(",", ":"),
    ).encode()
    + b"\n",
)
NOT_FOUND: Final = Reply(404, b"404 page not found\n", (("content-type", "text/plain; charset=utf-8"),))
WRONG_METHOD: Final = Reply(405, b"", ())
PONG: Final = Reply(200, b"pong", (("content-type", "text/plain; charset=utf-8"),))


class RuntimeApi:
    """The state of one environment's Runtime API. Lives on one event loop, for the life of one runtime process."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[Answer | None] = loop.create_future()
        """Resolves with None at the first `next`, with the error at `init/error`."""
        self._state = _State.STARTED
        self._event: Event | None = None
        self._answered_id = ""
        self._answer: asyncio.Future[Answer] | None = None
        self._waiting: Callable[[Reply], None] | None = None
        self._stream: ResponseStream | None = None
        self._asked: asyncio.Future[None] | None = None
        self.on_idle: Callable[[], None] | None = None
        """Called when the runtime has asked for an event and there is none."""

    @property
    def failed_init(self) -> bool:
        """Whether the runtime posted an init error: it is about to exit."""
        return self._state is _State.INIT_ERROR

    def asked(self) -> asyncio.Future[None]:
        """Resolves when the runtime waits in `next`; at once where it does."""
        if self._asked is None or self._asked.done():
            self._asked = asyncio.get_running_loop().create_future()
        if self._waiting is not None:
            self._asked.set_result(None)
        return self._asked

    def offer(self, event: Event) -> asyncio.Future[Answer]:
        """Give the runtime its next event, at once or when it asks; the future is its answer."""
        self._event, self._answer = event, asyncio.get_running_loop().create_future()
        if self._waiting is not None:
            waiting, self._waiting = self._waiting, None
            self._state = _State.RUNNING
            waiting(_event_reply(event))
        return self._answer

    def forget_waiter(self, answer: Callable[[Reply], None]) -> None:
        """The connection that waited in `next` is gone."""
        if self._waiting == answer:  # bound methods are made anew each time
            self._waiting = None

    def call(self, call: Call) -> Reply | None:
        """Answer one call; None where it is `next` and must wait (then give `wait` somewhere to answer)."""
        if call.path == "/2018-06-01/ping":
            return PONG
        route = call.path.removeprefix(PREFIX)
        kind, _, rest = route.partition("/")
        request_id, _, verb = rest.partition("/")
        if route in {"invocation/next", "init/error"}:
            request_id, verb = "", route
        elif route == call.path or kind != "invocation" or verb not in {"response", "error"}:
            return NOT_FOUND  # restore/* too: the emulator has it under SnapStart alone
        if call.method != ("GET" if verb == "invocation/next" else "POST"):
            return WRONG_METHOD
        if verb == "invocation/next":
            return self._next()
        return self._init_error(call) if verb == "init/error" else self._settle(request_id, verb, call)

    def begin(self, call: Call) -> ResponseStream | None:
        """The head of a request has come: where to write its body, None where it is gathered for `call`.

        Whoever gets a stream owes it `finish` or `break_off`.
        """
        event = self._event
        if event is None or event.on_stream is None or self._state is not _State.RUNNING:
            return None
        if call.method != "POST" or call.path != f"{PREFIX}invocation/{event.request_id}/response":
            return None
        if call.headers.get(_MODE, "") != "streaming":
            return None
        self._state = _State.RESPONDING
        self._stream = ResponseStream(call.headers.get("content-type", ""))
        event.on_stream(self._stream)
        return self._stream

    def finish(self, stream: ResponseStream, trailers: Mapping[str, str]) -> Reply:
        """The streamed response has ended as it should; its trailers say whether the handler failed on the way."""
        error_type = trailers.get(_ERROR_TYPE, "")[:MAX_TYPE_CHARS]
        answer, reply = Answer(b"", content_type=stream.content_type), ACCEPTED
        if stream.is_oversized:
            answer, reply = _too_large(MAX_STREAM_BYTES), TOO_LARGE
        elif error_type:
            answer = Answer(_trailing_error(trailers, error_type), error_type, failed=True)
        self._settle_stream(stream, answer)
        return reply

    def break_off(self, stream: ResponseStream) -> None:
        """The connection ended in the middle of the streamed response."""
        self._settle_stream(stream, TRUNCATED)

    def _settle_stream(self, stream: ResponseStream, answer: Answer) -> None:
        if stream is self._stream:
            self._stream = None
            self._settled(answer)
        stream.end()

    def wait(self, answer: Callable[[Reply], None]) -> None:
        """Remember who waits in `next`; a runtime that asks twice loses the first wait."""
        self._waiting = answer
        if self._asked is not None and not self._asked.done():
            self._asked.set_result(None)
        if self.on_idle is not None and self._event is None:
            self.on_idle()

    def _next(self) -> Reply | None:
        if self._state is _State.INIT_ERROR or self._stream is not None:
            return self._refuse("Ready")
        if not self.ready.done():
            self.ready.set_result(None)
        if self._event is None:
            return None
        self._state = _State.RUNNING
        return _event_reply(self._event)

    def _init_error(self, call: Call) -> Reply:
        if self._state is not _State.STARTED or self.ready.done():
            return self._refuse(_State.INIT_ERROR.value)
        self._state = _State.INIT_ERROR
        self.ready.set_result(Answer(call.content, _type_of(call), failed=True))
        return ACCEPTED

    def _settle(self, request_id: str, verb: str, call: Call) -> Reply:
        if self._refuses(request_id):
            return self._refuse("InvocationResponse" if verb == "response" else "InvocationErrorResponse")
        if self._event is None or request_id != self._event.request_id or self._state is not _State.RUNNING:
            return INVALID_ID
        if verb == "response" and call.headers.get(_MODE, "") not in {"", "streaming"}:
            self._state = _State.RESPONDING  # the emulator never leaves it: the invocation times out
            return INVALID_MODE
        answer, reply = _read_answer(verb, call)
        self._settled(answer)
        return reply

    def _settled(self, answer: Answer) -> None:
        self._answered_id = self._event.request_id if self._event is not None else ""
        self._state, self._event = _State.RESPONSE_SENT, None
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(answer)

    def _refuses(self, request_id: str) -> bool:
        """Whether the invocation is known and an answer to it comes too late."""
        if self._state is _State.RESPONDING:
            return self._event is not None and request_id == self._event.request_id
        return self._state is _State.RESPONSE_SENT and request_id == self._answered_id

    def _refuse(self, wanted: str) -> Reply:
        message = NOT_ALLOWED.format(self._state.value, wanted)
        body = {"errorMessage": message, "errorType": "InvalidStateTransition"}
        return Reply(403, json.dumps(body, separators=(",", ":")).encode() + b"\n")


def _read_answer(verb: str, call: Call) -> tuple[Answer, Reply]:
    if call.oversized:
        return _too_large(MAX_PAYLOAD_BYTES), TOO_LARGE
    if verb == "error":
        return Answer(call.content, _type_of(call), failed=True), ACCEPTED
    error_type = call.trailers.get(_ERROR_TYPE, "")[:MAX_TYPE_CHARS]
    if error_type:  # a streamed response that failed on the way
        return Answer(_trailing_error(call.trailers, error_type), error_type, failed=True), ACCEPTED
    return Answer(call.content, content_type=call.headers.get("content-type", "")), ACCEPTED


def _too_large(limit_bytes: int) -> Answer:
    message = f"Response payload size exceeded maximum allowed payload size ({limit_bytes} bytes)."
    error = {"errorMessage": message, "errorType": "Function.ResponseSizeTooLarge"}
    return Answer(json.dumps(error).encode(), "Function.ResponseSizeTooLarge", failed=True)


def _trailing_error(trailers: Mapping[str, str], error_type: str) -> bytes:
    encoded = trailers.get("lambda-runtime-function-error-body", "")
    try:
        return base64.b64decode(encoded, validate=True) or json.dumps({"errorType": error_type}).encode()
    except binascii.Error:
        return json.dumps({"errorType": error_type}).encode()


def _type_of(call: Call) -> str:
    """What an error is called, "" never: it stands in logs and reports, however long a name was sent."""
    return (call.headers.get(_ERROR_TYPE, "") or _type_in(call.content))[:MAX_TYPE_CHARS]


def _type_in(content: bytes) -> str:
    try:
        found = parse_json(content)
    except MalformedJson:
        return "Runtime.Unknown"
    if isinstance(found, dict):
        return str(cast("dict[str, Any]", found).get("errorType") or "Runtime.Unknown")
    return "Runtime.Unknown"


def _event_reply(event: Event) -> Reply:
    headers = [
        ("Content-Type", "application/json"),
        ("Lambda-Runtime-Aws-Request-Id", event.request_id),
        ("Lambda-Runtime-Deadline-Ms", str(event.deadline_ms)),
        ("Lambda-Runtime-Invoked-Function-Arn", event.function_arn),
        ("Lambda-Runtime-Trace-Id", event.trace_header),
        ("Lambda-Runtime-Client-Context", event.client_context),
        ("Lambda-Runtime-Cognito-Identity", event.cognito_identity),
    ]
    return Reply(200, event.payload, tuple((name, value) for name, value in headers if value))
