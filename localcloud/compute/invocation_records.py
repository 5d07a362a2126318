"""What is told of an asynchronous invocation: the record for a destination, and the letter for a dead-letter queue.

Pure. Sources: https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html (the record, and the
attributes of a dead letter)
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, cast

from localcloud.compute.environment import Outcome, Request
from localcloud.compute.function import FunctionSpec

__all__ = ["Given", "Letter", "make_letter", "make_record"]

MAX_ERROR_BYTES: Final = 1024  # invocation-async-retain-records: the first 1 KB of the error message


@dataclass(frozen=True, slots=True)
class Given:
    """How an event ended: `condition` is Success, RetriesExhausted, EventAgeExceeded or another; after so many runs."""

    condition: str
    runs: int
    function_arn: str = ""
    at_s: float = 0.0
    trace_header: str = ""

    @property
    def is_success(self) -> bool:
        """Whether the function took it."""
        return self.condition == "Success"


@dataclass(frozen=True, slots=True)
class Letter:
    """An event that was given up, as it was, with the attributes of its message."""

    body: str
    request_id: str
    error_code: str
    error_message: str
    trace_header: str = ""


def make_record(request: Request, spec: FunctionSpec, outcome: Outcome | None, *, given: Given) -> bytes:
    """The invocation record, as JSON. What the function answered is in it where the function was run at last."""
    at = datetime.fromtimestamp(given.at_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    record: dict[str, Any] = {
        "version": "1.0",
        "timestamp": at,
        "requestContext": {
            "requestId": request.request_id,
            "functionArn": given.function_arn,
            "condition": given.condition,
            "approximateInvokeCount": given.runs,
        },
        "requestPayload": json.loads(request.payload),
    }
    if outcome is not None:
        context: dict[str, Any] = {"statusCode": 200, "executedVersion": spec.version}
        if outcome.error_type:
            context["functionError"] = "Unhandled"
        record |= {"responseContext": context, "responsePayload": _read(outcome.payload)}
    return json.dumps(record, separators=(",", ":")).encode()


def make_letter(request: Request, outcome: Outcome | None, given: Given) -> Letter:
    """The dead letter: the event itself. ErrorCode is the status of the last answer, 429 where there was none."""
    answer: Any = _read(outcome.payload) if outcome is not None else None
    said: Any = cast("dict[str, Any]", answer).get("errorMessage") if isinstance(answer, dict) else None
    text = said if isinstance(said, str) else given.condition
    return Letter(
        body=request.payload.decode(),
        request_id=request.request_id,
        error_code="429" if outcome is None else "200",
        error_message=text.encode()[:MAX_ERROR_BYTES].decode("utf-8", "ignore") or given.condition,
        trace_header=request.trace_header,
    )


def _read(payload: bytes) -> Any:
    try:
        return json.loads(payload) if payload else None
    except ValueError:
        return payload.decode("utf-8", "replace")
