"""EventBridge's resources of a template become buses, rules and policies of the model."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from localcloud.clock import LoopClock, run_virtual
from localcloud.services.events.archive_resources import ArchiveHandler
from localcloud.services.events.envelope import Entry
from localcloud.services.events.model import Buses, PutEntry
from localcloud.services.events.resources import (
    EventBusHandler,
    EventBusPolicyHandler,
    RuleHandler,
    refused_handlers,
)
from localcloud.template.deploy import deploy, undeploy
from localcloud.template.errors import TemplateError
from localcloud.template.handler import Resource, ResourceHandler, StackContext, Support
from localcloud.template.ledger import make_ledger
from localcloud.template.source import Source
from localcloud.template.stack import prepare_stack, stack_context
from tests.unit.events_setup import ACCOUNT, QUEUE, REGION, Port

CONTEXT = StackContext("shop", REGION, ACCOUNT, "aws", Path())
ROLE = f"arn:aws:iam::{ACCOUNT}:role/r"
STREAM = f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/s"


def resource(logical_id: str, type_name: str, **properties: Any) -> Resource:
    return Resource(logical_id, type_name, properties, CONTEXT)


def with_buses(test: Callable[[Buses], Awaitable[None]]) -> None:
    async def main() -> None:
        await test(Buses(clock=LoopClock(asyncio.get_running_loop()), rng=random.Random(1), port=Port()))

    run_virtual(main)


def test_a_bus_is_made_as_the_template_says() -> None:
    """Ref is the name; Arn, Name and Policy are attributes; it goes with what rules and archives are on it."""

    async def test(buses: Buses) -> None:
        handler = EventBusHandler(buses)
        statement = {"Effect": "Allow", "Principal": "*", "Action": "events:PutEvents", "Resource": "*"}
        policy = {"Version": "2012-10-17", "Statement": [statement]}
        given = resource(
            "Bus",
            handler.type,
            Name="orders",
            Description="d",
            Policy=policy,
            DeadLetterConfig={"Arn": QUEUE},
            Tags=[{"Key": "k", "Value": "v"}],
        )
        made = await handler.create(given)
        arn = f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/orders"
        assert made.ref == "orders"
        assert made.attributes | {"Policy": ""} == {"Arn": arn, "Name": "orders", "Policy": ""}
        assert json.loads(made.attributes["Policy"]) == policy
        bus = buses.get("orders", REGION)
        assert (bus.description, bus.dead_letter_arn, bus.tags) == ("d", QUEUE, {"k": "v"})
        rules = RuleHandler(buses)
        target = {"Id": "t", "Arn": QUEUE}
        rule = resource("R", rules.type, EventBusName="orders", EventPattern={"source": ["a"]}, Targets=[target])
        assert (await rules.create(rule)).ref == "orders|shop-R"
        await ArchiveHandler(buses).create(resource("A", ArchiveHandler.type, SourceArn=arn))
        await handler.delete(given, made)
        assert buses.find(arn) is None
        assert buses.archives.list(REGION) == []
        await handler.delete(given, made)

    with_buses(test)


def test_a_rule_is_made_with_its_targets() -> None:
    """Scalars in any spelling, the pattern as a map or as text; Ref is the name, Arn an attribute."""

    async def test(buses: Buses) -> None:
        handler = RuleHandler(buses)
        target = {
            "Id": "t",
            "Arn": STREAM,
            "RoleArn": ROLE,
            "KinesisParameters": {"PartitionKeyPath": "$.detail.user"},
            "RetryPolicy": {"MaximumRetryAttempts": "3", "MaximumEventAgeInSeconds": Decimal(120)},
            "DeadLetterConfig": {"Arn": QUEUE},
            "InputTransformer": {"InputPathsMap": {"n": "$.detail.n"}, "InputTemplate": '{"n": <n>}'},
        }
        other = {"Id": "u", "Arn": QUEUE, "SqsParameters": {"MessageGroupId": "g"}, "Input": "5"}
        given = resource(
            "Large",
            handler.type,
            Description="d",
            State="DISABLED",
            EventPattern={"detail": {"n": [{"numeric": [">", Decimal("1.5"), "<", Decimal(7)]}], "on": [True]}},
            ScheduleExpression="rate(1 minute)",
            Tags=[{"Key": "k", "Value": "v"}],
            Targets=[target, other],
        )
        made = await handler.create(given)
        assert made.ref == "shop-Large"
        assert made.attributes == {"Arn": f"arn:aws:events:{REGION}:{ACCOUNT}:rule/shop-Large"}
        rule = buses.get("default", REGION).get("shop-Large")
        assert rule.settings.pattern == '{"detail":{"n":[{"numeric":[">",1.5,"<",7]}],"on":[true]}}'
        assert (rule.enabled, rule.tags, rule.settings.schedule) == (False, {"k": "v"}, "rate(1 minute)")
        assert [(each.retry.attempts, each.retry.age_s) for each in rule.targets.values()] == [(3, 120), (185, 86_400)]
        assert rule.targets["t"].source == {
            **target,
            "RetryPolicy": {"MaximumRetryAttempts": 3, "MaximumEventAgeInSeconds": 120},
        }
        assert rule.targets["u"].group_id == "g"
        await handler.delete(given, made)
        assert buses.get("default", REGION).rules == []
        await handler.delete(given, made)

    with_buses(test)


@pytest.mark.parametrize(
    ("properties", "message"),
    [
        ({}, r"R\.Properties: Parameter\(s\) EventPattern or ScheduleExpression must be specified"),
        ({"EventPattern": {"source": "a"}}, r'R\.Properties: Event pattern is not valid.*"source" must be an object'),
        ({"EventPattern": {"source": ["a"]}, "Name": "a b"}, r"R\.Properties: 1 validation error detected"),
        ({"EventPattern": {"source": ["a"]}, "EventBusName": "none"}, r"Event bus none does not exist"),
        ({"EventPattern": {"source": ["a"]}, "State": "ON"}, r"Member must satisfy enum value set"),
        ({"ScheduleExpression": "rate(1 minutes)"}, r"Parameter ScheduleExpression is not valid"),
        ({"EventPattern": {"source": ["a"]}, "Targets": [{"Id": "t"}]}, r"Member must not be null"),
        ({"EventPattern": {"source": ["a"]}, "Targets": ["x"]}, r"R\.Properties\.Targets\[0\]: must be a map"),
        (
            {"EventPattern": {"source": ["a"]}, "Targets": [{"Id": "t", "Arn": STREAM}]},
            r"R\.Properties: RoleArn is required for target",
        ),
        (
            {"EventPattern": {"source": ["a"]}, "Targets": [{"Id": str(n), "Arn": QUEUE} for n in range(6)]},
            r"R\.Properties: The requested resource exceeds the maximum number allowed",
        ),
        ({"EventPattern": {"source": ["a"]}, "Name": "taken"}, r"R\.Properties: Rule taken already exists"),
    ],
)
def test_what_eventbridge_would_refuse_is_an_error_of_the_template(properties: dict[str, Any], message: str) -> None:
    """The error names the resource, and nothing of it is left."""

    async def test(buses: Buses) -> None:
        handler = RuleHandler(buses)
        await handler.create(resource("T", handler.type, Name="taken", EventPattern='{"source":["b"]}'))
        with pytest.raises(TemplateError, match=message):
            await handler.create(resource("R", handler.type, **properties))
        assert [rule.settings.name for rule in buses.get("default", REGION).rules] == ["taken"]

    with_buses(test)


def test_an_archive_is_made_as_the_template_says() -> None:
    """Scalars in any spelling; Ref is the name, Arn an attribute; it goes with its events, also if it is gone."""

    async def test(buses: Buses) -> None:
        handler = ArchiveHandler(buses)
        source = f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/default"
        given = resource(
            "Kept",
            handler.type,
            SourceArn=source,
            Description="d",
            EventPattern={"source": ["shop"], "detail": {"n": [Decimal("1.5")]}},
            RetentionDays="7",
        )
        made = await handler.create(given)
        assert (made.ref, made.attributes) == (
            "shop-Kept",
            {"Arn": f"arn:aws:events:{REGION}:{ACCOUNT}:archive/shop-Kept"},
        )
        archive = buses.archives.get("shop-Kept", REGION)
        assert archive.settings.pattern == '{"source":["shop"],"detail":{"n":[1.5]}}'
        assert (archive.settings.description, archive.settings.retention_days) == ("d", 7)
        buses.put_events(REGION, [PutEntry(Entry(source="shop", detail_type="t", detail='{"n":1.5}'))])
        assert archive.count == 1
        await handler.delete(given, made)
        assert buses.archives.list(REGION) == []
        assert buses.get("default", REGION).rules == []
        await handler.delete(given, made)
        named = await handler.create(resource("N", handler.type, ArchiveName="kept", SourceArn=source))
        assert (named.ref, buses.archives.get("kept", REGION).settings.retention_days) == ("kept", 0)
        long = await handler.create(resource("L" * 60, handler.type, SourceArn=source))
        assert long.ref == "shop-" + "L" * 43

    with_buses(test)


@pytest.mark.parametrize(
    ("properties", "message"),
    [
        ({}, r"A\.Properties\.SourceArn: is required"),
        ({"SourceArn": "orders"}, r"A\.Properties: 1 validation error detected: Value 'orders' at 'eventSourceArn'"),
        ({"ArchiveName": "x" * 49}, r"A\.Properties: 1 validation error detected: .*less than or equal to 48"),
        ({"RetentionDays": -1}, r"A\.Properties: 1 validation error detected: .*greater than or equal to 0"),
        ({"RetentionDays": "ever"}, r"A\.Properties\.RetentionDays"),
        (
            {"EventPattern": {"source": "shop"}},
            r'A\.Properties: Event pattern is not valid.*"source" must be an object',
        ),
        ({"ArchiveName": "taken"}, r"A\.Properties: Archive taken already exists"),
        (
            {"SourceArn": f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/none"},
            r"A\.Properties: Event bus none does not exist",
        ),
    ],
)
def test_what_create_archive_would_refuse_is_an_error_of_the_template(properties: dict[str, Any], message: str) -> None:
    """The error names the resource, and nothing of it is left."""

    async def test(buses: Buses) -> None:
        handler = ArchiveHandler(buses)
        source = {"SourceArn": f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/default"}
        await handler.create(resource("T", handler.type, ArchiveName="taken", **source))
        with pytest.raises(TemplateError, match=message):
            await handler.create(resource("A", handler.type, **({**source, **properties} if properties else {})))
        assert [archive.settings.name for archive in buses.archives.list(REGION)] == ["taken"]

    with_buses(test)


def test_policies_of_buses_are_statements_of_one_policy() -> None:
    """In the parameters of PutPermission, or as a statement; each goes by itself."""

    async def test(buses: Buses) -> None:
        handler = EventBusPolicyHandler(buses)
        bus = buses.get("default", REGION)
        short = resource("Short", handler.type, StatementId="a", Action="events:PutEvents", Principal="111111111111")
        statement = {
            "Effect": "Allow",
            "Principal": {"AWS": "arn:aws:iam::222222222222:root"},
            "Action": "events:PutEvents",
            "Resource": bus.arn,
        }
        whole = resource("Whole", handler.type, StatementId="b", Statement=statement)
        made = [await handler.create(short), await handler.create(whole)]
        assert [each.ref for each in made] == ["a", "b"]
        assert bus.policy.statement_ids == ("a", "b")
        assert json.loads(bus.policy.text)["Statement"][1] == {**statement, "Sid": "b"}
        await handler.delete(short, made[0])
        assert bus.policy.statement_ids == ("b",)
        await handler.delete(short, made[0])
        await handler.delete(whole, made[1])
        assert bus.policy.text == ""
        with pytest.raises(TemplateError, match=r"X\.Properties: Parameter Principal must be specified"):
            await handler.create(resource("X", handler.type, StatementId="x", Action="events:PutEvents"))
        with pytest.raises(TemplateError, match="Event bus none does not exist"):
            await handler.create(resource("X", handler.type, StatementId="x", EventBusName="none", Statement={}))

    with_buses(test)


def test_a_bus_that_makes_no_sense_is_an_error_of_the_template() -> None:
    """Names out of shape, a slash, a policy that is none."""

    async def test(buses: Buses) -> None:
        handler = EventBusHandler(buses)
        for properties, message in (
            ({"Name": "a b"}, "1 validation error detected"),
            ({"Name": "x" * 257}, "less than or equal to 256"),
            ({"Name": "default"}, "Event bus default already exists"),
            ({"Name": "a/b"}, "must not contain '/'"),
            ({}, "Name: is required"),
        ):
            with pytest.raises(TemplateError, match=message):
                await handler.create(resource("B", handler.type, **properties))

    with_buses(test)


TEMPLATE: dict[str, Any] = {
    "Bus": {"Type": "AWS::Events::EventBus", "Properties": {"Name": "orders"}},
    "Rule": {
        "Type": "AWS::Events::Rule",
        "Properties": {
            "EventBusName": {"Ref": "Bus"},
            "EventPattern": {"source": ["shop"]},
            "Targets": [{"Id": "t", "Arn": {"Fn::Sub": "arn:aws:sqs:${AWS::Region}:${AWS::AccountId}:q"}}],
        },
    },
    "Kept": {
        "Type": "AWS::Events::Archive",
        "Properties": {"SourceArn": {"Fn::GetAtt": ["Bus", "Arn"]}, "RetentionDays": 3},
    },
    "Allow": {
        "Type": "AWS::Events::EventBusPolicy",
        "Properties": {
            "EventBusName": {"Ref": "Bus"},
            "StatementId": "x",
            "Action": "events:PutEvents",
            "Principal": "111111111111",
        },
    },
}


def test_a_stack_of_them_goes_up_and_down() -> None:
    """In the order of their references, through the deployer."""

    async def test(buses: Buses) -> None:
        stack = prepare_stack(Source(Path("t.yaml"), {"Resources": TEMPLATE}), stack_context(Path()))
        made: tuple[ResourceHandler, ...] = (
            EventBusHandler(buses),
            RuleHandler(buses),
            ArchiveHandler(buses),
            EventBusPolicyHandler(buses),
        )
        handlers = {handler.type: handler for handler in made}
        ledger = make_ledger(stack.graph, handlers)
        assert [line for line in ledger.lines if line.support is Support.REFUSED] == []
        deployed = await deploy(stack, handlers, ledger)
        bus = buses.get("orders", stack.context.region)
        assert [len(rule.targets) for rule in bus.rules] == [1, 1]
        assert [archive.settings.bus_arn for archive in buses.archives.list(stack.context.region)] == [bus.arn]
        assert bus.policy.statement_ids == ("x",)
        assert await undeploy(deployed) == ()
        assert buses.find(bus.arn) is None

    with_buses(test)


def test_what_is_not_here_is_refused_by_name() -> None:
    """Connections, API destinations, endpoints; and properties that would be ignored."""
    assert [(handler.type, handler.support.support) for handler in refused_handlers()] == [
        ("AWS::Events::ApiDestination", Support.REFUSED),
        ("AWS::Events::Connection", Support.REFUSED),
        ("AWS::Events::Endpoint", Support.REFUSED),
    ]
    refused = {name for name, entry in RuleHandler.properties.items() if entry.support is Support.REFUSED}
    assert "Targets.EcsParameters" in refused
    assert "Targets" not in RuleHandler.properties  # only what is named below it
    assert RuleHandler.properties["State"].values == ("ENABLED", "DISABLED")
    for handler in (EventBusHandler, ArchiveHandler):
        assert handler.properties["KmsKeyIdentifier"].support is Support.REFUSED
