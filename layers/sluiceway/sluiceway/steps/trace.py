"""The `trace` step: an X-Ray subsegment around the flow, where this invocation is sampled and the SDK is there.

aws-xray-sdk is optional (it is in maintenance since February 2026, and its import costs some 400 ms): it is looked for
with the first sampled invocation and imported then, never otherwise. Without it the trace id is in the log lines, which
is said once. Lambda's own segments need none of this. Must not know what the flow does.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from typing import Any, Final, cast

from sluiceway import log, settings
from sluiceway.events.invocation import Invocation
from sluiceway.steps import Next

__all__ = ["is_sampled", "trace"]

_DAEMON: Final = "AWS_XRAY_DAEMON_ADDRESS"
_SDK: Final = "aws_xray_sdk"

Recorder = Callable[[str], AbstractContextManager[Any]]


def is_sampled(header: str) -> bool:
    """True where an X-Ray header says `Sampled=1`.

    Source: https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader
    """
    return any(part.strip() == "Sampled=1" for part in header.split(";"))


def trace(following: Next) -> Next:
    """Record a sampled invocation as the subsegment `## <function name>`, with its error's type if it fails.

    Tracing is active where Lambda names the X-Ray daemon (AWS_XRAY_DAEMON_ADDRESS).
    """
    if _DAEMON not in settings.environ():
        return following
    found: list[Recorder | None] = []

    async def run(event: object, call: Invocation) -> object:
        if not is_sampled(call.trace_id):
            return await following(event, call)
        if not found:
            found.append(_find_recorder())
        subsegment = found[0]
        if subsegment is None:
            return await following(event, call)
        return await _record(subsegment(f"## {call.function_name}"), following(event, call))

    return run


async def _record(subsegment: AbstractContextManager[Any], work: Awaitable[object]) -> object:
    """Await `work` inside `subsegment`. A failure is marked by its type: the SDK itself would send its text as well."""
    with subsegment as segment:
        try:
            return await work
        except Exception as cause:  # noqa: BLE001 - raised again below, outside the SDK's own handling
            failure = cause
            if segment is not None:
                segment.add_fault_flag()
                segment.put_annotation("error_type", type(cause).__name__)
    raise failure


def _find_recorder() -> Recorder | None:
    if importlib.util.find_spec(_SDK) is None:
        log.info("trace.sdk_missing", package="aws-xray-sdk")
        return None
    from aws_xray_sdk.core import xray_recorder  # noqa: PLC0415 - 400 ms that only a traced function may cost

    return cast("Recorder", cast("Any", xray_recorder).in_subsegment)
