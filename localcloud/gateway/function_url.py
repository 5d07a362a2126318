"""Function URLs: which there are, who may call them, and how a request becomes an invocation and its answer.

A URL is at `http://127.0.0.1:<port>/lambda-url/<id>/...`, and under the host name it has on AWS. Knows no sockets.
Sources: https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html,
https://docs.aws.amazon.com/lambda/latest/dg/config-rs-invoke-furls.html
"""

from __future__ import annotations

import json
import logging
import re
from dataclasses import dataclass, replace
from random import Random
from typing import Final

from localcloud.clock import Clock
from localcloud.gateway.cors import Cors, answer_preflight, apply_cors
from localcloud.gateway.errors import GatewayError
from localcloud.gateway.exchange import trace_of
from localcloud.gateway.function_url_event import Arrival, make_event, read_reply
from localcloud.gateway.message import HttpRequest, HttpResponse
from localcloud.gateway.ports import Functions, FunctionUnavailableError, Identity, UrlAccess
from localcloud.gateway.prelude import HTTP_INTEGRATION, read_prelude
from localcloud.gateway.streaming import StreamedBody
from localcloud.identify import read_scope
from localcloud.traces.recorder import Recorder
from localcloud.traces.requests import RequestSpans
from localcloud.uuids import new_uuid

__all__ = ["PATH", "FunctionUrl", "FunctionUrls"]

PATH: Final = "/lambda-url/"
MAX_REQUEST_BYTES: Final = 6 * 1024 * 1024  # gettingstarted-limits: invocation payload, synchronous
MAX_PRELUDE_BYTES: Final = 1024 * 1024  # ours: Lambda does not say how long metadata may be
_AWS_HOST: Final = re.compile(r"([a-z0-9]+)\.lambda-url\.[\w-]+\.on\.aws(?::\d+)?", re.IGNORECASE)
_FORBIDDEN: Final = (
    "Forbidden. For troubleshooting Function URL authorization issues, see: "
    "https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html"
)
_HOP_BY_HOP: Final = frozenset({"connection", "content-length", "keep-alive", "transfer-encoding", "upgrade"})
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")  # or half a character
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionUrl:
    """One URL. `is_public`: AuthType NONE, else AWS_IAM; `streams`: InvokeMode RESPONSE_STREAM, else BUFFERED.

    `tags`: the function's, for the policies of its callers.
    """

    id: str
    function_arn: str
    is_public: bool
    streams: bool = False
    cors: Cors | None = None
    tags: tuple[tuple[str, str], ...] = ()

    @property
    def domain(self) -> str:
        """The host name it has on AWS."""
        return f"{self.id}.lambda-url.{self.function_arn.split(':')[3]}.on.aws"


class _Refused(Exception):
    """Lambda answers itself."""

    def __init__(self, response: HttpResponse) -> None:
        super().__init__(response.status)
        self.response = response


class FunctionUrls:
    """The URLs there are."""

    def __init__(
        self,
        functions: Functions,
        access: UrlAccess,
        *,
        clock: Clock,
        random: Random,
        recorder: Recorder | None = None,
    ) -> None:
        self._spans = RequestSpans(recorder)
        self._functions = functions
        self._access = access
        self._clock = clock
        self._random = random
        self._urls: dict[str, FunctionUrl] = {}

    def add(self, url: FunctionUrl) -> None:
        """Serve a URL."""
        self._urls[url.id] = url

    def list(self) -> tuple[FunctionUrl, ...]:
        """Every URL."""
        return tuple(self._urls.values())

    def remove(self, url_id: str) -> None:
        """Serve it no longer."""
        self._urls.pop(url_id, None)

    async def handle(self, request: HttpRequest) -> HttpResponse | None:
        """Answer a request that is for a URL, by its host or its path; None for any other. Never raises."""
        named = _AWS_HOST.fullmatch(request.host)
        if named is not None:
            url_id, asked = named[1].lower(), request
        elif request.path.startswith(PATH):
            url_id, _, path = request.path.removeprefix(PATH).partition("/")
            asked = replace(request, path=f"/{path}")
        else:
            return None
        request_id = new_uuid(self._random)
        url = self._urls.get(url_id)
        answer = await self._answer(url, asked, request_id) if url is not None else _forbid()
        return replace(answer, headers=(*answer.headers, ("x-amzn-RequestId", request_id)))

    async def _answer(self, url: FunctionUrl, request: HttpRequest, request_id: str) -> HttpResponse:
        preflight = answer_preflight(url.cors, request) if url.cors is not None else None
        if preflight is not None:
            return preflight
        now_s = self._clock.time()
        arrival = Arrival(
            request=request,
            domain=url.domain,
            request_id=request_id,
            trace_id=trace_of(request, now_s, self._random),
            at_s=now_s,
        )
        function = url.function_arn.split(":")[6]
        span = self._spans.begin_request(arrival.trace_id, request, function, request_id=request_id)
        return self._spans.end_response(span, await self._guard(url, arrival))

    async def _guard(self, url: FunctionUrl, arrival: Arrival) -> HttpResponse:
        request, request_id = arrival.request, arrival.request_id
        try:
            response = await self._invoke(url, arrival)
        except _Refused as refused:
            response = refused.response
        except GatewayError as error:
            _LOG.warning("function_url.malformed %s %s", error, request_id)
            response = _broken()
        except Exception:  # noqa: BLE001 - the outermost edge: a defect becomes a logged 500
            _LOG.exception("function_url.failed %s", request_id)
            response = _refuse(500, "InternalServerErrorException", "Internal Server Error")
        if url.cors is not None:
            response = replace(response, headers=apply_cors(url.cors, request, response.headers))
        return response

    async def _invoke(self, url: FunctionUrl, arrival: Arrival) -> HttpResponse:
        trace_id = arrival.trace_id
        arrival = replace(arrival, identity=self._admit(url, arrival.request))
        event = make_event(arrival)
        if len(event) > MAX_REQUEST_BYTES:
            raise _Refused(_refuse(413, "RequestEntityTooLargeException", "Request Entity Too Large"))
        try:
            response = await (self._stream if url.streams else self._buffer)(url.function_arn, event, trace_id)
        except FunctionUnavailableError as error:
            raise _Refused(_unavailable(error)) from error
        return replace(response, headers=(*response.headers, ("X-Amzn-Trace-Id", trace_id)))

    def _admit(self, url: FunctionUrl, request: HttpRequest) -> Identity | None:
        """Who asks; None where nobody needs to say. Signatures are not verified, as nowhere in the local cloud."""
        if url.is_public:
            if not self._access.may_anyone(url.function_arn):
                raise _Refused(_forbid())
            return None
        scope = read_scope({name.lower(): value for name, value in request.headers}, request.query)
        if scope is None or scope.service != "lambda":
            raise _Refused(_forbid())
        identity = self._access.identify(scope.access_key, url.function_arn, tags=url.tags)
        if identity is None:
            raise _Refused(_forbid())
        return identity

    async def _buffer(self, arn: str, event: bytes, trace_id: str) -> HttpResponse:
        reply = await self._functions.invoke(arn, event, trace_header=trace_id)
        if reply.error:
            return _broken()
        response = read_reply(reply.payload)
        return replace(response, headers=_clean(response.headers))

    async def _stream(self, arn: str, event: bytes, trace_id: str) -> HttpResponse:
        """A response with a prelude is taken apart; any other is the body as it is, a buffered one too."""
        invocation = await self._functions.invoke_stream(arn, event, trace_header=trace_id)
        chunks = invocation.chunks()
        answered = False
        try:
            if not invocation.content_type:
                return _broken()
            if invocation.content_type == HTTP_INTEGRATION:
                prelude = await read_prelude(chunks, limit_bytes=MAX_PRELUDE_BYTES)
                status, headers, first = prelude.status, _clean(prelude.headers), prelude.rest
            else:
                status, headers, first = 200, (("Content-Type", invocation.content_type),), b""
            if "content-type" not in {name.lower() for name, _ in headers}:
                headers = (*headers, ("Content-Type", "application/octet-stream"))
            answered = True
        finally:
            if not answered:
                invocation.leave()
                await chunks.aclose()
        return HttpResponse(status, headers, stream=StreamedBody(invocation, chunks, first=first))


def _clean(headers: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """Without what belongs to the connection. Raises GatewayError for what cannot be a header."""
    for name, value in headers:
        if not _TOKEN.fullmatch(name) or _CONTROL.search(value):
            raise GatewayError("DEFAULT_5XX", status=502, reason=f"{name!r} cannot be a header with that value")
    return tuple(each for each in headers if each[0].lower() not in _HOP_BY_HOP)


def _broken() -> HttpResponse:
    """The function failed, or its reply is none."""
    return HttpResponse(502, (("Content-Type", "application/json"),), b"Internal Server Error")


def _forbid() -> HttpResponse:
    return _refuse(403, "AccessDeniedException", _FORBIDDEN)


def _unavailable(error: FunctionUnavailableError) -> HttpResponse:
    if error.is_too_large:
        return _refuse(413, "RequestEntityTooLargeException", "Request Entity Too Large")
    if error.is_throttled:
        return _refuse(429, "TooManyRequestsException", "Rate Exceeded.")
    return _refuse(500, "InternalServerErrorException", "Internal Server Error")


def _refuse(status: int, error_type: str, message: str) -> HttpResponse:
    headers = (("Content-Type", "application/json"), ("x-amzn-ErrorType", error_type))
    return HttpResponse(status, headers, json.dumps({"Message": message}, separators=(",", ":")).encode())
