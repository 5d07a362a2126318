"""EventBridge Scheduler on the wire: REST-JSON in, the model, REST-JSON out.

Source: https://docs.aws.amazon.com/scheduler/latest/APIReference/API_Operations.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar, cast
from urllib.parse import parse_qs, unquote

from localcloud.json_text import MalformedJson, read_object
from localcloud.services.contract import ACCOUNT_ID, Permission, WireRequest, WireResponse
from localcloud.services.events.shapes import Structure
from localcloud.services.iam.tags import ContextPairs, read_tag_list, request_tags, tag_keys, with_resource_tags
from localcloud.services.pages import MalformedToken, cut_page
from localcloud.services.scheduler.errors import SchedulerError, validation
from localcloud.services.scheduler.model import DEFAULT_GROUP, Group, Schedule, Schedules
from localcloud.services.scheduler.requests import (
    CREATE,
    GROUP,
    LIST,
    LIST_GROUPS,
    NAMED,
    TAG,
    UNTAG,
    read_request,
)

__all__ = ["SchedulerService"]

T = TypeVar("T")
PAGE: Final = 100  # MaxResults, where it is not given
_NAMED: Final = r"(?P<name>[^/]+)"
_ROUTES: Final = (
    (re.compile(r"/schedules/?"), {"GET": "ListSchedules"}),
    (re.compile(r"/schedule-groups/?"), {"GET": "ListScheduleGroups"}),
    (
        re.compile(rf"/schedules/{_NAMED}"),
        {"DELETE": "DeleteSchedule", "GET": "GetSchedule", "POST": "CreateSchedule", "PUT": "UpdateSchedule"},
    ),
    (
        re.compile(rf"/schedule-groups/{_NAMED}"),
        {"DELETE": "DeleteScheduleGroup", "GET": "GetScheduleGroup", "POST": "CreateScheduleGroup"},
    ),
    (
        re.compile(r"/tags/(?P<name>.+)"),
        {"DELETE": "UntagResource", "GET": "ListTagsForResource", "POST": "TagResource"},
    ),
)
_QUERY: Final = {"ScheduleGroup": "GroupName", "clientToken": "ClientToken", "groupName": "GroupName"}
_ON_TAGS: Final = frozenset({"ListTagsForResource", "TagResource", "UntagResource"})
_ON_GROUPS: Final = frozenset({"CreateScheduleGroup", "DeleteScheduleGroup", "GetScheduleGroup"})
_LISTS: Final = frozenset({"ListScheduleGroups", "ListSchedules"})
_SHOWN: Final = (
    "ActionAfterCompletion",
    "Description",
    "EndDate",
    "FlexibleTimeWindow",
    "Name",
    "ScheduleExpression",
    "StartDate",
)


@dataclass(frozen=True, slots=True)
class _Call:
    """One request: its action, what its path names, its body and its query."""

    action: str
    name: str
    region: str
    body: Mapping[str, Any]
    query: Mapping[str, list[str]]

    def read(self, shape: Structure) -> Mapping[str, Any]:
        """Path, query and body as one request of this shape. Raises SchedulerError."""
        asked: dict[str, Any] = {_QUERY.get(name, name): given[-1] for name, given in self.query.items()}
        if "MaxResults" in asked:
            if not re.fullmatch(r"-?\d{1,9}", asked["MaxResults"], re.ASCII):
                raise SchedulerError("SerializationException", "MaxResults is not a whole number.", 400)
            asked["MaxResults"] = int(asked["MaxResults"])
        named = {"ResourceArn" if self.action in _ON_TAGS else "Name": self.name} if self.name else {}
        return read_request(shape, {**self.body, **asked, **named})


class SchedulerService:
    """The Scheduler API of every Region."""

    name = "scheduler"

    def __init__(self, schedules: Schedules) -> None:
        self._schedules = schedules
        self._actions: Mapping[str, Callable[[_Call], dict[str, Any]]] = {
            "CreateSchedule": self._create,
            "CreateScheduleGroup": self._create_group,
            "DeleteSchedule": self._delete,
            "DeleteScheduleGroup": self._delete_group,
            "GetSchedule": self._get,
            "GetScheduleGroup": self._get_group,
            "ListScheduleGroups": self._list_groups,
            "ListSchedules": self._list,
            "ListTagsForResource": self._list_tags,
            "TagResource": self._tag,
            "UntagResource": self._untag,
            "UpdateSchedule": self._update,
        }

    async def handle(self, request: WireRequest) -> WireResponse:
        """Answer one request; API errors are answers."""
        try:
            call = _read_call(request)
            result = self._actions[call.action](call)
        except SchedulerError as error:
            headers = {"content-type": "application/json", "x-amzn-errortype": error.code}
            return WireResponse(error.status, _encode({"Message": error.message}), headers)
        return WireResponse(200, _encode(result), {"content-type": "application/json"})

    def permissions(self, request: WireRequest) -> tuple[Permission, ...]:
        """What IAM would check; empty for what is no action of the Scheduler.

        Source: https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazoneventbridgescheduler.html
        """
        try:
            call = _read_call(request)
        except SchedulerError:
            return ()
        arn, context = _resource_of(call), _tags_in(call)
        needed = [Permission(f"scheduler:{call.action}", arn, context)]
        if call.action == "CreateScheduleGroup" and context:
            needed.append(Permission("scheduler:TagResource", arn, context))
        target: object = call.body.get("Target")
        role = cast("dict[str, object]", target).get("RoleArn") if isinstance(target, dict) else None
        if isinstance(role, str) and role and call.action in {"CreateSchedule", "UpdateSchedule"}:
            needed.append(Permission("iam:PassRole", role, (("iam:PassedToService", "scheduler.amazonaws.com"),)))
        return with_resource_tags(needed, self.tags_of)

    def tags_of(self, action: str, arn: str) -> Mapping[str, str] | None:  # noqa: ARG002 - they count for every action
        """The tags of a group, None where there is none."""
        if ":schedule-group/" not in arn:
            return None
        try:
            return self._schedules.tagged(arn).tags
        except SchedulerError:
            return None

    # ------------------------------------------------------------------ schedules

    def _create(self, call: _Call) -> dict[str, Any]:
        return {"ScheduleArn": self._schedules.create(call.read(CREATE), call.region).arn}

    def _update(self, call: _Call) -> dict[str, Any]:
        return {"ScheduleArn": self._schedules.update(call.read(CREATE), call.region).arn}

    def _delete(self, call: _Call) -> dict[str, Any]:
        self._schedules.delete(self._find(call))
        return {}

    def _get(self, call: _Call) -> dict[str, Any]:
        schedule = self._find(call)
        values = schedule.values
        target = {
            **values["Target"],
            "RetryPolicy": {
                "MaximumEventAgeInSeconds": schedule.target.age_s,
                "MaximumRetryAttempts": schedule.target.attempts,
            },
        }
        return {
            "ActionAfterCompletion": "NONE",
            **{name: values[name] for name in _SHOWN if name in values},
            **_dates(schedule),
            "Arn": schedule.arn,
            "GroupName": schedule.group.name,
            "ScheduleExpressionTimezone": values.get("ScheduleExpressionTimezone", "UTC"),
            "State": schedule.state,
            "Target": target,
        }

    def _list(self, call: _Call) -> dict[str, Any]:
        values = call.read(LIST)
        if "GroupName" in values:
            self._schedules.group(values["GroupName"], call.region)
        found = [
            schedule
            for schedule in self._schedules.list(call.region)
            if schedule.name.startswith(values.get("NamePrefix", ""))
            and schedule.group.name == values.get("GroupName", schedule.group.name)
            and schedule.state == values.get("State", schedule.state)
        ]
        page, more = _cut(found, lambda schedule: schedule.arn, values)
        shown = [
            {
                "Arn": schedule.arn,
                **_dates(schedule),
                "GroupName": schedule.group.name,
                "Name": schedule.name,
                "State": schedule.state,
                "Target": {"Arn": schedule.target.arn},
            }
            for schedule in page
        ]
        return {"Schedules": shown, **more}

    def _find(self, call: _Call) -> Schedule:
        values = call.read(NAMED)
        return self._schedules.get(values["Name"], call.region, values.get("GroupName", DEFAULT_GROUP))

    # ------------------------------------------------------------------ groups

    def _create_group(self, call: _Call) -> dict[str, Any]:
        values = call.read(GROUP)
        group = self._schedules.create_group(values["Name"], call.region, read_tag_list(values.get("Tags")))
        return {"ScheduleGroupArn": group.arn}

    def _delete_group(self, call: _Call) -> dict[str, Any]:
        self._schedules.delete_group(call.read(NAMED)["Name"], call.region)
        return {}

    def _get_group(self, call: _Call) -> dict[str, Any]:
        return _show_group(self._schedules.group(call.read(NAMED)["Name"], call.region))

    def _list_groups(self, call: _Call) -> dict[str, Any]:
        values = call.read(LIST_GROUPS)
        prefix = values.get("NamePrefix", "")
        groups = sorted(self._schedules.groups(call.region).values(), key=lambda group: group.name)
        found = [group for group in groups if group.name.startswith(prefix)]
        page, more = _cut(found, lambda group: group.name, values)
        return {"ScheduleGroups": [_show_group(group) for group in page], **more}

    def _list_tags(self, call: _Call) -> dict[str, Any]:
        group = self._schedules.tagged(call.read(_RESOURCE)["ResourceArn"])
        return {"Tags": [{"Key": key, "Value": value} for key, value in group.tags.items()]}

    def _tag(self, call: _Call) -> dict[str, Any]:
        values = call.read(TAG)
        self._schedules.tag(self._schedules.tagged(values["ResourceArn"]), read_tag_list(values["Tags"]))
        return {}

    def _untag(self, call: _Call) -> dict[str, Any]:
        keys = call.query.get("TagKeys", [])
        values = read_request(UNTAG, {"ResourceArn": call.name, "TagKeys": keys})
        tags = self._schedules.tagged(values["ResourceArn"]).tags
        for key in keys:
            tags.pop(key, None)
        return {}


_RESOURCE: Final = Structure({"ResourceArn": TAG.members["ResourceArn"]}, ("ResourceArn",))


def _read_call(request: WireRequest) -> _Call:
    """Raises SchedulerError."""
    for route, actions in _ROUTES:
        found = route.fullmatch(request.path)
        if found is not None and request.method in actions:
            name = unquote(found.groupdict().get("name", ""))
            query = parse_qs(request.query, keep_blank_values=True)
            return _Call(actions[request.method], name, request.region, _read_body(request.body), query)
    message = f"{request.method} {request.path} is not an action of EventBridge Scheduler."
    raise SchedulerError("UnknownOperationException", message, 404)


def _read_body(body: bytes) -> Mapping[str, Any]:
    try:
        return read_object(body)
    except MalformedJson as error:
        raise SchedulerError("SerializationException", str(error), 400) from error


def _resource_of(call: _Call) -> str:
    """The ARN that IAM judges an action by, "*" for lists."""
    if call.action in _LISTS:
        return "*"
    if call.action in _ON_TAGS:
        return call.name
    prefix = f"arn:aws:scheduler:{call.region}:{ACCOUNT_ID}"
    if call.action in _ON_GROUPS:
        return f"{prefix}:schedule-group/{call.name}"
    group = call.body.get("GroupName") or call.query.get("groupName", [DEFAULT_GROUP])[-1]
    return f"{prefix}:schedule/{group}/{call.name}"


def _tags_in(call: _Call) -> ContextPairs:
    """The tags that a request gives, or the keys of those that it takes."""
    if call.action in {"CreateScheduleGroup", "TagResource"}:
        return request_tags(read_tag_list(call.body.get("Tags")))
    return tag_keys(call.query.get("TagKeys", [])) if call.action == "UntagResource" else ()


def _cut(
    found: Sequence[T], name_of: Callable[[T], str], values: Mapping[str, Any]
) -> tuple[Sequence[T], dict[str, str]]:
    try:
        page, token = cut_page(found, name_of, token=values.get("NextToken"), most=values.get("MaxResults", PAGE))
    except MalformedToken as error:
        raise validation("NextToken is not valid.") from error
    return page, {"NextToken": token} if token else {}


def _dates(schedule: Schedule) -> dict[str, float]:
    return {"CreationDate": schedule.created_s, "LastModificationDate": schedule.modified_s}


def _show_group(group: Group) -> dict[str, Any]:
    return {
        "Arn": group.arn,
        "CreationDate": group.created_s,
        "LastModificationDate": group.created_s,
        "Name": group.name,
        "State": "ACTIVE",
    }


def _encode(answer: Mapping[str, Any]) -> bytes:
    return json.dumps(answer, ensure_ascii=False, separators=(",", ":")).encode()
