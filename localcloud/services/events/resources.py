"""CloudFormation's EventBridge resources over the model: buses, rules with their targets, policies of buses.

Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/AWS_Events.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from localcloud.services.events.bus import Bus
from localcloud.services.events.errors import EventsError
from localcloud.services.events.model import DEFAULT, Buses
from localcloud.services.events.operations import read_settings
from localcloud.services.events.requests import REQUESTS
from localcloud.services.events.shapes import check_request
from localcloud.template.handler import Physical, RefusedHandler, Resource, Support, Supported
from localcloud.template.properties import Properties, json_text, read_properties

__all__ = ["EventBusHandler", "EventBusPolicyHandler", "RuleHandler", "refused_handlers"]

MAX_RULE_NAME_CHARS: Final = 64
_SERVED: Final = Supported()
_NOT_HERE: Final = {
    "AWS::Events::ApiDestination": "API destinations are not served here",
    "AWS::Events::Connection": "connections of API destinations are not served here",
    "AWS::Events::Endpoint": "global endpoints of event buses are not served here",
}


def _refused(reason: str) -> Supported:
    return Supported(Support.REFUSED, reason)


class EventBusHandler:
    """`AWS::Events::EventBus`. Ref is the name; attributes Arn, Name, Policy."""

    type: str = "AWS::Events::EventBus"
    support: Supported = Supported()
    properties: Mapping[str, Supported] = {
        "DeadLetterConfig": Supported(Support.PARTIAL, "recorded; nothing is encrypted here that could not be read"),
        "Description": _SERVED,
        "EventSourceName": _refused("partner event sources are not served here"),
        "KmsKeyIdentifier": _refused("customer managed keys of event buses are not served here"),
        "LogConfig": _refused("logs of event buses are not served here"),
        "Name": _SERVED,
        "Policy": _SERVED,
        "Tags": _SERVED,
    }

    def __init__(self, buses: Buses) -> None:
        self._buses = buses

    async def create(self, resource: Resource) -> Physical:
        """Make the bus. Raises TemplateError for what CreateEventBus would refuse."""
        read = read_properties(resource)
        given: dict[str, Any] = {"Name": read.text("Name"), "Tags": _tags(read)}
        if "Description" in read:
            given["Description"] = read.text("Description")
        region = resource.context.region
        try:
            check_request(REQUESTS["CreateEventBus"], given)
            bus = self._buses.create(
                given["Name"],
                region,
                description=given.get("Description", ""),
                dead_letter_arn=read.nested("DeadLetterConfig").text("Arn", ""),
                tags=read.tags(),
            )
            if "Policy" in read:
                bus.policy.replace(json_text(read.values["Policy"]))
        except EventsError as error:
            raise read.error("", error.message) from error
        return Physical(bus.name, {"Arn": bus.arn, "Name": bus.name, "Policy": bus.policy.text})

    async def delete(self, resource: Resource, physical: Physical) -> None:
        """Delete the bus with what archives and rules are still on it."""
        bus = self._buses.find(str(physical.attributes["Arn"]))
        if bus is None:
            return
        for archive in self._buses.archives.list(bus.region, bus_arn=bus.arn):
            self._buses.archives.delete(archive)
        for rule in bus.rules:
            self._buses.remove_targets(bus, rule.settings.name, tuple(rule.targets))
            self._buses.delete_rule(bus, rule.settings.name)
        self._buses.delete(bus.name, resource.context.region)


class RuleHandler:
    """`AWS::Events::Rule`. Ref is the name, on a bus of one's own `bus|name`; attribute Arn."""

    type: str = "AWS::Events::Rule"
    support: Supported = Supported()
    properties: Mapping[str, Supported] = {
        **dict.fromkeys(
            (
                "Targets.AppSyncParameters", "Targets.BatchParameters", "Targets.EcsParameters",
                "Targets.HttpParameters", "Targets.RedshiftDataParameters", "Targets.RunCommandParameters",
                "Targets.SageMakerPipelineParameters",
            ),
            _refused("targets of this service are not served here"),
        ),
        "Description": _SERVED,
        "EventBusName": _SERVED,
        "EventPattern": _SERVED,
        "Name": _SERVED,
        "RoleArn": Supported(Support.PARTIAL, "recorded; the role of a target is the target's own"),
        "ScheduleExpression": _SERVED,
        "State": Supported(reason="there are no events of CloudTrail here", values=("ENABLED", "DISABLED")),
        "Tags": _SERVED,
        "Targets.Arn": Supported(reason="queues, functions, topics, streams, event buses and state machines"),
        "Targets.DeadLetterConfig": _SERVED,
        "Targets.Id": _SERVED,
        "Targets.Input": _SERVED,
        "Targets.InputPath": _SERVED,
        "Targets.InputTransformer": _SERVED,
        "Targets.KinesisParameters": _SERVED,
        "Targets.RetryPolicy": _SERVED,
        "Targets.RoleArn": _SERVED,
        "Targets.SqsParameters": _SERVED,
    }  # fmt: skip

    def __init__(self, buses: Buses) -> None:
        self._buses = buses

    async def create(self, resource: Resource) -> Physical:
        """Make the rule and its targets, or neither. Raises TemplateError for what PutRule or PutTargets refuses."""
        read, region = read_properties(resource), resource.context.region
        name = read.text("Name", f"{resource.context.stack_name}-{resource.logical_id}"[:MAX_RULE_NAME_CHARS])
        given: dict[str, Any] = {"Name": name, "Tags": _tags(read), **_settings(read)}
        targets = [_target(target) for target in read.each("Targets")]
        try:
            check_request(REQUESTS["PutRule"], given)
            bus = self._buses.get(given.get("EventBusName", DEFAULT), region)
            _check_new(bus, name)
            rule = self._buses.put_rule(bus, read_settings(given))
            try:
                self._put_targets(bus.arn, name, targets, region=region)
            except EventsError:
                self._buses.delete_rule(bus, name)
                raise
        except EventsError as error:
            raise read.error("", error.message) from error
        return Physical(name if bus.name == DEFAULT else f"{bus.name}|{name}", {"Arn": rule.arn})

    async def delete(self, resource: Resource, physical: Physical) -> None:
        """Delete the rule and its targets, where it is still there."""
        bus_name, _, name = physical.ref.rpartition("|")
        try:
            bus = self._buses.get(bus_name or DEFAULT, resource.context.region)
        except EventsError:
            return
        rule = bus.find(name)
        if rule is not None:
            self._buses.remove_targets(bus, name, tuple(rule.targets))
            self._buses.delete_rule(bus, name)

    def _put_targets(self, bus_arn: str, rule: str, targets: list[dict[str, Any]], *, region: str) -> None:
        if targets:
            check_request(REQUESTS["PutTargets"], {"Rule": rule, "EventBusName": bus_arn, "Targets": targets})
            self._buses.put_targets(self._buses.get(bus_arn, region), rule, targets)


class EventBusPolicyHandler:
    """`AWS::Events::EventBusPolicy`: one statement of a bus's policy. Ref is its id."""

    type: str = "AWS::Events::EventBusPolicy"
    support: Supported = Supported()
    properties: Mapping[str, Supported] = dict.fromkeys(
        ("Action", "Condition", "EventBusName", "Principal", "Statement", "StatementId"), _SERVED
    )

    def __init__(self, buses: Buses) -> None:
        self._buses = buses

    async def create(self, resource: Resource) -> Physical:
        """Add the statement. Raises TemplateError where there is no such bus, or the statement makes no sense."""
        read = read_properties(resource)
        statement_id = read.text("StatementId")
        try:
            bus = self._buses.get(read.text("EventBusName", DEFAULT), resource.context.region)
            if "Statement" in read:
                statement = {**json.loads(json_text(read.mapping("Statement"))), "Sid": statement_id}
                bus.policy.add(statement)
            else:
                given = _permission(read)
                check_request(REQUESTS["PutPermission"], given)
                bus.policy.grant(given)
        except EventsError as error:
            raise read.error("", error.message) from error
        return Physical(statement_id)

    async def delete(self, resource: Resource, physical: Physical) -> None:
        """Take the statement away, where bus and statement are still there."""
        name = read_properties(resource).text("EventBusName", DEFAULT)
        bus = self._buses.find(self._buses.arn_of(name, resource.context.region))
        if bus is not None and physical.ref in bus.policy.statement_ids:
            bus.policy.revoke(physical.ref)


def refused_handlers() -> tuple[RefusedHandler, ...]:
    """A handler for each type of EventBridge's that is not here."""
    return tuple(RefusedHandler(name, reason) for name, reason in _NOT_HERE.items())


def _check_new(bus: Bus, name: str) -> None:
    """PutRule would replace the rule that is there; CloudFormation does not."""
    if bus.find(name) is not None:
        raise EventsError("AlreadyExists", f"Rule {name} already exists.")


def _settings(read: Properties) -> dict[str, Any]:
    names = ("Description", "EventBusName", "RoleArn", "ScheduleExpression", "State")
    found: dict[str, Any] = {name: read.text(name) for name in names if name in read}
    if "EventPattern" in read:
        found["EventPattern"] = json_text(read.values["EventPattern"])
    return found


def _target(read: Properties) -> dict[str, Any]:
    """A target as PutTargets has it: its numbers are numbers, the rest is text."""
    found: dict[str, Any] = {
        name: read.text(name) for name in ("Id", "Arn", "RoleArn", "Input", "InputPath") if name in read
    }
    transformer = read.nested("InputTransformer")
    if "InputTransformer" in read:
        found["InputTransformer"] = {
            "InputPathsMap": transformer.text_map("InputPathsMap"),
            "InputTemplate": transformer.text("InputTemplate"),
        }
    for block, member in (
        ("KinesisParameters", "PartitionKeyPath"),
        ("SqsParameters", "MessageGroupId"),
        ("DeadLetterConfig", "Arn"),
    ):
        if block in read:
            nested = read.nested(block)
            found[block] = {member: nested.text(member)} if member in nested else {}
    if "RetryPolicy" in read:
        policy = read.nested("RetryPolicy")
        found["RetryPolicy"] = {
            name: policy.integer(name)
            for name in ("MaximumRetryAttempts", "MaximumEventAgeInSeconds")
            if name in policy
        }
    return found


def _permission(read: Properties) -> dict[str, Any]:
    found: dict[str, Any] = {name: read.text(name) for name in ("Action", "Principal", "StatementId") if name in read}
    if "Condition" in read:
        condition = read.nested("Condition")
        found["Condition"] = {name: condition.text(name) for name in ("Type", "Key", "Value") if name in condition}
    return found


def _tags(read: Properties) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in read.tags().items()]
