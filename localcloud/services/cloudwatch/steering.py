"""The operations that make, change and delete alarms, and set their state or their tags, as the wire asks for them.

Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_Operations.html
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from localcloud.services.cloudwatch.alarm import Alarm
from localcloud.services.cloudwatch.alarms import Alarms
from localcloud.services.cloudwatch.errors import CloudWatchError, bad_value, missing, no_such_alarm, validation
from localcloud.services.cloudwatch.members import Members
from localcloud.services.cloudwatch.putting import (
    MAX_TAGS,
    read_alarm_name,
    read_composite_alarm,
    read_metric_alarm,
    read_tags,
)
from localcloud.services.cloudwatch.watch import STATES, State

__all__ = ["STEERING"]

MAX_NAMES: Final = 100  # API_DeleteAlarms.html, API_EnableAlarmActions.html
MAX_REASON: Final = 1023  # API_SetAlarmState.html, as the next
MAX_REASON_DATA: Final = 4000

_STATES: Final[Mapping[str, State]] = {state: state for state in STATES}

_Operation = Callable[[Alarms, Members, str], "Mapping[str, Any] | None"]


def _put_metric_alarm(alarms: Alarms, request: Members, region: str) -> None:
    alarms.put(read_metric_alarm(request, region))


def _put_composite_alarm(alarms: Alarms, request: Members, region: str) -> None:
    alarms.put(read_composite_alarm(request, region))


def _delete_alarms(alarms: Alarms, request: Members, region: str) -> None:
    alarms.delete(_read_names(request), region)


def _enable_alarm_actions(alarms: Alarms, request: Members, region: str) -> None:
    alarms.enable(_read_names(request), region, enabled=True)


def _disable_alarm_actions(alarms: Alarms, request: Members, region: str) -> None:
    alarms.enable(_read_names(request), region, enabled=False)


def _set_alarm_state(alarms: Alarms, request: Members, region: str) -> None:
    request.only("AlarmName", "StateValue", "StateReason", "StateReasonData").need("StateValue", "StateReason")
    name, wanted = read_alarm_name(request), request.choice("StateValue", STATES)
    value = _STATES[wanted or ""]
    reason = request.free_text("StateReason", most=MAX_REASON)
    data = request.free_text("StateReasonData", most=MAX_REASON_DATA) if "StateReasonData" in request else ""
    if data:
        try:
            json.loads(data)
        except (ValueError, RecursionError) as error:
            raise CloudWatchError("InvalidFormat", "StateReasonData is not valid JSON") from error
    alarm = alarms.find(name, region)
    if alarm is None or name.startswith("arn:"):
        raise no_such_alarm()
    alarms.change(alarm, value, reason=reason, data=data)


def _list_tags(alarms: Alarms, request: Members, region: str) -> Mapping[str, Any]:
    alarm = _read_resource(alarms, request.only("ResourceARN"), region)
    return {"Tags": [{"Key": key, "Value": value} for key, value in alarm.tags.items()]}


def _tag(alarms: Alarms, request: Members, region: str) -> Mapping[str, Any]:
    alarm = _read_resource(alarms, request.only("ResourceARN", "Tags").need("Tags"), region)
    merged = alarm.tags | read_tags(request)
    if len(merged) > MAX_TAGS:
        raise validation(f"The collection Tags must not have a size greater than {MAX_TAGS}.")
    alarm.tags = merged
    return {}


def _untag(alarms: Alarms, request: Members, region: str) -> Mapping[str, Any]:
    alarm = _read_resource(alarms, request.only("ResourceARN", "TagKeys").need("TagKeys"), region)
    gone = request.texts("TagKeys")
    alarm.tags = {key: value for key, value in alarm.tags.items() if key not in gone}
    return {}


STEERING: Final[Mapping[str, _Operation]] = {
    "DeleteAlarms": _delete_alarms,
    "DisableAlarmActions": _disable_alarm_actions,
    "EnableAlarmActions": _enable_alarm_actions,
    "ListTagsForResource": _list_tags,
    "PutCompositeAlarm": _put_composite_alarm,
    "PutMetricAlarm": _put_metric_alarm,
    "SetAlarmState": _set_alarm_state,
    "TagResource": _tag,
    "UntagResource": _untag,
}


def _read_names(request: Members) -> list[str]:
    names = request.only("AlarmNames").texts("AlarmNames")
    if not names:
        raise missing("AlarmNames")
    if len(names) > MAX_NAMES:
        raise validation(f"The collection AlarmNames must not have a size greater than {MAX_NAMES}.")
    return [name for name in names if not name.startswith("arn:")]


def _read_resource(alarms: Alarms, request: Members, region: str) -> Alarm:
    arn = request.need("ResourceARN").text("ResourceARN", most=1024) or ""
    if arn.split(":")[2:3] != ["cloudwatch"] or ":alarm:" not in arn:
        raise bad_value(f"The value {arn} for parameter ResourceARN is invalid.")
    alarm = alarms.find(arn, region) if arn.split(":")[3] == region else None
    if alarm is None:
        raise CloudWatchError("ResourceNotFoundException", f"Unknown resource {arn}", status=404)
    return alarm
