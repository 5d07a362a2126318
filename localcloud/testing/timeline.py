"""What happened in the application during one test: requests, messages, invocations, calls, model calls, retries.

Made of the spans that the local cloud records, and of what Lambda writes down of events that it gives up. Holds no
payload, prompt, token or body. Written in the cloud's thread, where whoever waits is woken by what happens.
"""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal, TypeAlias, cast

from localcloud.compute.functions import DROPPED_STREAM
from localcloud.services.logs.model import LogEvent, Logs
from localcloud.testing.hosting import HostedCloud
from localcloud.traces.recorder import Detail, Recorder, Span

__all__ = ["Entry", "Kind", "NotHappened", "Result", "Timeline", "show"]

MAX_ENTRIES: Final = 10_000  # of a test; the oldest are forgotten
SHOWN: Final = 40
Kind: TypeAlias = Literal["request", "message", "invocation", "init", "model", "call", "queued", "retry", "dropped"]
Result: TypeAlias = Literal["ok", "error", "running"]
_KINDS: Final[Mapping[str, Kind]] = {
    "gateway": "request",
    "queue": "message",
    "function": "invocation",
    "init": "init",
    "model": "model",
    "call": "call",
}
_TOLD_OF_DROPPED: Final = ("requestId", "condition", "metric", "destination")


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that happened. `name` is a logical id where it has one, a request's method and path, or a call's
    service and action. `duration_s` is None while it runs, and for what takes no time.

    `queued` is an asynchronous invocation that waits for its first attempt, `retry` for a later one; `dropped` one that
    Lambda gave up, or whose record or dead letter reached nobody.
    """

    time: datetime
    kind: Kind
    name: str
    trace: str
    duration_s: float | None
    result: Result
    detail: Mapping[str, Detail] = field(default_factory=dict[str, "Detail"])

    def __str__(self) -> str:
        took = "" if self.duration_s is None else f"{self.duration_s * 1000:.1f} ms"
        detail = " ".join(f"{key}={value}" for key, value in self.detail.items())
        date = f"{self.time:%m-%d %H:%M:%S}.{self.time.microsecond // 1000:03d}"
        line = f"{date}  {self.kind:<10}  {self.name:<28} {took:>10}  {self.result:<7}  {detail}".rstrip()
        return "".join(char if char.isprintable() else "?" for char in line)  # names come from requests


class NotHappened(AssertionError):
    """What a test waited for did not happen in time; the message lists what did."""


Matches: TypeAlias = Callable[[Entry], bool]


class Timeline:
    """The entries of one test, from `open` until `close`."""

    def __init__(self, host: HostedCloud) -> None:
        cloud = host.cloud
        self._host = host
        self._recorder: Recorder = cloud.services.recorder
        self._logs: Logs = cloud.services.logs
        self._names = _logical_ids(cloud.deployed.whole)
        self._spans: OrderedDict[str, Span] = OrderedDict()
        self._dropped: list[Entry] = []
        self._news = asyncio.Event()
        self._stops: list[Callable[[], None]] = []

    async def open(self) -> None:
        """Hear what happens from now on. In the cloud's thread."""
        self._stops = [self._recorder.listen(self._hear), self._logs.listen(self._hear_line)]

    async def close(self) -> None:
        """Hear nothing more; what was heard stays."""
        for stop in self._stops:
            stop()
        self._stops = []

    # ------------------------------------------------------------------ asking

    @property
    def entries(self) -> list[Entry]:
        """Everything until now, in the order of its beginning."""
        return self._host.run(self._read)

    def find(
        self, *, kind: Kind | None = None, name: str | None = None, result: Result | None = None, **detail: Detail
    ) -> list[Entry]:
        """The entries of a kind, a name, a result, and with such details; all of those that are given must be so."""
        matches = _matcher(kind, name, result, **detail)
        return [entry for entry in self.entries if matches(entry)]

    def wait_for(
        self,
        *,
        kind: Kind | None = None,
        name: str | None = None,
        result: Result | None = None,
        count: int = 1,
        timeout_s: float = 5,
        **detail: Detail,
    ) -> Entry:
        """The entry asked for, the `count`-th of them, once it has ended; at once where it has already.

        `timeout_s` is real time. Raises NotHappened, which lists what did happen.
        """
        matches = _matcher(kind, name, result, **detail)
        waiting = self._host.submit(lambda: self._wait(matches, count))
        try:
            return waiting.result(timeout_s)
        except TimeoutError:
            waiting.cancel()
        raise self._miss(_said(kind, name, result, **detail), count, timeout_s)

    async def wait_for_async(
        self,
        *,
        kind: Kind | None = None,
        name: str | None = None,
        result: Result | None = None,
        count: int = 1,
        timeout_s: float = 5,
        **detail: Detail,
    ) -> Entry:
        """The same; the test's own loop goes on."""
        matches = _matcher(kind, name, result, **detail)
        waiting = asyncio.wrap_future(self._host.submit(lambda: self._wait(matches, count)))
        try:
            async with asyncio.timeout(timeout_s):
                return await waiting
        except TimeoutError:
            pass
        raise self._miss(_said(kind, name, result, **detail), count, timeout_s)

    # ------------------------------------------------------------------ inside

    def _miss(self, said: str, count: int, timeout_s: float) -> NotHappened:
        times = f" {count} times" if count > 1 else ""
        return NotHappened(f"{said} did not happen{times} within {timeout_s:g} s. What happened:\n{show(self.entries)}")

    async def _wait(self, matches: Matches, count: int) -> Entry:
        while True:
            found = [entry for entry in self._made() if entry.result != "running" and matches(entry)]
            if len(found) >= count:
                return found[count - 1]
            self._news.clear()
            await self._news.wait()

    async def _read(self) -> list[Entry]:
        return self._made()

    def _made(self) -> list[Entry]:
        entries = [*(_entry_of(span, self._names) for span in self._spans.values()), *self._dropped]
        return sorted(entries, key=lambda entry: entry.time)

    def _hear(self, span: Span) -> None:
        self._spans[span.id] = span
        if len(self._spans) > MAX_ENTRIES:
            self._spans.popitem(last=False)
        self._news.set()

    def _hear_line(self, event: LogEvent) -> None:
        if event.stream != DROPPED_STREAM or len(self._dropped) >= MAX_ENTRIES:
            return
        told = cast("dict[str, Any]", json.loads(event.message))
        name = self._names.get(event.group.removeprefix("/aws/lambda/"), event.group)
        detail = {key: str(told[key]) for key in _TOLD_OF_DROPPED if key in told}
        date = datetime.fromtimestamp(event.timestamp_ms / 1000, UTC)
        self._dropped.append(Entry(date, "dropped", name, "", None, "error", detail))
        self._news.set()


def show(entries: Iterable[Entry], *, last: int = SHOWN) -> str:
    """The last entries, a line each; how many were before them is said."""
    lines = [f"  {entry}" for entry in entries]
    before = len(lines) - last
    head = [f"  ... {before} before"] if before > 0 else []
    return "\n".join([*head, *lines[-last:]]) or "  nothing"


def _logical_ids(whole: Mapping[str, Any]) -> dict[str, str]:
    """Logical ids by the names under which spans tell of resources."""
    return {made.physical.ref.rpartition("/")[2]: logical_id for logical_id, made in whole.items()}


def _entry_of(span: Span, names: Mapping[str, str]) -> Entry:
    kind = _KINDS[span.kind]
    if span.detail.get("asynchronous") and span.kind == "queue":
        attempt = span.detail.get("attempt")
        kind = "retry" if isinstance(attempt, int) and attempt > 1 else "queued"
    ended = span.end_ms is not None
    result: Result = "running" if not ended else "error" if span.failed else "ok"
    return Entry(
        time=datetime.fromtimestamp(span.start_ms / 1000, UTC),
        kind=kind,
        name=names.get(span.name, span.name),
        trace=span.trace,
        duration_s=None if span.end_ms is None else (span.end_ms - span.start_ms) / 1000,
        result=result,
        detail=dict(span.detail),
    )


def _matcher(kind: str | None, name: str | None, result: str | None, **detail: Detail) -> Matches:
    def matches(entry: Entry) -> bool:
        return (
            kind in {None, entry.kind}
            and name in {None, entry.name}
            and result in {None, entry.result}
            and all(entry.detail.get(key) == value for key, value in detail.items())
        )

    return matches


def _said(kind: str | None, name: str | None, result: str | None, **detail: Detail) -> str:
    asked = {"kind": kind, "name": name, "result": result, **detail}
    return " ".join(f"{key}={value!r}" for key, value in asked.items() if value is not None) or "anything"
