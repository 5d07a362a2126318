"""The body of InvokeWithResponseStream's answer: an event stream of `PayloadChunk`s and one `InvokeComplete`.

Source: https://docs.aws.amazon.com/lambda/latest/api/API_InvokeWithResponseStream.html
"""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncGenerator
from typing import Final

from localcloud.compute.environment import Outcome
from localcloud.compute.streamed import StreamedInvocation
from sluiceway.aws.event_stream import encode_message

__all__ = ["EVENT_STREAM", "EventStreamBody"]

EVENT_STREAM: Final = "application/vnd.amazon.eventstream"
# A failure of Lambda's own is named by its code; what the handler or its runtime posted is "Unhandled", as in Invoke.
_OWN_ERRORS: Final = frozenset({"Sandbox.Timedout", "Runtime.ExitError", "Runtime.TruncatedResponse"})


class EventStreamBody:
    """The events of one invocation, each as it happens. Whoever stops reading early closes it."""

    def __init__(self, invocation: StreamedInvocation, *, log_tail: bool) -> None:
        self._invocation = invocation
        self._events = _make_events(invocation, log_tail=log_tail)

    def __aiter__(self) -> EventStreamBody:
        return self

    async def __anext__(self) -> bytes:
        return await anext(self._events)

    async def aclose(self) -> None:
        """Nobody reads on; the function runs to its end, as on Lambda."""
        self._invocation.leave()
        await self._events.aclose()


async def _make_events(invocation: StreamedInvocation, *, log_tail: bool) -> AsyncGenerator[bytes]:
    async for chunk in invocation.chunks():
        yield _event("PayloadChunk", "application/octet-stream", chunk)
    complete = _describe(await invocation.outcome(), log_tail=log_tail)
    yield _event("InvokeComplete", "application/json", json.dumps(complete, separators=(",", ":")).encode())


def _describe(outcome: Outcome, *, log_tail: bool) -> dict[str, str]:
    found: dict[str, str] = {}
    if outcome.error_type:
        found["ErrorCode"] = outcome.error_type if outcome.error_type in _OWN_ERRORS else "Unhandled"
        found["ErrorDetails"] = outcome.payload.decode("utf-8", "replace")
    if log_tail:
        found["LogResult"] = base64.b64encode(outcome.log_tail).decode()
    return found


def _event(kind: str, content_type: str, payload: bytes) -> bytes:
    return encode_message({":event-type": kind, ":content-type": content_type, ":message-type": "event"}, payload)
