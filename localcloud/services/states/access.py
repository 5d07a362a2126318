"""What IAM is asked before an operation, by action and ARN.

Source: https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsstepfunctions.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from localcloud.services.contract import Permission
from localcloud.services.iam.tags import read_keys, request_tags, tag_keys
from localcloud.services.states.activities import activity_arn
from localcloud.services.states.errors import StatesError
from localcloud.services.states.model import StateMachines
from localcloud.services.states.names import machine_arn

__all__ = ["needed_permissions", "tags_of"]

_BY_MEMBER: Final[Mapping[str, str]] = {
    "DeleteActivity": "activityArn",
    "DeleteStateMachine": "stateMachineArn",
    "DescribeActivity": "activityArn",
    "GetActivityTask": "activityArn",
    "DescribeExecution": "executionArn",
    "DeleteStateMachineAlias": "stateMachineAliasArn",
    "DeleteStateMachineVersion": "stateMachineVersionArn",
    "DescribeMapRun": "mapRunArn",
    "DescribeStateMachineAlias": "stateMachineAliasArn",
    "ListStateMachineAliases": "stateMachineArn",
    "ListStateMachineVersions": "stateMachineArn",
    "PublishStateMachineVersion": "stateMachineArn",
    "UpdateStateMachineAlias": "stateMachineAliasArn",
    "DescribeStateMachine": "stateMachineArn",
    "DescribeStateMachineForExecution": "executionArn",
    "GetExecutionHistory": "executionArn",
    "ListExecutions": "stateMachineArn",
    "ListMapRuns": "executionArn",
    "ListTagsForResource": "resourceArn",
    "RedriveExecution": "executionArn",
    "StartExecution": "stateMachineArn",
    "StartSyncExecution": "stateMachineArn",
    "StopExecution": "executionArn",
    "TagResource": "resourceArn",
    "UntagResource": "resourceArn",
    "UpdateMapRun": "mapRunArn",
    "UpdateStateMachine": "stateMachineArn",
}
_MAKES: Final[Mapping[str, Callable[[str, str], str]]] = {
    "CreateActivity": activity_arn,
    "CreateStateMachine": machine_arn,
}
_OF_TOKENS: Final = frozenset({"SendTaskFailure", "SendTaskHeartbeat", "SendTaskSuccess"})
_PASSED: Final = (("iam:PassedToService", "states.amazonaws.com"),)


def needed_permissions(
    action: str, values: Mapping[str, Any], machines: StateMachines, *, region: str
) -> list[Permission]:
    """What an operation needs."""
    if action in _MAKES:
        arn, tags = _MAKES[action](str(values.get("name", "")), region), _tags(values)
        needed = [Permission(f"states:{action}", arn, tags)]
        needed += [Permission("states:TagResource", arn, tags)] if tags else []
    elif action in _OF_TOKENS:
        needed = [Permission(f"states:{action}", machines.tokens.machine_of(str(values.get("taskToken"))))]
    else:
        arn = values.get(_BY_MEMBER.get(action, ""), "*")
        context = _tags(values) if action == "TagResource" else tag_keys(read_keys(values.get("tagKeys")))
        needed = [Permission(f"states:{action}", arn if isinstance(arn, str) else "*", context)]
    role = values.get("roleArn")
    if isinstance(role, str) and role:
        needed.append(Permission("iam:PassRole", role, _PASSED))
    return needed


def _tags(values: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    listed = values.get("tags")
    found: dict[str, str] = {}
    for each in listed if isinstance(listed, list) else []:  # pyright: ignore[reportUnknownVariableType]
        if isinstance(each, dict):
            found[str(each.get("key"))] = str(each.get("value", ""))  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
    return request_tags(found)


def tags_of(machines: StateMachines, _action: str, arn: str) -> Mapping[str, str] | None:
    """The tags of a machine or an activity, None where there is none of this ARN."""
    activity = machines.activities.get(arn)
    if activity is not None:
        return activity.tags
    try:
        return machines.find(arn).tags
    except StatesError:
        return None
