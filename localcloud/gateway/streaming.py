"""Lambda proxy integrations that stream, and the body that a streamed answer has.

Owns the limits on time and speed; what comes before the delimiter becomes the answer's head, what goes wrong after it
cuts the client's connection, since the status has been sent.
Source: https://docs.aws.amazon.com/apigateway/latest/developerguide/response-transfer-mode.html
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

from localcloud.compute.response_stream import Pace
from localcloud.compute.streamed import StreamedInvocation
from localcloud.gateway.definition import Integration
from localcloud.gateway.errors import GatewayError
from localcloud.gateway.exchange import Exchange
from localcloud.gateway.message import HttpResponse, StreamCutError
from localcloud.gateway.ports import Functions, FunctionUnavailableError
from localcloud.gateway.prelude import read_prelude
from localcloud.gateway.proxy import check_permission, make_payload

__all__ = ["StreamedBody", "stream_function"]

IDLE_S: Final = 300.0  # response-transfer-mode: 5 minutes for Regional and private endpoints
BURST_BYTES: Final = 10 * 1024 * 1024  # response-transfer-mode: the first 10 MB have no bandwidth restriction
RATE_BYTES_S: Final = 2 * 1024 * 1024  # response-transfer-mode: beyond them 2 MB/s
MAX_PRELUDE_BYTES: Final = 16 * 1024  # response-transfer-mode-lambda: the delimiter within the first 16 KB


class StreamedBody:
    """The body of a streamed answer: `first`, then what the function writes. Whoever stops reading closes it."""

    def __init__(self, invocation: StreamedInvocation, chunks: AsyncGenerator[bytes], *, first: bytes = b"") -> None:
        self._invocation = invocation
        self._source = chunks
        self._body = self._read(first)

    def __aiter__(self) -> StreamedBody:
        return self

    async def __anext__(self) -> bytes:
        return await anext(self._body)

    async def aclose(self) -> None:
        """Nobody reads on; the function runs to its end, as on Lambda."""
        self._invocation.leave()
        await self._body.aclose()
        await self._source.aclose()

    async def _read(self, first: bytes) -> AsyncGenerator[bytes]:
        if first:
            yield first
        try:
            async for chunk in self._source:
                yield chunk
            outcome = await self._invocation.outcome()
        except TimeoutError as error:
            raise StreamCutError("the function took too long") from error
        if outcome.error_type:
            raise StreamCutError(f"the function failed midway ({outcome.error_type})")


async def stream_function(exchange: Exchange, integration: Integration, functions: Functions) -> HttpResponse:
    """Invoke the method's function and answer when its response's head has come. Raises GatewayError."""
    arn = exchange.fill_stage_variables(integration.uri)
    check_permission(exchange, arn, functions)
    loop = asyncio.get_running_loop()
    deadline = loop.time() + integration.timeout_s
    try:
        async with asyncio.timeout_at(min(deadline, loop.time() + IDLE_S)):
            invocation = await functions.invoke_stream(arn, make_payload(exchange), trace_header=exchange.trace_id)
    except TimeoutError as error:
        raise GatewayError("INTEGRATION_TIMEOUT", reason=f"{arn} took too long") from error
    except FunctionUnavailableError as error:
        kind = "REQUEST_TOO_LARGE" if error.is_too_large else "DEFAULT_5XX"
        raise GatewayError(kind, reason=f"{arn}: {error}") from error
    return await _answer(arn, invocation, _limit(invocation.chunks(), deadline))


async def _answer(arn: str, invocation: StreamedInvocation, chunks: AsyncGenerator[bytes]) -> HttpResponse:
    answered = False
    try:
        prelude = await read_prelude(chunks, limit_bytes=MAX_PRELUDE_BYTES)
        answered = True
    except TimeoutError as error:
        raise GatewayError("INTEGRATION_TIMEOUT", reason=f"{arn} took too long") from error
    finally:
        if not answered:
            invocation.leave()
            await chunks.aclose()
    headers = list(prelude.headers)
    if "content-type" not in {name.lower() for name, _ in headers}:
        headers.append(("Content-Type", "application/json"))
    return HttpResponse(prelude.status, tuple(headers), stream=StreamedBody(invocation, chunks, first=prelude.rest))


async def _limit(source: AsyncGenerator[bytes], deadline: float) -> AsyncGenerator[bytes]:
    """The chunks of `source` within API Gateway's limits. Raises TimeoutError."""
    loop = asyncio.get_running_loop()
    pace = Pace(BURST_BYTES, RATE_BYTES_S)
    async with aclosing(source):
        while True:
            async with asyncio.timeout_at(min(deadline, loop.time() + IDLE_S)):
                chunk = await anext(source, b"")
                if not chunk:
                    return
                await pace.take(len(chunk))
            yield chunk
