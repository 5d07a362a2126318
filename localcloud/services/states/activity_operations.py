"""The operations on activities. Source: https://docs.aws.amazon.com/step-functions/latest/dg/concepts-activities.html"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from localcloud.services.states.activities import Activity
from localcloud.services.states.call import Call, Result, cut
from localcloud.services.states.errors import invalid_arn, not_served
from localcloud.services.states.names import check_name
from localcloud.services.states.tags import read_tags

__all__ = ["ACTIVITY", "ACTIVITY_OPERATIONS"]

ACTIVITY: Final = re.compile(r"arn:aws[\w-]*:states:[\w-]+:\d{12}:activity:[^:]+")


async def _create(call: Call) -> Result:
    if call.values.get("encryptionConfiguration", {}).get("type") == "CUSTOMER_MANAGED_KMS_KEY":
        raise not_served("Customer managed keys of activities are")
    check_name(call.values["name"])
    tags = read_tags(call.values.get("tags", []))
    activity = call.machines.activities.create(call.values["name"], call.region, tags)
    return {"activityArn": activity.arn, "creationDate": activity.created_s}


async def _delete(call: Call) -> Result:
    call.machines.activities.delete(_arn(call))
    return {}


async def _describe(call: Call) -> Result:
    return _show(call.machines.activities.find(_arn(call))) | {"encryptionConfiguration": {"type": "AWS_OWNED_KEY"}}


async def _list(call: Call) -> Result:
    page, more = cut(call.machines.activities.list(call.region), call.values)
    return {"activities": [_show(each) for each in page], **more}


async def _ask(call: Call) -> Result:
    """A task within a minute; an empty answer where there was none."""
    task = await call.machines.activities.find(_arn(call)).ask(call.values.get("workerName", ""))
    return {} if task is None else {"taskToken": task.token, "input": task.text}


def _arn(call: Call) -> str:
    arn = call.values["activityArn"]
    if not ACTIVITY.fullmatch(arn):
        raise invalid_arn(arn)
    return arn


def _show(activity: Activity) -> dict[str, Any]:
    return {"activityArn": activity.arn, "name": activity.name, "creationDate": activity.created_s}


ACTIVITY_OPERATIONS: Final[Mapping[str, Callable[[Call], Awaitable[Result]]]] = {
    "CreateActivity": _create,
    "DeleteActivity": _delete,
    "DescribeActivity": _describe,
    "GetActivityTask": _ask,
    "ListActivities": _list,
}
