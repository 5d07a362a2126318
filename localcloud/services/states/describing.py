"""Machines, executions and runs of Maps as the API shows them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from localcloud.services.states.execution import Execution
from localcloud.services.states.flow import Revision
from localcloud.services.states.history import Event, details_member
from localcloud.services.states.redriving import describe_redrive
from localcloud.services.states.variable_references import find_variable_references

__all__ = ["describe_execution", "describe_revision", "list_execution", "pascal_keys", "show_event"]


def describe_execution(execution: Execution) -> dict[str, Any]:
    """DescribeExecution. Dates in epoch seconds."""
    order = execution.order
    found: dict[str, Any] = {
        "executionArn": order.arn,
        "stateMachineArn": execution.revision.arn,
        "name": order.name,
        "status": execution.status,
        "startDate": execution.start_s,
        "stopDate": execution.stop_s,
        "input": order.text,
        "inputDetails": {"included": True},
        "error": execution.error,
        "cause": execution.cause,
        "traceHeader": order.trace_header or None,
        "mapRunArn": order.map_run_arn or None,
        "stateMachineVersionArn": order.version_arn or None,
        "stateMachineAliasArn": order.alias_arn or None,
        **describe_redrive(execution),
    }
    if execution.status == "SUCCEEDED":
        found |= {"output": execution.output, "outputDetails": {"included": True}}
    return {name: value for name, value in found.items() if value is not None}


def list_execution(execution: Execution) -> dict[str, Any]:
    """An entry of ListExecutions."""
    order = execution.order
    found = {
        "executionArn": order.arn,
        "stateMachineArn": execution.revision.arn,
        "name": order.name,
        "status": execution.status,
        "startDate": execution.start_s,
        "stopDate": execution.stop_s,
        "mapRunArn": order.map_run_arn or None,
        "itemCount": order.item_count if order.map_run_arn else None,
        "stateMachineVersionArn": order.version_arn or None,
        "stateMachineAliasArn": order.alias_arn or None,
        "redriveCount": execution.redrives,
        "redriveDate": execution.redriven_s,
    }
    return {name: value for name, value in found.items() if value is not None}


def describe_revision(revision: Revision) -> dict[str, Any]:
    """What DescribeStateMachine and DescribeStateMachineForExecution have alike."""
    found: dict[str, Any] = {
        "stateMachineArn": revision.arn,
        "name": revision.name,
        "definition": revision.text,
        "roleArn": revision.role_arn,
        "loggingConfiguration": {"level": "OFF", "includeExecutionData": False, **revision.logs},
        "tracingConfiguration": {"enabled": revision.traced},
        "revisionId": revision.revision_id,
        "variableReferences": find_variable_references(revision.machine),
    }
    return found | ({"label": revision.label} if revision.label else {})


def show_event(event: Event, *, with_data: bool) -> dict[str, Any]:
    """An event of GetExecutionHistory, with or without input and output."""
    data = ("input", "output", "parameters", "inputDetails", "outputDetails")
    details = {name: value for name, value in event.details.items() if with_data or name not in data}
    return {
        "timestamp": event.time_s,
        "type": event.kind,
        "id": event.number,
        "previousEventId": event.previous,
        **({details_member(event.kind): details} if details else {}),
    }


def pascal_keys(found: Mapping[str, Any]) -> dict[str, Any]:
    """A description as an integration gives it: names in PascalCase, dates in milliseconds."""
    shown = {f"{name[:1].upper()}{name[1:]}": value for name, value in found.items()}
    for name in ("RedriveDate", "StartDate", "StopDate"):
        if name in shown:
            shown[name] = int(shown[name] * 1000)
    return {
        name: pascal_keys(value) if isinstance(value, Mapping) else value  # pyright: ignore[reportUnknownArgumentType]
        for name, value in shown.items()
    }
