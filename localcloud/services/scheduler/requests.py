"""The shapes of requests to EventBridge Scheduler, and the members of them that are not served.

Source: https://docs.aws.amazon.com/scheduler/latest/APIReference/API_Operations.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from localcloud.services.events.errors import EventsError
from localcloud.services.events.shapes import Items, Moment, Shape, Structure, Text, Whole, check_request
from localcloud.services.scheduler.errors import SchedulerError, not_served

__all__ = ["CREATE", "GROUP", "LIST", "LIST_GROUPS", "NAMED", "TAG", "UNTAG", "read_request"]

_NAME: Final = Text(low=1, high=64, pattern=r"[0-9a-zA-Z-_.]+")
_TOKEN: Final = Text(low=1, high=64, pattern=r"[a-zA-Z0-9-_]+")
_TAGS: Final = Items(
    Structure({"Key": Text(low=1, high=128), "Value": Text(low=1, high=256)}, ("Key", "Value")), 0, 200
)
_GROUP_ARN: Final = Text(
    low=1, high=1011, pattern=r"arn:aws(-[a-z]+)?:scheduler:[a-z0-9\-]+:\d{12}:schedule-group\/[0-9a-zA-Z-_.]+"
)
_ROLE: Final = Text(low=1, high=1600, pattern=r"arn:aws(-[a-z]+)?:iam::\d{12}:role\/[\w+=,.@\/-]+")
_DEAD_LETTERS: Final = Text(
    low=1,
    high=1600,
    pattern=r"arn:aws(-[a-z]+)?:sqs:[a-z0-9\-]+:\d{12}:[a-zA-Z0-9\-_]+",  # none that ends in .fifo
)
_SOURCE: Final = Text(low=1, high=256, pattern=r"(?=[/\.\-_A-Za-z0-9]+)((?!aws\.).*)|(\$(\.[\w_-]+(\[(\d+|\*)\])*)*)")
_TARGET: Final = Structure(
    {
        "Arn": Text(low=1, high=1600),
        "DeadLetterConfig": Structure({"Arn": _DEAD_LETTERS}),
        "EventBridgeParameters": Structure(
            {"DetailType": Text(low=1, high=128), "Source": _SOURCE}, ("DetailType", "Source")
        ),
        "Input": Text(low=1),
        "KinesisParameters": Structure({"PartitionKey": Text(low=1, high=256)}, ("PartitionKey",)),
        "RetryPolicy": Structure(
            {"MaximumEventAgeInSeconds": Whole(60, 86_400), "MaximumRetryAttempts": Whole(0, 185)}
        ),
        "RoleArn": _ROLE,
        "SqsParameters": Structure({"MessageGroupId": Text(low=1, high=128)}),
    },
    ("Arn", "RoleArn"),
)
_SETTINGS: Final[Mapping[str, Shape]] = {
    "ActionAfterCompletion": Text(choices=("NONE", "DELETE")),
    "ClientToken": _TOKEN,
    "Description": Text(high=512),
    "EndDate": Moment(),
    "FlexibleTimeWindow": Structure(
        {"MaximumWindowInMinutes": Whole(1, 1440), "Mode": Text(choices=("OFF", "FLEXIBLE"))}, ("Mode",)
    ),
    "GroupName": _NAME,
    "KmsKeyArn": Text(low=1, high=2048),
    "Name": _NAME,
    "ScheduleExpression": Text(low=1, high=256),
    "ScheduleExpressionTimezone": Text(low=1, high=50),
    "StartDate": Moment(),
    "State": Text(choices=("ENABLED", "DISABLED")),
    "Target": _TARGET,
}
CREATE: Final = Structure(_SETTINGS, ("FlexibleTimeWindow", "Name", "ScheduleExpression", "Target"))
"""Of UpdateSchedule as well: what it leaves out is as if it had never been given."""
NAMED: Final = Structure({"ClientToken": _TOKEN, "GroupName": _NAME, "Name": _NAME}, ("Name",))
GROUP: Final = Structure({"ClientToken": _TOKEN, "Name": _NAME, "Tags": _TAGS}, ("Name",))
_PAGE: Final[Mapping[str, Shape]] = {
    "MaxResults": Whole(1, 100),
    "NamePrefix": _NAME,
    "NextToken": Text(low=1, high=2048),
}
LIST: Final = Structure({**_PAGE, "GroupName": _NAME, "State": Text(choices=("ENABLED", "DISABLED"))})
LIST_GROUPS: Final = Structure(_PAGE)
TAG: Final = Structure({"ResourceArn": _GROUP_ARN, "Tags": _TAGS}, ("ResourceArn", "Tags"))
UNTAG: Final = Structure(
    {"ResourceArn": _GROUP_ARN, "TagKeys": Items(Text(low=1, high=128), 0, 200)}, ("ResourceArn", "TagKeys")
)
_NOT_HERE: Final = {
    "EcsParameters": "Targets in Amazon ECS are",
    "SageMakerPipelineParameters": "Targets in Amazon SageMaker are",
}


def read_request(shape: Structure, values: object) -> Mapping[str, Any]:
    """The request, if it has its shape and asks for nothing that is not here. Raises SchedulerError."""
    try:
        request = check_request(shape, values)
    except EventsError as error:
        raise SchedulerError(error.code, error.message, error.status) from error
    if request.get("KmsKeyArn"):
        raise not_served("Customer managed keys of schedules are")
    for name, what in _NOT_HERE.items():
        if request.get("Target", {}).get(name):
            raise not_served(what)
    return request
