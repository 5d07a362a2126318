"""EventBridge on the wire: buses, rules, targets, policies, tags, and what is refused in which words."""

from __future__ import annotations

import asyncio
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localcloud.services.contract import Permission
from localcloud.services.events.limits import Limits
from localcloud.services.events.requests import NOT_SERVED, REQUESTS
from tests.unit.events_setup import ACCOUNT, QUEUE, REGION, START, World, request, with_world

BUS_ARN = f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/orders"
DEFAULT_ARN = f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/default"
ARCHIVE_ARN = f"arn:aws:events:{REGION}:{ACCOUNT}:archive/a"
REPLAY_ARN = f"arn:aws:events:{REGION}:{ACCOUNT}:replay/p"
RULE = {"Name": "r", "EventPattern": '{"source":["shop"]}'}


# ---------------------------------------------------------------------- buses


def test_a_bus_is_made_described_changed_listed_and_deleted() -> None:
    """The members are those of AWS: no Description and no Policy where there is none."""

    async def test(world: World) -> None:
        now = 1_800_000_000.0
        assert await world.do("CreateEventBus", {"Name": "orders"}) == {"EventBusArn": BUS_ARN}
        plain = {"Name": "orders", "Arn": BUS_ARN, "CreationTime": now, "LastModifiedTime": now}
        assert await world.do("DescribeEventBus", {"Name": "orders"}) == plain
        assert await world.do("DescribeEventBus", {"Name": BUS_ARN}) == plain
        await world.settle(5)
        changed = {"Name": "orders", "Description": "of the shop", "DeadLetterConfig": {"Arn": QUEUE}}
        settings = {"Description": "of the shop", "DeadLetterConfig": {"Arn": QUEUE}}
        assert await world.do("UpdateEventBus", changed) == {"Arn": BUS_ARN, "Name": "orders", **settings}
        later = {**plain, "LastModifiedTime": now + 5}
        assert await world.do("DescribeEventBus", {"Name": "orders"}) == {**later, **settings}
        listed = {**later, "Description": "of the shop"}
        assert (await world.do("ListEventBuses", {"NamePrefix": "o"}))["EventBuses"] == [listed]
        assert [bus["Name"] for bus in (await world.do("ListEventBuses"))["EventBuses"]] == ["default", "orders"]
        assert await world.do("DeleteEventBus", {"Name": "orders"}) == {}
        assert await world.do("DeleteEventBus", {"Name": "orders"}) == {}
        missing = ("ResourceNotFoundException", "Event bus orders does not exist.")
        assert await world.refused("DescribeEventBus", {"Name": "orders"}) == missing

    with_world(test)


def test_buses_are_those_of_their_region() -> None:
    """A bus of one Region is none of another, and each Region has its own default bus."""

    async def test(world: World) -> None:
        await world.do("CreateEventBus", {"Name": "orders"})
        missing = ("ResourceNotFoundException", "Event bus orders does not exist.")
        assert await world.refused("DescribeEventBus", {"Name": "orders"}, region="us-east-1") == missing
        assert await world.refused("DescribeEventBus", {"Name": BUS_ARN}, region="us-east-1") == missing
        there = await world.do("DescribeEventBus", region="us-east-1")
        assert there["Arn"] == f"arn:aws:events:us-east-1:{ACCOUNT}:event-bus/default"

    with_world(test)


@pytest.mark.parametrize(
    ("action", "body", "code", "message"),
    [
        ("CreateEventBus", {"Name": "a/b"}, "ValidationException", "Event bus name must not contain '/'."),
        ("CreateEventBus", {"Name": "default"}, "ResourceAlreadyExistsException", "Event bus default already exists."),
        (
            "CreateEventBus",
            {"Name": "b", "DeadLetterConfig": {"Arn": f"arn:aws:sns:{REGION}:{ACCOUNT}:t"}},
            "ValidationException",
            "sns is not supported as a dead letter resource.",
        ),
        (
            "CreateEventBus",
            {"Name": "b", "KmsKeyIdentifier": "alias/k"},
            "ValidationException",
            "Customer managed keys of event buses are not served by this local cloud.",
        ),
        (
            "UpdateEventBus",
            {"LogConfig": {"Level": "INFO"}},
            "ValidationException",
            "Logs of event buses are not served by this local cloud.",
        ),
        (
            "CreateEventBus",
            {"Name": "aws.partner", "EventSourceName": "aws.partner/example.com/x"},
            "ValidationException",
            "Partner event sources are not served by this local cloud.",
        ),
        ("DeleteEventBus", {"Name": "default"}, "ValidationException", "Cannot delete event bus default."),
        (
            "DescribeRule",
            {"Name": "x"},
            "ResourceNotFoundException",
            "Rule x does not exist on EventBus default.",
        ),
        (
            "PutRule",
            {"Name": "x"},
            "ValidationException",
            "Parameter(s) EventPattern or ScheduleExpression must be specified.",
        ),
        (
            "PutRule",
            {"Name": "x", "EventPattern": "{}"},
            "ValidationException",
            "Parameter(s) EventPattern or ScheduleExpression must be specified.",
        ),
        (
            "PutRule",
            {**RULE, "EventBusName": "nowhere"},
            "ResourceNotFoundException",
            "Event bus nowhere does not exist.",
        ),
        (
            "PutRule",
            {"Name": "x", "EventPattern": json.dumps({"source": ["x" * 2040]})},
            "ValidationException",
            "Parameter EventPattern for rule x exceeds limit of 2048.",
        ),
        (
            "PutRule",
            {**RULE, "State": "ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS"},
            "ValidationException",
            (
                "Events of CloudTrail, which the state ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS is about, are not "
                "served by this local cloud."
            ),
        ),
        ("ListRules", {"NextToken": "?"}, "ValidationException", "Parameter NextToken is not valid."),
        (
            "PutEvents",
            {"Entries": [{}], "EndpointId": "abcde.veo"},
            "ValidationException",
            "Global endpoints are not served by this local cloud.",
        ),
        ("TagResource", {"ResourceARN": BUS_ARN, "Tags": []}, "ResourceNotFoundException", None),
        ("TagResource", {"ResourceARN": "x", "Tags": []}, "ResourceNotFoundException", None),
    ],
)
def test_what_makes_no_sense_is_refused_in_awss_words(action: str, body: object, code: str, message: str) -> None:
    """Code and message, where the message is public."""

    async def test(world: World) -> None:
        told = await world.refused(action, body)
        assert told == (code, message or told[1])

    with_world(test)


def test_a_bus_with_rules_stays() -> None:
    """DeleteEventBus wants its rules deleted first."""

    async def test(world: World) -> None:
        await world.do("CreateEventBus", {"Name": "orders"})
        await world.do("PutRule", {**RULE, "EventBusName": "orders"})
        refusal = ("ValidationException", "Event bus can't be deleted since it has rules.")
        assert await world.refused("DeleteEventBus", {"Name": "orders"}) == refusal

    with_world(test)


# ---------------------------------------------------------------------- the shape of requests


def test_every_violation_of_a_shape_is_told_at_once() -> None:
    """With its value, its place in lower camel case and the constraint."""

    async def test(world: World) -> None:
        targets = [{"Id": "a b" * 30, "Arn": QUEUE}, {"Id": "ok"}]
        code, message = await world.refused("PutTargets", {"Rule": "", "Targets": targets})
        assert code == "ValidationException"
        assert message == (
            "5 validation errors detected: "
            "Value '' at 'rule' failed to satisfy constraint: Member must have length greater than or equal to 1; "
            "Value '' at 'rule' failed to satisfy constraint: "
            "Member must satisfy regular expression pattern: [\\.\\-_A-Za-z0-9]+; "
            f"Value '{'a b' * 30}' at 'targets.1.member.id' failed to satisfy constraint: "
            "Member must have length less than or equal to 64; "
            f"Value '{'a b' * 30}' at 'targets.1.member.id' failed to satisfy constraint: "
            "Member must satisfy regular expression pattern: [\\.\\-_A-Za-z0-9]+; "
            "Value null at 'targets.2.member.arn' failed to satisfy constraint: Member must not be null"
        )

    with_world(test)


@pytest.mark.parametrize(
    ("action", "body"),
    [
        ("PutRule", {"Name": 7}),
        ("PutRule", b"[]"),
        ("PutRule", b"{"),
        ("PutRule", b"\xff"),
        ("PutRule", b'{"Name": "\\ud800"}'),
        ("PutRule", b"[" * 5000),
        ("PutTargets", {"Rule": "r", "Targets": {}}),
        ("PutTargets", {"Rule": "r", "Targets": ["x"]}),
        ("PutTargets", {"Rule": "r", "Targets": [{"Id": "t", "Arn": QUEUE, "InputTransformer": "x"}]}),
        ("PutEvents", {"Entries": [{"Time": "today"}]}),
        ("PutEvents", {"Entries": [{"Time": 1e300}]}),
        ("PutEvents", {"Entries": [{"Time": True}]}),
        ("PutEvents", {"Entries": [{"Resources": [1]}]}),
        ("ListRules", {"Limit": "3"}),
        ("RemovePermission", {"RemoveAllPermissions": "yes"}),
    ],
)
def test_a_value_of_another_type_is_a_serialization_exception(action: str, body: object) -> None:
    """Also what is no JSON at all."""

    async def test(world: World) -> None:
        assert (await world.refused(action, body))[0] == "SerializationException"

    with_world(test)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
MEMBERS = sorted({name for shape in REQUESTS.values() for name in shape.members})
WILD = JSON | st.sampled_from(["r", "default", QUEUE, DEFAULT_ARN, '{"source":["a"]}', "rate(1 minute)", [{}]])


@given(st.lists(st.tuples(st.sampled_from(sorted(REQUESTS)), st.dictionaries(st.sampled_from(MEMBERS), WILD))))
@settings(max_examples=150, deadline=None)
def test_nothing_that_is_asked_is_worse_than_a_400(asked: list[tuple[str, dict[str, object]]]) -> None:
    """Any JSON in any member of any action: an answer of the API's own."""

    async def test(world: World) -> None:
        for action, body in asked:
            status, told = await world.ask(action, body)
            assert status == 200 or (status == 400 and told["__type"] and told["message"])
            world.service.permissions(request(action, json.dumps(body).encode()))

    with_world(test)


def test_actions_that_are_not_served_say_their_name() -> None:
    """Connections, destinations, endpoints, partners; and what is no action at all."""

    async def test(world: World) -> None:
        for action in sorted(NOT_SERVED):
            refusal = ("OperationDisabledException", f"{action} is not served by this local cloud.")
            assert await world.refused(action) == refusal
        assert (await world.refused("PutOmelette"))[0] == "UnknownOperationException"
        assert NOT_SERVED.isdisjoint(REQUESTS)

    with_world(test)


# ---------------------------------------------------------------------- rules


def test_a_rule_is_made_replaced_described_and_listed() -> None:
    """PutRule replaces all it says and all it does not; tags and targets stay as they are."""

    async def test(world: World) -> None:
        await world.do("CreateEventBus", {"Name": "orders"})
        arn = f"arn:aws:events:{REGION}:{ACCOUNT}:rule/orders/r"
        rule = {**RULE, "EventBusName": "orders"}
        more = {"Description": "d", "RoleArn": f"arn:aws:iam::{ACCOUNT}:role/x", "State": "DISABLED"}
        made = await world.do("PutRule", {**rule, **more, "Tags": [{"Key": "k", "Value": "v"}]})
        assert made == {"RuleArn": arn}
        await world.do("PutTargets", {"Rule": "r", "EventBusName": "orders", "Targets": [{"Id": "t", "Arn": QUEUE}]})
        listed = {"Arn": arn, **rule, **more}
        assert await world.do("DescribeRule", {"Name": "r", "EventBusName": BUS_ARN}) == {
            **listed,
            "CreatedBy": ACCOUNT,
        }
        assert await world.do("ListRules", {"EventBusName": "orders"}) == {"Rules": [listed]}
        assert await world.do("ListRules") == {"Rules": []}
        await world.do("PutRule", {**rule, "Tags": [{"Key": "other", "Value": ""}]})
        plain = {"Arn": arn, **rule, "State": "ENABLED"}
        assert await world.do("ListRules", {"EventBusName": "orders"}) == {"Rules": [plain]}
        assert (await world.do("ListTagsForResource", {"ResourceARN": arn}))["Tags"] == [{"Key": "k", "Value": "v"}]
        targets = await world.do("ListTargetsByRule", {"Rule": "r", "EventBusName": "orders"})
        assert targets == {"Targets": [{"Id": "t", "Arn": QUEUE}]}

    with_world(test)


def test_a_rule_with_targets_is_not_deleted() -> None:
    """Without them it is, and one that is not there is no error."""

    async def test(world: World) -> None:
        await world.add_rule({"source": ["shop"]})
        refusal = ("ValidationException", "Rule can't be deleted since it has targets.")
        assert await world.refused("DeleteRule", {"Name": "r"}) == refusal
        await world.do("RemoveTargets", {"Rule": "r", "Ids": ["t", "unknown"]})
        assert await world.do("DeleteRule", {"Name": "r"}) == {}
        assert await world.do("DeleteRule", {"Name": "r"}) == {}
        assert await world.do("ListRules") == {"Rules": []}
        await world.put()
        await world.settle()
        assert world.port.delivered == []

    with_world(test)


def test_lists_come_in_pages() -> None:
    """Limit and NextToken, in the order of names; the last page has no token."""

    async def test(world: World) -> None:
        for number in range(5):
            await world.add_rule({"source": ["shop"]}, name=f"r{number}")
        first = await world.do("ListRules", {"Limit": 3, "NamePrefix": "r"})
        assert [rule["Name"] for rule in first["Rules"]] == ["r0", "r1", "r2"]
        second = await world.do("ListRules", {"Limit": 3, "NextToken": first["NextToken"]})
        assert [rule["Name"] for rule in second["Rules"]] == ["r3", "r4"]
        assert "NextToken" not in second
        names = await world.do("ListRuleNamesByTarget", {"TargetArn": QUEUE, "Limit": 2})
        assert names["RuleNames"] == ["r0", "r1"]
        assert (await world.do("ListRuleNamesByTarget", {"TargetArn": "arn:x"}))["RuleNames"] == []
        targets = [{"Id": f"t{number}", "Arn": QUEUE} for number in range(4)]
        await world.do("PutTargets", {"Rule": "r0", "Targets": targets})
        page = await world.do("ListTargetsByRule", {"Rule": "r0", "Limit": 4})
        assert [target["Id"] for target in page["Targets"]] == ["t", "t0", "t1", "t2"]
        rest = await world.do("ListTargetsByRule", {"Rule": "r0", "Limit": 4, "NextToken": page["NextToken"]})
        assert rest == {"Targets": [targets[3]]}

    with_world(test)


def test_quotas_of_buses_rules_and_targets() -> None:
    """What goes over is a LimitExceededException, and the quotas are options."""
    exceeded = ("LimitExceededException", "The requested resource exceeds the maximum number allowed.")

    async def test(world: World) -> None:
        await world.do("CreateEventBus", {"Name": "b"})
        assert await world.refused("CreateEventBus", {"Name": "c"}) == exceeded
        wild = '{"source":[{"wildcard":"a*b"}]}'
        await world.do("PutRule", {**RULE, "Name": "1", "EventPattern": wild})
        anything = '{"source":[{"anything-but":{"wildcard":"a*b"}}]}'
        code, message = await world.refused("PutRule", {**RULE, "Name": "2", "EventPattern": anything})
        assert (code, "1 rules with wildcards" in message) == ("LimitExceededException", True)
        await world.do("PutRule", {**RULE, "Name": "1", "EventPattern": anything})
        await world.do("PutRule", {**RULE, "Name": "2"})
        assert await world.refused("PutRule", {**RULE, "Name": "3"}) == exceeded
        await world.do("PutRule", {**RULE, "Name": "2", "Description": "again"})
        five = [{"Id": str(number), "Arn": QUEUE} for number in range(5)]
        await world.do("PutTargets", {"Rule": "2", "Targets": five})
        await world.do("PutTargets", {"Rule": "2", "Targets": five[:2]})
        sixth = {"Rule": "2", "Targets": [{"Id": "5", "Arn": QUEUE}]}
        assert await world.refused("PutTargets", sixth) == exceeded
        assert len((await world.do("ListTargetsByRule", {"Rule": "2"}))["Targets"]) == 5

    with_world(test, limits=Limits(buses=2, rules=2, wildcard_rules=1))


def test_the_quotas_are_awss() -> None:
    """300 rules a bus, 5 targets a rule, patterns of 2,048 characters, 30 rules with wildcards, 100 buses."""
    limits = Limits()
    assert (limits.rules, limits.targets, limits.pattern_chars) == (300, 5, 2_048)
    assert (limits.wildcard_rules, limits.buses) == (30, 100)


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ({"int": 42}, '"int" must be an object or an array\n at int'),
        ({"detail": {"equal": [{"NUMERIC": ["=", 5]}]}}, "Unrecognized match type NUMERIC\n at detail.equal"),
        ({"resources": []}, "Empty arrays are not allowed\n at resources"),
        ({"detail": {}}, "Empty objects are not allowed\n at detail"),
        ({"a": [{"exists": "yes"}]}, "exists match pattern must be either true or false.\n at a"),
        ({"a": [{"prefix": 1}]}, "prefix match pattern must be a string\n at a"),
        ({"a": [{"suffix": [".png"]}]}, "suffix match pattern must be a string\n at a"),
        ({"a": [{"wildcard": 1}]}, "wildcard match pattern must be a string\n at a"),
        ({"a": [{"equals-ignore-case": ["x"]}]}, "equals-ignore-case match pattern must be a string\n at a"),
        ({"a": [{"wildcard": "a**b"}]}, "Consecutive wildcard characters\n at a"),
        ({"a": [{"anything-but": {"prefix": 1}}]}, "prefix/suffix match pattern must be a string\n at a"),
        ({"a": [{"anything-but": {"wildcard": 1}}]}, "wildcard match pattern must be a string\n at a"),
        ({"a": [{"anything-but": {"cidr": "x"}}]}, "Unsupported anything-but pattern: cidr\n at a"),
        (
            {"a": [{"anything-but": {"equals-ignore-case": 1}}]},
            "Inside anything-but/equals-ignore-case list, number|start|null|boolean is not supported.\n at a",
        ),
        (
            {"EventBusArn": [{"wildcard": "*:*:*:*:*:event-bus/*"}]},
            (
                "Rule is too complex - try using fewer wildcard characters or fewer repeating character sequences "
                "after a wildcard character\n at EventBusArn"
            ),
        ),
        (["not", "an", "object"], "Filter is not an object"),
    ],
)
def test_invalid_patterns_are_refused_in_event_rulers_words(pattern: object, reason: str) -> None:
    """PutRule and TestEventPattern alike, with the path of the field where AWS gives line and column."""

    async def test(world: World) -> None:
        refusal = ("InvalidEventPatternException", f"Event pattern is not valid. Reason: {reason}")
        text = json.dumps(pattern)
        assert await world.refused("PutRule", {"Name": "r", "EventPattern": text}) == refusal
        event = json.dumps(dict.fromkeys(("id", "account", "source", "time", "region", "detail-type"), "x"))
        assert await world.refused("TestEventPattern", {"EventPattern": text, "Event": event}) == refusal

    with_world(test)


def test_or_allows_a_thousand_combinations() -> None:
    """One more is refused."""

    def pattern(*counts: int) -> str:
        levels = [{"$or": [{f"f{level}": [n]} for n in range(count)]} for level, count in enumerate(counts)]
        return json.dumps({f"l{level}": each for level, each in enumerate(levels)})

    async def test(world: World) -> None:
        await world.do("PutRule", {"Name": "r", "EventPattern": pattern(10, 10, 10)})
        code, message = await world.refused("PutRule", {"Name": "r", "EventPattern": pattern(10, 10, 11)})
        assert (code, "more than 1000 combinations" in message) == ("InvalidEventPatternException", True)

    with_world(test)


def test_a_pattern_is_tried_on_an_event_without_a_rule() -> None:
    """TestEventPattern wants an event with the fields that every event has, `resources` apart."""
    event = {"id": "1", "source": "order", "detail-type": "Test", "account": ACCOUNT, "region": REGION, "time": START}

    async def test(world: World) -> None:
        pattern = '{"source":["order"],"detail":{"n":[{"numeric":[">",2]}]}}'
        for number, expected in ((3, True), (2, False)):
            told = {"EventPattern": pattern, "Event": json.dumps({**event, "detail": {"n": number}})}
            assert await world.do("TestEventPattern", told) == {"Result": expected}
        refusal = ("ValidationException", "Parameter Event is not valid.")
        for text in ("plain", "[]", json.dumps({**event, "id": None} | {"source": "x"}).replace('"region"', '"r"')):
            assert await world.refused("TestEventPattern", {"EventPattern": pattern, "Event": text}) == refusal

    with_world(test)


# ---------------------------------------------------------------------- targets


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ({"Arn": "x"}, "Parameter x is not valid. Reason: Provided Arn is not in correct format."),
        (
            {"Arn": f"arn:aws:states:{REGION}:{ACCOUNT}:activity:x"},
            f"Targets such as arn:aws:states:{REGION}:{ACCOUNT}:activity:x are not served by this local cloud.",
        ),
        (
            {"Arn": f"arn:aws:events:{REGION}:{ACCOUNT}:api-destination/x", "RoleArn": "r"},
            f"Targets such as arn:aws:events:{REGION}:{ACCOUNT}:api-destination/x are not served by this local cloud.",
        ),
        ({"Arn": DEFAULT_ARN}, f"RoleArn is required for target {DEFAULT_ARN}."),
        (
            {"Arn": f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/s"},
            f"RoleArn is required for target arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/s.",
        ),
        ({"Arn": f"{QUEUE}.fifo"}, "Parameter(s) SqsParameters must be specified for target: t."),
        (
            {"KinesisParameters": {"PartitionKeyPath": "$.id"}},
            "Parameter(s) KinesisParameters not supported for target: t.",
        ),
        ({"EcsParameters": {}}, "Parameter(s) EcsParameters not supported for target: t."),
        (
            {"Input": "{}", "InputPath": "$.detail"},
            "Only one of Input, InputPath, or InputTransformer must be provided for target t.",
        ),
        ({"InputPath": "detail"}, "InputPath for target t is invalid."),
        ({"InputPath": "$.detail['x']"}, "InputPath for target t is invalid."),
        (
            {"InputTransformer": {"InputPathsMap": {"x": "detail"}, "InputTemplate": "<x>"}},
            "InputPath for target t is invalid.",
        ),
        (
            {"InputTransformer": {"InputTemplate": '"<x>"'}},
            "InputTemplate for target t contains invalid placeholder x.",
        ),
        (
            {"InputTransformer": {"InputTemplate": '"<aws.events.event.json>"'}},
            "InputTemplate for target t contains placeholder aws.events.event.json valid only for JSON template.",
        ),
        (
            {"InputTransformer": {"InputPathsMap": {"x": "$.id"}, "InputTemplate": "{<x>: 1}"}},
            "InputTemplate for target t contains invalid placeholder x.",
        ),
        (
            {"DeadLetterConfig": {"Arn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"}},
            "lambda is not supported as a dead letter resource.",
        ),
        ({"DeadLetterConfig": {"Arn": f"{QUEUE}.fifo"}}, "SQS FIFO is not supported by Dead Letter Queues."),
        (
            {"Arn": DEFAULT_ARN, "RoleArn": "r", "Input": "{}"},
            "Input of targets that are event buses is not served by this local cloud.",
        ),
    ],
)
def test_targets_that_make_no_sense_are_refused(target: dict[str, object], message: str) -> None:
    """Then none of the targets of the request is put."""

    async def test(world: World) -> None:
        await world.do("PutRule", RULE)
        targets = [{"Id": "good", "Arn": QUEUE}, {"Id": "t", "Arn": QUEUE, **target}]
        assert await world.refused("PutTargets", {"Rule": "r", "Targets": targets}) == ("ValidationException", message)
        assert await world.do("ListTargetsByRule", {"Rule": "r"}) == {"Targets": []}

    with_world(test)


def test_targets_of_other_accounts_regions_and_twice_the_same_are_refused() -> None:
    """As far as AWS's words for it are known, in them."""

    async def test(world: World) -> None:
        await world.do("PutRule", RULE)

        async def refusal(*targets: dict[str, object]) -> tuple[str, str]:
            return await world.refused("PutTargets", {"Rule": "r", "Targets": list(targets)})

        other = QUEUE.replace(ACCOUNT, "999999999999")
        reason = "Adding cross-account target is not permitted."
        message = f"Access to the resource {other} is denied. Reason: {reason}"
        assert await refusal({"Id": "t", "Arn": other}) == ("AccessDeniedException", message)
        far = QUEUE.replace(REGION, "us-east-1")
        assert (await refusal({"Id": "t", "Arn": far}))[0] == "ValidationException"
        twice = {"Id": "t", "Arn": QUEUE}
        reason = "More than one target with Id 't' is provided."
        assert await refusal(twice, twice) == (
            "ValidationException",
            f"Parameter targets is not valid. Reason: {reason}",
        )
        assert (await refusal({**twice, "DeadLetterConfig": {"Arn": far}}))[0] == "ValidationException"
        syntax = await refusal({**twice, "Input": "bare words"})
        assert syntax[1].startswith("JSON syntax error in input for target t: ")
        broken = {"InputPathsMap": {"x": "$.id"}, "InputTemplate": '{"a": <x>'}
        syntax = await refusal({**twice, "InputTransformer": broken})
        assert syntax[1].startswith('Invalid InputTemplate for target t : [Source: (String)"{"a": <x>"; ')
        reserved = {"InputPathsMap": {"aws.events.rule-name": "$.id"}, "InputTemplate": "x"}
        assert (await refusal({**twice, "InputTransformer": reserved}))[1].startswith("1 validation error detected")
        many = {"InputPathsMap": {f"v{number}": "$.id" for number in range(101)}, "InputTemplate": "x"}
        assert "less than or equal to 100" in (await refusal({**twice, "InputTransformer": many}))[1]

    with_world(test)


# ---------------------------------------------------------------------- policies and tags


def test_permissions_of_a_bus_make_its_policy() -> None:
    """One statement a permission, in place of one of its id; all go, or one by its id."""

    async def test(world: World) -> None:
        def statement(sid: str, principal: object) -> dict[str, object]:
            fixed = {"Effect": "Allow", "Action": "events:PutEvents", "Resource": DEFAULT_ARN}
            return {"Sid": sid, "Principal": principal, **fixed}

        async def policy() -> object:
            return json.loads((await world.do("DescribeEventBus")).get("Policy", "null"))

        allow = {"Action": "events:PutEvents", "Principal": "111111111111", "StatementId": "a"}
        await world.do("PutPermission", allow)
        everyone = {"Type": "StringEquals", "Key": "aws:PrincipalOrgID", "Value": "o-1"}
        await world.do("PutPermission", {**allow, "StatementId": "b", "Principal": "*", "Condition": everyone})
        first = statement("a", {"AWS": "arn:aws:iam::111111111111:root"})
        second = {**statement("b", "*"), "Condition": {"StringEquals": {"aws:PrincipalOrgID": "o-1"}}}
        assert await policy() == {"Version": "2012-10-17", "Statement": [first, second]}
        assert world.buses.policy_of(DEFAULT_ARN) is not None
        await world.do("PutPermission", {**allow, "Principal": "222222222222"})
        replaced = statement("a", {"AWS": "arn:aws:iam::222222222222:root"})
        assert await policy() == {"Version": "2012-10-17", "Statement": [replaced, second]}
        await world.do("RemovePermission", {"StatementId": "a"})
        assert await policy() == {"Version": "2012-10-17", "Statement": [second]}
        missing = ("ResourceNotFoundException", "Statement with the provided id does not exist.")
        assert await world.refused("RemovePermission", {"StatementId": "a"}) == missing
        await world.do("RemovePermission", {"RemoveAllPermissions": True})
        assert await policy() is None
        assert world.buses.policy_of(DEFAULT_ARN) is None
        assert await world.refused("RemovePermission", {"StatementId": "b"}) == missing
        whole = {"Version": "2012-10-17", "Statement": [statement("x", {"Service": "events.amazonaws.com"})]}
        await world.do("PutPermission", {"Policy": json.dumps(whole)})
        assert await policy() == whole

    with_world(test)


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"Policy": "{"}, "ValidationException"),
        ({"Policy": '{"Version":"2012-10-17","Statement":[{"Effect":"Maybe"}]}'}, "ValidationException"),
        ({"Policy": "{}", "Principal": "*"}, "ValidationException"),
        ({"Action": "events:PutRule", "Principal": "*", "StatementId": "a"}, "ValidationException"),
        ({"Action": "events:PutEvents", "Principal": "*"}, "ValidationException"),
        ({"Action": "events:PutEvents", "StatementId": "a"}, "ValidationException"),
        ({"Action": "events:PutEvents", "Principal": "me", "StatementId": "a"}, "ValidationException"),
        ({"EventBusName": "nowhere", "StatementId": "a"}, "ResourceNotFoundException"),
        (
            {
                "Action": "events:PutEvents",
                "Principal": "111111111111",
                "StatementId": "a",
                "Condition": {"Type": "StringEquals", "Key": "aws:PrincipalOrgID", "Value": "o"},
            },
            "ValidationException",
        ),
    ],
)
def test_permissions_that_make_no_sense_are_refused(given: dict[str, object], code: str) -> None:
    """And the bus has no policy then."""

    async def test(world: World) -> None:
        assert (await world.refused("PutPermission", given))[0] == code
        assert "Policy" not in await world.do("DescribeEventBus")

    with_world(test)


def test_a_policy_has_an_end() -> None:
    """10,240 characters, then PolicyLengthExceededException."""

    async def test(world: World) -> None:
        codes = []
        for number in range(60):
            grant = {"Action": "events:PutEvents", "Principal": "111111111111", "StatementId": f"{number:060d}"}
            status, told = await world.ask("PutPermission", grant)
            codes.append(told.get("__type", status))
        assert codes[:30] == [200] * 30
        assert codes[-1] == "PolicyLengthExceededException"
        assert len((await world.do("DescribeEventBus"))["Policy"]) <= 10_240

    with_world(test)


def test_buses_and_rules_have_tags() -> None:
    """At most fifty each."""

    async def test(world: World) -> None:
        await world.do("CreateEventBus", {"Name": "orders", "Tags": [{"Key": "a", "Value": "1"}]})
        arn = await world.add_rule({"source": ["shop"]}, bus="orders")
        for tagged in (BUS_ARN, arn):
            await world.do("TagResource", {"ResourceARN": tagged, "Tags": [{"Key": "b", "Value": "2"}]})
            await world.do("UntagResource", {"ResourceARN": tagged, "TagKeys": ["a", "none"]})
            found = await world.do("ListTagsForResource", {"ResourceARN": tagged})
            assert found == {"Tags": [{"Key": "b", "Value": "2"}]}
            fifty = [{"Key": f"k{number}", "Value": ""} for number in range(50)]
            assert (await world.refused("TagResource", {"ResourceARN": tagged, "Tags": fifty}))[
                0
            ] == "LimitExceededException"
        missing = ("ResourceNotFoundException", "Rule x does not exist on EventBus orders.")
        gone = arn.removesuffix("r") + "x"
        assert await world.refused("ListTagsForResource", {"ResourceARN": gone}) == missing

    with_world(test)


# ---------------------------------------------------------------------- IAM


@pytest.mark.parametrize(
    ("action", "body", "needed"),
    [
        ("ListEventBuses", {}, [("events:ListEventBuses", "*")]),
        ("ListRules", {}, [("events:ListRules", "*")]),
        ("DescribeEventBus", {}, [("events:DescribeEventBus", DEFAULT_ARN)]),
        ("PutPermission", {"EventBusName": "orders"}, [("events:PutPermission", BUS_ARN)]),
        ("PutRule", {"Name": "r"}, [("events:PutRule", f"arn:aws:events:{REGION}:{ACCOUNT}:rule/r")]),
        (
            "PutRule",
            {"Name": "r", "EventBusName": BUS_ARN, "RoleArn": "role", "Tags": [{"Key": "k", "Value": ""}]},
            [
                ("events:PutRule", f"arn:aws:events:{REGION}:{ACCOUNT}:rule/orders/r"),
                ("events:TagResource", f"arn:aws:events:{REGION}:{ACCOUNT}:rule/orders/r"),
                ("iam:PassRole", "role"),
            ],
        ),
        (
            "PutTargets",
            {"Rule": "r", "Targets": [{"RoleArn": "one"}, {"RoleArn": "one"}, {}]},
            [("events:PutTargets", f"arn:aws:events:{REGION}:{ACCOUNT}:rule/r"), ("iam:PassRole", "one")],
        ),
        ("TagResource", {"ResourceARN": BUS_ARN}, [("events:TagResource", BUS_ARN)]),
        (
            "CreateArchive",
            {"ArchiveName": "a", "EventSourceArn": BUS_ARN},
            [("events:CreateArchive", ARCHIVE_ARN), ("events:CreateArchive", BUS_ARN)],
        ),
        ("DescribeArchive", {"ArchiveName": "a"}, [("events:DescribeArchive", ARCHIVE_ARN)]),
        ("UpdateArchive", {"ArchiveName": "a"}, [("events:UpdateArchive", ARCHIVE_ARN)]),
        ("DeleteArchive", {"ArchiveName": "a"}, [("events:DeleteArchive", ARCHIVE_ARN)]),
        ("ListArchives", {"NamePrefix": "a"}, [("events:ListArchives", "*")]),
        (
            "StartReplay",
            {"ReplayName": "p", "EventSourceArn": ARCHIVE_ARN, "Destination": {"Arn": BUS_ARN}},
            [("events:StartReplay", REPLAY_ARN), ("events:StartReplay", ARCHIVE_ARN), ("events:StartReplay", BUS_ARN)],
        ),
        (
            "StartReplay",
            {"ReplayName": "p", "Destination": 7},
            [("events:StartReplay", REPLAY_ARN), ("events:StartReplay", "*")],
        ),
        ("DescribeReplay", {"ReplayName": "p"}, [("events:DescribeReplay", REPLAY_ARN)]),
        ("CancelReplay", {"ReplayName": "p"}, [("events:CancelReplay", REPLAY_ARN)]),
        ("ListReplays", {}, [("events:ListReplays", "*")]),
        ("CreateConnection", {}, []),
        ("PutOmelette", {}, []),
    ],
)
def test_what_iam_is_asked(action: str, body: object, needed: list[tuple[str, str]]) -> None:
    """The action on the ARN that the service authorization reference names."""

    async def test(world: World) -> None:
        found = world.service.permissions(request(action, json.dumps(body).encode()))
        assert [(permission.action, permission.resource) for permission in found] == needed

    with_world(test)


def test_iam_is_asked_about_each_bus_and_source_of_put_events() -> None:
    """With the condition keys of the entry; entries alike are asked about once."""

    async def test(world: World) -> None:
        entries = [
            {"Source": "a", "DetailType": "t"},
            {"Source": "a", "DetailType": "t"},
            {"Source": "b", "DetailType": "t", "EventBusName": "orders"},
        ]

        def asked(bus: str, source: str) -> Permission:
            keys = (("events:detail-type", "t"), ("events:eventBusInvocation", "false"), ("events:source", source))
            return Permission("events:PutEvents", bus, keys)

        found = world.service.permissions(request("PutEvents", json.dumps({"Entries": entries}).encode()))
        assert found == (asked(DEFAULT_ARN, "a"), asked(BUS_ARN, "b"))
        assert world.service.permissions(request("PutEvents", b"{")) == ()

    with_world(test)


def test_the_loop_is_not_needed_for_answers() -> None:
    """Buses answer before `run` runs, and what was put meanwhile is delivered when it does."""

    async def test(world: World) -> None:
        await world.add_rule({"source": ["shop"]})
        await world.put({"n": 1})
        assert world.port.delivered == []
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert [body["detail"] for body in world.port.bodies()] == [{"n": 1}]

    with_world(test)
