"""Whether an execution can be redriven, and what is told of it. Pure.

Source: https://docs.aws.amazon.com/step-functions/latest/dg/redrive-executions.html
"""

from __future__ import annotations

from typing import Any, Final

from localcloud.services.states.execution import EXPRESS, STANDARD_S, Execution

__all__ = ["MAX_EVENTS", "describe_redrive", "why_not_redrivable"]

REDRIVABLE_S: Final = 14 * 86_400  # "within the redrivable period … of 14 days"
MAX_EVENTS: Final = 24_999  # "the execution event history count is less than 24,999"
_BY_MAP: Final = "REDRIVABLE_BY_MAP_RUN"


def why_not_redrivable(execution: Execution) -> str:
    """The reason, "" where it can be."""
    now_s = execution.history.now()
    if execution.status in {"PENDING_REDRIVE", "RUNNING", "SUCCEEDED"}:
        return f"Execution is {execution.status} and cannot be redriven"
    if execution.revision.kind == EXPRESS:
        return "Express executions cannot be redriven"
    if now_s - (execution.stop_s or execution.start_s) > REDRIVABLE_S:
        return "Execution redrivable period exceeded"
    if execution.history.count >= MAX_EVENTS:
        return "Execution history event limit exceeded"
    return "Execution has exceeded the max execution time" if now_s - execution.start_s > STANDARD_S else ""


def describe_redrive(execution: Execution) -> dict[str, Any]:
    """The members of DescribeExecution that tell of redrives; those that are None are absent."""
    reason = why_not_redrivable(execution)
    status = "NOT_REDRIVABLE" if reason else "REDRIVABLE"
    if execution.order.map_run_arn and execution.status in {"ABORTED", "FAILED", "TIMED_OUT"}:
        status, reason = _BY_MAP, f"Execution is {_BY_MAP} and cannot be redriven directly"
    return {
        "redriveCount": execution.redrives,
        "redriveDate": execution.redriven_s,
        "redriveStatus": status,
        "redriveStatusReason": reason or None,
    }
