"""The actions of EventBridge over the model: a request of the right shape in, a result as on the wire out.

Source: https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_Operations.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, TypeVar

from localcloud.json_text import MalformedJson
from localcloud.services.contract import ACCOUNT_ID
from localcloud.services.events.bus import Bus, Rule, RuleSettings
from localcloud.services.events.envelope import Entry, RefusedEntry
from localcloud.services.events.errors import not_served, validation
from localcloud.services.events.event_patterns import compile_pattern
from localcloud.services.events.json_values import decode
from localcloud.services.events.model import DEFAULT, Buses, PutEntry
from localcloud.services.pages import MalformedToken, cut_page
from localcloud.traces.header import without_lineage
from sluiceway.errors import Rejected

__all__ = ["ACTIONS", "Call", "Result", "cut_list", "read_settings"]

Result: TypeAlias = dict[str, Any]
T = TypeVar("T")

MAX_LISTED: Final = 100  # Limit of every list
_MANDATORY: Final = ("id", "account", "source", "time", "region", "detail-type")
"""Of the Event of TestEventPattern. The reference has `resources` too, which AWS does without."""


@dataclass(frozen=True, slots=True)
class Call:
    """One action: what it works on. `trace` is the request's X-Amzn-Trace-Id ("" for none)."""

    buses: Buses
    region: str
    values: Mapping[str, Any]
    trace: str = ""

    def bus(self, member: str = "EventBusName") -> Bus:
        """The bus that a member names, the default one where it is absent. Raises EventsError."""
        return self.buses.get(self.values.get(member, DEFAULT), self.region)

    def text(self, member: str) -> str:
        """A text, "" where it is absent."""
        return self.values.get(member, "")


# ---------------------------------------------------------------------- buses


def _create_event_bus(call: Call) -> Result:
    _refuse_settings(call.values)
    if "EventSourceName" in call.values:
        raise not_served("Partner event sources are")
    bus = call.buses.create(
        call.values["Name"],
        call.region,
        description=call.text("Description"),
        dead_letter_arn=call.values.get("DeadLetterConfig", {}).get("Arn", ""),
        tags=_read_tags(call.values.get("Tags", [])),
    )
    return {"EventBusArn": bus.arn, **_describe_settings(bus)}


def _update_event_bus(call: Call) -> Result:
    _refuse_settings(call.values)
    bus = call.bus("Name")
    dead_letters = call.values.get("DeadLetterConfig")
    call.buses.update(
        bus,
        description=call.values.get("Description"),
        dead_letter_arn=None if dead_letters is None else dead_letters.get("Arn", ""),
    )
    return {"Arn": bus.arn, "Name": bus.name, **_describe_settings(bus)}


def _delete_event_bus(call: Call) -> Result:
    call.buses.delete(call.values["Name"], call.region)
    return {}


def _describe_event_bus(call: Call) -> Result:
    bus = call.bus("Name")
    return {**_list_bus(bus), **_describe_settings(bus)}


def _list_event_buses(call: Call) -> Result:
    buses = call.buses.list(call.region, prefix=call.text("NamePrefix"))
    page, more = cut_list(call, buses, lambda bus: bus.name)
    return {"EventBuses": [_list_bus(bus) for bus in page], **more}


def _put_permission(call: Call) -> Result:
    bus = call.bus()
    if "Policy" in call.values:
        beside = [name for name in ("Action", "Principal", "StatementId", "Condition") if name in call.values]
        if beside:
            raise validation(f"Parameter Policy is not valid. Reason: {beside[0]} must not be specified beside it.")
        bus.policy.replace(call.values["Policy"])
    else:
        bus.policy.grant(call.values)
    return {}


def _remove_permission(call: Call) -> Result:
    bus = call.bus()
    if call.values.get("RemoveAllPermissions"):
        bus.policy.clear()
    else:
        bus.policy.revoke(call.text("StatementId"))
    return {}


def _refuse_settings(values: Mapping[str, Any]) -> None:
    if values.get("KmsKeyIdentifier"):
        raise not_served("Customer managed keys of event buses are")
    if values.get("LogConfig", {}).get("Level", "OFF") != "OFF":
        raise not_served("Logs of event buses are")


def _list_bus(bus: Bus) -> Result:
    found: Result = {
        "Name": bus.name,
        "Arn": bus.arn,
        "CreationTime": bus.created_s,
        "LastModifiedTime": bus.modified_s,
    }
    if bus.description:
        found["Description"] = bus.description
    if bus.policy.text:
        found["Policy"] = bus.policy.text
    return found


def _describe_settings(bus: Bus) -> Result:
    found: Result = {"Description": bus.description} if bus.description else {}
    if bus.dead_letter_arn:
        found["DeadLetterConfig"] = {"Arn": bus.dead_letter_arn}
    return found


# ---------------------------------------------------------------------- rules


def read_settings(values: Mapping[str, Any]) -> RuleSettings:
    """What PutRule says. Raises EventsError for what is not served."""
    state = values.get("State", "ENABLED")
    if state == "ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS":
        raise not_served(f"Events of CloudTrail, which the state {state} is about, are")
    return RuleSettings(
        name=values["Name"],
        pattern=values.get("EventPattern", ""),
        schedule=values.get("ScheduleExpression", ""),
        enabled=state == "ENABLED",
        description=values.get("Description", ""),
        role_arn=values.get("RoleArn", ""),
        tags=_read_tags(values.get("Tags", [])),
    )


def _put_rule(call: Call) -> Result:
    return {"RuleArn": call.buses.put_rule(call.bus(), read_settings(call.values)).arn}


def _delete_rule(call: Call) -> Result:
    _refuse_force(call, call.values["Name"])
    call.buses.delete_rule(call.bus(), call.values["Name"])
    return {}


def _describe_rule(call: Call) -> Result:
    return {**_list_rule(call.bus().get(call.values["Name"])), "CreatedBy": ACCOUNT_ID}


def _enable_rule(call: Call) -> Result:
    call.buses.enable_rule(call.bus(), call.values["Name"], enabled=True)
    return {}


def _disable_rule(call: Call) -> Result:
    call.buses.enable_rule(call.bus(), call.values["Name"], enabled=False)
    return {}


def _list_rules(call: Call) -> Result:
    prefix = call.text("NamePrefix")
    rules = [rule for rule in call.bus().rules if rule.settings.name.startswith(prefix)]
    page, more = cut_list(call, rules, lambda rule: rule.settings.name)
    return {"Rules": [_list_rule(rule) for rule in page], **more}


def _list_rule_names_by_target(call: Call) -> Result:
    wanted = call.values["TargetArn"]
    rules = [rule for rule in call.bus().rules if any(target.arn == wanted for target in rule.targets.values())]
    page, more = cut_list(call, rules, lambda rule: rule.settings.name)
    return {"RuleNames": [rule.settings.name for rule in page], **more}


def _refuse_force(call: Call, name: str) -> None:
    """Force is for managed rules; for others it means nothing."""
    rule = call.bus().find(name)
    if rule is not None and rule.managed is not None and call.values.get("Force"):
        raise not_served("Managed rules that are taken apart by force are")


def _list_rule(rule: Rule) -> Result:
    settings = rule.settings
    optional = {
        "ManagedBy": rule.managed.by if rule.managed is not None else "",
        "Description": settings.description,
        "EventPattern": settings.pattern,
        "RoleArn": settings.role_arn,
        "ScheduleExpression": settings.schedule,
    }
    return {
        "Name": settings.name,
        "Arn": rule.arn,
        "EventBusName": rule.bus,
        "State": "ENABLED" if rule.enabled else "DISABLED",
        **{name: value for name, value in optional.items() if value},
    }


# ---------------------------------------------------------------------- targets


def _put_targets(call: Call) -> Result:
    call.buses.put_targets(call.bus(), call.values["Rule"], call.values["Targets"])
    return {"FailedEntries": [], "FailedEntryCount": 0}


def _remove_targets(call: Call) -> Result:
    _refuse_force(call, call.values["Rule"])
    call.buses.remove_targets(call.bus(), call.values["Rule"], call.values["Ids"])
    return {"FailedEntries": [], "FailedEntryCount": 0}


def _list_targets_by_rule(call: Call) -> Result:
    targets = call.bus().get(call.values["Rule"]).targets
    page, more = cut_list(call, [targets[name] for name in sorted(targets)], lambda target: target.target_id)
    return {"Targets": [dict(target.source) for target in page], **more}


# ---------------------------------------------------------------------- events


def _put_events(call: Call) -> Result:
    if "EndpointId" in call.values:
        raise not_served("Global endpoints are")
    puts = [_read_entry(entry, call.trace) for entry in call.values["Entries"]]
    results = call.buses.put_events(call.region, puts)
    return {
        "FailedEntryCount": sum(isinstance(result, RefusedEntry) for result in results),
        "Entries": [
            {"EventId": result}
            if isinstance(result, str)
            else {"ErrorCode": result.code, "ErrorMessage": result.message}
            for result in results
        ],
    }


def _read_entry(entry: Mapping[str, Any], trace: str) -> PutEntry:
    made = Entry(
        source=entry.get("Source"),
        detail_type=entry.get("DetailType"),
        detail=entry.get("Detail"),
        resources=tuple(entry.get("Resources", ())),
        time_s=entry.get("Time"),
        trace=without_lineage(entry.get("TraceHeader", trace)),  # loops over a bus are not detected, as on AWS
    )
    return PutEntry(made, entry.get("EventBusName", DEFAULT))


def _test_event_pattern(call: Call) -> Result:
    text = call.values["Event"]
    try:
        event = decode(text)
    except MalformedJson as error:
        raise validation("Parameter Event is not valid.") from error
    if not isinstance(event, dict) or any(name not in event for name in _MANDATORY):
        raise validation("Parameter Event is not valid.")
    pattern = compile_pattern(call.values["EventPattern"])
    try:
        return {"Result": pattern.matches(text)}
    except Rejected as error:
        raise validation(f"Parameter Event is not valid. Reason: {error}") from error


# ---------------------------------------------------------------------- tags


def _list_tags_for_resource(call: Call) -> Result:
    tags = call.buses.tagged(call.values["ResourceARN"]).tags
    return {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}


def _tag_resource(call: Call) -> Result:
    call.buses.tag(call.values["ResourceARN"], _read_tags(call.values["Tags"]))
    return {}


def _untag_resource(call: Call) -> Result:
    call.buses.untag(call.values["ResourceARN"], call.values["TagKeys"])
    return {}


def _read_tags(tags: Sequence[Mapping[str, str]]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in tags}


# ---------------------------------------------------------------------- pages


def cut_list(call: Call, items: Sequence[T], name_of: Callable[[T], str]) -> tuple[Sequence[T], Result]:
    """A page of what is in the order of its names, and the token of the next."""
    try:
        page, token = cut_page(items, name_of, token=call.text("NextToken"), most=call.values.get("Limit", MAX_LISTED))
    except MalformedToken as error:
        raise validation("Parameter NextToken is not valid.") from error
    return page, {"NextToken": token} if token else {}


ACTIONS: Final[Mapping[str, Callable[[Call], Result]]] = {
    "CreateEventBus": _create_event_bus,
    "DeleteEventBus": _delete_event_bus,
    "DeleteRule": _delete_rule,
    "DescribeEventBus": _describe_event_bus,
    "DescribeRule": _describe_rule,
    "DisableRule": _disable_rule,
    "EnableRule": _enable_rule,
    "ListEventBuses": _list_event_buses,
    "ListRuleNamesByTarget": _list_rule_names_by_target,
    "ListRules": _list_rules,
    "ListTagsForResource": _list_tags_for_resource,
    "ListTargetsByRule": _list_targets_by_rule,
    "PutEvents": _put_events,
    "PutPermission": _put_permission,
    "PutRule": _put_rule,
    "PutTargets": _put_targets,
    "RemovePermission": _remove_permission,
    "RemoveTargets": _remove_targets,
    "TagResource": _tag_resource,
    "TestEventPattern": _test_event_pattern,
    "UntagResource": _untag_resource,
    "UpdateEventBus": _update_event_bus,
}
