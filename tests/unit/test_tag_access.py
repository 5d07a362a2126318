"""What each service tells IAM of tags, its resources' and a request's, for the actions that have them."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from localcloud.clock import LoopClock, SystemClock, run_virtual
from localcloud.gateway.appsync.http import EventsHttp
from localcloud.services.appsync.model import EventApis, Namespace
from localcloud.services.appsync.wire import AppSyncService
from localcloud.services.contract import Permission, Service, WireRequest
from localcloud.services.dynamodb.store import Store
from localcloud.services.dynamodb.wire import DynamoService
from localcloud.services.iam.tags import request_tags, resource_tags, tag_keys
from localcloud.services.kinesis.access import tags_of as stream_tags
from localcloud.services.lambda_.wire import LambdaService
from localcloud.services.sns.model import Topics
from localcloud.services.sns.wire import SnsService
from localcloud.services.sqs.model import Queues
from localcloud.services.sqs.wire import SqsService
from tests.unit.appsync_setup import World as AppSyncWorld
from tests.unit.appsync_setup import config_of, signed
from tests.unit.appsync_setup import run as with_appsync
from tests.unit.events_setup import World as EventsWorld
from tests.unit.events_setup import request as events_request
from tests.unit.events_setup import with_world
from tests.unit.kinesis_setup import Api, with_api
from tests.unit.pipes_setup import PIPE, with_pipes
from tests.unit.pipes_setup import World as PipesWorld
from tests.unit.test_pipes_wire import pipe
from tests.unit.test_pipes_wire import request as pipes_request
from tests.unit.test_sns_model import Recorded
from tests.unit.test_sns_wire import flat

REGION = "eu-west-1"
ACCOUNT = "123456789012"
TAGS = {"domain": "shop", "level": "public"}
OWN = resource_tags(TAGS)
NEW = {"team": "blue", "Cost": ""}
GIVEN = request_tags(NEW)
TAKEN = tag_keys(["team", "Cost"])
LISTED = [{"Key": key, "Value": value} for key, value in NEW.items()]
HELD = [{"Key": key, "Value": value} for key, value in TAGS.items()]


def wire(service: str, headers: Mapping[str, str], body: bytes, **more: str) -> WireRequest:
    made = WireRequest(service, REGION, "POST", "/", "", headers, body, "AK", "r")
    return replace(made, **more)  # pyright: ignore[reportArgumentType] - texts all


def told(service: Service, request: WireRequest) -> dict[str, tuple[tuple[str, str], ...]]:
    """The condition keys by action."""
    return {each.action.partition(":")[2]: each.context for each in service.permissions(request)}


# ---------------------------------------------------------------- Kinesis

STREAM = f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/s"


def test_kinesis_tells_the_tags_of_streams_and_consumers() -> None:
    """Each of its own; the actions that the reference knows no resource of are told none."""

    async def test(api: Api) -> None:
        await api.consumer(await api.make())
        await api.call("AddTagsToStream", StreamName="s", Tags=TAGS)
        (consumer,) = api.streams.get("s", REGION).consumers.values()

        def asked(operation: str, **members: Any) -> dict[str, Any]:
            return told(api.service, api.request(operation, json.dumps(members).encode()))

        for operation in ("PutRecord", "PutRecords", "GetShardIterator", "ListShards", "DescribeStream", "SplitShard"):
            assert asked(operation, StreamName="s") == {operation: OWN}
        assert asked("GetRecords", ShardIterator=await api.iterator()) == {"GetRecords": OWN}
        for operation in ("UpdateShardCount", "UpdateStreamMode", "EnableEnhancedMonitoring"):
            assert asked(operation, StreamName="s", StreamARN=STREAM) == {operation: ()}
        assert asked("ListStreams") == {"ListStreams": ()}
        assert asked("PutRecord", StreamName="other") == {"PutRecord": ()}
        assert asked("SubscribeToShard", ConsumerARN=consumer.arn) == {"SubscribeToShard": ()}
        await api.call("TagResource", ResourceARN=consumer.arn, Tags={"domain": "billing"})
        other = resource_tags({"domain": "billing"})
        assert asked("SubscribeToShard", ConsumerARN=consumer.arn) == {"SubscribeToShard": other}
        assert stream_tags(api.streams, "kinesis:SubscribeToShard", consumer.arn) == {"domain": "billing"}
        await api.call("RemoveTagsFromStream", StreamName="s", TagKeys=["level"])
        assert asked("PutRecord", StreamName="s") == {"PutRecord": resource_tags({"domain": "shop"})}

    with_api(test)


def test_kinesis_tells_the_tags_of_a_request() -> None:
    """What is given with its values, what is taken by its keys; what is no tag is not told."""

    async def test(api: Api) -> None:
        await api.make()
        await api.call("AddTagsToStream", StreamName="s", Tags=TAGS)

        def asked(operation: str, **members: Any) -> dict[str, Any]:
            return told(api.service, api.request(operation, json.dumps(members).encode()))

        made = asked("CreateStream", StreamName="new", Tags=NEW)
        assert made == {"CreateStream": GIVEN, "AddTagsToStream": GIVEN}
        registered = asked("RegisterStreamConsumer", StreamARN=STREAM, ConsumerName="c", Tags=NEW)
        assert registered == {"RegisterStreamConsumer": GIVEN + OWN, "TagResource": GIVEN}
        assert asked("AddTagsToStream", StreamName="s", Tags=NEW) == {"AddTagsToStream": GIVEN + OWN}
        assert asked("TagResource", ResourceARN=STREAM, Tags=NEW) == {"TagResource": GIVEN + OWN}
        assert asked("TagResource", ResourceARN=STREAM, Tags=["x"]) == {"TagResource": OWN}
        keys = ["team", "Cost"]
        assert asked("RemoveTagsFromStream", StreamName="s", TagKeys=keys) == {"RemoveTagsFromStream": TAKEN + OWN}
        assert asked("UntagResource", ResourceARN=STREAM, TagKeys=keys) == {"UntagResource": TAKEN + OWN}
        assert asked("UntagResource", ResourceARN=STREAM, TagKeys=7) == {"UntagResource": OWN}

    with_api(test)


# ---------------------------------------------------------------- SQS and SNS


def test_sqs_tells_the_tags_of_queues_and_requests() -> None:
    """In both protocols; a queue that is made with tags needs sqs:TagQueue as well."""

    async def test() -> None:
        queues = Queues(clock=LoopClock(asyncio.get_running_loop()), rng=random.Random(1))
        service = SqsService(queues)
        queues.create("q", REGION, attributes={}, tags=TAGS)

        def asked(action: str, **members: Any) -> dict[str, Any]:
            return told(service, wire("sqs", {"x-amz-target": f"AmazonSQS.{action}"}, json.dumps(members).encode()))

        for action in ("SendMessage", "ReceiveMessage", "DeleteQueue", "ListQueueTags"):
            assert asked(action, QueueUrl="q") == {action: OWN}
        assert asked("SendMessageBatch", QueueUrl="q") == {"SendMessage": OWN}
        assert asked("ListQueues") == {"ListQueues": ()}
        assert asked("SendMessage", QueueUrl="other") == {"SendMessage": ()}
        assert asked("CreateQueue", QueueName="new") == {"CreateQueue": ()}
        for name in ("tags", "Tags"):
            made = asked("CreateQueue", QueueName="new", **{name: NEW})
            assert made == {"CreateQueue": GIVEN, "TagQueue": GIVEN}
        assert asked("TagQueue", QueueUrl="q", Tags=NEW) == {"TagQueue": GIVEN + OWN}
        assert asked("UntagQueue", QueueUrl="q", TagKeys=["team", "Cost"]) == {"UntagQueue": TAKEN + OWN}
        assert asked("TagQueue", QueueUrl="q", Tags=7) == {}
        form = urlencode({"Action": "TagQueue", "QueueUrl": "q", "Tag.1.Key": "team", "Tag.1.Value": "blue"})
        assert told(service, wire("sqs", {}, form.encode())) == {"TagQueue": request_tags({"team": "blue"}) + OWN}
        assert service.tags_of("sqs:SendMessage", "nonsense") is None

    run_virtual(test)


def test_sns_tells_the_tags_of_topics_and_requests() -> None:
    """Beside the keys of its own that Subscribe has."""

    async def test() -> None:
        async with asyncio.TaskGroup() as group:
            clock = LoopClock(asyncio.get_running_loop())
            topics = Topics(clock=clock, rng=random.Random(1), group=group, endpoints=Recorded())
            service = SnsService(topics)
            topic = topics.create("t", REGION, attributes={}, tags=TAGS).arn

            def asked(action: str, **members: Any) -> dict[str, Any]:
                return told(service, wire("sns", {}, urlencode({"Action": action, **flat(members)}).encode()))

            for action in ("Publish", "GetTopicAttributes", "DeleteTopic"):
                assert asked(action, TopicArn=topic) == {action: OWN}
            assert asked("PublishBatch", TopicArn=topic) == {"Publish": OWN}
            assert asked("ListTopics") == {"ListTopics": ()}
            subscribed = asked("Subscribe", TopicArn=topic, Protocol="sqs")
            assert subscribed == {"Subscribe": (("sns:Protocol", "sqs"), *OWN)}
            assert asked("CreateTopic", Name="new") == {"CreateTopic": ()}
            assert asked("CreateTopic", Name="new", Tags=LISTED) == {"CreateTopic": GIVEN, "TagResource": GIVEN}
            assert asked("TagResource", ResourceArn=topic, Tags=LISTED) == {"TagResource": GIVEN + OWN}
            taken = asked("UntagResource", ResourceArn=topic, TagKeys=["team", "Cost"])
            assert taken == {"UntagResource": TAKEN + OWN}
            topics.close()

    run_virtual(test)


# ---------------------------------------------------------------- DynamoDB

TABLE = f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/tab"
DEFINITION = {
    "TableName": "tab",
    "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
    "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
    "BillingMode": "PAY_PER_REQUEST",
    "Tags": HELD,
}


def dynamo(operation: str, region: str = REGION, **members: Any) -> WireRequest:
    version = "DynamoDBStreams_20120810" if operation in {"GetRecords", "DescribeStream"} else "DynamoDB_20120810"
    headers = {"x-amz-target": f"{version}.{operation}"}
    return replace(wire("dynamodb", headers, json.dumps(members).encode()), region=region)


def test_dynamodb_tells_the_tags_of_tables() -> None:
    """Of batches and transactions for each table, for indexes the table's; streams have none."""

    async def test() -> None:
        service = DynamoService(SystemClock())
        assert (await service.handle(dynamo("CreateTable", **DEFINITION))).status == 200

        def asked(operation: str, **members: Any) -> tuple[Permission, ...]:
            return service.permissions(dynamo(operation, **members))

        own = Permission("dynamodb:GetItem", TABLE, OWN)
        assert asked("GetItem", TableName="tab") == asked("GetItem", TableName=TABLE) == (own,)
        assert asked("Query", TableName="tab", IndexName="i") == (
            Permission("dynamodb:Query", f"{TABLE}/index/i", OWN),
        )
        other = Permission("dynamodb:BatchGetItem", f"{TABLE}2")
        batch = (replace(own, action="dynamodb:BatchGetItem"), other)
        assert asked("BatchGetItem", RequestItems={"tab": {}, "tab2": {}}) == batch
        puts = {"TransactItems": [{"Put": {"TableName": "tab"}}]}
        assert asked("TransactWriteItems", **puts) == (replace(own, action="dynamodb:PutItem"),)
        stream = f"{TABLE}/stream/2026-01-01"
        assert asked("DescribeStream", StreamArn=stream) == (Permission("dynamodb:DescribeStream", stream),)
        assert asked("ListTables") == (Permission("dynamodb:ListTables", "*"),)
        made = asked("CreateTable", TableName="new", Tags=LISTED)
        assert made == (Permission("dynamodb:CreateTable", TABLE.replace("/tab", "/new"), GIVEN),)
        elsewhere = service.permissions(dynamo("GetItem", region="us-east-1", TableName=TABLE))
        assert elsewhere == (own,)
        assert service.permissions(dynamo("GetItem", region="us-east-1", TableName="tab"))[0].context == ()
        service.close()

    run_virtual(test)


def test_a_kept_table_has_its_tags_from_the_first_call_on(tmp_path: Any) -> None:
    """What an earlier run made is asked about before anything else has opened the Region's tables."""

    async def test() -> None:
        first = DynamoService(SystemClock(), store=Store(tmp_path))
        await first.handle(dynamo("CreateTable", **DEFINITION))
        first.close()
        again = DynamoService(SystemClock(), store=Store(tmp_path))
        assert told(again, dynamo("GetItem", TableName="tab")) == {"GetItem": OWN}
        again.close()

    run_virtual(test)


# ---------------------------------------------------------------- EventBridge and Pipes


def test_eventbridge_tells_the_tags_of_buses_and_rules() -> None:
    """PutEvents of the bus; archives and replays have none, a bus's permissions are on no resource."""

    async def test(world: EventsWorld) -> None:
        bus = (await world.do("CreateEventBus", {"Name": "b", "Tags": HELD}))["EventBusArn"]
        rule = await world.add_rule({"source": ["a"]}, bus="b")
        await world.do("TagResource", {"ResourceARN": rule, "Tags": HELD[:1]})
        of_rule = OWN[:1]

        def asked(action: str, **members: Any) -> list[tuple[str, tuple[tuple[str, str], ...]]]:
            found = world.service.permissions(events_request(action, json.dumps(members).encode()))
            return [(each.action.partition(":")[2], each.context) for each in found]

        ((_, context),) = asked("PutEvents", Entries=[{"EventBusName": "b", "Source": "s"}])
        assert context[-2:] == OWN
        assert ("events:source", "s") in context
        assert asked("DescribeEventBus", Name="b") == [("DescribeEventBus", OWN)]
        for action, name in (("DescribeRule", "Name"), ("PutTargets", "Rule"), ("DeleteRule", "Name")):
            assert asked(action, **{name: "r", "EventBusName": "b"}) == [(action, of_rule)]
        assert asked("PutPermission", EventBusName="b") == [("PutPermission", ())]
        assert asked("CreateArchive", ArchiveName="a", EventSourceArn=bus) == [
            ("CreateArchive", ()), ("CreateArchive", OWN),
        ]  # fmt: skip
        assert asked("CreateEventBus", Name="new", Tags=LISTED) == [("CreateEventBus", GIVEN), ("TagResource", GIVEN)]
        made = asked("PutRule", Name="r", EventBusName="b", Tags=LISTED)
        assert made == [("PutRule", GIVEN + of_rule), ("TagResource", GIVEN + of_rule)]
        assert asked("TagResource", ResourceARN=bus, Tags=LISTED) == [("TagResource", GIVEN + OWN)]
        taken = asked("UntagResource", ResourceARN=bus, TagKeys=["team", "Cost"])
        assert taken == [("UntagResource", TAKEN + OWN)]
        for nonsense in ("x", "x:event-bus/default", "::::::event-bus/default", "arn:aws:events:a:b:rule/none"):
            assert asked("TagResource", ResourceARN=nonsense) == [("TagResource", ())]
        role = {"Id": "t", "Arn": bus, "RoleArn": f"arn:aws:iam::{ACCOUNT}:role/r"}
        passed = asked("PutTargets", Rule="none", Targets=[role])[1]
        assert passed == ("PassRole", (("iam:PassedToService", "events.amazonaws.com"),))

    with_world(test)


def test_pipes_tell_the_tags_of_pipes_and_requests() -> None:
    """Of each action on one."""

    async def test(world: PipesWorld) -> None:
        body = json.dumps({**pipe(), "Tags": TAGS}).encode()
        assert (await world.service.handle(pipes_request("POST", "/v1/pipes/p", body))).status == 200

        def asked(method: str, path: str, body: Any = None, query: str = "") -> dict[str, Any]:
            raw = b"" if body is None else json.dumps(body).encode()
            return told(world.service, replace(pipes_request(method, path, raw), query=query))

        assert asked("GET", "/v1/pipes/p") == {"DescribePipe": OWN}
        assert asked("POST", "/v1/pipes/p/stop") == {"StopPipe": OWN}
        assert asked("GET", "/v1/pipes/other") == {"DescribePipe": ()}
        assert asked("POST", "/v1/pipes/new", {"Tags": NEW}) == {"CreatePipe": GIVEN, "TagResource": GIVEN}
        assert asked("POST", f"/tags/{PIPE}", {"tags": NEW}) == {"TagResource": GIVEN + OWN}
        keys = "tagKeys=team&tagKeys=Cost"
        assert asked("DELETE", f"/tags/{PIPE}", query=keys) == {"UntagResource": TAKEN + OWN}

    with_pipes(test)


# ---------------------------------------------------------------- AppSync and Lambda


def test_appsync_tells_the_tags_of_apis_and_namespaces() -> None:
    """A namespace has its own, and not its API's."""
    apis = EventApis(clock=SystemClock(), rng=random.Random(1))
    service = AppSyncService(apis, EventsHttp(None))  # type: ignore[arg-type] - it is not asked
    api = apis.create("a", REGION, config=config_of("API_KEY"), tags=TAGS)
    apis.put_namespace(api, Namespace("n", tags={"domain": "billing"}), is_new=True)

    def asked(method: str, path: str, body: Any = None, query: str = "") -> dict[str, Any]:
        request = wire("appsync", {}, b"" if body is None else json.dumps(body).encode(), method=method, path=path)
        return told(service, replace(request, query=query))

    place = f"/v2/apis/{api.id}"
    billing = resource_tags({"domain": "billing"})
    assert asked("GET", place) == {"GetApi": OWN}
    assert asked("GET", "/v2/apis/other") == {"GetApi": ()}
    assert asked("GET", f"{place}/channelNamespaces/n") == {"GetChannelNamespace": billing}
    assert asked("GET", f"{place}/channelNamespaces/other") == {"GetChannelNamespace": ()}
    assert asked("POST", "/v2/apis", {"name": "x", "tags": NEW}) == {"CreateApi": GIVEN}
    made = asked("POST", f"{place}/channelNamespaces", {"name": "x", "tags": NEW})
    assert made == {"CreateChannelNamespace": GIVEN + OWN}
    tagged = f"/v1/tags/{quote(api.arn, safe='')}"
    assert asked("POST", tagged, {"tags": NEW}) == {"TagResource": GIVEN + OWN}
    assert asked("DELETE", tagged, query="tagKeys=team&tagKeys=Cost") == {"UntagResource": TAKEN + OWN}


def test_appsync_tells_the_tags_of_who_is_published_to() -> None:
    """A signed publication is asked about with the namespace's."""

    async def test(world: AppSyncWorld) -> None:
        world.api.namespaces["default"].tags.update(TAGS)
        await world.post({"channel": "/default/room", "events": ["1"]}, signed())
        arn = world.api.namespace_arn("default")
        assert world.access.asked[-1] == Permission("appsync:EventPublish", arn, OWN)

    with_appsync(test, config=config_of("AWS_IAM"))


class OneFunction:
    """The functions of a Region: one, with tags."""

    def get(self, name_or_arn: str, *, qualifier: str = "") -> Any:
        return type("Spec", (), {"tags": TAGS})()


@pytest.mark.parametrize(
    ("method", "path", "action"),
    [
        ("POST", "/2015-03-31/functions/f/invocations", "InvokeFunction"),
        ("POST", "/2021-11-15/functions/f/response-streaming-invocations", "InvokeFunction"),
        ("GET", "/2015-03-31/functions/f", "GetFunction"),
    ],
)
def test_lambda_tells_the_tags_of_functions(method: str, path: str, action: str) -> None:
    """Of a Region that has functions."""
    service = LambdaService(lambda region: OneFunction() if region == REGION else None)  # type: ignore[return-value]
    request = wire("lambda", {}, b"", method=method, path=path)
    assert told(service, request) == {action: OWN}
    assert told(service, replace(request, region="us-east-1")) == {action: ()}
    assert told(service, wire("lambda", {}, b"", method="GET", path="/2015-03-31/functions/")) == {"ListFunctions": ()}


class OneMapping:
    """The mappings of a Region: one, with tags."""

    mapping_id = "one"
    tags = TAGS

    def list(self) -> tuple[OneMapping, ...]:
        return (self,)


def test_lambda_tells_the_tags_of_mappings_and_requests() -> None:
    """Of a mapping that is there; of the body that makes one, where it is one."""
    service = LambdaService(lambda _: None, lambda _: OneMapping())  # type: ignore[return-value] - as much as is asked
    path = "/2015-03-31/event-source-mappings/"

    def asked(method: str, mapping_id: str = "", body: bytes = b"") -> dict[str, Any]:
        return told(service, wire("lambda", {}, body, method=method, path=path + mapping_id))

    assert asked("GET", "one") == {"GetEventSourceMapping": OWN}
    assert asked("DELETE", "one") == {"DeleteEventSourceMapping": OWN}
    assert asked("GET", "other") == {"GetEventSourceMapping": ()}
    assert asked("POST", body=json.dumps({"Tags": NEW}).encode()) == {"CreateEventSourceMapping": GIVEN}
    for body in (b"", b"{", b"[]", b'{"Tags":7}'):
        assert asked("POST", body=body) == {"CreateEventSourceMapping": ()}
