"""The actions on message move tasks: parameters in, result out, both shaped as in the JSON protocol.

Source: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_StartMessageMoveTask.html.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, cast

from localcloud.services.sqs.errors import SqsError, invalid_value
from localcloud.services.sqs.moving import KEPT, MoveTask, no_resource
from localcloud.services.sqs.operations import Call, Result
from localcloud.services.sqs.parameters import Parameters

__all__ = ["MOVE_ACTIONS", "source_arn"]

_ARN: Final = re.compile(r"arn:[a-z0-9-]+:sqs:[a-z0-9-]+:\d{12}:[A-Za-z0-9_.-]{1,80}")


def source_arn(parameters: Parameters) -> str:
    """The ARN of the queue whose tasks a request is about, "*" where its task handle says none.

    Raises SqsError: MissingParameter, InvalidParameterValue.
    """
    if not parameters.has("TaskHandle"):
        return _arn(parameters, "SourceArn")
    try:
        return _read_handle(parameters.required("TaskHandle"))
    except SqsError:
        return "*"


def _read_handle(handle: str) -> str:
    """The ARN of the queue that a task's handle is of. Raises SqsError: InvalidParameterValue."""
    try:
        told = json.loads(base64.b64decode(handle, validate=True))
        return str(cast("Mapping[str, object]", told)["sourceArn"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise invalid_value("Value for parameter TaskHandle is invalid.") from error


def _arn(parameters: Parameters, name: str) -> str:
    arn = parameters.required(name)
    if not _ARN.fullmatch(arn):
        raise invalid_value(
            f"You must use this format to specify the {name}: "
            "arn:<partition>:<service>:<region>:<account-id>:<resource-id>"
        )
    return arn


def _source(call: Call) -> str:
    arn = _arn(call.parameters, "SourceArn")
    if arn.split(":")[3] != call.region:
        raise no_resource("SourceArn")
    return arn


async def _start(call: Call) -> Result:
    source = _source(call)
    to = _arn(call.parameters, "DestinationArn") if call.parameters.text("DestinationArn") else ""
    rate = call.parameters.number("MaxNumberOfMessagesPerSecond")
    return {"TaskHandle": call.queues.move_tasks.start(source, destination_arn=to, rate=rate).handle}


async def _list(call: Call) -> Result:
    source, most = _source(call), call.parameters.number("MaxResults")
    most = 1 if most is None else most
    if not 1 <= most <= KEPT:
        raise invalid_value(
            f"Value {most} for parameter MaxResults is invalid. Reason: Must be between 1 and {KEPT}, if provided."
        )
    found = [_shown(task) for task in call.queues.move_tasks.list(source)[:most]]
    return {"Results": found} if found else {}


async def _cancel(call: Call) -> Result:
    handle = call.parameters.required("TaskHandle")
    if call.queues.find(_read_handle(handle)) is None:
        raise no_resource("SourceArn")
    return {"ApproximateNumberOfMessagesMoved": call.queues.move_tasks.cancel(handle).moved}


def _shown(task: MoveTask) -> Result:
    """A task as it is listed: a handle while it runs, a reason once it failed, and what the request gave."""
    shown: Result = {
        "Status": task.status,
        "SourceArn": task.source_arn,
        "ApproximateNumberOfMessagesMoved": task.moved,
        "ApproximateNumberOfMessagesToMove": task.to_move,
        "StartedTimestamp": int(task.started_s * 1000),
    }
    if task.status == "RUNNING":
        shown["TaskHandle"] = task.handle
    if task.destination_arn:
        shown["DestinationArn"] = task.destination_arn
    if task.rate is not None:
        shown["MaxNumberOfMessagesPerSecond"] = task.rate
    if task.reason:
        shown["FailureReason"] = task.reason
    return shown


MOVE_ACTIONS: Final[Mapping[str, Callable[[Call], Awaitable[Result]]]] = {
    "CancelMessageMoveTask": _cancel,
    "ListMessageMoveTasks": _list,
    "StartMessageMoveTask": _start,
}
