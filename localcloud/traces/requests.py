"""Spans of what comes in at a gateway, until its answer has been sent: HTTP requests, handshakes and messages.

Named by method and resource, or by route: never by a path with values in it, nor by a query.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from typing import Final, Protocol

from localcloud.gateway.message import ByteStream, HttpRequest, HttpResponse
from localcloud.traces.recorder import Detail, Recorder, Span

__all__ = ["RequestSpans"]

BAD_GATEWAY: Final = 502  # of an answer that broke off: the status that was sent did not come true


class RequestSpans:
    """The spans of one gateway; without a recorder there are none."""

    def __init__(self, recorder: Recorder | None) -> None:
        self._recorder = recorder

    def begin(self, header: str, name: str, **detail: Detail) -> Span | None:
        """Something comes in; `header` is the trace header that it goes on with."""
        return self._recorder.begin(header, "gateway", name, **detail) if self._recorder is not None else None

    def begin_request(self, header: str, request: HttpRequest, resource: str, **detail: Detail) -> Span | None:
        """An HTTP request comes in; none for a browser's own question whether it may ask (CORS preflight)."""
        if request.method == "OPTIONS" and request.header("access-control-request-method") is not None:
            return None
        return self.begin(header, f"{request.method} {resource}".rstrip(), **detail)

    def end(self, span: Span | None, status: int, **detail: Detail) -> None:
        """It is answered."""
        if self._recorder is not None and span is not None:
            self._recorder.end(span, failed=status >= 400, status_code=status, **detail)

    def end_response(self, span: Span | None, response: HttpResponse) -> HttpResponse:
        """The answer, which ends the span: now, or with its stream."""
        if span is None or response.stream is None:
            self.end(span, response.status)
            return response
        return replace(response, stream=_Stream(response.stream, partial(self.end, span), response.status))


class _End(Protocol):
    def __call__(self, status: int, **detail: Detail) -> None: ...


class _Stream:
    """A streamed body that tells its end. One that raises was cut."""

    def __init__(self, stream: ByteStream, end: _End, status: int) -> None:
        self._stream = stream
        self._chunks: AsyncIterator[bytes] = aiter(stream)
        self._end = end
        self._status = status

    def __aiter__(self) -> _Stream:
        return self

    async def __anext__(self) -> bytes:
        try:
            return await anext(self._chunks)
        except StopAsyncIteration:
            self._end(self._status)
            raise
        except Exception:
            self._end(BAD_GATEWAY, error_code="Cut")
            raise

    async def aclose(self) -> None:
        """Nobody reads on."""
        self._end(self._status, left=True)  # nothing more to tell where it came to its end before
        await self._stream.aclose()
