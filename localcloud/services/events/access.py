"""Which IAM actions an EventBridge request needs, and on which ARNs.

Reads the request leniently: a malformed one needs nothing here and fails in the operation.
Source: https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazoneventbridge.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, cast

from localcloud.services.contract import Permission
from localcloud.services.events.errors import EventsError
from localcloud.services.events.model import Buses
from localcloud.services.iam.tags import read_keys, read_tag_list, request_tags, tag_keys

__all__ = ["needed_permissions", "tags_of"]

ArnOf = Callable[[str], str]
"""The ARN of a bus, by its name or ARN."""

_ON_BUS: Final = frozenset({"CreateEventBus", "DeleteEventBus", "DescribeEventBus", "UpdateEventBus"})
_ON_NAMED_BUS: Final = frozenset({"PutPermission", "RemovePermission"})
_ON_RULE: Final = {
    "DeleteRule": "Name",
    "DescribeRule": "Name",
    "DisableRule": "Name",
    "EnableRule": "Name",
    "ListTargetsByRule": "Rule",
    "PutRule": "Name",
    "PutTargets": "Rule",
    "RemoveTargets": "Rule",
}
_ON_ARCHIVE: Final = frozenset({"CreateArchive", "DeleteArchive", "DescribeArchive", "UpdateArchive"})
_ON_REPLAY: Final = frozenset({"CancelReplay", "DescribeReplay", "StartReplay"})
_ON_TAGGED: Final = frozenset({"ListTagsForResource", "TagResource", "UntagResource"})
_GIVES_TAGS: Final = frozenset({"CreateEventBus", "PutRule", "TagResource"})
_WITHOUT_TAGS: Final = frozenset({"events:PutPermission", "events:RemovePermission"})  # the reference: on no resource
_DEFAULT: Final = "default"


def needed_permissions(action: str, request: Mapping[str, Any], arn_of: ArnOf) -> tuple[Permission, ...]:
    """The permissions of `action`, without repeats, in order."""
    if action == "PutEvents":
        found = _of_entries(request.get("Entries"), arn_of)
    else:
        resource = _resource(action, request, arn_of)
        tags = read_tag_list(request.get("Tags")) if action in _GIVES_TAGS else {}
        context = tag_keys(read_keys(request.get("TagKeys"))) if action == "UntagResource" else request_tags(tags)
        found = iter((Permission(f"events:{action}", resource, context), *_of_extras(action, request, resource)))
    return tuple(dict.fromkeys(found))


def tags_of(buses: Buses, action: str, arn: str) -> Mapping[str, str] | None:
    """The tags of a bus or rule that count for an action, None where there are none."""
    if action in _WITHOUT_TAGS or arn.count(":") < 5 or arn.split(":")[2] != "events":
        return None
    try:
        return buses.tagged(arn).tags
    except EventsError:
        return None


def _resource(action: str, request: Mapping[str, Any], arn_of: ArnOf) -> str:
    if action in _ON_BUS:
        return arn_of(str(request.get("Name", _DEFAULT)))
    if action in _ON_NAMED_BUS:
        return arn_of(str(request.get("EventBusName", _DEFAULT)))
    if action in _ON_TAGGED:
        return str(request.get("ResourceARN", "*"))
    prefix = arn_of(_DEFAULT).partition(":event-bus/")[0]
    if action in _ON_ARCHIVE:
        return f"{prefix}:archive/{request.get('ArchiveName', '')}"
    if action in _ON_REPLAY:
        return f"{prefix}:replay/{request.get('ReplayName', '')}"
    return _rule_of(action, request, arn_of) if action in _ON_RULE else "*"


def _rule_of(action: str, request: Mapping[str, Any], arn_of: ArnOf) -> str:
    prefix, _, bus = arn_of(str(request.get("EventBusName", _DEFAULT))).partition(":event-bus/")
    name = str(request.get(_ON_RULE[action], ""))
    return f"{prefix}:rule/{name}" if bus == _DEFAULT else f"{prefix}:rule/{bus}/{name}"


def _of_extras(action: str, request: Mapping[str, Any], resource: str) -> Iterator[Permission]:
    """What else an action touches: the bus of an archive, tags that a resource is made with, roles that are passed."""
    if action == "CreateArchive":
        yield Permission("events:CreateArchive", str(request.get("EventSourceArn", "*")))
    if action == "StartReplay":
        yield Permission("events:StartReplay", str(request.get("EventSourceArn", "*")))
        yield Permission("events:StartReplay", str(_mapping(request.get("Destination")).get("Arn", "*")))
    if action in {"CreateEventBus", "PutRule"} and _items(request.get("Tags")):
        yield Permission("events:TagResource", resource, request_tags(read_tag_list(request.get("Tags"))))
    passing = (("iam:PassedToService", "events.amazonaws.com"),)
    roles = [request.get("RoleArn")] if action == "PutRule" else []
    if action == "PutTargets":
        roles = [_mapping(target).get("RoleArn") for target in _items(request.get("Targets"))]
    for role in roles:
        if isinstance(role, str) and role:
            yield Permission("iam:PassRole", role, passing)


def _of_entries(entries: object, arn_of: ArnOf) -> Iterator[Permission]:
    for raw in _items(entries):
        entry = _mapping(raw)
        context = (
            ("events:detail-type", str(entry.get("DetailType", ""))),
            ("events:eventBusInvocation", "false"),
            ("events:source", str(entry.get("Source", ""))),
        )
        yield Permission("events:PutEvents", arn_of(str(entry.get("EventBusName", _DEFAULT))), context)


def _items(value: object) -> list[object]:
    return cast("list[object]", value) if isinstance(value, list) else []


def _mapping(value: object) -> Mapping[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
