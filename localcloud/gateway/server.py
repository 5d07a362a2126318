"""The HTTP front of the gateway: sockets in, HttpRequests to stages, answers out.

An API is at `http://127.0.0.1:<port>/<api id>/<stage>/...`, at `/<stage>/...` under the host name it has on AWS, and
where a custom domain name maps it, under that; the `$default` stage of an HTTP API has no part of the path. A Function
URL is at `/lambda-url/<id>/...`, an Event API of AppSync at `/<api id>/event`.
Knows nothing of integrations. Lifetime: `start` to `stop`; requests under way are given `GRACE_S` to end.
"""

from __future__ import annotations

import logging
import re
import socket
from contextlib import AsyncExitStack, closing
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING, Final, Protocol

from aiohttp import web
from multidict import CIMultiDict

from localcloud.clock import Clock
from localcloud.gate import PASS_S, Gate
from localcloud.gateway.definition import Api
from localcloud.gateway.domains import Domains, Mapped
from localcloud.gateway.exchange import Stage
from localcloud.gateway.gateway_responses import default_response
from localcloud.gateway.message import ByteStream, HttpRequest, HttpResponse, StreamCutError, decode_header
from localcloud.gateway.rest import MAX_BODY_BYTES, MAX_HEADER_BYTES, Backends, RestStage
from localcloud.gateway.usage_plans import UsagePlans
from localcloud.http_log import SERVER_LOG
from localcloud.http_server import Servers, serve_http
from localcloud.listening import HOST, open_listener
from localcloud.patience import PatientServer, next_chunk

if TYPE_CHECKING:
    from localcloud.gateway.http_api.apis import HttpApis

__all__ = ["Gateway", "GatewayServer"]

GRACE_S: Final = 5.0

_LOG: Final = logging.getLogger(__name__)
_AWS_HOST: Final = re.compile(r"([\w-]+)\.execute-api\.[\w-]+\.[\w.-]+(?::\d+)?", re.IGNORECASE)
_TOO_MUCH: Final = bytes(MAX_BODY_BYTES + 1)  # of zeros, which take no memory until somebody looks
_PARSER_LIMIT: Final = 64 * 1024  # what the parser reads before the total below is judged


class Beside(Protocol):
    """What is served beside APIs."""

    async def handle(self, request: HttpRequest) -> HttpResponse | None:
        """Answer a request; None where it is for something else."""
        ...


class Gateway:
    """The deployed stages, and the Function URLs and Event APIs beside them."""

    def __init__(
        self,
        *,
        backends: Backends,
        clock: Clock,
        random: Random,
        urls: Beside | None = None,
        events: Beside | None = None,
    ) -> None:
        self._urls = urls
        self._events = events
        self._backends = backends
        self._clock = clock
        self._random = random
        self._stages: dict[tuple[str, str], RestStage] = {}
        self._http_apis: HttpApis | None = None
        self.url = ""
        """Its address, from when it is served."""
        self.domains = Domains()

    @property
    def plans(self) -> UsagePlans:
        """The API keys and usage plans of its REST APIs."""
        return self._backends.plans

    def join(self, apis: HttpApis) -> None:
        """Serve HTTP APIs as well."""
        self._http_apis = apis

    @property
    def http_apis(self) -> HttpApis:
        """The HTTP APIs that have joined. Raises LookupError where none have."""
        if self._http_apis is None:
            message = "there are no HTTP APIs in this gateway"
            raise LookupError(message)
        return self._http_apis

    def deploy(self, api: Api, stage: Stage) -> None:
        """Serve the API at the stage from now on; a stage of the same name is replaced."""
        deployed = RestStage(api, stage, backends=self._backends, clock=self._clock, random=self._random)
        self._stages[api.id, stage.name] = deployed

    def remove(self, api_id: str, stage_name: str) -> None:
        """Serve the stage no longer; nothing happens where it is not there."""
        self._stages.pop((api_id, stage_name), None)

    def has_api(self, api_id: str) -> bool:
        """Whether a stage of the API is served."""
        http = self._http_apis is not None and self._http_apis.has(api_id)
        return http or any(each == api_id for each, _ in self._stages)

    def paths(self) -> list[str]:
        """`/<api id>/<stage>` of every stage."""
        return [f"/{api_id}/{stage}" for api_id, stage in self._stages]

    async def handle(self, request: HttpRequest) -> HttpResponse:
        """Answer a request whose path still has API id (unless the host has it) and stage; never raises."""
        for beside in (self._urls, self._events):
            answer = await beside.handle(request) if beside is not None else None
            if answer is not None:
                return answer
        found = self._find(request)
        if self._http_apis is not None and self._http_apis.has(found.api_id):
            return await self._ask_http_api(self._http_apis, request, found)
        stage = self._stages.get((found.api_id, found.stage))
        if stage is None:
            known = self.has_api(found.api_id) and not self.domains.has(request.host)
            return default_response("MISSING_AUTHENTICATION_TOKEN" if known else "WAF_FILTERED")
        name = request.host.lower().partition(":")[0] if self.domains.has(request.host) else ""
        return await stage.handle(replace(request, path=found.path, name=name, base=found.base))

    async def _ask_http_api(self, apis: HttpApis, request: HttpRequest, found: Mapped) -> HttpResponse:
        if self.domains.has(request.host):
            name = request.host.lower().partition(":")[0]
            asked = replace(request, path=found.path, name=name, base=found.base)
            return await apis.handle_at(found.api_id, found.stage, asked)
        path = request.path
        if _AWS_HOST.fullmatch(request.host) is None:
            path = path.removeprefix(f"/{found.api_id}") or "/"
        return await apis.handle(found.api_id, replace(request, path=path))

    def _find(self, request: HttpRequest) -> Mapped:
        """Where a request goes; an API id of "" is none."""
        if self.domains.has(request.host):
            return self.domains.find(request.host, request.path) or Mapped("", "", "", "")
        named = _AWS_HOST.fullmatch(request.host)
        path = request.path if named is None else f"/{named[1]}{request.path}"
        _, api_id, stage_name, rest = (*path.split("/", 3), "", "", "")[:4]
        return Mapped(api_id, stage_name, "", f"/{rest}")


class GatewayServer:
    """Listens on loopback for a Gateway."""

    def __init__(self, gateway: Gateway, *, among: Servers | None = None, gate: Gate | None = None) -> None:
        self._gateway = gateway
        self._serving = AsyncExitStack()
        self._among = among
        self._gate = gate or Gate()
        self.port = 0

    async def start(self, port: int = 0, *, listener: socket.socket | None = None) -> int:
        """Listen; 0 takes a free port, `listener` is one that there is. Gives the port. Raises OSError: it is taken."""
        server = PatientServer(
            self._handle,
            auto_decompress=False,
            logger=SERVER_LOG,
            max_line_size=_PARSER_LIMIT,
            max_field_size=_PARSER_LIMIT,
        )
        listener = self._serving.enter_context(closing(listener or open_listener(port=port)))
        await self._serving.enter_async_context(serve_http(server, listener, grace_s=GRACE_S, among=self._among))
        self.port = int(listener.getsockname()[1])
        return self.port

    async def stop(self) -> None:
        """Listen no more; returns when requests under way have ended or been cancelled."""
        await self._serving.aclose()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        await self._gate.wait(PASS_S)
        headers = tuple((decode_header(name), decode_header(value)) for name, value in request.raw_headers)
        target, _, query = request.raw_path.partition("?")
        line_bytes = len(request.method) + len(request.raw_path) + len("  HTTP/1.1")
        if line_bytes + sum(len(value) for _, value in request.raw_headers) > MAX_HEADER_BYTES:
            return _to_aiohttp(HttpResponse(431, (), b""), close=True)
        body = await _read_body(request)
        asked = HttpRequest(
            method=request.method,
            path=_path_of(target),
            query=query,
            headers=headers,
            body=body,
            host=request.host,
            source_ip=request.remote or HOST,
            protocol=f"HTTP/{request.version.major}.{request.version.minor}",
        )
        response = await self._gateway.handle(asked)
        if response.stream is not None:
            return await _send_stream(request, response, response.stream)
        return _to_aiohttp(response, close=len(body) > MAX_BODY_BYTES)


def _path_of(target: str) -> str:
    """The path of a request line, which may be an absolute address."""
    if target.startswith("/"):
        return target
    return "/" + target.partition("://")[2].partition("/")[2]


async def _read_body(request: web.BaseRequest) -> bytes:
    """The body, cut one byte past the limit so that the stage can refuse it with the API's own answer.

    One that its head says to be too large is not read. Raises HTTPRequestTimeout where it stops coming.
    """
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0
    if (request.content_length or 0) > MAX_BODY_BYTES:
        return _TOO_MUCH
    chunks: list[bytes] = []
    size = 0
    while chunk := await next_chunk(request):
        chunks.append(chunk)
        size += len(chunk)
        if size > MAX_BODY_BYTES:
            break
    return b"".join(chunks)[: MAX_BODY_BYTES + 1]


async def _send_stream(request: web.BaseRequest, response: HttpResponse, stream: ByteStream) -> web.StreamResponse:
    """Send chunks as they come. Where the stream is cut, the connection is, so that the client knows."""
    answer = web.StreamResponse(status=response.status, headers=_headers(response))
    try:
        await answer.prepare(request)
        if request.method != "HEAD":
            async for chunk in stream:
                await answer.write(chunk)
        await answer.write_eof()
    except ConnectionError:
        _LOG.info("gateway.client_gone %s", request.path)
    except StreamCutError as error:
        _LOG.warning("gateway.stream_cut %s %s", error, request.path)
        if request.transport is not None:
            request.transport.close()
    finally:
        await stream.aclose()
    return answer


def _headers(response: HttpResponse) -> CIMultiDict[str]:
    headers = CIMultiDict[str](response.headers)
    headers.setdefault("Server", "sluiceway")
    return headers


def _to_aiohttp(response: HttpResponse, *, close: bool) -> web.Response:
    answer = web.Response(status=response.status, headers=_headers(response), body=response.body)
    if close:
        answer.force_close()
    return answer
