"""The latest traces and their spans, bounded, and who hears of each span as it begins and ends.

A span belongs to the trace that its header names (or begins one) and hangs below the span that made the header, else
below the first of its trace. Spans are changed by `Recorder` only. Beginning and ending one costs some microseconds:
every request and every call makes one. Never holds a prompt, an answer, a token or a body.
"""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from localcloud.clock import Clock
from localcloud.traces.header import read_parent, read_root

__all__ = ["CURRENT", "MAX_SPANS", "MAX_TRACES", "MAX_TRACE_SPANS", "Detail", "Kind", "Recorder", "Span", "Trace"]

MAX_TRACES: Final = 500
MAX_SPANS: Final = 20_000  # of all traces together, about 20 MB
MAX_TRACE_SPANS: Final = 1_000  # a client may send every request with the same root
MAX_TEXT_CHARS: Final = 200  # of a name and of each detail: some come from a request's path or signature

Kind: TypeAlias = Literal["gateway", "queue", "function", "init", "model", "call"]
Detail: TypeAlias = str | int | float | bool | None
Listener = Callable[["Span"], None]


@dataclass(slots=True, eq=False)
class Span:
    """One thing that took time. `parent` "" at the top; `end_ms` None while it runs; dates in ms since 1970."""

    trace: str
    id: str
    parent: str
    kind: Kind
    name: str
    start_ms: float
    end_ms: float | None = None
    failed: bool = False
    detail: dict[str, Detail] = field(default_factory=dict[str, "Detail"])

    def to_json(self) -> dict[str, Any]:
        """As the console's API shows it."""
        return {
            "trace": self.trace,
            "id": self.id,
            "parent": self.parent or None,
            "kind": self.kind,
            "name": self.name,
            "start_ms": round(self.start_ms, 3),
            "end_ms": None if self.end_ms is None else round(self.end_ms, 3),
            "status": "error" if self.failed else "ok",
            "detail": self.detail,
        }


@dataclass(slots=True, eq=False)
class Trace:
    """The spans of one root, the first one first. `linked`: spans of other traces in which this one goes on."""

    id: str
    spans: dict[str, Span] = field(default_factory=dict[str, Span])
    linked: list[Span] = field(default_factory=list[Span])
    running: int = 0

    @property
    def root(self) -> Span:
        """The span that began it."""
        return next(iter(self.spans.values()))

    @property
    def duration_ms(self) -> float | None:
        """From the first beginning to the last end, None while a span runs."""
        if self.running:
            return None
        spans = self.spans.values()
        return max(span.end_ms or span.start_ms for span in spans) - min(span.start_ms for span in spans)

    @property
    def failed(self) -> bool:
        """Whether a request, a function or a model failed; calls may, a function knows what it makes of that."""
        return any(span.failed for span in self.spans.values() if span.kind != "call")

    def to_json(self) -> dict[str, Any]:
        """The summary that the console's API shows."""
        root, duration_ms = self.root, self.duration_ms
        return {
            "trace": self.id,
            "name": root.name,
            "kind": root.kind,
            "start_ms": round(root.start_ms, 3),
            "duration_ms": None if duration_ms is None else round(duration_ms, 3),
            "status": "error" if self.failed else "ok",
            "spans": len(self.spans),
        }


CURRENT: Final[ContextVar[Span | None]] = ContextVar("span", default=None)
"""The call that is being answered, for a service that has more to tell of it."""


class Recorder:
    """The latest `MAX_TRACES` traces. One event loop; listeners are called in it."""

    def __init__(self, *, clock: Clock, rng: random.Random) -> None:
        self._clock = clock
        self._rng = rng
        self._traces: OrderedDict[str, Trace] = OrderedDict()
        self._spans = 0
        self._listeners: list[Listener] = []
        self.follows_all = False
        """Whether calls and messages that name no trace begin one, for who wants to see each of them."""

    def now_ms(self) -> float:
        """The date in milliseconds since 1970."""
        return self._clock.time() * 1000

    def begin(self, header: str, kind: Kind, name: str, **detail: Detail) -> Span:
        """A span that begins now, in the trace of `header` (a new one where it names none). None is no detail."""
        return self.begin_at(self.now_ms(), header, kind, name=name, detail=detail)

    def begin_at(self, start_ms: float, header: str, kind: Kind, *, name: str, detail: Mapping[str, Detail]) -> Span:
        """A span that began before it is told."""
        root = read_root(header) or f"1-{int(start_ms / 1000):08x}-{self._rng.getrandbits(96):024x}"
        trace = self._trace(root)
        parent = read_parent(header)
        if parent not in trace.spans:
            parent = trace.root.id if trace.spans else ""
        span = Span(
            trace=trace.id,
            id=f"{self._rng.getrandbits(64):016x}",
            parent=parent,
            kind=kind,
            name=name[:MAX_TEXT_CHARS],
            start_ms=start_ms,
            detail=_kept(detail),
        )
        if len(trace.spans) < MAX_TRACE_SPANS:
            trace.spans[span.id] = span
            trace.running += 1
            self._spans += 1
            self._bound(trace)
        self._tell(span)
        return span

    def end(self, span: Span, *, failed: bool = False, **detail: Detail) -> None:
        """The span ends now; what has ended stays as it is."""
        if span.end_ms is not None:
            return
        span.end_ms = max(span.start_ms, self.now_ms())
        span.failed = failed
        span.detail |= _kept(detail)
        trace = self._traces.get(span.trace)
        if trace is not None and span.id in trace.spans:
            trace.running -= 1
        self._tell(span)

    def link(self, header: str, span: Span) -> None:
        """The trace of `header`, where it is known, goes on in `span`, which is of another trace."""
        trace = self._traces.get(read_root(header))
        if trace is not None and trace.id != span.trace and len(trace.linked) < MAX_TRACE_SPANS:
            trace.linked.append(span)

    def latest(self, count: int) -> list[Trace]:
        """The traces that began last, the latest first."""
        found: list[Trace] = []
        for trace in reversed(self._traces.values()):
            if len(found) == count:
                break
            found.append(trace)
        return found

    def find(self, trace_id: str) -> Trace | None:
        """A trace, None where it is not known or known no longer."""
        return self._traces.get(trace_id)

    def spans_of(self, trace: Trace) -> list[Span]:
        """Its spans, and those of other traces in which it goes on with what lies below them, by their beginning."""
        found = dict(trace.spans)
        for top in trace.linked:
            found[top.id] = top
            other = self._traces.get(top.trace)
            for span in other.spans.values() if other is not None else ():
                if span.parent in found:  # parents begin before their children
                    found[span.id] = span
        return sorted(found.values(), key=lambda span: span.start_ms)

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Hear every span as it begins and as it ends; the answer stops it."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def _trace(self, trace_id: str) -> Trace:
        trace = self._traces.get(trace_id)
        if trace is None:
            trace = self._traces[trace_id] = Trace(trace_id)
        return trace

    def _bound(self, kept: Trace) -> None:
        while len(self._traces) > MAX_TRACES or (self._spans > MAX_SPANS and len(self._traces) > 1):
            oldest_id, oldest = next(iter(self._traces.items()))
            if oldest is kept:
                self._traces.move_to_end(oldest_id)  # an old trace that goes on is not the oldest any more
                continue
            del self._traces[oldest_id]
            self._spans -= len(oldest.spans)

    def _tell(self, span: Span) -> None:
        for listener in tuple(self._listeners):
            listener(span)


def _kept(detail: Mapping[str, Detail]) -> dict[str, Detail]:
    return {
        key: value[:MAX_TEXT_CHARS] if isinstance(value, str) else value
        for key, value in detail.items()
        if value is not None
    }
