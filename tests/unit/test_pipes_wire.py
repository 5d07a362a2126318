"""The API of pipes: what is taken, what is refused in which words, and the states that a pipe goes through."""

from __future__ import annotations

import asyncio
import json
from typing import Any, cast
from urllib.parse import quote

import pytest

from localcloud.clock import LoopClock, run_virtual
from localcloud.services.contract import Permission
from localcloud.services.pipes.model import Pipes
from localcloud.services.pipes.sources import Sources
from tests.unit.pipes_setup import (
    ACCOUNT,
    BUS,
    DEAD,
    ENRICHER,
    FUNCTION,
    OUT,
    PIPE,
    QUEUE,
    REGION,
    ROLE,
    STREAM,
    TOPIC,
    World,
    pipe,
    request,
    with_pipes,
)

NOT_HERE = "not served by this local cloud."
START = {"StartingPosition": "LATEST"}
CROSS = "Creating cross-region pipe is not permitted."
SOURCE = "Invalid source parameter provided for source."
TARGET = "Invalid target parameter provided for target."


def arn(service: str, rest: str, region: str = REGION) -> str:
    return f"arn:aws:{service}:{region}:{ACCOUNT}:{rest}"


def filtered(*patterns: str) -> dict[str, Any]:
    return {"FilterCriteria": {"Filters": [{"Pattern": pattern} for pattern in patterns]}}


# ---------------------------------------------------------------------- life


def test_a_pipe_is_created_described_and_deleted() -> None:
    """Its states pass on the clock; what was asked for is told again."""

    async def test(world: World) -> None:
        members = {
            "Description": "d",
            "SourceParameters": {**filtered('{"body":{"n":[1]}}'), "SqsQueueParameters": {"BatchSize": 5}},
            "Enrichment": ENRICHER,
            "EnrichmentParameters": {"InputTemplate": "x"},
            "TargetParameters": {"InputTemplate": "y"},
            "LogConfiguration": {"Level": "OFF"},
        }
        made = await world.do("POST", "/v1/pipes/p", {**pipe(), **members, "Tags": {"a": "b"}})
        summary = {"Arn": PIPE, "Name": "p", "DesiredState": "RUNNING"}
        times = {"CreationTime": 1_800_000_000.0, "LastModifiedTime": 1_800_000_000.0}
        assert made == {**summary, "CurrentState": "CREATING", **times}
        await asyncio.sleep(1)
        described = await world.do("GET", "/v1/pipes/p")
        assert described == {
            **summary,
            "CurrentState": "RUNNING",
            **times,
            **pipe(),
            **members,
            "Tags": {"a": "b"},
        }
        assert (await world.do("DELETE", "/v1/pipes/p"))["CurrentState"] == "DELETING"
        await asyncio.sleep(1)
        assert await world.ask("GET", "/v1/pipes/p") == (
            404,
            {"message": "Pipe p does not exist."},
            "NotFoundException",
        )

    with_pipes(test)


def test_a_pipe_rests_and_goes_on_where_it_was() -> None:
    """What comes while it rests waits in the source; a stream is not read again from its beginning."""

    async def test(world: World) -> None:
        parameters = {"KinesisStreamParameters": {"StartingPosition": "TRIM_HORIZON"}}
        template = {"InputTemplate": "<$.data>"}
        await world.make(Source=STREAM, SourceParameters=parameters, TargetParameters=template)
        world.put(b"one")
        await asyncio.sleep(5)
        assert await world.received() == ['"one"']
        assert (await world.do("POST", "/v1/pipes/p/stop"))["CurrentState"] == "STOPPING"
        await asyncio.sleep(1)
        assert await world.state() == ("STOPPED", "")
        world.put(b"two")
        await asyncio.sleep(5)
        assert await world.received() == []
        started = await world.do("POST", "/v1/pipes/p/start")
        assert (started["DesiredState"], started["CurrentState"]) == ("RUNNING", "STARTING")
        await asyncio.sleep(5)
        assert (await world.received(), await world.state()) == (['"two"'], ("RUNNING", ""))

    with_pipes(test)


@pytest.mark.parametrize(("method", "path"), [("POST", "/stop"), ("PUT", ""), ("DELETE", "")])
def test_a_running_batch_is_waited_for(method: str, path: str) -> None:
    """A pipe that is stopped, changed or deleted in the midst of one: the batch ends, and is not delivered again."""

    async def test(world: World) -> None:
        world.takes_s = 10.0
        await world.make(Target=FUNCTION)
        await world.send("m")
        await asyncio.sleep(5)
        body = {"RoleArn": ROLE, "DesiredState": "STOPPED"} if method == "PUT" else None
        moving = (await world.do(method, f"/v1/pipes/p{path}", body))["CurrentState"]
        await asyncio.sleep(4)
        assert (await world.state(), world.calls) == ((moving, ""), [])
        await asyncio.sleep(2)
        assert (len(world.calls), world.left()) == (1, 0)
        status, told, _ = await world.ask("GET", "/v1/pipes/p")
        assert (status, told.get("CurrentState")) == ((404, None) if method == "DELETE" else (200, "STOPPED"))

    with_pipes(test)


def test_a_pipe_may_be_made_at_rest() -> None:
    """DesiredState STOPPED."""

    async def test(world: World) -> None:
        await world.do("POST", "/v1/pipes/p", {**pipe(), "DesiredState": "STOPPED"})
        await world.send("m")
        await asyncio.sleep(5)
        assert (await world.state(), await world.received()) == (("STOPPED", ""), [])

    with_pipes(test)


def test_to_start_what_runs_changes_nothing() -> None:
    """Nor to stop what rests."""

    async def test(world: World) -> None:
        await world.make()
        assert (await world.do("POST", "/v1/pipes/p/start"))["CurrentState"] == "RUNNING"
        await world.do("POST", "/v1/pipes/p/stop")
        await asyncio.sleep(1)
        assert (await world.do("POST", "/v1/pipes/p/stop"))["CurrentState"] == "STOPPED"

    with_pipes(test)


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/start"), ("POST", "/stop"), ("DELETE", ""), ("PUT", "")],
)
def test_a_pipe_is_not_changed_while_it_changes(method: str, path: str) -> None:
    """A conflict that says in which state it is."""

    async def test(world: World) -> None:
        await world.do("POST", "/v1/pipes/p", pipe())
        status, told, code = await world.ask(method, f"/v1/pipes/p{path}", {"RoleArn": ROLE})
        assert (status, code) == (409, "ConflictException")
        assert told == {"message": "Pipe p is in state CREATING and cannot be changed now."}

    with_pipes(test)


def test_there_is_one_pipe_of_a_name() -> None:
    """In a Region."""

    async def test(world: World) -> None:
        await world.make()
        assert await world.refused() == (409, "ConflictException", "Pipe p already exists.")

    with_pipes(test)


def test_an_update_changes_what_it_names() -> None:
    """Filters stay where only the queue's block is given, which is replaced whole."""

    async def test(world: World) -> None:
        queue = {"BatchSize": 5, "MaximumBatchingWindowInSeconds": 1}
        parameters = {**filtered('{"body":{"n":[1]}}'), "SqsQueueParameters": queue}
        await world.make(SourceParameters=parameters, Description="old")
        changes = {"SourceParameters": {"SqsQueueParameters": {"BatchSize": 1}}, "Description": "new"}
        changes["TargetParameters"] = {"InputTemplate": "<$.body.n>"}
        updated = await world.do("PUT", "/v1/pipes/p", {"RoleArn": ROLE, **changes})
        assert updated["CurrentState"] == "UPDATING"
        await asyncio.sleep(1)
        described = await world.do("GET", "/v1/pipes/p")
        assert (described["Description"], described["CurrentState"]) == ("new", "RUNNING")
        assert described["SourceParameters"] == {
            **filtered('{"body":{"n":[1]}}'),
            "SqsQueueParameters": {"BatchSize": 1},
        }
        await world.send({"n": 1}, {"n": 2})
        await asyncio.sleep(5)
        assert await world.received() == ["1"]

    with_pipes(test)


def test_an_update_to_a_target_of_another_service_forgets_the_old_ones_parameters() -> None:
    """The template stays; where reading began stays, too."""

    async def test(world: World) -> None:
        sources = {"KinesisStreamParameters": {"StartingPosition": "TRIM_HORIZON", "BatchSize": 2}}
        targets = {"InputTemplate": "<$.data>", "KinesisStreamParameters": {"PartitionKey": "k"}}
        await world.make(Source=STREAM, SourceParameters=sources, Target=STREAM, TargetParameters=targets)
        changed = {"SourceParameters": {"KinesisStreamParameters": {"BatchSize": 1}}, "Target": FUNCTION}
        await world.do("PUT", "/v1/pipes/p", {"RoleArn": ROLE, **changed})
        await asyncio.sleep(1)
        described = await world.do("GET", "/v1/pipes/p")
        assert described["TargetParameters"] == {"InputTemplate": "<$.data>"}
        assert described["SourceParameters"] == {
            "KinesisStreamParameters": {"StartingPosition": "TRIM_HORIZON", "BatchSize": 1}
        }
        world.put(b"x")
        await asyncio.sleep(5)
        assert world.calls == [(FUNCTION, ["x"], True)]

    with_pipes(test)


def test_an_update_leaves_a_pipe_at_rest() -> None:
    """Unless it says otherwise; an empty enrichment is none."""

    async def test(world: World) -> None:
        await world.make(Enrichment=ENRICHER, Description="d")
        await world.do("POST", "/v1/pipes/p/stop")
        await asyncio.sleep(1)
        updated = await world.do("PUT", "/v1/pipes/p", {"RoleArn": ROLE, "Enrichment": "", "Description": ""})
        assert (updated["DesiredState"], updated["CurrentState"]) == ("STOPPED", "UPDATING")
        await asyncio.sleep(1)
        described = await world.do("GET", "/v1/pipes/p")
        assert described["CurrentState"] == "STOPPED"
        assert not {"Enrichment", "Description"} & set(described)
        await world.do("PUT", "/v1/pipes/p", {"RoleArn": ROLE, "DesiredState": "RUNNING"})
        await asyncio.sleep(1)
        await world.send("m")
        await asyncio.sleep(5)
        assert (len(await world.received()), world.calls) == (1, [])

    with_pipes(test)


def test_an_update_that_makes_no_sense_changes_nothing() -> None:
    """The pipe runs on."""

    async def test(world: World) -> None:
        await world.make()
        before = await world.do("GET", "/v1/pipes/p")
        status, _, code = await world.ask(
            "PUT", "/v1/pipes/p", {"RoleArn": ROLE, "Target": arn("sqs", "x", "us-east-1")}
        )
        assert (status, code) == (400, "ValidationException")
        assert await world.do("GET", "/v1/pipes/p") == before

    with_pipes(test)


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ("trust", f"pipes.amazonaws.com is not authorized to assume the role {ROLE}."),
        ("action", f"{ROLE} is not authorized to perform: sqs:ReceiveMessage on resource: {QUEUE}"),
        ("queue", f"The source queue {QUEUE} does not exist."),
    ],
)
def test_a_pipe_that_cannot_read_its_source_says_why(broken: str, reason: str) -> None:
    """CREATE_FAILED; once that is mended it can be started, and fails to start where it is not."""

    async def test(world: World) -> None:
        if broken == "trust":
            world.is_trusted = False
        elif broken == "action":
            world.denied.add(("sqs:ReceiveMessage", QUEUE))
        else:
            world.queues.delete(world.queues.get("q", REGION))
        await world.do("POST", "/v1/pipes/p", pipe())
        await asyncio.sleep(1)
        assert await world.state() == ("CREATE_FAILED", reason)
        await world.do("POST", "/v1/pipes/p/start")
        await asyncio.sleep(1)
        assert await world.state() == ("START_FAILED", reason)
        await world.do("PUT", "/v1/pipes/p", {"RoleArn": ROLE})
        await asyncio.sleep(1)
        assert await world.state() == ("UPDATE_FAILED", reason)
        world.is_trusted = True
        world.denied.clear()
        await asyncio.sleep(60)
        if broken == "queue":
            world.queues.create("q", REGION, attributes={}, tags={})
        await world.do("POST", "/v1/pipes/p/start")
        await asyncio.sleep(1)
        assert await world.state() == ("RUNNING", "")

    with_pipes(test)


@pytest.mark.parametrize("action", ["DescribeStream", "GetRecords", "GetShardIterator", "ListShards"])
def test_the_role_must_be_allowed_to_read_a_stream(action: str) -> None:
    """Each action of those that Lambda's pollers use."""

    async def test(world: World) -> None:
        world.denied.add((f"kinesis:{action}", STREAM))
        members = {**pipe(), "Source": STREAM, "SourceParameters": {"KinesisStreamParameters": START}}
        await world.do("POST", "/v1/pipes/p", members)
        await asyncio.sleep(1)
        told = f"{ROLE} is not authorized to perform: kinesis:{action} on resource: {STREAM}"
        assert await world.state() == ("CREATE_FAILED", told)

    with_pipes(test)


def test_a_stream_that_is_not_there() -> None:
    """The pipe says so."""

    async def test(world: World) -> None:
        other = arn("kinesis", "stream/none")
        members = {**pipe(), "Source": other, "SourceParameters": {"KinesisStreamParameters": START}}
        await world.do("POST", "/v1/pipes/p", members)
        await asyncio.sleep(1)
        assert await world.state() == ("CREATE_FAILED", f"The source stream {other} does not exist.")

    with_pipes(test)


def test_a_pipe_whose_queue_goes_away_stops_and_says_why() -> None:
    """It is meant to run, and does not."""

    async def test(world: World) -> None:
        await world.make()
        world.queues.delete(world.queues.get("q", REGION))
        await asyncio.sleep(30)
        described = await world.do("GET", "/v1/pipes/p")
        found = (described["DesiredState"], described["CurrentState"], described["StateReason"])
        assert found == ("RUNNING", "STOPPED", f"Queue not found: {QUEUE}")

    with_pipes(test)


def test_a_pipe_that_breaks_stops_alone() -> None:
    """Whatever it was: it is told, and nobody else is disturbed."""

    class Breaking:
        last_result = "OK"

        async def run(self) -> None:
            raise ValueError("oh")

    class Opening:
        def open(self, *_: object) -> Breaking:
            return Breaking()

    async def main() -> None:
        clock = LoopClock(asyncio.get_running_loop())
        async with asyncio.TaskGroup() as group:
            pipes = Pipes(cast("Sources", Opening()), group=group, clock=clock)
            made = pipes.create({**pipe(), "Name": "p"}, REGION)
            await asyncio.sleep(1)
            assert (made.state, made.reason) == ("STOPPED", "The pipe broke: ValueError")
            await pipes.close()

    run_virtual(main)


def test_a_region_has_a_thousand_pipes() -> None:
    """One more is over the quota, until there are fewer."""

    async def test(world: World) -> None:
        for number in range(1_000):
            world.pipes.create({**pipe(), "Name": f"p{number}", "DesiredState": "STOPPED"}, REGION)
        status, code, _ = await world.refused()
        assert (status, code) == (402, "ServiceQuotaExceededException")
        await asyncio.sleep(1)
        for name in ("p0", "p1"):
            await world.do("DELETE", f"/v1/pipes/{name}")
        await asyncio.sleep(1)
        await world.make()

    with_pipes(test)


# ---------------------------------------------------------------------- lists, tags, permissions


def test_pipes_are_listed_by_name_in_pages() -> None:
    """Those that fit every condition; the token is the API's own."""

    async def test(world: World) -> None:
        for name in ("c", "a", "b"):
            target = FUNCTION if name == "a" else OUT
            state = {"DesiredState": "STOPPED"} if name == "b" else {}
            await world.do("POST", f"/v1/pipes/{name}", {**pipe(), "Target": target, **state})
        await asyncio.sleep(1)

        async def names(query: str) -> list[str]:
            return [entry["Name"] for entry in (await world.do("GET", "/v1/pipes", query=query))["Pipes"]]

        assert await names("") == ["a", "b", "c"]
        assert await names("NamePrefix=b") == ["b"]
        assert await names("CurrentState=RUNNING") == ["a", "c"]
        assert await names("DesiredState=STOPPED") == ["b"]
        assert await names(f"TargetPrefix={FUNCTION}") == ["a"]
        assert await names("SourcePrefix=arn:aws:kinesis") == []
        first = await world.do("GET", "/v1/pipes", query="Limit=2")
        second = await world.do("GET", "/v1/pipes", query=f"Limit=2&NextToken={first['NextToken']}")
        assert [entry["Name"] for entry in first["Pipes"] + second["Pipes"]] == ["a", "b", "c"]
        assert "NextToken" not in second
        times = {"CreationTime": 1_800_000_000.0, "LastModifiedTime": 1_800_000_000.0}
        assert second["Pipes"] == [
            {
                "Arn": arn("pipes", "pipe/c"),
                "Name": "c",
                "DesiredState": "RUNNING",
                "CurrentState": "RUNNING",
                **times,
                "Source": QUEUE,
                "Target": OUT,
            }
        ]

    with_pipes(test)


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("Limit=0", "ValidationException"),
        ("Limit=101", "ValidationException"),
        ("Limit=x", "SerializationException"),
        ("NextToken=%FF", "ValidationException"),
        ("NextToken=x", "ValidationException"),
        ("CurrentState=FINE", "ValidationException"),
    ],
)
def test_a_list_that_makes_no_sense_is_refused(query: str, code: str) -> None:
    """With 400."""

    async def test(world: World) -> None:
        status, _, found = await world.ask("GET", "/v1/pipes", query=query)
        assert (status, found) == (400, code)

    with_pipes(test)


def test_tags_come_and_go() -> None:
    """By the pipe's ARN, at most 50 of them."""

    async def test(world: World) -> None:
        await world.make(Tags={"a": "1"})
        path = f"/tags/{PIPE}"
        assert await world.do("POST", path, {"tags": {"b": "2", "c": "3"}}) == {}
        assert await world.do("DELETE", path, query="tagKeys=a&tagKeys=c") == {}
        assert await world.do("GET", f"/tags/{quote(PIPE, safe='')}") == {"tags": {"b": "2"}}
        status, told, _ = await world.ask("POST", path, {"tags": {str(number): "" for number in range(50)}})
        assert (status, told) == (400, {"message": "A pipe has at most 50 tags."})
        assert (await world.ask("GET", f"{path}x"))[0] == 404

    with_pipes(test)


def test_what_iam_would_check() -> None:
    """The action on the pipe, tags that it is made with, and the role that is handed over."""

    async def test(world: World) -> None:
        def needed(method: str, path: str, body: Any = None) -> tuple[Permission, ...]:
            raw = b"" if body is None else json.dumps(body).encode()
            return world.service.permissions(request(method, path, raw))

        role = Permission("iam:PassRole", ROLE, (("iam:PassedToService", "pipes.amazonaws.com"),))
        given = (("aws:RequestTag/a", "b"), ("aws:TagKeys", "a"))
        assert needed("POST", "/v1/pipes/p", {**pipe(), "Tags": {"a": "b"}}) == (
            Permission("pipes:CreatePipe", PIPE, given),
            Permission("pipes:TagResource", PIPE, given),
            role,
        )
        assert needed("PUT", "/v1/pipes/p", {"RoleArn": ROLE}) == (Permission("pipes:UpdatePipe", PIPE), role)
        assert needed("POST", "/v1/pipes/p/start") == (Permission("pipes:StartPipe", PIPE),)
        assert needed("GET", "/v1/pipes") == (Permission("pipes:ListPipes", "*"),)
        assert needed("GET", f"/tags/{PIPE}") == (Permission("pipes:ListTagsForResource", PIPE),)
        assert needed("PATCH", "/v1/pipes/p") == ()

    with_pipes(test)


# ---------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"Source": arn("sqs", "q", "us-east-1")}, CROSS),
        ({"Target": arn("sqs", "q", "us-east-1")}, CROSS),
        ({"Enrichment": arn("lambda", "function:f", "us-east-1")}, CROSS),
        ({"Source": arn("s3", "bucket")}, SOURCE),
        ({"Source": STREAM + "/consumer/c:1"}, SOURCE),
        ({"Source": arn("dynamodb", "table/t")}, SOURCE),
        ({"SourceParameters": {"KinesisStreamParameters": START}}, SOURCE),
        (
            {"Source": STREAM},
            "KinesisStreamParameters.StartingPosition is required for the source.",
        ),
        (
            {"Source": STREAM, "SourceParameters": {"KinesisStreamParameters": {"StartingPosition": "AT_TIMESTAMP"}}},
            "StartingPositionTimestamp goes with the StartingPosition AT_TIMESTAMP, and with no other.",
        ),
        ({"Target": arn("dynamodb", "table/t")}, TARGET),
        ({"Target": arn("events", "rule/r")}, TARGET),
        ({"Target": TOPIC + ".fifo"}, TARGET),
        ({"TargetParameters": {"KinesisStreamParameters": {"PartitionKey": "k"}}}, TARGET),
        ({"Target": STREAM}, "KinesisStreamParameters.PartitionKey is required for the target."),
        ({"Target": OUT + ".fifo"}, "SqsQueueParameters.MessageGroupId is required for a FIFO queue."),
        ({"Enrichment": QUEUE}, "Invalid pipe enrichment."),
        (
            {"TargetParameters": {"InputTemplate": "<aws.pipes.nothing>"}},
            "Invalid json path reference or predefined variable for placeholder: aws.pipes.nothing",
        ),
        (
            {"TargetParameters": {"InputTemplate": "<$.a[>"}},
            "Invalid json path reference or predefined variable for placeholder: $.a[",
        ),
        (
            {"SourceParameters": {"SqsQueueParameters": {"BatchSize": 11}}},
            "The configured batch size 11 is greater than the max supported 10.",
        ),
        (
            {
                "Source": QUEUE + ".fifo",
                "SourceParameters": {"SqsQueueParameters": {"BatchSize": 11}},
                "Target": FUNCTION,
            },
            "The configured batch size 11 is greater than the max supported 10.",
        ),
        (
            {
                "Source": QUEUE + ".fifo",
                "SourceParameters": {"SqsQueueParameters": {"MaximumBatchingWindowInSeconds": 1}},
            },
            "Batching window is not supported for FIFO queues",
        ),
        (
            {
                "Source": STREAM,
                "SourceParameters": {"KinesisStreamParameters": {**START, "DeadLetterConfig": {"Arn": DEAD + ".fifo"}}},
            },
            "A dead-letter queue is a standard SQS queue or a standard SNS topic of the pipe's Region.",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(members: dict[str, Any], message: str) -> None:
    """A ValidationException, in AWS's words where they are known."""

    async def test(world: World) -> None:
        assert await world.refused(**members) == (400, "ValidationException", message)

    with_pipes(test)


@pytest.mark.parametrize(("target", "most"), [(OUT, 10), (TOPIC, 10), (BUS, 10), (STREAM, 500), (FUNCTION, 10_000)])
def test_a_batch_is_no_larger_than_its_target_takes(target: str, most: int) -> None:
    """The batch of the source is the target's."""

    async def test(world: World) -> None:
        parameters = {"KinesisStreamParameters": {"PartitionKey": "k"}} if target == STREAM else {}
        members = {"Target": target, "TargetParameters": parameters, "DesiredState": "STOPPED"}
        if most < 10_000:
            sized = {"SqsQueueParameters": {"BatchSize": most + 1}}
            refused = await world.refused(**members, SourceParameters=sized)
            assert refused[2] == f"The configured batch size {most + 1} is greater than the max supported {most}."
        sized = {"SqsQueueParameters": {"BatchSize": most}}
        await world.do("POST", "/v1/pipes/p", {**pipe(), **members, "SourceParameters": sized})

    with_pipes(test)


@pytest.mark.parametrize(
    "pattern",
    [
        '{"body":{"a":[{"wildcard":"x*"}]}}',
        '{"body":{"a":[{"anything-but":{"prefix":"x"}}]}}',
        '{"body":{"a":[{"anything-but":{"suffix":"x"}}]}}',
        '{"body":{"a":[{"anything-but":{"equals-ignore-case":"x"}}]}}',
        '{"body":{"a":[{"anything-but":{"wildcard":"x*"}}]}}',
        '{"body":"x"}',
        "no JSON",
        "",
    ],
)
def test_filters_have_the_operators_of_pipes(pattern: str) -> None:
    """Those of buses that pipes do not have are refused, as is what is no pattern."""

    async def test(world: World) -> None:
        status, code, message = await world.refused(SourceParameters=filtered(pattern))
        assert (status, code) == (400, "ValidationException")
        assert message.startswith("Invalid Event Pattern")

    with_pipes(test)


@pytest.mark.parametrize(
    "pattern",
    [
        '{"body":{"a":[{"prefix":"x"}]}}',
        '{"body":{"a":[{"suffix":"x"}]}}',
        '{"body":{"a":[{"anything-but":["x"]}]}}',
        '{"body":{"a":[{"equals-ignore-case":"x"}]}}',
        '{"body":{"a":[{"numeric":["<",1]}]}}',
        '{"body":{"a":[{"cidr":"10.0.0.0/8"}]}}',
        '{"$or":[{"body":{"a":[{"exists":false}]}},{"body":{"b":[1]}}]}',
    ],
)
def test_filters_with_operators_of_pipes_are_taken(pattern: str) -> None:
    """All of the others."""

    async def test(world: World) -> None:
        await world.make(SourceParameters=filtered(pattern))

    with_pipes(test)


@pytest.mark.parametrize(
    "members",
    [
        {"Source": "smk://broker.example.com:9092"},
        {"Source": arn("kafka", "cluster/c/1")},
        {"Source": arn("mq", "broker:b:1")},
        {"SourceParameters": {"ActiveMQBrokerParameters": {"QueueName": "q"}}},
        {"Enrichment": arn("events", "api-destination/a/1")},
        {"Enrichment": ENRICHER, "EnrichmentParameters": {"HttpParameters": {"PathParameterValues": ["x"]}}},
        {"Target": arn("logs", "log-group:g")},
        {"Target": arn("ecs", "cluster/c")},
        {"Target": arn("events", "api-destination/a/1")},
        {"TargetParameters": {"HttpParameters": {"PathParameterValues": ["x"]}}},
        {"Target": BUS, "TargetParameters": {"EventBridgeEventBusParameters": {"EndpointId": "abc.def"}}},
        {"LogConfiguration": {"Level": "INFO"}},
        {"KmsKeyIdentifier": "alias/k"},
    ],
)
def test_what_is_not_here_is_refused_by_name(members: dict[str, Any]) -> None:
    """Never taken and passed over."""

    async def test(world: World) -> None:
        status, code, message = await world.refused(**members)
        assert (status, code) == (400, "ValidationException")
        assert message.endswith(NOT_HERE)

    with_pipes(test)


def test_what_has_not_its_shape_is_told_at_once() -> None:
    """All of it, in the words of AWS."""

    async def test(world: World) -> None:
        status, told, code = await world.ask("POST", "/v1/pipes/p", {"Source": QUEUE, "RoleArn": "r"})
        pattern = r"arn:(aws[a-zA-Z-]*)?:iam::\d{12}:role/?[a-zA-Z0-9+=,.@\-_/]+"
        assert (status, code) == (400, "ValidationException")
        assert told["message"] == (
            "2 validation errors detected: Value null at 'target' failed to satisfy constraint: "
            "Member must not be null; Value 'r' at 'roleArn' failed to satisfy constraint: "
            f"Member must satisfy regular expression pattern: {pattern}"
        )

    with_pipes(test)


@pytest.mark.parametrize(
    ("method", "path", "body", "answer"),
    [
        ("POST", "/v1/pipes/p", b"{", (400, "SerializationException")),
        ("POST", "/v1/pipes/p", b"[]", (400, "SerializationException")),
        ("POST", "/v1/pipes/p", b'{"Source":1}', (400, "SerializationException")),
        ("POST", "/v1/pipes/a%20b", b"{}", (400, "ValidationException")),
        ("GET", "/v1/pipes/none", b"", (404, "NotFoundException")),
        ("PUT", "/v1/pipes/none", b'{"RoleArn":"arn:aws:iam::123456789012:role/r"}', (404, "NotFoundException")),
        ("PATCH", "/v1/pipes/p", b"", (404, "UnknownOperationException")),
        ("GET", "/v2/pipes", b"", (404, "UnknownOperationException")),
    ],
)
def test_what_is_no_request_of_pipes(method: str, path: str, body: bytes, answer: tuple[int, str]) -> None:
    """An error that says so, never a crash."""

    async def test(world: World) -> None:
        status, told, code = await world.ask(method, path, body)
        assert ((status, code), bool(told["message"])) == (answer, True)

    with_pipes(test)
