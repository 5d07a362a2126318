"""The `log_context` step: every line of an invocation carries its ids, and a failed invocation leaves one line."""

from __future__ import annotations

from sluiceway import log
from sluiceway.errors import Rejected
from sluiceway.events.invocation import Invocation
from sluiceway.steps import Next

__all__ = ["log_context", "trace_root"]


def trace_root(header: str) -> str:
    """The trace id of an X-Ray header (`Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1`), "" without one.

    Source: https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader
    """
    for part in header.split(";"):
        name, _, value = part.strip().partition("=")
        if name == "Root":
            return value
    return ""


def log_context(following: Next) -> Next:
    """Bind request, correlation and trace ids to the log lines of an invocation; log the type of what it raises."""

    async def run(event: object, call: Invocation) -> object:
        with log.bound(
            service=call.function_name,
            request_id=call.request_id,
            correlation_id=call.correlation_id,
            trace_id=trace_root(call.trace_id) or None,
            cold_start=call.cold_start,
        ):
            try:
                return await following(event, call)
            except Rejected as cause:
                log.warning("invocation.rejected", reason=cause.reason, field=cause.field)
                raise
            except Exception as cause:
                log.failure("invocation.failed", cause)
                raise

    return run
