"""The events that EventBridge is sent of executions. Pure.

Source: https://docs.aws.amazon.com/step-functions/latest/dg/eventbridge-integration.html
"""

from __future__ import annotations

from typing import Any, Final

from localcloud.services.states.data import size_of, write_json
from localcloud.services.states.execution import Execution
from localcloud.services.states.redriving import describe_redrive

__all__ = ["DETAIL_TYPE", "SOURCE", "status_detail"]

SOURCE: Final = "aws.states"
DETAIL_TYPE: Final = "Step Functions Execution Status Change"
MAX_DATA_BYTES: Final = 248 * 1024  # "if the combined escaped input and escaped output … exceeds 248 KiB"


def status_detail(execution: Execution) -> str:
    """The detail of an execution's event, JSON. Dates in milliseconds."""
    order = execution.order
    output = execution.output if execution.status == "SUCCEEDED" else None
    fits = _escaped_bytes(order.text) + _escaped_bytes(output or "") <= MAX_DATA_BYTES
    told = describe_redrive(execution)
    detail: dict[str, Any] = {
        "executionArn": order.arn,
        "stateMachineArn": execution.revision.arn,
        "name": order.name,
        "status": execution.status,
        "startDate": int(execution.start_s * 1000),
        "stopDate": None if execution.stop_s is None else int(execution.stop_s * 1000),
        "input": order.text if fits else None,
        "inputDetails": {"included": fits},
        "output": output if fits else None,
        "outputDetails": None if output is None else {"included": fits},
        "error": execution.error,
        "cause": execution.cause,
        **told,
        "redriveDate": None if execution.redriven_s is None else int(execution.redriven_s * 1000),
    }
    return write_json(detail)


def _escaped_bytes(text: str) -> int:
    return size_of(write_json(text)) - 2
