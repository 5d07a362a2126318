"""What each operation of CloudWatch Logs does with the model. No wire, and no shapes: those were checked before.

Source: https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_Operations.html
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from localcloud.clock import Clock
from localcloud.matching import PatternTooSlow, limit_matching
from localcloud.services.contract import ACCOUNT_ID
from localcloud.services.logs.errors import LogsError, group_missing, invalid, stream_missing
from localcloud.services.logs.model import LogEvent, LogGroup, Logs
from localcloud.services.logs.patterns import parse_pattern
from localcloud.services.logs.reading import Cursor, cut_events, read_cursor
from localcloud.services.logs.resources import RETENTION_DAYS
from localcloud.services.pages import MalformedToken, cut_page

__all__ = ["OPERATIONS", "Call", "group_of"]

DAY_MS: Final = 86_400_000
AHEAD_MS: Final = 7_200_000  # API_PutLogEvents: at most two hours in the future
OLDEST_MS: Final = 14 * DAY_MS
MAX_BATCH_BYTES: Final = 1_048_576
EVENT_BYTES: Final = 26  # counted for each event beside its message
MAX_EVENT_BYTES: Final = 1_048_576 - EVENT_BYTES
MAX_PAGE: Final = 10_000
MAX_TAGS: Final = 50
Members: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Call:
    """One request: the groups of its Region, its members, the date."""

    logs: Logs
    body: Mapping[str, Any]
    region: str
    clock: Clock

    @property
    def now_ms(self) -> int:
        """The date."""
        return int(self.clock.time() * 1000)

    def group(self) -> LogGroup:
        """The group that the request names. Raises LogsError."""
        name = group_of(self.body)
        if not name:
            raise invalid(
                "1 validation error detected: Value null at 'logGroupName' failed to satisfy constraint: "
                "Member must not be null"
            )
        found = self.logs.find(name)
        if found is None:
            raise group_missing()
        return found

    def stream(self, group: LogGroup) -> str:
        """The stream that the request names. Raises LogsError."""
        name = str(self.body["logStreamName"])
        if name not in group.streams:
            raise stream_missing()
        return name

    def kept(self, group: LogGroup) -> Iterable[LogEvent]:
        """The events that the group's retention keeps."""
        oldest = self.now_ms - group.retention_days * DAY_MS if group.retention_days else 0
        return (event for event in group.events if event.timestamp_ms >= oldest)

    def arn(self, group: LogGroup) -> str:
        """The group's ARN, without the `:*` of its streams."""
        return f"arn:aws:logs:{self.region}:{ACCOUNT_ID}:log-group:{group.name}"


def group_of(body: Mapping[str, Any]) -> str:
    """The name of the group that a request names, by name or ARN; "" for none."""
    named = str(body.get("logGroupName") or body.get("logGroupIdentifier") or body.get("resourceArn") or "")
    return named.split(":")[6] if named.startswith("arn:") and named.count(":") >= 6 else named


def _create_group(call: Call) -> None:
    name = group_of(call.body)
    if call.logs.find(name) is not None:
        raise LogsError("ResourceAlreadyExistsException", "The specified log group already exists")
    if (call.body.get("logGroupClass") or "STANDARD") != "STANDARD":
        raise invalid("The local cloud does not serve other classes of log groups than STANDARD.")
    call.logs.create_group(name).tags.update(_checked(call.body.get("tags") or {}))


def _delete_group(call: Call) -> None:
    call.logs.delete_group(call.group().name)


def _describe_groups(call: Call) -> Members:
    prefix, part = call.body.get("logGroupNamePrefix") or "", str(call.body.get("logGroupNamePattern") or "").lower()
    if prefix and part:
        raise invalid("LogGroupNamePrefix and LogGroupNamePattern are mutually exclusive parameters.")
    found = [each for each in call.logs.groups() if each.name.startswith(prefix) and part in each.name.lower()]
    if names := call.body.get("logGroupIdentifiers"):
        chosen = {group_of({"logGroupName": name}) for name in names}
        found = [each for each in found if each.name in chosen]
    page, more = _page(call, found, lambda each: each.name)
    return {"logGroups": [_tell_group(call, each) for each in page], **more}


def _tell_group(call: Call, group: LogGroup) -> Members:
    arn = call.arn(group)
    told: Members = {
        "logGroupName": group.name,
        "creationTime": group.created_ms,
        "metricFilterCount": 0,
        "arn": f"{arn}:*",
        "storedBytes": sum(len(event.message.encode()) for event in group.events),
        "logGroupClass": "STANDARD",
        "logGroupArn": arn,
    }
    return told | ({"retentionInDays": group.retention_days} if group.retention_days else {})


def _create_stream(call: Call) -> None:
    group, name = call.group(), str(call.body["logStreamName"])
    if name in group.streams:
        raise LogsError("ResourceAlreadyExistsException", "The specified log stream already exists")
    call.logs.create_stream(group, name)


def _delete_stream(call: Call) -> None:
    group = call.group()
    call.logs.delete_stream(group, call.stream(group))


def _describe_streams(call: Call) -> Members:
    group, prefix = call.group(), call.body.get("logStreamNamePrefix") or ""
    by_time = call.body.get("orderBy") == "LastEventTime"
    if by_time and prefix:
        raise invalid("Cannot order by LastEventTime with a logStreamNamePrefix.")
    seen: dict[str, list[LogEvent]] = {name: [] for name in group.streams}
    for event in call.kept(group):
        seen.setdefault(event.stream, []).append(event)
    told = [_tell_stream(call, group, name, events=events) for name, events in seen.items() if name.startswith(prefix)]

    def key_of(stream: Members) -> str:
        name = str(stream["logStreamName"])
        return f"{stream.get('lastEventTimestamp', 0):020d}{name}" if by_time else name

    told.sort(key=key_of, reverse=bool(call.body.get("descending")))
    start = _offset(call.body.get("nextToken"))
    most = call.body.get("limit") or 50
    page = told[start : start + most]
    more = {"nextToken": str(start + most)} if start + most < len(told) else {}
    return {"logStreams": page, **more}


def _tell_stream(call: Call, group: LogGroup, name: str, *, events: Sequence[LogEvent]) -> Members:
    told: Members = {
        "logStreamName": name,
        "creationTime": group.streams.get(name, group.created_ms),
        "arn": f"{call.arn(group)}:log-stream:{name}",
        "storedBytes": 0,  # as AWS tells of every stream since 2019
    }
    if events:
        times = [event.timestamp_ms for event in events]
        told |= {"firstEventTimestamp": min(times), "lastEventTimestamp": max(times)}
        told |= {"lastIngestionTime": events[-1].ingested_ms, "uploadSequenceToken": f"{events[-1].number:056d}"}
    return told


def _put_events(call: Call) -> Members:
    group = call.group()
    stream = call.stream(group)
    events: list[tuple[int, str]] = [(event["timestamp"], event["message"]) for event in call.body["logEvents"]]
    _check_batch(events)
    oldest = call.now_ms - OLDEST_MS
    expired = call.now_ms - group.retention_days * DAY_MS if group.retention_days else 0
    taken = 0
    rejected: Members = {}
    for index, (stamp, message) in enumerate(events):
        if stamp > call.now_ms + AHEAD_MS:
            rejected.setdefault("tooNewLogEventStartIndex", index)
        elif stamp < expired:
            rejected["expiredLogEventEndIndex"] = index + 1
        elif stamp < oldest:
            rejected["tooOldLogEventEndIndex"] = index + 1
        else:
            call.logs.append(group.name, stream, message, timestamp_ms=stamp)
            taken += 1
    told: Members = {"nextSequenceToken": f"{group.written:056d}"}
    return told | ({"rejectedLogEventsInfo": rejected} if rejected else {})


def _check_batch(events: list[tuple[int, str]]) -> None:
    sizes = [len(message.encode()) for _, message in events]
    if sum(sizes) + EVENT_BYTES * len(events) > MAX_BATCH_BYTES:
        size = sum(sizes) + EVENT_BYTES * len(events)
        raise invalid(f"Upload too large: {size} bytes exceeds limit of {MAX_BATCH_BYTES}")
    times = [stamp for stamp, _ in events]
    if times != sorted(times):
        raise invalid("Log events in a single PutLogEvents request must be in chronological order.")
    if times[-1] - times[0] > DAY_MS:
        raise invalid("The batch of log events in a single PutLogEvents request cannot span more than 24 hours.")


def _get_events(call: Call) -> Members:
    group = call.group()
    stream = call.stream(group)
    low, high = call.body.get("startTime") or 0, call.body.get("endTime")
    events = [
        event
        for event in call.kept(group)
        if event.stream == stream and event.timestamp_ms >= low and (high is None or event.timestamp_ms < high)
    ]
    most = call.body.get("limit") or MAX_PAGE
    page, back, forth = cut_events(
        events, token=call.body.get("nextToken"), most=most, from_head=bool(call.body.get("startFromHead"))
    )
    told = [{"timestamp": e.timestamp_ms, "message": e.message, "ingestionTime": e.ingested_ms} for e in page]
    return {"events": told, "nextBackwardToken": back, "nextForwardToken": forth}


def _filter_events(call: Call) -> Members:
    group, test = call.group(), parse_pattern(str(call.body.get("filterPattern") or ""))
    names, prefix = call.body.get("logStreamNames"), call.body.get("logStreamNamePrefix") or ""
    if names and prefix:
        raise invalid("Only one of logStreamNamePrefix or logStreamNames may be specified.")
    if names and any(name not in group.streams for name in names):
        raise stream_missing()
    low, high = call.body.get("startTime") or 0, call.body.get("endTime")
    after = read_cursor(call.body["nextToken"]) if call.body.get("nextToken") else Cursor(0, 0)
    found = sorted(
        (
            event
            for event in call.kept(group)
            if low <= event.timestamp_ms
            and (high is None or event.timestamp_ms <= high)
            and (event.stream in names if names else event.stream.startswith(prefix))
            and Cursor.of(event) > after
        ),
        key=Cursor.of,
    )
    try:
        with limit_matching():
            matching = [event for event in found if test(event.message)]
    except PatternTooSlow as error:
        raise invalid(f"Invalid filter pattern: {error}") from error
    page = matching[: call.body.get("limit") or MAX_PAGE]
    more = {"nextToken": Cursor.of(page[-1]).token()} if len(page) < len(matching) else {}
    return {"events": [_tell_found(event) for event in page], "searchedLogStreams": [], **more}


def _tell_found(event: LogEvent) -> Members:
    return {
        "logStreamName": event.stream,
        "timestamp": event.timestamp_ms,
        "message": event.message,
        "ingestionTime": event.ingested_ms,
        "eventId": Cursor.of(event).token(),
    }


def _put_retention(call: Call) -> None:
    days = call.body["retentionInDays"]
    if days not in RETENTION_DAYS:
        listed = ", ".join(map(str, RETENTION_DAYS))
        raise invalid(
            f"1 validation error detected: Value '{days}' at 'retentionInDays' failed to satisfy constraint: "
            f"Member must satisfy enum value set: [{listed}]"
        )
    call.group().retention_days = days


def _delete_retention(call: Call) -> None:
    call.group().retention_days = None


def _tag(call: Call) -> None:
    group = call.group()
    tags = {**group.tags, **_checked(call.body["tags"])}
    if len(tags) > MAX_TAGS:
        raise LogsError("TooManyTagsException", f"A resource has at most {MAX_TAGS} tags.")
    group.tags.update(tags)


def _untag(call: Call) -> None:
    group = call.group()
    for key in call.body.get("tagKeys") or call.body.get("tags") or ():
        group.tags.pop(key, None)


def _list_tags(call: Call) -> Members:
    return {"tags": call.group().tags}


def _checked(tags: Mapping[str, str]) -> Mapping[str, str]:
    for key in tags:
        if re.match("aws:", key, re.IGNORECASE):
            raise invalid("aws: prefixed tag key names are not allowed for external use.")
    return tags


def _page(
    call: Call, items: Sequence[LogGroup], name_of: Callable[[LogGroup], str]
) -> tuple[Sequence[LogGroup], Members]:
    try:
        page, token = cut_page(items, name_of, token=call.body.get("nextToken"), most=call.body.get("limit") or 50)
    except MalformedToken as error:
        raise invalid("The specified nextToken is invalid.") from error
    return page, {"nextToken": token} if token else {}


def _offset(token: str | None) -> int:
    if token is not None and not re.fullmatch(r"\d{1,9}", token):
        raise invalid("The specified nextToken is invalid.")
    return int(token or 0)


OPERATIONS: Final[Mapping[str, Callable[[Call], Members | None]]] = {
    "CreateLogGroup": _create_group,
    "CreateLogStream": _create_stream,
    "DeleteLogGroup": _delete_group,
    "DeleteLogStream": _delete_stream,
    "DeleteRetentionPolicy": _delete_retention,
    "DescribeLogGroups": _describe_groups,
    "DescribeLogStreams": _describe_streams,
    "FilterLogEvents": _filter_events,
    "GetLogEvents": _get_events,
    "ListTagsForResource": _list_tags,
    "ListTagsLogGroup": _list_tags,
    "PutLogEvents": _put_events,
    "PutRetentionPolicy": _put_retention,
    "TagLogGroup": _tag,
    "TagResource": _tag,
    "UntagLogGroup": _untag,
    "UntagResource": _untag,
}
