"""Spans as the local cloud records them, for tests of the page."""

from __future__ import annotations

import time
from typing import Any


def span(name: str, *, at: float, end: float | None, kind: str = "call", **more: Any) -> dict[str, Any]:
    """One span from `at` to `end` (ms after `begin_ms`, a minute ago); `id` and `parent` where others hang on it."""
    begin_ms = more.get("begin_ms", _BEGIN_MS)
    return {
        "trace": more.get("trace", "1-a-b"),
        "id": more.get("id", name),
        "parent": more.get("parent"),
        "kind": kind,
        "name": name,
        "start_ms": begin_ms + at,
        "end_ms": None if end is None else begin_ms + end,
        "status": more.get("status", "ok"),
        "detail": more.get("detail", {}),
    }


_BEGIN_MS = time.time() * 1000 - 60_000


def job_spans() -> list[dict[str, Any]]:
    """A request of 400 ms that waits in a queue for half of it."""
    return [
        span("POST /jobs", at=0, end=40, kind="gateway", id="a", detail={"status_code": 202, "stage": "v1"}),
        span("JobsQueue", at=40, end=240, kind="queue", id="b", parent="a"),
        span("generateanswer", at=240, end=400, kind="function", id="c", parent="b", detail={"request_id": "q-1"}),
        span("generateanswer", at=240, end=300, kind="init", id="d", parent="c"),
        span("Converse", at=310, end=380, kind="model", id="e", parent="c", detail={"first_token_ms": 12.5}),
        span(
            "DynamoDB PutItem", at=385, end=390, id="f", parent="c", status="error", detail={"error_code": "Throttled"}
        ),
    ]
