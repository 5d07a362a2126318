"""What alarms tell others: notices to SNS, payloads of functions, events of EventBridge, entries of their history.

Owns their shapes and words; carries nothing anywhere. Pure.
Sources: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Notify_Users_Alarm_Changes.html,
alarms-and-actions-Lambda.html and cloudwatch-and-eventbridge.html there
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from localcloud.services.cloudwatch.alarm import ACTIONS, AlarmState, Definition
from localcloud.services.cloudwatch.reasons import write_date
from localcloud.services.cloudwatch.sought import describe_sought
from localcloud.services.cloudwatch.watch import Watch, read_percent
from localcloud.services.contract import ACCOUNT_ID

__all__ = [
    "Change",
    "SnsNotice",
    "configuration_detail",
    "describe_configuration",
    "lambda_payload",
    "sns_notice",
    "state_detail",
]

MAX_SUBJECT: Final = 100  # API_Publish.html of SNS
_REGIONS: Final = {  # their names in notices, as the Regions page of the AWS General Reference has them
    "af-south-1": "Africa (Cape Town)",
    "ap-east-1": "Asia Pacific (Hong Kong)",
    "ap-northeast-1": "Asia Pacific (Tokyo)",
    "ap-northeast-2": "Asia Pacific (Seoul)",
    "ap-northeast-3": "Asia Pacific (Osaka)",
    "ap-south-1": "Asia Pacific (Mumbai)",
    "ap-southeast-1": "Asia Pacific (Singapore)",
    "ap-southeast-2": "Asia Pacific (Sydney)",
    "ca-central-1": "Canada (Central)",
    "eu-central-1": "EU (Frankfurt)",
    "eu-north-1": "EU (Stockholm)",
    "eu-south-1": "EU (Milan)",
    "eu-west-1": "EU (Ireland)",
    "eu-west-2": "EU (London)",
    "eu-west-3": "EU (Paris)",
    "sa-east-1": "South America (Sao Paulo)",
    "us-east-1": "US East (N. Virginia)",
    "us-east-2": "US East (Ohio)",
    "us-west-1": "US West (N. California)",
    "us-west-2": "US West (Oregon)",
}
_STATISTICS: Final = {
    "SampleCount": "SAMPLE_COUNT", "Average": "AVERAGE", "Sum": "SUM", "Minimum": "MINIMUM", "Maximum": "MAXIMUM",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Change:
    """An alarm that came from one state into another. `configured_s`: when it was put, in epoch seconds."""

    definition: Definition
    old: AlarmState
    new: AlarmState
    configured_s: float


@dataclass(frozen=True, slots=True)
class SnsNotice:
    """What is published. The group is for FIFO topics."""

    subject: str
    message: str
    group_id: str
    deduplication_id: str


def sns_notice(change: Change) -> SnsNotice:
    """The publication of a change."""
    definition, new = change.definition, change.new
    region = _REGIONS.get(definition.region, definition.region)
    message: dict[str, Any] = {
        "AlarmName": definition.name,
        "AlarmDescription": definition.description,
        "AWSAccountId": ACCOUNT_ID,
        "AlarmConfigurationUpdatedTimestamp": write_date(change.configured_s),
        "NewStateValue": new.value,
        "NewStateReason": new.reason,
        "StateChangeTime": write_date(new.updated_s),
        "Region": region,
        "AlarmArn": definition.arn,
        "OldStateValue": change.old.value,
        **_actions(definition),
    }
    if definition.watch is not None:
        message["Trigger"] = _trigger(definition.watch)
    elif definition.rule is not None:
        del message["AlarmConfigurationUpdatedTimestamp"]
        message |= {"AlarmRule": definition.rule.text, "TriggeringChildren": _children(new)}
    room = MAX_SUBJECT - len(f'{new.value}: "" in {region}')
    name = definition.name if len(definition.name) <= room else f"{definition.name[: room - 3]}..."
    subject = "".join(character if " " <= character <= "~" else "?" for character in name)
    group = hashlib.sha256(definition.arn.encode()).hexdigest()
    once = hashlib.sha256(f"{definition.arn} {new.updated_s}".encode()).hexdigest()
    return SnsNotice(f'{new.value}: "{subject}" in {region}', _json(message), group, once)


def lambda_payload(change: Change) -> bytes:
    """The event of a function that an alarm invokes."""
    definition, new = change.definition, change.new
    payload = {
        "source": "aws.cloudwatch",
        "alarmArn": definition.arn,
        "accountId": ACCOUNT_ID,
        "time": write_date(new.updated_s),
        "region": definition.region,
        "alarmData": state_detail(change),
    }
    return _json(payload).encode()


def state_detail(change: Change) -> dict[str, Any]:
    """The detail of `CloudWatch Alarm State Change`."""
    return {
        "alarmName": change.definition.name,
        "state": _state(change.new),
        "previousState": _state(change.old),
        "configuration": _watched(change.definition),
    }


def configuration_detail(
    operation: str, definition: Definition, state: AlarmState, *, at_s: float, before: Definition | None = None
) -> dict[str, Any]:
    """The detail of `CloudWatch Alarm Configuration Change`; `operation`: create, update or delete."""
    told: dict[str, Any] = {
        "alarmName": definition.name,
        "operation": operation,
        "state": {"value": state.value, "timestamp": write_date(state.updated_s)},
        "configuration": describe_configuration(definition, at_s),
    }
    if before is not None:
        told["previousConfiguration"] = describe_configuration(before, at_s)
    return told


def describe_configuration(definition: Definition, at_s: float) -> dict[str, Any]:
    """A whole definition as events tell it."""
    watch = definition.watch
    told: dict[str, Any] = {}
    if watch is not None:
        told = {
            "evaluationPeriods": watch.evaluation_periods,
            "threshold": watch.threshold,
            "comparisonOperator": watch.comparison,
            "treatMissingData": watch.missing,
        }
        if watch.datapoints_to_alarm is not None:
            told["datapointsToAlarm"] = watch.datapoints_to_alarm
        if watch.low_samples:
            told["evaluateLowSampleCountPercentile"] = watch.low_samples
    told |= _watched(definition)
    told |= {
        "alarmName": definition.name,
        "actionsEnabled": definition.actions_enabled,
        "timestamp": write_date(at_s),
        **{name[0].lower() + name[1:] if name != "OKActions" else "okActions": actions
           for name, actions in _actions(definition).items()},
    }  # fmt: skip
    return told


def _watched(definition: Definition) -> dict[str, Any]:
    told: dict[str, Any] = {}
    if definition.description is not None:
        told["description"] = definition.description
    watch = definition.watch
    if watch is not None and watch.queries:
        told["metrics"] = [_lower(describe_sought(query)) for query in watch.queries]
    elif watch is not None:
        metric = {
            "namespace": watch.metric.namespace,
            "name": watch.metric.name,
            "dimensions": dict(watch.metric.dimensions),
        }
        stat = {"metric": metric, "period": watch.period_s, "stat": watch.statistic}
        stat |= {} if watch.unit is None else {"unit": watch.unit}
        query_id = str(uuid.uuid5(uuid.NAMESPACE_URL, definition.arn))
        told["metrics"] = [{"id": query_id, "metricStat": stat, "returnData": True}]
    if definition.rule is not None:
        told["alarmRule"] = definition.rule.text
    if definition.suppressor is not None:
        told["actionsSuppressor"] = definition.suppressor.alarm
        told["actionsSuppressorWaitPeriod"] = definition.suppressor.wait_s
        told["actionsSuppressorExtensionPeriod"] = definition.suppressor.extension_s
    return told


def _state(state: AlarmState) -> dict[str, str]:
    told = {"value": state.value, "reason": state.reason}
    if state.reason_data:
        told["reasonData"] = state.reason_data
    told["timestamp"] = write_date(state.updated_s)
    if state.suppressed_by:
        told |= {"actionsSuppressedBy": state.suppressed_by, "actionsSuppressedReason": state.suppressed_reason}
    return told


def _actions(definition: Definition) -> dict[str, list[str]]:
    return {name: list(definition.actions.get(state, ())) for state, name in ACTIONS.items()}


def _lower(query: dict[str, Any]) -> dict[str, Any]:
    """A query in the names of events; dimensions are a map there."""
    told = {name[0].lower() + name[1:]: value for name, value in query.items()}
    if "metricStat" in told:
        stat = told["metricStat"]
        metric = stat["Metric"]
        told["metricStat"] = {
            "metric": {
                "namespace": metric["Namespace"],
                "name": metric["MetricName"],
                "dimensions": {each["Name"]: each["Value"] for each in metric["Dimensions"]},
            },
            "period": stat["Period"],
            "stat": stat["Stat"],
            **({"unit": stat["Unit"]} if "Unit" in stat else {}),
        }
    return told


def _trigger(watch: Watch) -> dict[str, Any]:
    rule = {
        "Period": watch.period_s,
        "EvaluationPeriods": watch.evaluation_periods,
        "DatapointsToAlarm": watch.needed,
        "ComparisonOperator": watch.comparison,
        "Threshold": watch.threshold,
        "TreatMissingData": watch.missing,
        "EvaluateLowSampleCountPercentile": watch.low_samples,
    }
    if watch.queries:
        return {**rule, "Metrics": [describe_sought(query) for query in watch.queries]}
    percent = read_percent(watch.statistic)
    kind = "Statistic" if percent is None else "ExtendedStatistic"
    return {
        "MetricName": watch.metric.name,
        "Namespace": watch.metric.namespace,
        "StatisticType": kind,
        kind: _STATISTICS.get(watch.statistic, watch.statistic),
        "Unit": watch.unit,
        "Dimensions": [{"value": value, "name": name} for name, value in watch.metric.dimensions],
        **rule,
    }


def _children(state: AlarmState) -> list[dict[str, Any]]:
    """The alarms of a composite's StateReasonData, in the notice's names; none where a person gave the data."""
    try:
        told: Any = json.loads(state.reason_data)
        found = told["triggeringAlarms"]
        return [
            {"Arn": each["arn"], "State": {"Value": each["state"]["value"], "Timestamp": each["state"]["timestamp"]}}
            for each in found
        ]
    except (ValueError, TypeError, KeyError):
        return []


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
