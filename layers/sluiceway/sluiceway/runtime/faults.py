"""Errors as Lambda shows them: the JSON of a function error, its stack trace, and the cause for X-Ray.

The members and the wording of each line are the managed runtime's, so that what callers, logs and alarms read does not
change with the client. Must not know sockets or where an invocation comes from.
"""

from __future__ import annotations

import json
import os
import traceback
from typing import Final, NamedTuple

__all__ = ["Failure", "RuntimeFault", "describe_failure"]

MAX_CAUSE_BYTES: Final = 1024 * 1024  # the managed runtime sends no larger X-Ray cause
_LAYER: Final = __file__.rpartition("/runtime/")[0]
_OURS: Final = (f"{_LAYER}/runtime/", f"{_LAYER}/codec/stream.py")


class RuntimeFault(Exception):
    """What is wrong before or after the handler's own code. `kind` is Lambda's name for it (`Runtime.MarshalError`)."""

    def __init__(self, kind: str, message: str, *, trace: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.kind = kind
        self.trace = trace


class Failure(NamedTuple):
    """A function error. `trace` holds formatted frames, outermost first; `cause` is JSON for X-Ray, ASCII, or ""."""

    message: str
    kind: str
    request_id: str
    trace: tuple[str, ...]
    cause: str = ""

    def members(self) -> dict[str, object]:
        """What the caller of the function gets as JSON."""
        return {
            "errorMessage": self.message,
            "errorType": self.kind,
            "requestId": self.request_id,
            "stackTrace": list(self.trace),
        }

    def body(self) -> bytes:
        """The JSON of `members`."""
        try:
            return json.dumps(self.members(), ensure_ascii=False).encode()
        except UnicodeEncodeError:  # a lone surrogate in a message: escaped, it still is JSON
            return json.dumps(self.members()).encode()


def describe_failure(error: BaseException, *, request_id: str = "") -> Failure:
    """The function error that `error` is; frames of the runtime client before the handler's own are left out."""
    if isinstance(error, RuntimeFault):
        message = str(error)
        return Failure(message, error.kind, request_id, error.trace, _xray_cause("LambdaValidationError", message, []))
    kind, message = type(error).__name__, _message(error)
    frames = traceback.extract_tb(error.__traceback__)
    first = next((at for at, frame in enumerate(frames) if not frame.filename.startswith(_OURS)), 0)
    kept = frames[first:]
    plain = [(frame.filename, frame.lineno or 0, frame.name, frame.line) for frame in kept]  # without columns
    return Failure(message, kind, request_id, tuple(traceback.format_list(plain)), _xray_cause(kind, message, kept))


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - somebody else's __str__, and an error must come back all the same
        return f"<{type(error).__name__} that cannot be shown>"


def _xray_cause(kind: str, message: str, frames: list[traceback.FrameSummary]) -> str:
    """Source: the managed runtime's header Lambda-Runtime-Function-XRay-Error-Cause."""
    stack = [{"label": frame.name, "path": frame.filename, "line": frame.lineno} for frame in frames]
    cause = {
        "working_directory": os.getcwd(),  # noqa: PTH109 - pathlib costs a cold start 2 ms
        "exceptions": [{"message": message, "type": kind, "stack": stack}],
        "paths": sorted({frame.filename for frame in frames}),
    }
    text = json.dumps(cause)
    return text if len(text) < MAX_CAUSE_BYTES else ""
