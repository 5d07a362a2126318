"""The operations of Step Functions over the model: a request of the right shape in, a result as on the wire out.

Source: https://docs.aws.amazon.com/step-functions/latest/apireference/API_Operations.html
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from localcloud.json_text import MalformedJson, parse_json
from localcloud.services.states.activities import Activity
from localcloud.services.states.activity_operations import ACTIVITY, ACTIVITY_OPERATIONS
from localcloud.services.states.call import MACHINE, QUALIFIED, Call, Result, cut
from localcloud.services.states.describing import describe_execution, describe_revision, list_execution, show_event
from localcloud.services.states.errors import (
    StatesError,
    invalid_arn,
    no_resource,
    not_served,
    validation,
    wrong_type,
)
from localcloud.services.states.execution import EXPRESS
from localcloud.services.states.failures import StateFailure
from localcloud.services.states.map_operations import MAP_OPERATIONS
from localcloud.services.states.model import StateMachine
from localcloud.services.states.redrive_operations import redrive
from localcloud.services.states.tags import read_tags
from localcloud.services.states.testing import test_state
from localcloud.services.states.validation import check_definition
from localcloud.services.states.version_operations import VERSION_OPERATIONS

__all__ = ["OPERATIONS"]

_EXECUTION: Final = re.compile(
    r"arn:aws[\w-]*:states:[\w-]+:\d{12}:(?:execution:[^:]+:[^:]+|express:[^:]+:[^:]+:[^:]+)"
)
_LOG_GROUP: Final = re.compile(r"arn:aws[\w-]*:logs:[\w-]+:\d{12}:log-group:[^:]+:\*")


# ---------------------------------------------------------------------- machines


async def _create(call: Call) -> Result:
    _refuse_settings(call.values)
    _check_logs(call, call.values["roleArn"])
    _check_role(call.values["roleArn"])
    machine, _ = call.machines.create({**call.values, "tags": read_tags(call.values.get("tags", []))}, call.region)
    return {"stateMachineArn": machine.revision.arn, "creationDate": machine.created_s, **_publish(call, machine)}


async def _update(call: Call) -> Result:
    machine = call.machine()
    changes = [name for name in call.values if name != "stateMachineArn"]
    if not changes:
        raise StatesError(
            "MissingRequiredParameter", "Either the definition, the role ARN, or a configuration is needed"
        )
    _refuse_settings(call.values)
    role_arn = call.values.get("roleArn", machine.revision.role_arn)
    _check_role(role_arn)
    _check_logs(call, role_arn)
    revision = call.machines.update(machine, call.values)
    return {"updateDate": revision.updated_s, "revisionId": revision.revision_id, **_publish(call, machine)}


async def _delete(call: Call) -> Result:
    arn = call.values["stateMachineArn"]
    if QUALIFIED.fullmatch(arn):
        raise validation("This operation is for state machines, not for their versions and aliases")
    if not MACHINE.fullmatch(arn):
        raise invalid_arn(arn)
    call.machines.delete(arn)
    return {}


async def _describe(call: Call) -> Result:
    revision = call.chosen().revision
    machine = call.machines.find(revision.arn)
    found = {
        **describe_revision(revision),
        "stateMachineArn": call.values["stateMachineArn"],
        "status": machine.status,
        "type": revision.kind,
        "creationDate": machine.created_s,
    }
    return _without_data(call, found, "definition")


async def _list(call: Call) -> Result:
    page, more = cut(call.machines.list(call.region), call.values)
    listed = [
        {
            "stateMachineArn": each.revision.arn,
            "name": each.revision.name,
            "type": each.revision.kind,
            "creationDate": each.created_s,
        }
        for each in page
    ]
    return {"stateMachines": listed, **more}


async def _validate(call: Call) -> Result:
    _, found = check_definition(call.values["definition"], call.values.get("type", "STANDARD"))
    most = call.values.get("maxResults") or 100
    shown = [
        {"severity": "ERROR", "code": each.code, "message": each.message, "location": each.location}
        for each in found[:most]
    ]
    return {"result": "FAIL" if found else "OK", "diagnostics": shown, "truncated": len(found) > most}


def _refuse_settings(values: Mapping[str, Any]) -> None:
    if values.get("versionDescription") and not values.get("publish"):
        raise validation("Version description can only be set when publish is true")
    if values.get("encryptionConfiguration", {}).get("type") == "CUSTOMER_MANAGED_KMS_KEY":
        raise not_served("Customer managed keys of state machines are")


def _publish(call: Call, machine: StateMachine) -> Result:
    if not call.values.get("publish"):
        return {}
    return {"stateMachineVersionArn": call.machines.publish(machine, call.values.get("versionDescription", "")).arn}


def _check_role(arn: str) -> None:
    if not re.fullmatch(r"arn:aws[\w-]*:iam::\d{12}:role/.+", arn):
        raise invalid_arn(arn)


def _check_logs(call: Call, role_arn: str) -> None:
    logs = call.values.get("loggingConfiguration", {})
    destinations = logs.get("destinations", [])
    if len(destinations) > 1:
        raise StatesError(
            "InvalidLoggingConfiguration", "Invalid Logging Configuration: 'Must have exactly one destination'"
        )
    arns = [each.get("cloudWatchLogsLogGroup", {}).get("logGroupArn", "") for each in destinations]
    if logs.get("level", "OFF") == "OFF":
        return
    if not arns:
        raise StatesError("InvalidLoggingConfiguration", "Invalid Logging Configuration: 'Must specify a destination'")
    if not _LOG_GROUP.fullmatch(arns[0]):
        detail = "Log group ARN must end with :* and be a log group's"
        raise StatesError("InvalidLoggingConfiguration", f"Invalid Logging Configuration: '{detail}'")
    if not call.may_log(role_arn):
        raise StatesError(
            "AccessDeniedException", "The state machine IAM Role is not authorized to access the Log Destination"
        )


# ---------------------------------------------------------------------- executions


async def _start(call: Call) -> Result:
    execution = call.machines.start(call.chosen(), call.values)
    return {"executionArn": execution.arn, "startDate": execution.start_s}


async def _start_sync(call: Call) -> Result:
    chosen = call.chosen()
    if chosen.revision.kind != EXPRESS:
        raise wrong_type("This operation is not supported by this type of state machine")
    execution = call.machines.start(chosen, call.values, is_awaited=True)
    await execution.ended.wait()
    found = describe_execution(execution)
    for name in ("redriveCount", "redriveStatus", "redriveStatusReason", "mapRunArn"):
        found.pop(name, None)
    spent_ms = int(((execution.stop_s or execution.start_s) - execution.start_s) * 1000)
    found["billingDetails"] = {
        "billedMemoryUsedInMB": 64,
        "billedDurationInMilliseconds": max(-(-spent_ms // 100), 1) * 100,
    }
    return _without_data(call, found, "input", "output", "error", "cause")


async def _stop(call: Call) -> Result:
    execution = _find_execution(call)
    execution.stop(call.values.get("error"), call.values.get("cause"))
    if execution.status == "RUNNING":
        await execution.ended.wait()
    return {"stopDate": execution.stop_s or execution.start_s}


async def _redrive(call: Call) -> Result:
    return redrive(call, _find_execution(call))


async def _describe_execution(call: Call) -> Result:
    return _without_data(call, describe_execution(_find_execution(call)), "input", "output", "error", "cause")


async def _describe_for_execution(call: Call) -> Result:
    execution = _find_execution(call)
    found = {**describe_revision(execution.revision), "updateDate": execution.revision.updated_s}
    if execution.order.map_run_arn:
        found["mapRunArn"] = execution.order.map_run_arn
    return _without_data(call, found, "definition")


async def _history(call: Call) -> Result:
    execution = _find_execution(call)
    events = execution.history.events
    with_data = call.values.get("includeExecutionData", True)
    page, more = cut(events[::-1] if call.values.get("reverseOrder") else events, call.values)
    return {"events": [show_event(each, with_data=with_data) for each in page], **more}


async def _list_executions(call: Call) -> Result:
    if ("stateMachineArn" in call.values) is ("mapRunArn" in call.values):
        raise validation("Must specify exactly one of stateMachineArn or mapRunArn")
    if "mapRunArn" in call.values:
        run = call.machines.map_runs.find(call.values["mapRunArn"])
        if run is None:
            raise no_resource(call.values["mapRunArn"])
        found = call.machines.children(run)
    else:
        machine = call.machine()
        if machine.revision.kind == EXPRESS:
            raise wrong_type("This operation is not supported by this type of state machine")
        found = call.machines.executions(machine)
    wanted = call.values.get("statusFilter")
    chosen = [each for each in found if wanted in {None, each.status}]
    if "redriveFilter" in call.values:
        is_wanted = call.values["redriveFilter"] == "REDRIVEN"
        chosen = [each for each in chosen if (each.redrives > 0) is is_wanted]
    page, more = cut(chosen, call.values)
    return {"executions": [list_execution(each) for each in page], **more}


def _find_execution(call: Call) -> Any:
    arn = call.values["executionArn"]
    if not _EXECUTION.fullmatch(arn):
        raise invalid_arn(arn)
    if arn.split(":")[5] == "express":
        child = call.machines.map_runs.find_child(arn)
        if child is None:
            raise invalid_arn(arn, "Resource type not valid in this context: express")
        return child
    return call.machines.find_execution(arn)


def _without_data(call: Call, found: Result, *names: str) -> Result:
    if call.values.get("includedData") != "METADATA_ONLY":
        return found
    kept = {name: value for name, value in found.items() if name not in names}
    for name in ("inputDetails", "outputDetails"):
        if name in kept:
            kept[name] = {"included": False}
    return kept


# ---------------------------------------------------------------------- task tokens


async def _send_success(call: Call) -> Result:
    try:
        output = parse_json(call.values["output"])
    except MalformedJson as error:
        raise StatesError("InvalidOutput", f"Invalid Output: '{error}'") from error
    call.machines.tokens.find(call.values["taskToken"]).settle(output)
    return {}


async def _send_failure(call: Call) -> Result:
    failure = StateFailure(call.values.get("error", ""), call.values.get("cause", ""))
    call.machines.tokens.find(call.values["taskToken"]).fail(failure)
    return {}


async def _send_heartbeat(call: Call) -> Result:
    call.machines.tokens.find(call.values["taskToken"]).beat()
    return {}


# ---------------------------------------------------------------------- tags


def _tagged(call: Call) -> StateMachine | Activity:
    arn = call.values["resourceArn"]
    if ACTIVITY.fullmatch(arn):
        activity = call.machines.activities.get(arn)
        if activity is None:
            raise no_resource(arn)
        return activity
    if not MACHINE.fullmatch(arn):
        raise invalid_arn(arn)
    try:
        return call.machines.find(arn)
    except StatesError as error:
        raise no_resource(arn) from error


async def _tag(call: Call) -> Result:
    machine = _tagged(call)
    machine.tags = read_tags(call.values["tags"], before=machine.tags)
    return {}


async def _untag(call: Call) -> Result:
    machine = _tagged(call)
    machine.tags = {key: value for key, value in machine.tags.items() if key not in call.values["tagKeys"]}
    return {}


async def _list_tags(call: Call) -> Result:
    return {"tags": [{"key": key, "value": value} for key, value in _tagged(call).tags.items()]}


OPERATIONS: Final[Mapping[str, Callable[[Call], Awaitable[Result]]]] = {
    **ACTIVITY_OPERATIONS,
    **MAP_OPERATIONS,
    **VERSION_OPERATIONS,
    "TestState": test_state,
    "CreateStateMachine": _create,
    "DeleteStateMachine": _delete,
    "DescribeExecution": _describe_execution,
    "DescribeStateMachine": _describe,
    "DescribeStateMachineForExecution": _describe_for_execution,
    "GetExecutionHistory": _history,
    "ListExecutions": _list_executions,
    "ListStateMachines": _list,
    "ListTagsForResource": _list_tags,
    "RedriveExecution": _redrive,
    "SendTaskFailure": _send_failure,
    "SendTaskHeartbeat": _send_heartbeat,
    "SendTaskSuccess": _send_success,
    "StartExecution": _start,
    "StartSyncExecution": _start_sync,
    "StopExecution": _stop,
    "TagResource": _tag,
    "UntagResource": _untag,
    "UpdateStateMachine": _update,
    "ValidateStateMachineDefinition": _validate,
}
