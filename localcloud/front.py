"""The AWS port: one HTTP listener for every AWS API, and the same entry for callers inside the process.

Owns: which service a request is for, request ids, IAM's check, body limits, errors that no service answers. Knows
nothing of any service's actions. Signatures are not verified: any key may call, and counts as the principal it names;
web pages of other sites may not.
"""

from __future__ import annotations

import logging
import random
import socket
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Final, Protocol, TypeAlias, runtime_checkable

from aiohttp import web

from localcloud.chunked import MalformedChunks, decode_aws_chunked
from localcloud.http_log import SERVER_LOG
from localcloud.http_server import Servers, read_body, serve_http
from localcloud.identify import guess_service, read_scope
from localcloud.patience import PatientServer
from localcloud.refusals import refuse, refuse_denied
from localcloud.services.contract import (
    Authorise,
    BodyCut,
    Elsewhere,
    NoAnswer,
    Service,
    WireRequest,
    WireResponse,
)
from localcloud.sites import is_from_elsewhere
from localcloud.traces.calls import CallSpans
from localcloud.uuids import new_uuid

__all__ = ["HEALTH_PATH", "OWN_PATHS", "Answer", "Front", "TakesUnsigned"]

OWN_PATHS: Final = "/_sluiceway/"  # no bucket may be named so
HEALTH_PATH: Final = f"{OWN_PATHS}health"
MAX_BODY_BYTES: Final = 32 * 1024 * 1024  # above every request limit of the APIs served (DynamoDB batches: 16 MB)
MAX_OBJECT_BYTES: Final = 512 * 1024 * 1024  # of an S3 object in one PUT; AWS takes 5 GB, memory here does not
MAX_NAME_CHARS: Final = 64  # of a service that is none, in the log
GRACE_S: Final = 0.5  # for requests under way when the front stops; long polls are cut
_LOG: Final = logging.getLogger(__name__)
Answer: TypeAlias = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
Between: TypeAlias = Callable[[WireRequest, Callable[[WireRequest], Awaitable[WireResponse]]], Awaitable[WireResponse]]
_HOP_BY_HOP: Final = frozenset(("connection", "keep-alive", "transfer-encoding", "upgrade"))
_SERVERS: Final = {"s3": "AmazonS3", "dynamodb": "Server"}
"""What AWS calls itself; other services say nothing, and HTTP servers of Python cannot keep silent.

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/RESTCommonResponseHeaders.html; DynamoDB's is in its answers"""


class Front:
    """Hands AWS requests to services. `authorise` is asked about everything that a service says it needs; `spans` are
    made of calls that name a trace. What `elsewhere` takes is authorised here and answered there.
    """

    def __init__(
        self,
        services: Iterable[Service],
        *,
        authorise: Authorise,
        rng: random.Random,
        spans: CallSpans | None = None,
        elsewhere: Elsewhere | None = None,
    ) -> None:
        self._services = {service.name: service for service in services}
        self._authorise = authorise
        self._rng = rng
        self._spans = spans
        self._elsewhere = elsewhere
        self._own: dict[str, Answer] = {}
        self.secured = ""
        """The root URL by TLS, for functions alone; "" where none is served."""
        self.between: Between | None = None
        """What stands between callers and services, such as faults that were asked for; it may raise NoAnswer."""
        self.hold: Callable[[str], Awaitable[None]] | None = None
        """What the owner of an access key waits for before a request is heard."""

    def add(self, service: Service) -> None:
        """Serve one more API."""
        self._services[service.name] = service

    def answer_own(self, own: Answer, *, under: str = OWN_PATHS) -> None:
        """Let `own` answer what is no AWS API, at paths that begin with `under`; the longest beginning counts."""
        self._own[under] = own

    def new_request_id(self) -> str:
        """An id in the form of AWS's."""
        return new_uuid(self._rng)

    async def dispatch(self, request: WireRequest) -> WireResponse:
        """Authorise `request` and let its service answer. Of exceptions only NoAnswer gets out."""
        if self._spans is None:
            return await self._carry(request)
        return await self._spans.watch(request, self._carry)

    async def _carry(self, request: WireRequest) -> WireResponse:
        between = self.between
        return await (self._dispatch(request) if between is None else between(request, self._dispatch))

    async def _dispatch(self, request: WireRequest) -> WireResponse:
        service = self._services.get(request.service)
        beyond = self._elsewhere if self._elsewhere is not None and self._elsewhere.takes(request) else None
        if service is None and beyond is not None:
            return await beyond.handle(request)
        if service is None:
            _LOG.warning("front.unknown_service service=%r", request.service[:MAX_NAME_CHARS])
            served = ", ".join(sorted(self._services))
            message = (
                f"The local cloud does not serve the API with the signing name '{request.service}'. Served: {served}."
            )
            return _with_id(refuse(request, 501, code="NotImplemented", message=message), request)
        if not request.access_key and not (isinstance(service, TakesUnsigned) and service.takes_unsigned(request)):
            return _with_id(_refuse_unsigned(request), request)
        try:
            needs = service.permissions(request)
            denied = self._authorise(request.access_key, needs) if needs else None
            if denied is not None:
                response = refuse_denied(request, denied)
            else:
                response = await (beyond or service).handle(request)
        except NoAnswer:
            raise
        except Exception:  # noqa: BLE001 - the outermost edge: what a service did not foresee is its failure, aloud
            _LOG.exception("front.failed service=%s request_id=%s", request.service, request.request_id)
            response = refuse(request, 500, code="InternalFailure", message="The local cloud failed; its log says why.")
        return _with_id(response, request)

    @asynccontextmanager
    async def serve(
        self, listener: socket.socket, *, among: Servers | None = None, tls: ssl.SSLContext | None = None
    ) -> AsyncGenerator[str]:
        """Answer on `listener` (see `open_listener`) while the context lasts, by TLS with `tls`. Gives the root URL."""
        host, port = listener.getsockname()[:2]
        server = PatientServer(
            self._answer, handler_cancellation=True, access_log=None, auto_decompress=False, logger=SERVER_LOG
        )
        async with serve_http(server, listener, grace_s=GRACE_S, among=among, tls=tls):
            yield f"http{'s' if tls is not None else ''}://{host}:{port}"

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        headers = {name.lower(): _whole(value) for name, value in request.headers.items()}
        if is_from_elsewhere(headers):
            return web.Response(status=403, text="The AWS port of the local cloud answers no other site's web pages.\n")
        path, query = _split_target(request.raw_path)
        own = self._find_own(path)
        if path == HEALTH_PATH or own is not None:
            return await self._answer_own(own, request)
        await self._let_in(request, headers, query)
        wire = self._identify(request.method, path, query, headers=headers)
        limit = MAX_OBJECT_BYTES if wire.service == "s3" else MAX_BODY_BYTES
        body = await read_body(request, limit)
        if body is None:
            answer = refuse(
                wire, 413, code="RequestEntityTooLarge", message=f"The request's body is over {limit} bytes."
            )
            return await _write(request, _with_id(answer, wire), service=wire.service)
        try:
            answer = await self.dispatch(_unchunk(replace(wire, body=body)))
        except MalformedChunks as error:
            answer = refuse(wire, 400, code="InvalidRequest", message=f"The aws-chunked body is malformed: {error}.")
            answer = _with_id(answer, wire)
        except NoAnswer:
            if request.transport is not None:
                request.transport.abort()
            answer = WireResponse(504)  # to nobody
        return await _write(request, answer, service=wire.service)

    async def _let_in(self, request: web.BaseRequest, headers: Mapping[str, str], query: str) -> None:
        """Wait until a request may be heard, and let its body come."""
        if self.hold is not None:
            scope = read_scope(headers, query)
            await self.hold(scope.access_key if scope else "")
        if headers.get("expect", "").lower() == "100-continue":
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0

    def _find_own(self, path: str) -> Answer | None:
        if path == HEALTH_PATH or not path.startswith(OWN_PATHS):
            return None
        found = [under for under in self._own if path.startswith(under)]
        return self._own[max(found, key=len)] if found else None

    async def _answer_own(self, own: Answer | None, request: web.BaseRequest) -> web.StreamResponse:
        if own is not None:
            return await own(request)
        return web.json_response({"status": "ok", "services": sorted(self._services)})

    def _identify(self, method: str, path: str, query: str, *, headers: Mapping[str, str]) -> WireRequest:
        scope = read_scope(headers, query)
        return WireRequest(
            service=scope.service if scope else guess_service(headers, path),
            region=scope.region if scope else "us-east-1",
            method=method,
            path=path,
            query=query,
            headers=headers,
            body=b"",
            access_key=scope.access_key if scope else "",
            request_id=self.new_request_id(),
        )


@runtime_checkable
class TakesUnsigned(Protocol):
    """A service with requests that say who asks in another way than by a signature."""

    def takes_unsigned(self, request: WireRequest) -> bool:
        """Whether this is one of them; the service judges it alone."""
        ...


@runtime_checkable
class _Closable(Protocol):
    """A body that wants to know when nobody reads on."""

    async def aclose(self) -> None: ...


def _whole(value: str) -> str:
    """A header as text that can be written again: bytes that were no UTF-8 are marked."""
    return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _split_target(target: str) -> tuple[str, str]:
    """Path and query of a request line, which may be an absolute address; a path may begin with two slashes."""
    if not target.startswith("/"):
        target = "/" + target.partition("://")[2].partition("/")[2]
    path, _, query = target.partition("?")
    return path, query


def _refuse_unsigned(request: WireRequest) -> WireResponse:
    """AWS has few unsigned APIs: what services here take so, they say by `takes_unsigned`."""
    if request.service == "s3":
        return refuse(request, 403, code="AccessDenied", message="Access Denied")
    message = "Request is missing Authentication Token"
    return refuse(request, 403, code="MissingAuthenticationToken", message=message)


def _unchunk(request: WireRequest) -> WireRequest:
    encodings = [part.strip() for part in request.headers.get("content-encoding", "").split(",") if part.strip()]
    if "aws-chunked" not in encodings and not request.headers.get("x-amz-content-sha256", "").startswith("STREAMING-"):
        return request
    body, trailer = decode_aws_chunked(request.body)
    dropped = ("content-encoding", "x-amz-decoded-content-length", "x-amz-trailer")
    headers = {name: value for name, value in request.headers.items() if name not in dropped} | trailer
    headers |= {"content-length": str(len(body)), "x-amz-content-sha256": "UNSIGNED-PAYLOAD"}
    kept = ",".join(part for part in encodings if part != "aws-chunked")
    return replace(request, body=body, headers=headers | ({"content-encoding": kept} if kept else {}))


def _with_id(response: WireResponse, request: WireRequest) -> WireResponse:
    name = "x-amz-request-id" if request.service == "s3" else "x-amzn-requestid"
    if any(header.lower() == name for header in response.headers):
        return response
    return replace(response, headers={**response.headers, name: request.request_id})


async def _write(request: web.BaseRequest, response: WireResponse, *, service: str) -> web.StreamResponse:
    headers = {"Server": _SERVERS.get(service, "sluiceway")}
    headers |= {
        name: value
        for name, value in response.headers.items()
        if name.lower() not in _HOP_BY_HOP and name.lower() != "server"
    }
    if isinstance(response.body, bytes):
        return web.Response(status=response.status, body=response.body, headers=headers)
    stream = web.StreamResponse(status=response.status, headers=headers)
    try:
        await stream.prepare(request)
        async for chunk in response.body:
            await stream.write(chunk)
        await stream.write_eof()
    except BodyCut:
        if request.transport is not None:
            request.transport.close()  # what was written goes out, and then nothing
    finally:  # also when the caller went away
        if isinstance(response.body, _Closable):
            await response.body.aclose()
    return stream
