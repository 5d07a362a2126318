"""`sluiceway tail`: what happens in a running local cloud, a line when each thing has ended, as the console hears it.

Reads the console's `GET /api/events`. Never a prompt, a token or a body: spans hold none.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import Any, Final
from urllib.parse import urlsplit

from localcloud.caller import Unreachable
from localcloud.state import RunningState, read_state

__all__ = ["Picked", "read_events", "run", "show_span"]

ANSWER_S: Final = 10.0  # for the beginning of the answer; after it events come when they come
MAX_REMEMBERED: Final = 10_000  # spans of the function that is asked for, whose calls are told as well
KINDS: Final = {
    "gateway": "request",
    "queue": "message",
    "function": "invocation",
    "init": "init",
    "model": "model",
    "call": "call",
}
_OWN: Final = ("function", "init", "queue")  # kinds whose name may be a function's; a queue's is where it is `Event`
_RED, _DIM, _PLAIN = "\x1b[31m", "\x1b[2m", "\x1b[0m"


def run(options: argparse.Namespace) -> int:
    """Tell until the cloud ends or Ctrl-C. Raises NotRunning."""
    state = read_state(options.state)
    try:
        picked = Picked(_find(state, options.function), options.trace or "", errors=options.errors)
        write = _writer(as_json=options.as_json)
        for name, told in _listen(state):
            if name == "span" and picked.takes(told):
                write(told)
            elif name == "dropped":
                sys.stderr.write(f"sluiceway: {told['count']} events came too fast and are not told\n")
    except Unreachable as error:
        sys.stderr.write(f"sluiceway: {error}\n")
        return 2
    except (OSError, HTTPException) as error:
        sys.stderr.write(f"sluiceway: the local cloud was lost: {error}\n")
        return 1
    return 0


@dataclass(slots=True)
class Picked:
    """Which spans are told: of `function` (its name) and what it called, of `trace`, failed ones; "" for every one."""

    function: str = ""
    trace: str = ""
    errors: bool = False
    _spans: OrderedDict[str, None] = field(default_factory=OrderedDict[str, None])

    def takes(self, span: dict[str, Any]) -> bool:
        """Whether a span is told: it has ended, and is asked for. Asked about each as it begins and as it ends."""
        is_of_function = self._is_of_function(span)
        return (
            span["end_ms"] is not None
            and is_of_function
            and self.trace in {"", span["trace"]}
            and (not self.errors or span["status"] == "error")
        )

    def _is_of_function(self, span: dict[str, Any]) -> bool:
        if not self.function:
            return True
        if span["kind"] in _OWN and span["name"] == self.function:
            self._spans[span["id"]] = None
            if len(self._spans) > MAX_REMEMBERED:
                self._spans.popitem(last=False)
            return True
        return span["parent"] in self._spans


def read_events(lines: Iterable[bytes]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The events of a stream of server-sent ones, as the console writes them: a name and one line of JSON."""
    name = ""
    for line in lines:
        key, _, value = line.decode("utf-8", "replace").rstrip("\r\n").partition(": ")
        if key == "event":
            name = value
        elif key == "data":
            yield name, json.loads(value)


def show_span(span: dict[str, Any], *, coloured: bool = False) -> str:
    """A span that has ended, as one line: date (UTC), kind, name, duration, result, what more is known, its trace."""
    began = datetime.fromtimestamp(span["start_ms"] / 1000, UTC)
    took = f"{span['end_ms'] - span['start_ms']:.1f} ms"
    detail = " ".join(f"{key}={value}" for key, value in span["detail"].items())
    date = f"{began:%H:%M:%S}.{began.microsecond // 1000:03d}"
    first = f"{date}  {KINDS.get(span['kind'], span['kind']):<10}"
    line = _printable(f"{first}  {span['name']:<32} {took:>11}  {span['status']:<5}  {detail}".rstrip())
    trace = _printable(span["trace"])
    if not coloured:
        return f"{line}  {trace}"
    return f"{_RED if span['status'] == 'error' else ''}{line}{_PLAIN}  {_DIM}{trace}{_PLAIN}"


def _find(state: RunningState, function: str | None) -> str:
    return state.find_function(function) if function else ""


def _listen(state: RunningState) -> Iterator[tuple[str, dict[str, Any]]]:
    """Events from now on, until the cloud ends, and so over its resets. Raises Unreachable, OSError, HTTPException."""
    if state.regions:
        folders = ", ".join(f"--state {folder}" for _, folder in sorted(state.regions.items()))
        message = f"several Regions run here, each with events of its own; name one: {folders}"
        raise Unreachable(message)
    address = urlsplit(state.endpoints.get("console", ""))
    if not address.hostname:
        message = "this cloud has no console, and so no events"
        raise Unreachable(message)
    place = (address.hostname, address.port or 0)
    with closing(HTTPConnection(*place, timeout=ANSWER_S)) as connection:
        yield from read_events(iter(_ask(connection).readline, b""))
    while True:
        with closing(HTTPConnection(*place, timeout=ANSWER_S)) as connection:
            try:
                response = _ask(connection)
            except (OSError, HTTPException):
                return  # it has ended
            yield from read_events(iter(response.readline, b""))


def _ask(connection: HTTPConnection) -> HTTPResponse:
    """The answer to who reads the events. Raises Unreachable, OSError, HTTPException."""
    connection.request("GET", "/api/events", headers={"Accept": "text/event-stream"})
    response = connection.getresponse()
    if response.status != 200:
        message = f"{connection.host}:{connection.port} tells no events here (status {response.status})"
        raise Unreachable(message)
    if connection.sock is not None:
        connection.sock.settimeout(None)
    return response


def _writer(*, as_json: bool) -> Callable[[dict[str, Any]], None]:
    coloured = sys.stdout.isatty()

    def write(span: dict[str, Any]) -> None:
        sys.stdout.write((json.dumps(span) if as_json else show_span(span, coloured=coloured)) + "\n")
        sys.stdout.flush()

    return write


def _printable(text: str) -> str:
    """Names come from requests: nothing in them may move a terminal's cursor."""
    return "".join(char if char.isprintable() else "?" for char in text)
