"""The function's log as the managed runtime writes it: frames, formats and levels.

With `_LAMBDA_TELEMETRY_LOG_FD` a message goes out as one frame, so that its lines stay together; else to stdout.
AWS_LAMBDA_LOG_FORMAT and AWS_LAMBDA_LOG_LEVEL choose how the root logger writes. Standard output and standard error are
written through, since a frozen environment flushes nothing.
Source: https://docs.aws.amazon.com/lambda/latest/dg/python-logging.html and the managed runtime's own client.
"""

from __future__ import annotations

import io
import json
import logging
import os
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from typing import Final, Protocol, cast

from sluiceway.runtime.context import LambdaContext
from sluiceway.runtime.faults import Failure

__all__ = [
    "UNHANDLED",
    "FramedSink",
    "Sink",
    "StdoutSink",
    "is_json",
    "log_failure",
    "open_sink",
    "set_up_logging",
    "write_through",
]

_TIME: Final = "%Y-%m-%dT%H:%M:%S"
_TEXT: Final = "[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s\n"
_UNFRAMED_END: Final = "\r"  # keeps the lines of one error together where a line feed would end the record
_INDENT: Final = "\N{NO-BREAK SPACE}"  # ordinary spaces at the start of a line are lost in the log's console
_JSON_FRAME: Final = 0xA55A0002
_TEXT_FRAME: Final = 0xA55A0003
_RESERVED: Final = frozenset({
    "args", "aws_request_id", "created", "exc_info", "exc_text", "filename", "frame", "funcName", "levelname",
    "levelno", "lineno", "module", "msecs", "msg", "name", "pathname", "process", "processName", "relativeCreated",
    "stack_info", "taskName", "tenant_id", "thread", "threadName",
})  # fmt: skip
UNHANDLED: Final = (
    "LAMBDA_WARNING: Unhandled exception. The most likely cause is an issue in the function code. However, in rare "
    "cases, a Lambda runtime update can cause unexpected function behavior. For functions using managed runtimes, "
    "runtime updates can be triggered by a function change, or can be applied automatically. To determine if the "
    "runtime has been updated, check the runtime version in the INIT_START log entry. If this error correlates with a "
    "change in the runtime version, you may be able to mitigate this error by temporarily rolling back to the previous "
    "runtime version. For more information, see https://docs.aws.amazon.com/lambda/latest/dg/runtimes-update.html\r"
)
"""What the managed runtime says before an init error."""


class Sink(Protocol):
    """Where messages go. `frame` is a frame's type, which says format and level."""

    def log(self, message: str, frame: int = _TEXT_FRAME) -> None:
        """Write one message."""
        ...

    def log_lines(self, lines: list[str], frame: int) -> None:
        """Write the lines of one error."""
        ...


class StdoutSink:
    """Standard output, as it is when a message is written."""

    def log(self, message: str, frame: int = _TEXT_FRAME) -> None:
        """Write one message as it is."""
        del frame
        sys.stdout.write(message)

    def log_lines(self, lines: list[str], frame: int) -> None:
        """Write the lines of one error as one record."""
        del frame
        sys.stdout.write(_UNFRAMED_END.join(lines) + "\n")


class FramedSink:
    """The telemetry descriptor: type (4 bytes), length (4), microseconds (8), message; big-endian, UTF-8."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def log(self, message: str, frame: int = _TEXT_FRAME) -> None:
        """Write one message as one frame."""
        data = message.encode("utf-8", "backslashreplace")
        head = frame.to_bytes(4, "big") + len(data).to_bytes(4, "big") + (time.time_ns() // 1000).to_bytes(8, "big")
        rest = memoryview(head + data)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]

    def log_lines(self, lines: list[str], frame: int) -> None:
        """Write the lines of one error as one frame."""
        self.log("\n".join(lines), frame)


def open_sink(descriptor: str) -> Sink:
    """The sink for the value of `_LAMBDA_TELEMETRY_LOG_FD`, "" where there is none."""
    return FramedSink(int(descriptor)) if descriptor else StdoutSink()


def write_through() -> None:
    """Make standard output and standard error keep nothing back. The old ones are left to whoever holds them."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        stream.flush()
        raw = io.FileIO(stream.fileno(), "wb", closefd=False)
        writer = cast("io.BufferedWriter", raw)  # a raw file writes at once, as under `python -u`
        through = io.TextIOWrapper(writer, encoding=stream.encoding, errors=stream.errors, write_through=True)
        setattr(sys, name, through)


def set_up_logging(sink: Sink, environ: Mapping[str, str], *, current: Callable[[], LambdaContext | None]) -> None:
    """Give the root logger the managed runtime's handler; `current` tells whose invocation a line belongs to."""
    logging.Formatter.converter = time.gmtime
    as_json, level = is_json(environ), _level(environ)
    handler = _SinkHandler(sink, framed=as_json or bool(level))
    handler.setFormatter(_JsonFormatter() if as_json else logging.Formatter(_TEXT, _TIME))
    handler.addFilter(_Invocation(current))
    logger = logging.getLogger()
    if level in logging.getLevelNamesMapping():
        logger.setLevel(level)
    logger.addHandler(handler)


def log_failure(failure: Failure, sink: Sink, *, as_json: bool) -> None:
    """Write a function error as the managed runtime shows it."""
    if as_json:
        stamp = time.strftime(f"{_TIME}Z", time.gmtime())
        line = json.dumps({"timestamp": stamp, "level": "ERROR", **failure.members()}, ensure_ascii=False)
        sink.log_lines([line], _frame(_JSON_FRAME, logging.ERROR))
        return
    first = " ".join(
        part for part in ("[ERROR]", failure.kind + (":" if failure.message else ""), failure.message) if part
    )
    lines = [first, "Traceback (most recent call last):"]
    for element in failure.trace:
        lines += [_indent(line) for line in element.splitlines()] or [""]
    sink.log_lines(lines, _frame(_TEXT_FRAME, logging.ERROR))


def is_json(environ: Mapping[str, str]) -> bool:
    """Whether the function's log format is JSON."""
    return environ.get("AWS_LAMBDA_LOG_FORMAT", "").upper() == "JSON"


def _level(environ: Mapping[str, str]) -> str:
    level = environ.get("AWS_LAMBDA_LOG_LEVEL", "").upper()
    return "DEBUG" if level == "TRACE" else level


def _frame(kind: int, level: int) -> int:
    """A frame's type for a level: nothing for NOTSET, then steps of four from DEBUG on."""
    step = min(50, max(0, level)) // 10
    return kind + 4 * (step + 1 if step else 0)


def _indent(line: str) -> str:
    text = line.lstrip(" ")
    return _INDENT * (len(line) - len(text)) + text


class _Invocation(logging.Filter):
    """Puts the invocation's ids on every record."""

    def __init__(self, current: Callable[[], LambdaContext | None]) -> None:
        super().__init__()
        self._current = current

    def filter(self, record: logging.LogRecord) -> bool:
        context = self._current()
        record.aws_request_id = context.aws_request_id if context is not None else ""
        record.tenant_id = context.tenant_id if context is not None else None
        return True


class _SinkHandler(logging.Handler):
    """Writes to the sink; other libraries find it by its attribute `log_sink`."""

    def __init__(self, sink: Sink, *, framed: bool) -> None:
        super().__init__()
        self.log_sink = sink
        self._framed = framed

    def emit(self, record: logging.LogRecord) -> None:
        try:
            message = self.format(record)
            frame = getattr(record, "frame", None) or _frame(_TEXT_FRAME, record.levelno)
            self.log_sink.log(message, frame if self._framed else _TEXT_FRAME)
        except Exception:  # noqa: BLE001 - logging's own rule: a line that cannot be written is told on stderr
            self.handleError(record)


class _JsonFormatter(logging.Formatter):
    """One JSON object a record, with the members of the managed runtime."""

    def __init__(self) -> None:
        super().__init__(datefmt=f"{_TIME}Z")
        self._encode = json.JSONEncoder(ensure_ascii=False, default=str).encode

    def format(self, record: logging.LogRecord) -> str:
        record.levelno = min(50, max(0, record.levelno)) // 10 * 10
        record.levelname = logging.getLevelName(record.levelno)
        record.frame = _frame(_JSON_FRAME, record.levelno)
        plain: object = record.msg
        members: dict[str, object] = {
            "timestamp": self.formatTime(record, self.datefmt),
            "level": record.levelname,
            "message": plain if isinstance(plain, dict) and not record.args else record.getMessage(),
            "logger": record.name,
            **_exception_members(record),
            "requestId": getattr(record, "aws_request_id", None),
            "location": f"{record.pathname}:{record.funcName}:{record.lineno}" if record.exc_info else None,
            "tenantId": getattr(record, "tenant_id", None),
        }
        extra = {name: value for name, value in vars(record).items() if name not in _RESERVED and name not in members}
        return self._encode({name: value for name, value in {**members, **extra}.items() if value is not None}) + "\n"


def _exception_members(record: logging.LogRecord) -> dict[str, object]:
    if not record.exc_info or record.exc_info[0] is None:
        return {}
    kind, error, trace = record.exc_info
    return {
        "stackTrace": traceback.format_tb(trace),
        "errorType": kind.__name__,
        "errorMessage": str(error),
    }
