"""Spans of messages: from the send to the receive, and of each further receive since the message was visible again.

A message whose `AWSTraceHeader` names no trace has none, unless the recorder follows all: then it is in the trace of
the call that sent it, or in one of its own, of which nothing is written into the message. What comes to a dead-letter
queue waits for a person, not for its trace: that span ends at once, as a failure.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from localcloud.services.sqs.held import Held
from localcloud.services.sqs.message import Message
from localcloud.traces.header import read_root, with_parent
from localcloud.traces.recorder import CURRENT, Recorder, Span

__all__ = ["QueueSpans"]

MAX_MESSAGES: Final = 10_000  # the oldest are forgotten: their next receive makes a span of its own
_HEADER: Final = "AWSTraceHeader"


class QueueSpans:
    """A `Watch` of queues. `is_dead_letters` says which ARNs are dead-letter queues."""

    def __init__(self, recorder: Recorder) -> None:
        self.is_dead_letters: Callable[[str], bool] = lambda _: False
        self._recorder = recorder
        self._spans: OrderedDict[str, Span] = OrderedDict()  # the latest of each message in a queue
        self._left_id = ""
        self._left: Span | None = None  # the last that left a queue: a dead letter is in its own at once

    def sent(self, arn: str, held: Held) -> None:
        """The message waits."""
        header = _header(held)
        if not header and not self._recorder.follows_all:
            return
        before = self._left if self._left_id == held.message_id else None
        header = header or (_current() if before is None else _below(before))
        span = self._recorder.begin(header, "queue", _name(arn), message_id=held.message_id)
        if self.is_dead_letters(arn):
            self._recorder.end(span, failed=True, dead_letter=True)
        self._keep(held, span)

    def received(self, arn: str, held: Held) -> None:
        """The message waits no longer."""
        span = self._spans.get(held.message_id)
        header = _header(held) or (_below(span) if span is not None else "")
        if not header and not self._recorder.follows_all:
            return
        if span is None or span.end_ms is not None:
            since_ms = self._visible_since_ms(held)
            detail = {"message_id": held.message_id}
            span = self._recorder.begin_at(since_ms, header, "queue", name=_name(arn), detail=detail)
        self._recorder.end(span, receive=held.receives)
        self._keep(held, span)

    def gone(self, held: Held) -> None:
        """Deleted, expired, purged, or moved to the dead letters."""
        span = self._left = self._spans.pop(held.message_id, None)
        self._left_id = held.message_id
        if span is not None:
            self._recorder.end(span)

    def repeated(self, arn: str) -> None:
        """No message, no span."""

    def took(self, arn: str, count: int) -> None:
        """Each of them was told of already."""

    def deleted(self, arn: str) -> None:
        """What left was told of already."""

    def touched(self, arn: str) -> None:
        """Nothing waits for that."""

    def header_of(self, message: Message) -> str:
        """The trace header for what is done with a message that was received: below its span. "" where it has none."""
        header = message.system.get(_HEADER, "")
        span = self._spans.get(message.message_id)
        if span is None:
            return header
        return with_parent(header, span.id) if header else _below(span)

    def _visible_since_ms(self, held: Held) -> float:
        """Since when the message waited for this receive; now, where nothing tells."""
        if held.receives_ever == 1:  # sent before this process began, or forgotten since
            return held.sent_s * 1000
        waited_s = max(0.0, asyncio.get_running_loop().time() - held.due) if held.due else 0.0
        return self._recorder.now_ms() - waited_s * 1000

    def _keep(self, held: Held, span: Span) -> None:
        self._spans[held.message_id] = span
        if len(self._spans) > MAX_MESSAGES:
            self._spans.popitem(last=False)


def _header(held: Held) -> str:
    attribute = held.content.system.get(_HEADER)
    header = "" if attribute is None else str(attribute.value)
    return header if read_root(header) else ""


def _below(span: Span) -> str:
    return f"Root={span.trace};Parent={span.id}"


def _current() -> str:
    """The call that is being answered, "" where nothing is."""
    span = CURRENT.get()
    return "" if span is None else _below(span)


def _name(arn: str) -> str:
    return arn.rpartition(":")[2]
