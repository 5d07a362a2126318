"""Spans of AWS calls that come with a trace header: what a call is named, and when its answer has been sent.

The name is read from the request alone, as the service's own API names the action; never anything that was sent in it.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Final, Protocol, runtime_checkable
from urllib.parse import unquote

from localcloud.services.contract import WireRequest, WireResponse
from localcloud.traces.recorder import CURRENT, Detail, Recorder, Span

__all__ = ["CallSpans", "name_operation"]

TRACE_HEADER: Final = "x-amzn-trace-id"
MAX_NAME_CHARS: Final = 64
_SERVICES: Final = {
    "bedrock": "Bedrock",
    "dynamodb": "DynamoDB",
    "events": "EventBridge",
    "execute-api": "API Gateway",
    "kinesis": "Kinesis",
    "lambda": "Lambda",
    "monitoring": "CloudWatch",
    "s3": "S3",
    "sns": "SNS",
    "sqs": "SQS",
    "states": "Step Functions",
}
_LAMBDA: Final = {
    "invocations": "Invoke",
    "response-streaming-invocations": "InvokeWithResponseStream",
    "configuration": "GetFunctionConfiguration",
}
_CONNECTIONS: Final = {"POST": "PostToConnection", "GET": "GetConnection", "DELETE": "DeleteConnection"}
_S3: Final = {"GET": "Get", "HEAD": "Head", "PUT": "Put", "DELETE": "Delete", "POST": "Post"}
_MODEL: Final = re.compile(r"/model/([^/]+)/([a-z-]+)")
_ACTION: Final = re.compile(r"(?:^|&)Action=([A-Za-z]{1,64})(?=&|$)")
_ERROR: Final = re.compile(rb'"__type"\s*:\s*"(?:[^"#]*#)?([A-Za-z.]{1,64})"|<Code>([A-Za-z.]{1,64})</Code>')


class CallSpans:
    """Wraps the front's way to a service."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    async def watch(
        self, request: WireRequest, answer: Callable[[WireRequest], Awaitable[WireResponse]]
    ) -> WireResponse:
        """What `answer` gives; the call's span ends with its body.

        No span where the request names no trace, unless the recorder follows all.
        """
        header = request.headers.get(TRACE_HEADER, "")
        if not header and not self._recorder.follows_all:
            return await answer(request)
        span = self._begin(request, header)
        token = CURRENT.set(span)
        answered = False
        try:
            response = await answer(request)
            answered = True
        finally:
            CURRENT.reset(token)
            if not answered:  # the caller went away
                self._recorder.end(span, left=True)
        if isinstance(response.body, bytes):
            self._end(span, response)
            return response
        return replace(response, body=_Body(response.body, partial(self._end, span, response)))

    def _begin(self, request: WireRequest, header: str) -> Span:
        operation = name_operation(request)
        model = _MODEL.fullmatch(request.path) if request.service == "bedrock" else None
        if model is not None:
            return self._recorder.begin(header, "model", operation, model=unquote(model[1]))
        service = _SERVICES.get(request.service, request.service)
        name = f"{service} {operation}"
        return self._recorder.begin(header, "call", name, service=request.service, operation=operation)

    def _end(self, span: Span, response: WireResponse, *, left: bool = False, cut: bool = False) -> None:
        code: Detail = "Cut" if cut else None
        if response.status >= 400:
            code = _error_code(response)
        failed = code is not None or "error_code" in span.detail
        self._recorder.end(span, failed=failed, status_code=response.status, error_code=code, left=left or None)


class _OnEnd(Protocol):
    def __call__(self, *, left: bool = False, cut: bool = False) -> None: ...


@runtime_checkable
class _Closable(Protocol):
    async def aclose(self) -> None: ...


class _Body:
    """The chunks of an answer. `on_end` is told of the end: that the reader `left`, or that the answer was `cut`."""

    def __init__(self, chunks: AsyncIterator[bytes], on_end: _OnEnd) -> None:
        self._chunks = chunks
        self._on_end = on_end

    def __aiter__(self) -> _Body:
        return self

    async def __anext__(self) -> bytes:
        try:
            return await anext(self._chunks)
        except StopAsyncIteration:
            self._on_end()
            raise
        except Exception:
            self._on_end(cut=True)
            raise

    async def aclose(self) -> None:
        """Nobody reads on."""
        self._on_end(left=True)  # nothing more to tell where it came to its end before
        if isinstance(self._chunks, _Closable):
            await self._chunks.aclose()


def name_operation(request: WireRequest) -> str:
    """The action in the words of the service's API, such as `PutItem`; the method where nothing tells."""
    if request.target:
        action = request.target.rpartition(".")[2]
        return action if action.isalpha() and len(action) <= MAX_NAME_CHARS else request.method
    if request.service == "bedrock":
        model = _MODEL.fullmatch(request.path)
        return "".join(word.capitalize() for word in model[2].split("-")) if model else request.method
    if request.service == "lambda":
        return _LAMBDA.get(request.path.rstrip("/").rpartition("/")[2], request.method)
    if request.service == "execute-api":
        return _CONNECTIONS.get(request.method, request.method)
    if request.service == "s3":
        return _name_s3(request)
    return _name_query(request)


def _name_s3(request: WireRequest) -> str:
    """Objects and buckets by method; what a sub-resource asks for is not told apart."""
    path = request.path.strip("/")
    has_key = bool(path) if ".s3." in request.headers.get("host", "") else "/" in path
    if request.method == "GET" and not has_key:
        return "ListObjects" if path else "ListBuckets"
    return f"{_S3.get(request.method, request.method)}{'Object' if has_key else 'Bucket'}"


def _name_query(request: WireRequest) -> str:
    found = _ACTION.search(request.query) or _ACTION.search(request.body[:4096].decode("ascii", "replace"))
    return found[1] if found else request.method


def _error_code(response: WireResponse) -> str:
    named = next((value for key, value in response.headers.items() if key.lower() == "x-amzn-errortype"), "")
    if named or not isinstance(response.body, bytes):
        return named.partition(":")[0]
    found = _ERROR.search(response.body[:2048])
    return (found[1] or found[2]).decode() if found else str(response.status)
