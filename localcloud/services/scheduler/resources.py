"""CloudFormation's `AWS::Scheduler::Schedule` and `AWS::Scheduler::ScheduleGroup` over the model.

Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/AWS_Scheduler.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from localcloud.template.handler import Physical, Resource, ResourceHandler, Support, Supported
from localcloud.template.properties import Properties, json_text, read_properties

if TYPE_CHECKING:
    from localcloud.services.scheduler.model import Schedules

__all__ = ["schedule_handlers"]

MAX_NAME_CHARS: Final = 64
_SERVED: Final = Supported()
_ELSEWHERE: Final = Supported(Support.REFUSED, "this service is not served here as the target of a schedule")
_TEXTS: Final = (
    "ActionAfterCompletion",
    "Description",
    "GroupName",
    "ScheduleExpression",
    "ScheduleExpressionTimezone",
    "State",
)
_MEMBERS: Final = {  # of a target, by block: the members that are text
    "DeadLetterConfig": ("Arn",),
    "EventBridgeParameters": ("DetailType", "Source"),
    "KinesisParameters": ("PartitionKey",),
    "SqsParameters": ("MessageGroupId",),
}


def schedule_handlers(schedules: Callable[[], Schedules]) -> list[ResourceHandler]:
    """The handlers of both types; `schedules` opens the service with the first resource."""
    return [ScheduleHandler(schedules), ScheduleGroupHandler(schedules)]


class ScheduleHandler:
    """`AWS::Scheduler::Schedule`. Ref is the name; attribute Arn."""

    type: str = "AWS::Scheduler::Schedule"
    support: Supported = Supported()
    properties: Mapping[str, Supported] = {
        "ActionAfterCompletion": _SERVED,
        "Description": _SERVED,
        "EndDate": _SERVED,
        "FlexibleTimeWindow": _SERVED,
        "GroupName": _SERVED,
        "KmsKeyArn": Supported(Support.REFUSED, "customer managed keys of schedules are not served here"),
        "Name": _SERVED,
        "ScheduleExpression": _SERVED,
        "ScheduleExpressionTimezone": _SERVED,
        "StartDate": _SERVED,
        "State": _SERVED,
        "Target.Arn": Supported(
            reason="a function, queue, topic, event bus, stream or state machine, or an action of any service here"
        ),
        "Target.DeadLetterConfig": _SERVED,
        "Target.EcsParameters": _ELSEWHERE,
        "Target.EventBridgeParameters": _SERVED,
        "Target.Input": _SERVED,
        "Target.KinesisParameters": _SERVED,
        "Target.RetryPolicy": _SERVED,
        "Target.RoleArn": _SERVED,
        "Target.SageMakerPipelineParameters": _ELSEWHERE,
        "Target.SqsParameters": _SERVED,
    }

    def __init__(self, schedules: Callable[[], Schedules]) -> None:
        self._schedules = schedules

    async def create(self, resource: Resource) -> Physical:
        """Make the schedule, which begins at once. Raises TemplateError for what CreateSchedule would refuse."""
        from localcloud.services.scheduler.errors import SchedulerError  # noqa: PLC0415 - few stacks have schedules
        from localcloud.services.scheduler.requests import CREATE, read_request  # noqa: PLC0415

        read, context = read_properties(resource), resource.context
        name = read.text("Name", f"{context.stack_name}-{resource.logical_id}"[:MAX_NAME_CHARS])
        try:
            request = read_request(CREATE, {**_settings(read), "Name": name})
            schedule = self._schedules().create(request, context.region)
        except SchedulerError as error:
            raise read.error("", error.message) from error
        return Physical(name, {"Arn": schedule.arn})

    async def delete(self, resource: Resource, physical: Physical) -> None:
        """Delete the schedule where it is still there; one that was to be gone after its end may be."""
        _, group, name = str(physical.attributes["Arn"]).rsplit("/", 2)
        schedules = self._schedules()
        found = schedules.groups(resource.context.region).get(group)
        schedule = found.schedules.get(name) if found is not None else None
        if schedule is not None:
            schedules.delete(schedule)


class ScheduleGroupHandler:
    """`AWS::Scheduler::ScheduleGroup`. Ref is the name; attributes Arn, CreationDate, LastModificationDate, State."""

    type: str = "AWS::Scheduler::ScheduleGroup"
    support: Supported = Supported()
    properties: Mapping[str, Supported] = {"Name": _SERVED, "Tags": _SERVED}

    def __init__(self, schedules: Callable[[], Schedules]) -> None:
        self._schedules = schedules

    async def create(self, resource: Resource) -> Physical:
        """Make the group. Raises TemplateError for what CreateScheduleGroup would refuse."""
        from localcloud.services.scheduler.errors import SchedulerError  # noqa: PLC0415 - few stacks have groups
        from localcloud.services.scheduler.requests import GROUP, read_request  # noqa: PLC0415

        read, context = read_properties(resource), resource.context
        name = read.text("Name", f"{context.stack_name}-{resource.logical_id}"[:MAX_NAME_CHARS])
        tags = read.tags()
        listed = [{"Key": key, "Value": value} for key, value in tags.items()]
        try:
            read_request(GROUP, {"Name": name, "Tags": listed})
            group = self._schedules().create_group(name, context.region, tags)
        except SchedulerError as error:
            raise read.error("", error.message) from error
        made = datetime.fromtimestamp(group.created_s, UTC).isoformat()
        attributes = {"Arn": group.arn, "CreationDate": made, "LastModificationDate": made, "State": "ACTIVE"}
        return Physical(name, attributes)

    async def delete(self, resource: Resource, physical: Physical) -> None:
        """Delete the group, with whatever schedules it still has."""
        schedules = self._schedules()
        if physical.ref in schedules.groups(resource.context.region):
            schedules.delete_group(physical.ref, resource.context.region)


def _settings(read: Properties) -> dict[str, Any]:
    found: dict[str, Any] = {name: read.text(name) for name in _TEXTS if name in read}
    for name in ("StartDate", "EndDate"):
        if name in read:
            found[name] = _moment(read, name)
    window = read.nested("FlexibleTimeWindow")
    if "FlexibleTimeWindow" in read:
        found["FlexibleTimeWindow"] = {
            **({"Mode": window.text("Mode")} if "Mode" in window else {}),
            **_integers(window, "MaximumWindowInMinutes"),
        }
    if "Target" in read:
        found["Target"] = _target(read.nested("Target"))
    return found


def _target(read: Properties) -> dict[str, Any]:
    """A target as the API has it: its numbers are numbers, the rest is text."""
    found: dict[str, Any] = {name: read.text(name) for name in ("Arn", "RoleArn") if name in read}
    if "Input" in read:
        found["Input"] = json_text(read.values["Input"])
    for block, members in _MEMBERS.items():
        if block in read:
            nested = read.nested(block)
            found[block] = {name: nested.text(name) for name in members if name in nested}
    if "RetryPolicy" in read:
        policy = read.nested("RetryPolicy")
        found["RetryPolicy"] = _integers(policy, "MaximumEventAgeInSeconds", "MaximumRetryAttempts")
    return found


def _integers(read: Properties, *names: str) -> dict[str, int]:
    return {name: read.integer(name) for name in names if name in read}


def _moment(read: Properties, name: str) -> float:
    """Epoch seconds of an ISO 8601 date, in UTC where it names no offset."""
    try:
        moment = datetime.fromisoformat(read.text(name))
    except ValueError as error:
        raise read.error(name, "must be a date in ISO 8601, such as 2027-01-15T08:00:00Z") from error
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()
