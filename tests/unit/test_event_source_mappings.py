"""Event source mappings as the Lambda API and CloudFormation make them, over the local cloud's own queues."""

from __future__ import annotations

import asyncio
import json
import math
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from localcloud.clock import LoopClock, run_virtual
from localcloud.compute.function import FunctionSpec
from localcloud.compute.functions import InvokeResult
from localcloud.compute.mappings.destinations import DestinationCaller
from localcloud.compute.mappings.pollers import MappingPollers
from localcloud.compute.mappings.registry import SETTLE_S, Mappings
from localcloud.compute.mappings.resources import EventSourceMappingHandler
from localcloud.compute.stream_source import Page, Shard, Start, StreamGone, StreamRecord
from localcloud.services.contract import WireRequest, WireResponse
from localcloud.services.lambda_.errors import no_such_function
from localcloud.services.lambda_.wire import LambdaService
from localcloud.services.sqs.message import Content
from localcloud.services.sqs.model import Queues
from localcloud.template.errors import TemplateError
from localcloud.template.handler import Resource, StackContext

ACCOUNT = "123456789012"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/r"
STREAM = f"arn:aws:kinesis:us-east-1:{ACCOUNT}:stream/readings"
CHANGES = f"arn:aws:dynamodb:us-east-1:{ACCOUNT}:table/t/stream/2026-01-01T00:00:00.000"
BUCKET = "arn:aws:s3:::failures"
PATH = "/2015-03-31/event-source-mappings"


class FakeFunctions:
    """Two functions; `events` is what they were invoked with."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.specs = {
            name: FunctionSpec(
                name=name,
                arn=f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:{name}",
                handler="app.handler",
                code_dir=Path(),
                timeout_s=3,
                role_arn=ROLE,
            )
            for name in ("one", "other")
        }
        self.answer = InvokeResult(200, b"null")

    def get(self, named: str, *, qualifier: str = "") -> FunctionSpec:
        name = named.rpartition(":")[2]
        if name not in self.specs:
            raise no_such_function(named + qualifier)
        return self.specs[name]

    async def invoke(self, named: str, payload: bytes, *, batch: tuple[str, ...] = ()) -> InvokeResult:
        assert isinstance(batch, tuple)
        self.events.append((named.rpartition(":")[2], json.loads(payload)))
        return self.answer


class OneShard:
    """A stream of one open shard; `put` adds a record."""

    kind = "kinesis"
    pushes = True
    poll_s = 1.0
    retention_s = math.inf

    def __init__(self) -> None:
        self.arn = STREAM
        self.records: list[StreamRecord] = []
        self.more = asyncio.Event()

    def put(self, key: str) -> None:
        number = len(self.records)
        event = {"eventID": str(number), "kinesis": {"partitionKey": key, "data": ""}}
        self.records.append(StreamRecord(f"{number:04d}", key, 0.0, (event,)))
        self.more.set()

    def shards(self) -> list[Shard]:
        return [Shard("shard")]

    def cursor(self, shard_id: str, start: Start) -> int:
        assert shard_id == "shard"
        if start.sequence:
            return int(start.sequence) + 1
        return len(self.records) if start.kind.value == "LATEST" else 0

    async def read(self, cursor: Any, limit: int, *, wait_s: float = 0.0) -> Page:
        if cursor >= len(self.records):
            self.more.clear()
            try:
                async with asyncio.timeout(wait_s):
                    await self.more.wait()
            except TimeoutError:
                pass
        found = tuple(self.records[cursor : cursor + limit])
        return Page(found, cursor + len(found))


class World:
    def __init__(self, group: asyncio.TaskGroup) -> None:
        clock, rng = LoopClock(asyncio.get_running_loop()), random.Random(4)
        self.functions: Any = FakeFunctions()
        self.queues = Queues(clock=clock, rng=rng)
        self.stream = OneShard()
        self.forbidden: set[str] = set()
        self.calls: list[WireRequest] = []
        self.metrics: list[tuple[str, float]] = []
        pollers = MappingPollers(
            functions=self.functions,
            find_queue=self.queues.find,
            open_stream=self._open_stream,
            destinations=DestinationCaller(dispatch=self._dispatch, assume=lambda role: f"key of {role}", rng=rng),
            may_do=lambda role, action, on: action not in self.forbidden and bool(role and on),
            trace_of=lambda _: "",
            metrics=self,
            clock=clock,
            rng=rng,
        )
        self.mappings = Mappings(self.functions, pollers, group=group, clock=clock, rng=rng)
        self.service = LambdaService(lambda _: self.functions, lambda _: self.mappings)

    def put(self, namespace: str, name: str, value: float, *, dimensions: Any, unit: str) -> None:
        assert (namespace, dimensions, unit) == ("AWS/Lambda", {"FunctionName": "one"}, "Milliseconds")
        self.metrics.append((name, value))

    def _open_stream(self, arn: str, role_arn: str, *, opens_aggregates: bool = False) -> Any:
        assert role_arn == ROLE
        assert opens_aggregates is False
        if arn not in {STREAM, CHANGES}:
            raise StreamGone(arn)
        return self.stream

    async def _dispatch(self, request: WireRequest) -> WireResponse:
        self.calls.append(request)
        return WireResponse(200)

    async def api(self, method: str, path: str = "", query: str = "", **body: Any) -> tuple[int, dict[str, Any]]:
        return await self.send(method, path, query=query, body=json.dumps(body))

    async def send(
        self, method: str, path: str = "", *, query: str = "", body: str = "{}"
    ) -> tuple[int, dict[str, Any]]:
        request = WireRequest(
            service="lambda",
            region="us-east-1",
            method=method,
            path=PATH + path,
            query=query,
            headers={},
            body=body.encode(),
            access_key="k",
            request_id="r",
        )
        answer = await self.service.handle(request)
        assert isinstance(answer.body, bytes)
        return answer.status, json.loads(answer.body)

    def queue(self, name: str = "q", **attributes: str) -> str:
        return self.queues.create(name, "us-east-1", attributes=attributes, tags={}).arn


@asynccontextmanager
async def open_world() -> AsyncGenerator[World]:
    async with asyncio.TaskGroup() as group:
        world = World(group)
        yield world
        await world.mappings.close()


def in_world(check: Callable[[World], Awaitable[None]]) -> None:
    async def main() -> None:
        async with open_world() as world:
            await check(world)

    run_virtual(main)


def test_a_queue_mapping_is_described_as_the_api_does() -> None:
    """Every member of a new SQS mapping, and none of a stream's; Creating, then Enabled."""

    async def check(world: World) -> None:
        arn = world.queue()
        status, made = await world.api("POST", EventSourceArn=arn, FunctionName="one", BatchSize=5)
        modified = made.pop("LastModified")
        assert (status, modified > 1_700_000_000) == (202, True)
        assert made == {
            "UUID": made["UUID"],
            "EventSourceMappingArn": f"arn:aws:lambda:us-east-1:{ACCOUNT}:event-source-mapping:{made['UUID']}",
            "EventSourceArn": arn,
            "FunctionArn": f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:one",
            "BatchSize": 5,
            "MaximumBatchingWindowInSeconds": 0,
            "FunctionResponseTypes": [],
            "State": "Creating",
            "StateTransitionReason": "USER_INITIATED",
        }
        await asyncio.sleep(SETTLE_S * 2)
        status, found = await world.api("GET", f"/{made['UUID']}")
        assert (status, found["State"]) == (200, "Enabled")

    in_world(check)


def test_a_stream_mapping_is_described_with_its_defaults() -> None:
    """The members that only streams have, as they are where nothing was said."""

    async def check(world: World) -> None:
        _, made = await world.api("POST", EventSourceArn=STREAM, FunctionName="one", StartingPosition="TRIM_HORIZON")
        expected = {
            "BatchSize": 100,
            "StartingPosition": "TRIM_HORIZON",
            "ParallelizationFactor": 1,
            "BisectBatchOnFunctionError": False,
            "MaximumRetryAttempts": -1,
            "MaximumRecordAgeInSeconds": -1,
            "TumblingWindowInSeconds": 0,
            "DestinationConfig": {"OnFailure": {}},
            "LastProcessingResult": "No records processed",
        }
        assert {name: made[name] for name in expected} == expected

    in_world(check)


def test_a_mapping_switched_off_and_on_goes_on_where_it_was() -> None:
    """Nothing is invoked while it is off; afterwards each record comes once."""

    async def check(world: World) -> None:
        _, made = await world.api("POST", EventSourceArn=STREAM, FunctionName="one", StartingPosition="TRIM_HORIZON")
        world.stream.put("a")
        await asyncio.sleep(5)
        _, off = await world.api("PUT", f"/{made['UUID']}", Enabled=False)
        assert off["State"] == "Disabling"
        await asyncio.sleep(5)
        world.stream.put("b")
        await asyncio.sleep(60)
        assert (await world.api("GET", f"/{made['UUID']}"))[1]["State"] == "Disabled"
        assert len(world.functions.events) == 1
        _, on = await world.api("PUT", f"/{made['UUID']}", Enabled=True)
        assert on["State"] == "Enabling"
        await asyncio.sleep(5)
        keys = [each["kinesis"]["partitionKey"] for _, event in world.functions.events for each in event["Records"]]
        assert keys == ["a", "b"]
        assert [name for name, _ in world.metrics] == ["IteratorAge", "IteratorAge"]

    in_world(check)


def test_an_update_changes_what_it_names_and_nothing_else() -> None:
    """A new function and batch size act at once; the window stays; start and source cannot be changed."""

    async def check(world: World) -> None:
        arn = world.queue()
        given = {"EventSourceArn": arn, "FunctionName": "one", "MaximumBatchingWindowInSeconds": 1}
        _, made = await world.api("POST", **given)
        await asyncio.sleep(1)
        changes = {"FunctionName": "other", "BatchSize": 20, "EventSourceArn": "arn:aws:sqs:us-east-1:1:x"}
        status, changed = await world.api("PUT", f"/{made['UUID']}", **changes)
        assert (status, changed["State"], changed["BatchSize"]) == (202, "Updating", 20)
        assert (changed["EventSourceArn"], changed["MaximumBatchingWindowInSeconds"]) == (arn, 1)
        await asyncio.sleep(1)
        queue = world.queues.find(arn)
        assert queue is not None
        await queue.send(Content("m"))
        await asyncio.sleep(5)
        assert [name for name, _ in world.functions.events] == ["other"]

    in_world(check)


def test_a_deleted_mapping_polls_no_more_and_is_forgotten() -> None:
    """Deleting, then no such mapping; its queue keeps what comes."""

    async def check(world: World) -> None:
        arn = world.queue()
        _, made = await world.api("POST", EventSourceArn=arn, FunctionName="one")
        await asyncio.sleep(1)
        status, gone = await world.api("DELETE", f"/{made['UUID']}")
        assert (status, gone["State"]) == (202, "Deleting")
        await asyncio.sleep(1)
        status, error = await world.api("GET", f"/{made['UUID']}")
        assert (status, error["Type"]) == (404, "User")
        queue = world.queues.find(arn)
        assert queue is not None
        await queue.send(Content("m"))
        await asyncio.sleep(5)
        assert (world.functions.events, queue.depth.visible) == ([], 1)

    in_world(check)


def test_a_mapping_that_is_being_changed_cannot_be_changed() -> None:
    """ResourceInUseException until the state has settled."""

    async def check(world: World) -> None:
        _, made = await world.api("POST", EventSourceArn=world.queue(), FunctionName="one")
        for method in ("PUT", "DELETE"):
            status, error = await world.api(method, f"/{made['UUID']}")
            assert (status, error["Message"].endswith("because it is in use.")) == (400, True)

    in_world(check)


def test_a_source_and_a_function_are_mapped_once() -> None:
    """ResourceConflictException names the mapping that is there."""

    async def check(world: World) -> None:
        given = {"EventSourceArn": world.queue(), "FunctionName": "one"}
        _, made = await world.api("POST", **given)
        status, error = await world.api("POST", **given)
        assert (status, made["UUID"] in error["message"]) == (409, True)

    in_world(check)


def test_a_list_is_narrowed_and_paged() -> None:
    """By function, by source, and two at a time."""

    async def check(world: World) -> None:
        for name in ("a", "b", "c"):
            await world.api("POST", EventSourceArn=world.queue(name), FunctionName="one")
        await world.api("POST", EventSourceArn=world.queue("d"), FunctionName="other")
        _, page = await world.api("GET", query="FunctionName=one&MaxItems=2")
        _, rest = await world.api("GET", query=f"FunctionName=one&MaxItems=2&Marker={page['NextMarker']}")
        found = [each["EventSourceArn"][-1] for each in page["EventSourceMappings"] + rest["EventSourceMappings"]]
        assert (found, "NextMarker" in rest) == (["a", "b", "c"], False)
        _, one = await world.api("GET", query=f"EventSourceArn=arn:aws:sqs:us-east-1:{ACCOUNT}:d")
        assert [each["FunctionArn"].rpartition(":")[2] for each in one["EventSourceMappings"]] == ["other"]

    in_world(check)


FIFO = f"arn:aws:sqs:us-east-1:{ACCOUNT}:f.fifo"
Q = f"arn:aws:sqs:us-east-1:{ACCOUNT}:q"
START = {"StartingPosition": "TRIM_HORIZON"}
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"BatchSize": 0}, "Value '0' at 'batchSize' failed to satisfy constraint"),
    ({"BatchSize": "5"}, "BatchSize must be an Integer"),
    ({"BatchSize": 11}, "Maximum batch window in seconds must be greater than 0"),
    ({"MaximumBatchingWindowInSeconds": 301}, "Member must have value less than or equal to 300"),
    ({"ScalingConfig": {"MaximumConcurrency": 1}}, "must be from 2 to 1000"),
    ({"ProvisionedPollerConfig": {"MinimumPollers": 1}}, "must be from 2 to 200"),
    ({"ProvisionedPollerConfig": {"MinimumPollers": 9, "MaximumPollers": 8}}, "at least MinimumPollers, 9"),
    (
        {"ProvisionedPollerConfig": {"MinimumPollers": 2}, "ScalingConfig": {"MaximumConcurrency": 2}},
        "exclude each other",
    ),
    ({"EventSourceArn": FIFO, "MaximumBatchingWindowInSeconds": 1}, "not supported for FIFO queues"),
    ({"EventSourceArn": FIFO, "BatchSize": 11}, "from 1 to 10 for a FIFO queue"),
    ({"StartingPosition": "LATEST"}, "Unsupported StartingPosition parameter"),
    ({"ParallelizationFactor": 2}, "Unsupported ParallelizationFactor parameter"),
    ({"BisectBatchOnFunctionError": True}, "Unsupported BisectBatchOnFunctionError parameter"),
    ({"MaximumRetryAttempts": 2}, "Unsupported MaximumRetryAttempts parameter"),
    ({"TumblingWindowInSeconds": 2}, "Unsupported TumblingWindowInSeconds parameter"),
    ({"DestinationConfig": {"OnFailure": {"Destination": BUCKET}}}, "Unsupported DestinationConfig parameter"),
    ({"FilterCriteria": {"Filters": [{"Pattern": '{"body": 1}'}]}}, "Invalid filter pattern definition"),
    ({"FilterCriteria": {"Filters": [{"Pattern": "{}"}] * 11}}, "more than 10 filters"),
    ({"FunctionResponseTypes": ["Other"]}, "may hold ReportBatchItemFailures"),
    ({"FunctionName": "none"}, "Function not found"),
    ({"EventSourceArn": Q + "x"}, "there is no queue"),
    ({"EventSourceArn": "arn:aws:s3:::b"}, "is no queue, stream or consumer"),
    ({"Topics": ["t"]}, "Kafka is not served"),
    ({"Queues": ["t"]}, "Amazon MQ is not served"),
    ({"Enabled": "yes"}, "Enabled must be a Boolean"),
    ({"Tags": {"a": 1}}, "Tags must be a map"),
    ({"EventSourceArn": STREAM}, "StartingPosition: is required"),
    ({"EventSourceArn": STREAM, "StartingPosition": "OLDEST"}, "must be one of TRIM_HORIZON, LATEST, AT_TIMESTAMP"),
    ({"EventSourceArn": CHANGES, "StartingPosition": "AT_TIMESTAMP"}, "must be one of TRIM_HORIZON, LATEST"),
    ({"EventSourceArn": STREAM, "StartingPosition": "AT_TIMESTAMP"}, "StartingPositionTimestamp: is required"),
    (
        {"EventSourceArn": STREAM, "StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": 9e9},
        "must not lie in the future",
    ),
    ({"EventSourceArn": STREAM, "StartingPositionTimestamp": 1, **START}, "goes with the StartingPosition"),
    ({"EventSourceArn": STREAM, "MaximumRecordAgeInSeconds": 59, **START}, "must be -1 or from 60 to 604800"),
    ({"EventSourceArn": STREAM, "ParallelizationFactor": 11, **START}, "less than or equal to 10"),
    ({"EventSourceArn": STREAM, "ScalingConfig": {"MaximumConcurrency": 2}, **START}, "Unsupported ScalingConfig"),
    (
        {"EventSourceArn": STREAM, "TumblingWindowInSeconds": 9, "ParallelizationFactor": 2, **START},
        "takes a ParallelizationFactor of 1",
    ),
    ({"EventSourceArn": STREAM + "x", **START}, "Stream not found"),
    (
        {"EventSourceArn": STREAM, "DestinationConfig": {"OnFailure": {"Destination": FIFO}}, **START},
        "may be no destination",
    ),
    ({"EventSourceArn": STREAM, "FilterCriteria": {"Filters": [{"Pattern": '{"data": ["x"]}'}]}, **START}, "Invalid"),
    ({"EventSourceArn": "arn:aws:dynamodb:../x:123456789012:table/t/stream/l"}, "satisfy regular expression pattern"),
    (
        {"EventSourceArn": STREAM, "StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": "sNaN"},
        "a Timestamp",
    ),
    ({"EventSourceArn": STREAM, "StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": -1}, "a Timestamp"),
    (
        {"EventSourceArn": STREAM, "DestinationConfig": {"OnSuccess": {"Destination": BUCKET}}, **START},
        "OnSuccess is not supported",
    ),
    ({"FilterCriteria": {"Filters": [{"Pattern": 1}]}}, "FilterCriteria.Filters[0].Pattern must be a String"),
    ({"FilterCriteria": []}, "FilterCriteria must be a Structure"),
    ({"FilterCriteria": {"Filters": {}}}, "FilterCriteria.Filters must be a List"),
    ({"MetricsConfig": 1}, "MetricsConfig must be a Structure"),
    ({"MetricsConfig": {"Metrics": ["Other"]}}, "Member must satisfy enum value set: [EventCount]"),
    ({"ScalingConfig": {"MaximumConcurrency": "5"}}, "ScalingConfig.MaximumConcurrency must be an Integer"),
    ({"LoggingConfig": {"SystemLogLevel": "INFO"}}, "Kafka is not served"),
    ({"ProvisionedPollerConfig": {"MinimumPollers": 2, "PollerGroupName": "g"}}, "Kafka is not served"),
]


@pytest.mark.parametrize(("changed", "said"), REFUSED)
def test_what_lambda_refuses_is_refused_by_name(changed: dict[str, Any], said: str) -> None:
    """A 4xx with Lambda's sentence, and no mapping."""

    async def check(world: World) -> None:
        world.queue()
        world.queue("f.fifo", FifoQueue="true")
        status, error = await world.api("POST", **{"EventSourceArn": Q, "FunctionName": "one", **changed})
        assert status in {400, 404}
        assert said in error.get("message", error.get("Message", ""))
        assert world.mappings.list() == ()

    in_world(check)


@pytest.mark.parametrize(
    ("action", "arn", "said"),
    [
        ("sqs:DeleteMessage", Q, "does not have permissions to call DeleteMessage on SQS"),
        ("kinesis:ListShards", STREAM, "Cannot access stream"),
        ("dynamodb:DescribeStream", CHANGES, "Cannot access stream"),
        ("s3:PutObject", STREAM, "does not have permissions to call PutObject on S3"),
    ],
)
def test_a_role_that_may_not_is_refused(action: str, arn: str, said: str) -> None:
    """The execution role needs what the poller does, and what the destination takes."""

    async def check(world: World) -> None:
        world.queue()
        world.forbidden.add(action)
        more = {} if arn == Q else {**START, "DestinationConfig": {"OnFailure": {"Destination": BUCKET}}}
        status, error = await world.api("POST", EventSourceArn=arn, FunctionName="one", **more)
        assert (status, said in error["message"]) == (400, True)

    in_world(check)


@pytest.mark.parametrize(
    ("arn", "service", "place"),
    [
        (f"arn:aws:sqs:us-east-1:{ACCOUNT}:dead", "sqs", f'"QueueUrl": "http://localhost/{ACCOUNT}/dead"'),
        (f"arn:aws:sns:us-east-1:{ACCOUNT}:dead", "sns", "TopicArn=arn%3Aaws%3Asns%3Aus-east-1%3A123456789012%3Adead"),
        (BUCKET, "s3", '"payload":"{'),
    ],
)
def test_what_is_given_up_is_told_by_the_functions_role(arn: str, service: str, place: str) -> None:
    """The call that AWS would make to each kind of destination, with the role's own session."""

    async def check(world: World) -> None:
        world.functions.answer = InvokeResult(200, b"{}", "Unhandled")
        more = {"MaximumRetryAttempts": 0, "DestinationConfig": {"OnFailure": {"Destination": arn}}}
        await world.api("POST", EventSourceArn=STREAM, FunctionName="one", **START, **more)
        world.stream.put("a")
        await asyncio.sleep(30)
        (call,) = world.calls
        assert (call.service, call.access_key) == (service, f"key of {ROLE}")
        assert place in call.body.decode()
        if service == "s3":
            assert call.path.startswith("/failures/aws/lambda/")

    in_world(check)


def test_members_that_the_api_does_not_have_are_neither_kept_nor_shown() -> None:
    """Whatever is in them, for it would come back as it came. A number beyond all bounds is refused: no JSON has it."""

    async def check(world: World) -> None:
        given = {"EventSourceArn": world.queue(), "FunctionName": "one", "FilterCriteria": {"x": "huge"}}
        body = json.dumps(given | {"MetricsConfig": {"Metrics": ["EventCount"], "y": 1}, "z": 1})
        status, _ = await world.send("POST", body=body.replace('"huge"', "1e400"))
        assert status == 400
        status, made = await world.send("POST", body=body)
        shown = {"FilterCriteria": made.get("FilterCriteria"), "MetricsConfig": made.get("MetricsConfig")}
        assert (status, shown) == (202, {"FilterCriteria": None, "MetricsConfig": {"Metrics": ["EventCount"]}})

    in_world(check)


@pytest.mark.parametrize("items", ["0", "10001", "-1", "x", "1.5", "000001" + "9" * 5000, "\u0661"])
def test_a_page_has_a_number_of_items(items: str) -> None:
    """What is no whole number from 1 to 10,000 is refused, and shown in part."""

    async def check(world: World) -> None:
        status, error = await world.send("GET", query=f"MaxItems={items}")
        assert (status, f"Value '{items[:256]}" in error["message"]) == (400, True)

    in_world(check)


def test_cloudformation_makes_the_same_mapping() -> None:
    """Numbers and booleans as text; Ref is the UUID; deleted, it polls no more, whatever its state."""

    async def check(world: World) -> None:
        handler = EventSourceMappingHandler(world.mappings)
        context = StackContext("stack", "us-east-1", ACCOUNT, "aws", Path())
        given = {
            "EventSourceArn": STREAM,
            "FunctionName": "one",
            "StartingPosition": "TRIM_HORIZON",
            "BatchSize": "7",
            "BisectBatchOnFunctionError": "true",
            "Tags": [{"Key": "team", "Value": "a"}],
        }
        resource = Resource("M", handler.type, given, context)
        made = await handler.create(resource)
        _, found = await world.api("GET", f"/{made.ref}")
        assert (found["BatchSize"], found["BisectBatchOnFunctionError"]) == (7, True)
        assert made.attributes["EventSourceMappingArn"] == found["EventSourceMappingArn"]
        await handler.delete(resource, made)
        assert world.mappings.list() == ()
        with pytest.raises(TemplateError, match=r"M\.Properties\.BatchSize"):
            await handler.create(Resource("M", handler.type, given | {"BatchSize": 0}, context))

    in_world(check)
