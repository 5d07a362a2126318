"""The console's JSON: what its page may ask of a running local cloud, and what it may do.

Same origin only: a request with another Origin is refused (403). A refusal is `{"error": "<a sentence>"}` with a 4xx.
Times are `..._ms`: milliseconds since 1970 with fractions. Knows no HTTP but its statuses. Tokens are `identity`'s.

    GET /config.json
        {"local": true, "region": "us-east-1",
         "model": "scripted" | "embedded" | "openai",
         "endpoints": {"aws": URL, "console": URL, "api": URL, "socket": "ws://...", "stream": URL, ...},
         "functions": {<logical id>: <name>, ...},
         "outputs": {<name>: <value>, ...}}
        Endpoints end in no slash. One is there for each API and Function URL under its lower-case logical id, and under
        the name of the output that shows it, without "Url": `SocketUrl` gives `socket`.

    GET /api/traces?n=100                            n: 1 to 500; latest first
        {"traces": [{"trace": "1-...", "name": "POST /jobs", "kind": "gateway", "start_ms": 1.5,
                     "duration_ms": 20.25 | null while a span of it runs, "status": "ok" | "error", "spans": 7}, ...]}

    GET /api/traces/{trace}                          spans by start; 404 where it is not, or no longer, known
        {"trace": "1-...", "spans": [SPAN, ...], "links": ["1-...", ...]}
        A function that took a batch of messages has the trace of the first; the traces of the others hold a link, and
        its spans are in their answers too: those have another "trace". "links" names these other traces.

    SPAN
        {"trace": "1-...", "id": "16 hex digits", "parent": "16 hex digits" | null, "kind": KIND, "name": "...",
         "start_ms": 1.5, "end_ms": 2.5 | null while it runs, "status": "ok" | "error", "detail": {...}}

    KIND       name                        detail, each where it applies
    gateway    POST /jobs, $connect, ask   api (its id), stage, request_id, status_code; route, connection
    queue      the queue, or the function  message_id, receive, dead_letter; attempt of an asynchronous invocation
    function   its name                    request_id, cold_start, error_type, asynchronous; batch_size
    init       its function's name
    model      ConverseStream              model, status_code, first_token_ms, input_tokens, output_tokens, stop_reason
    call       DynamoDB PutItem            service, operation, status_code, error_code
        `left` where the caller read no further, which is no error; error_code "Cut" where an answer broke off.
        Never a prompt, an answer, a token, a body, a path with values or a query.

    GET /api/logs?function=READJOB&n=200             n: 1 to 1000; all functions where none is named; oldest first
        {"logs": [LOG, ...]}
    LOG {"function": <logical id>, "stream": "...", "timestamp_ms": 1, "message": "text" | null, "record": {...} | null}
        a line that is a JSON object is `record`, any other is `message`

    GET /api/connections
        {"connections": [CONNECTION, ...]}           by time of connection
    CONNECTION {"id": "...", "api": "<its name in endpoints>", "stage": "...", "caller": "<principal>" | null,
                "connected_ms": 1.5, "last_active_ms": 2.5, "buffered_bytes": 0, "messages_in": 1, "messages_out": 2}

    DELETE /api/connections/{id}                     204; cuts the socket, with no close frame; 404 where it is not open

    GET /api/events                                  server-sent events, from now on
        event: span         data: SPAN               when it begins, when it ends; the later one replaces the earlier
        event: log          data: LOG
        event: connection   data: CONNECTION + {"event": "opened" | "closed" | "counters"}; counters each 250 ms at most
        event: dropped      data: {"count": 3}       the reader was too slow and missed so many: ask again above
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

from localcloud.caller import Unreachable
from localcloud.clock import Clock
from localcloud.compute.function import FunctionSpec
from localcloud.console.records import ApiNames, describe_connection, describe_log
from localcloud.console.refusals import ApiError
from localcloud.gateway.websocket.gateway import WebSocketGateway
from localcloud.services.logs.model import MAX_EVENTS, Logs
from localcloud.state import RunningState
from localcloud.traces.recorder import MAX_TRACES, Recorder

__all__ = ["Api", "Facts"]

MAX_LOGS: Final = 1_000
Json: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the console looks into.

    `model`: the kind of engine; `folder`: where the local issuer's key is; `issuer_at`: the AWS port of
    the process that has the identity provider, "" for the cloud's own.
    """

    state: RunningState
    model: str
    folder: Path
    clock: Clock
    recorder: Recorder
    logs: Logs
    sockets: WebSocketGateway
    functions: Callable[[], tuple[FunctionSpec, ...]]
    issuer_at: str = ""


class Api:
    """Everything but the events. Methods raise ApiError."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._names = ApiNames(facts.state.endpoints)

    def config(self) -> Json:
        """What the page must know of the deployment; the same file lies beside the page where it is deployed."""
        state = self._facts.state
        return {
            "local": True,
            "region": state.region,
            "model": self._facts.model,
            "endpoints": _name_endpoints(state),
            "functions": state.functions,
            "outputs": state.outputs,
        }

    def traces(self, query: Mapping[str, str]) -> Json:
        """The latest traces."""
        count = _read_count(query, default=100, most=MAX_TRACES)
        return {"traces": [trace.to_json() for trace in self._facts.recorder.latest(count)]}

    def trace(self, trace_id: str) -> Json:
        """One trace with its spans."""
        recorder = self._facts.recorder
        trace = recorder.find(trace_id)
        if trace is None:
            raise ApiError(f"There is no trace {trace_id}; the latest {MAX_TRACES} are kept.", status=404)
        spans = recorder.spans_of(trace)
        links = dict.fromkeys(span.trace for span in spans if span.trace != trace.id)
        return {"trace": trace.id, "spans": [span.to_json() for span in spans], "links": list(links)}

    def logs(self, query: Mapping[str, str]) -> Json:
        """What functions logged last."""
        count = _read_count(query, default=200, most=MAX_LOGS)
        specs = self._facts.functions()
        wanted = self._find_function(query["function"]) if query.get("function") else ""
        found: list[Json] = []
        for group in dict.fromkeys(spec.group for spec in specs):
            sharing = [spec.name for spec in specs if spec.group == group]
            if wanted and wanted not in sharing:
                continue
            events = self._facts.logs.latest(group, MAX_EVENTS if wanted and len(sharing) > 1 else count)
            found += [describe_log(event, specs) for event in events]
        ids = {spec.name: spec.logical_id or spec.name for spec in specs}
        kept = [log for log in found if not wanted or log["function"] == ids.get(wanted)]
        kept.sort(key=lambda log: log["timestamp_ms"])
        return {"logs": kept[-count:]}

    def _find_function(self, name: str) -> str:
        try:
            return self._facts.state.find_function(name)
        except Unreachable as error:
            raise ApiError(f"{str(error)[0].upper()}{str(error)[1:]}.", status=404) from error

    def connections(self) -> Json:
        """The open WebSockets."""
        found = [describe_connection(connection, self._names) for connection in self._facts.sockets.connections()]
        return {"connections": sorted(found, key=lambda each: each["connected_ms"])}

    def cut(self, connection_id: str) -> None:
        """Cut a WebSocket, as when the network goes."""
        connection = self._facts.sockets.find(connection_id)
        if connection is None:
            raise ApiError(f"There is no open connection {connection_id}.", status=404)
        connection.cut()


def _name_endpoints(state: RunningState) -> dict[str, str]:
    shown = {name: value.rstrip("/") for name, value in state.outputs.items() if name.endswith("Url")}
    known = set(state.endpoints.values())
    aliases = {name.removesuffix("Url").lower(): url for name, url in shown.items() if url in known}
    return {**state.endpoints, **aliases, **state.endpoints}


def _read_count(query: Mapping[str, str], *, default: int, most: int) -> int:
    text = query.get("n", str(default))
    if not (text.isascii() and text.isdecimal() and len(text) < 9 and 1 <= int(text) <= most):
        raise ApiError(f"n is a number from 1 to {most}.")
    return int(text)
