"""What Lambda itself writes into a function's log: START, END, REPORT and their JSON events; and the tail of one call.

Sources: https://docs.aws.amazon.com/lambda/latest/dg/python-logging.html,
https://docs.aws.amazon.com/lambda/latest/dg/telemetry-schema-reference.html
"""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from localcloud.clock import Clock
from localcloud.compute.freezing import Unfinished
from localcloud.compute.function import FunctionSpec, LogFormat
from localcloud.services.logs.model import Logs
from localcloud.traces.header import read_root

__all__ = ["OUT_OF_MEMORY", "PlatformLog", "Report"]

OUT_OF_MEMORY: Final = "Runtime.OutOfMemory"  # what REPORT calls the end of a process that had too much
_OPT_HINT: Final = (
    "/opt is this machine's own folder here, not the layers': their modules are on the import path, their bin and lib "
    "on PATH and LD_LIBRARY_PATH; find other files beside a module"
)
_API_HINT: Final = (
    "APIs have other addresses here: variables of the template that begin with https:// and an API's name are those of "
    "here, and so is domainName of WebSocket events; a name that code puts together leads to AWS"
)
_HINTS: Final = (
    ("'/opt/", "No such file or directory", _OPT_HINT),  # as Python quotes a path
    (".execute-api.", "Could not connect to the endpoint URL", _API_HINT),  # as botocore says it
)
"""What a line of a function's says in two places when it meets a difference, and what explains it."""

TAIL_BYTES: Final = 4096  # Invoke: LogType Tail gives the last 4 KB


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The figures of one invocation. `status`: success, error, failure, timeout; `init_ms` 0 for a warm one.

    An error of the handler's is `error`, the end of the runtime is `failure`; out of memory is `error` too.
    """

    request_id: str
    duration_ms: float
    init_ms: float = 0.0
    max_memory_mb: int = 0
    status: str = "success"
    error_type: str = ""
    trace_header: str = ""

    @property
    def billed_ms(self) -> int:
        """Duration and initialisation, rounded up (the init phase is billed since August 2025)."""
        return math.ceil(self.duration_ms + self.init_ms)


class PlatformLog:
    """The log stream of one execution environment."""

    def __init__(self, spec: FunctionSpec, stream: str, *, logs: Logs, clock: Clock) -> None:
        self.stream = stream
        self._spec = spec
        self._logs = logs
        self._clock = clock
        self._tail: deque[str] = deque()
        self._tail_chars = 0
        self._hinted: set[str] = set()

    def write(self, message: str) -> None:
        """One event of the function's own."""
        self._keep(message)
        for place, failure, hint in _HINTS:
            if place in message and failure in message and place not in self._hinted:
                self._hinted.add(place)
                self._tell_own("sluiceway.hint", hint)

    def _keep(self, message: str) -> None:
        self._logs.append(self._spec.group, self.stream, message)
        self._tail.append(message)
        self._tail_chars += len(message) + 1
        while self._tail and self._tail_chars - len(self._tail[0]) - 1 >= TAIL_BYTES:
            self._tail_chars -= len(self._tail.popleft()) + 1

    def tail(self) -> bytes:
        """The last 4 KB since the last `start`."""
        return ("\n".join(self._tail) + "\n").encode()[-TAIL_BYTES:]

    def init_start(self, runtime_version: str) -> None:
        """A process begins."""
        self._emit(
            f"INIT_START Runtime Version: {runtime_version}\tRuntime Version ARN: ",
            "platform.initStart",
            {
                "initializationType": "on-demand",
                "phase": "init",
                "runtimeVersion": runtime_version,
                "functionName": self._spec.name,
                "functionVersion": self._spec.version,
            },
        )

    def init_report(self, phase: str, duration_ms: float, *, status: str, error_type: str = "") -> None:
        """Initialisation failed; nothing is written where it succeeds, REPORT has its duration."""
        error = f"\tError Type: {error_type}" if error_type else ""
        record: dict[str, Any] = {
            "initializationType": "on-demand",
            "phase": phase,
            "status": status,
            "metrics": {"durationMs": round(duration_ms, 3)},
        }
        text = f"INIT_REPORT Init Duration: {duration_ms:.2f} ms\tPhase: {phase}\tStatus: {status}{error}"
        self._emit(text, "platform.initReport", record | ({"errorType": error_type} if error_type else {}))

    def start(self, request_id: str) -> None:
        """An invocation begins; the tail begins with it."""
        self._tail.clear()
        self._tail_chars = 0
        self._emit(
            f"START RequestId: {request_id} Version: {self._spec.version}",
            "platform.start",
            {"requestId": request_id, "version": self._spec.version},
        )

    def failure(self, request_id: str, message: str, error_type: str) -> None:
        """The runtime ended or ran out of time; JSON logs say so in the report alone."""
        if self._spec.log_format is LogFormat.TEXT:
            if error_type == "Sandbox.Timedout":
                self.write(f"{self._now()} {request_id} {message}\n")
            else:
                self.write(f"RequestId: {request_id} Error: {message}\n{error_type}")

    def frozen(self, request_id: str, unfinished: Unfinished) -> None:
        """The environment was frozen while something was at work: Lambda says nothing of it, the local cloud does."""
        message = f"Frozen with work unfinished: {unfinished}. It goes on in the next invocation, if one comes."
        self._tell_own("sluiceway.frozen", message, request_id)

    def _tell_own(self, kind: str, message: str, request_id: str = "") -> None:
        """What Lambda would not say."""
        named = {"requestId": request_id} if request_id else {}
        text = f"SLUICEWAY RequestId: {request_id} {message}" if request_id else f"SLUICEWAY {message}"
        self._emit(text, kind, {**named, "message": message})

    def report(self, report: Report) -> None:
        """An invocation ended."""
        if self._spec.log_format is LogFormat.TEXT:
            self.write(f"END RequestId: {report.request_id}")
        self._emit(self._report_line(report), "platform.report", self._report_record(report))

    def _report_line(self, report: Report) -> str:
        memory_mb = report.max_memory_mb or self._spec.memory_mb
        fields = [
            f"REPORT RequestId: {report.request_id}",
            f"Duration: {report.duration_ms:.2f} ms",
            f"Billed Duration: {report.billed_ms} ms",
            f"Memory Size: {self._spec.memory_mb} MB",
            f"Max Memory Used: {memory_mb} MB",
        ]
        if report.init_ms:
            fields.append(f"Init Duration: {report.init_ms:.2f} ms")
        out_of_memory = report.error_type == OUT_OF_MEMORY
        if report.status in {"timeout", "failure"} or out_of_memory:
            fields.append(f"Status: {'timeout' if report.status == 'timeout' else 'error'}")
        if (report.status == "failure" or out_of_memory) and report.error_type:
            fields.append(f"Error Type: {report.error_type}")
        return "\t".join(fields) + "\t" + self._trace_line(report.trace_header)

    def _trace_line(self, header: str) -> str:
        """What stands below a report where the function traces and the invocation was sampled."""
        fields = dict(part.split("=", 1) for part in header.split(";") if "=" in part)
        if not self._spec.tracing or fields.get("Sampled") != "1":
            return ""
        return f"\nXRAY TraceId: {read_root(header)}\tSegmentId: {fields.get('Parent', '')}\tSampled: true\t"

    def _report_record(self, report: Report) -> dict[str, Any]:
        metrics: dict[str, Any] = {
            "durationMs": round(report.duration_ms, 3),
            "billedDurationMs": report.billed_ms,
            "memorySizeMB": self._spec.memory_mb,
            "maxMemoryUsedMB": report.max_memory_mb or self._spec.memory_mb,
        }
        if report.init_ms:
            metrics["initDurationMs"] = round(report.init_ms, 3)
        record: dict[str, Any] = {"requestId": report.request_id, "metrics": metrics, "status": report.status}
        if report.error_type:
            record["errorType"] = report.error_type
        if self._spec.tracing and report.trace_header:
            record["tracing"] = {"type": "X-Amzn-Trace-Id", "value": report.trace_header}
        return record

    def _emit(self, text: str, kind: str, record: Mapping[str, Any]) -> None:
        if self._spec.log_format is LogFormat.TEXT:
            self.write(text)
        else:
            event = {"time": self._now(), "type": kind, "record": record}
            self.write(json.dumps(event, separators=(",", ":")))

    def _now(self) -> str:
        moment = datetime.fromtimestamp(self._clock.time(), UTC)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
