"""Maps of the distributed mode: items from S3, batches, children, tolerated failures, results written."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import parse_qs, unquote

import pytest

from localcloud.services.contract import WireRequest, WireResponse
from tests.unit.states_setup import FUNCTION, FunctionFailed, World, one, run_world

GET = "arn:aws:states:::s3:getObject"
LIST = "arn:aws:states:::s3:listObjectsV2"
PUT = "arn:aws:states:::s3:putObject"
PASS = {"StartAt": "I", "States": {"I": {"Type": "Pass", "End": True}}}
WAIT = {"StartAt": "I", "States": {"I": {"Type": "Wait", "Seconds": 10, "End": True}}}
CALL = {"StartAt": "I", "States": {"I": {"Type": "Task", "Resource": f"{FUNCTION}f", "End": True}}}
LISTED = (
    "<ListBucketResult><Contents><Key>{key}</Key><Size>3</Size><ETag>e</ETag><StorageClass>STANDARD</StorageClass>"
    "<LastModified>2027-01-15T08:00:00.000Z</LastModified></Contents>{more}</ListBucketResult>"
)


def distributed(processor: dict[str, Any] = PASS, kind: str = "STANDARD", **fields: Any) -> dict[str, Any]:
    """A machine of one Map."""
    config = {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": kind}}
    return one({"Type": "Map", "Label": "L", "ItemProcessor": {**processor, **config}, **fields})


class Bucket:
    """S3 with one bucket."""

    def __init__(self, **objects: str) -> None:
        self.objects = {name.replace("_", "."): text.encode() for name, text in objects.items()}

    def answer(self, request: WireRequest) -> WireResponse:
        key = unquote(request.path.removeprefix("/b").removeprefix("/"))
        if request.method == "PUT":
            self.objects[key] = request.body
            return WireResponse(200)
        if not key:
            token = parse_qs(request.query).get("continuation-token")
            more = "" if token else "<NextContinuationToken>t</NextContinuationToken>"
            return WireResponse(200, LISTED.format(key="b" if token else "a", more=more).encode())
        if key not in self.objects:
            return WireResponse(404, b"<Error><Code>NoSuchKey</Code><Message>no such key</Message></Error>")
        return WireResponse(200, self.objects[key])

    def read(self, key: str) -> Any:
        return json.loads(self.objects[key])


def outcome(machine: dict[str, Any], value: Any = None, bucket: Bucket | None = None, **functions: Any) -> Any:
    """The output of a machine, or its error."""

    async def story(world: World) -> Any:
        world.services["s3"] = (bucket or Bucket()).answer
        world.functions.update(functions)
        execution = await world.run(machine, value)
        return json.loads(execution.output) if execution.status == "SUCCEEDED" else execution.error

    return run_world(story)


def reader(kind: str, key: str, **config: Any) -> dict[str, Any]:
    """An ItemReader of one object."""
    given = {"Bucket": "b", "Key": key}
    return {"Resource": GET, "Parameters": given, "ReaderConfig": {"InputType": kind, **config}}


CSV = 'sku,n\r\na,1\r\n"b,c",2\r\n'


@pytest.mark.parametrize(
    ("read", "text", "expected"),
    [
        (reader("JSON", "x"), "[1, 2]", [1, 2]),
        (reader("JSON", "x", ItemsPointer="/a/0"), '{"a": [[3]]}', [3]),
        (reader("JSON", "x", MaxItems=1), "[1, 2]", [1]),
        (reader("JSON", "x", MaxItemsPath="$.most"), "[1, 2, 3]", [1, 2]),
        (reader("JSON", "x"), '{"k": 1}', [{"Key": "k", "Value": 1}]),
        (reader("JSONL", "x"), '{"a":1}\n\n2\n', [{"a": 1}, 2]),
        (reader("CSV", "x", CSVHeaderLocation="FIRST_ROW"), CSV, [{"sku": "a", "n": "1"}, {"sku": "b,c", "n": "2"}]),
        (
            reader("CSV", "x", CSVHeaderLocation="GIVEN", CSVHeaders=["p", "q"], CSVDelimiter="PIPE"),
            "1|2\n3\n",
            [{"p": "1", "q": "2"}, {"p": "3", "q": ""}],
        ),
        (reader("JSON", "x"), "3", "States.ItemReaderFailed"),
        (reader("JSON", "x"), "{", "States.ItemReaderFailed"),
        (reader("JSON", "y"), "[]", "States.ItemReaderFailed"),
    ],
)
def test_items_are_read_from_objects(read: dict[str, Any], text: str, expected: Any) -> None:
    """JSON, JSON lines and CSV."""
    assert outcome(distributed(ItemReader=read), {"most": 2}, Bucket(x=text)) == expected


def test_items_are_the_objects_of_a_bucket() -> None:
    """Page after page."""
    found = outcome(distributed(ItemReader={"Resource": LIST, "Parameters": {"Bucket": "b"}}))
    assert [each["Key"] for each in found] == ["a", "b"]
    assert found[0] == {"Etag": "e", "Key": "a", "LastModified": 1_800_000_000, "Size": 3, "StorageClass": "STANDARD"}


def test_items_come_in_batches_beside_what_all_are_given() -> None:
    """By number and by bytes, whichever is less."""
    batcher = {"MaxItemsPerBatch": 2, "BatchInput": {"all.$": "$.x"}}
    machine = distributed(ItemsPath="$.l", ItemBatcher=batcher, ItemSelector={"v.$": "$$.Map.Item.Value"})
    assert outcome(machine, {"x": 9, "l": [1, 2, 3]}) == [
        {"BatchInput": {"all": 9}, "Items": [{"v": 1}, {"v": 2}]},
        {"BatchInput": {"all": 9}, "Items": [{"v": 3}]},
    ]
    sized = distributed(ItemBatcher={"MaxInputBytesPerBatch": 20})
    found = outcome(sized, ["aaaa", "bb", "c"])
    assert [len(json.dumps(each, separators=(",", ":"))) <= 20 for each in found] == [True, True]
    assert [item for each in found for item in each["Items"]] == ["aaaa", "bb", "c"]


def _odd(event: Any) -> Any:
    if event % 2:
        raise FunctionFailed("Odd")
    return event


@pytest.mark.parametrize(
    ("tolerated", "expected"),
    [
        ({}, "States.ExceedToleratedFailureThreshold"),
        ({"ToleratedFailureCount": 1}, "States.ExceedToleratedFailureThreshold"),
        ({"ToleratedFailureCount": 2}, [0, 2]),
        ({"ToleratedFailurePercentage": 50}, [0, 2]),
        ({"ToleratedFailurePercentage": 49}, "States.ExceedToleratedFailureThreshold"),
        ({"ToleratedFailurePercentagePath": "$[4]"}, "States.Runtime"),
    ],
)
def test_so_many_children_may_fail(tolerated: dict[str, Any], expected: Any) -> None:
    """As many items as are tolerated by count and by percentage."""
    assert outcome(distributed(CALL, **tolerated), [0, 1, 2, 3], f=_odd) == expected


def test_results_are_written_beside_a_manifest() -> None:
    """A file for each outcome, descriptions of the children in it; the Map gives where they are."""
    bucket = Bucket()
    writer = {"Resource": PUT, "Parameters": {"Bucket": "b", "Prefix": "out"}}
    machine = distributed(CALL, ResultWriter=writer, ToleratedFailureCount=1)
    found = outcome(machine, [0, 1, 2], bucket, f=_odd)
    details = found["ResultWriterDetails"]
    assert (details["Bucket"], details["Key"].split("/")[0]) == ("b", "out")
    manifest = bucket.read(details["Key"])
    assert manifest["MapRunArn"] == found["MapRunArn"]
    (succeeded,), (failed,) = manifest["ResultFiles"]["SUCCEEDED"], manifest["ResultFiles"]["FAILED"]
    assert [each["Output"] for each in bucket.read(succeeded["Key"])] == ["0", "2"]
    assert [(each["Error"], each["Input"]) for each in bucket.read(failed["Key"])] == [("Odd", "1")]
    assert succeeded["Size"] == len(bucket.objects[succeeded["Key"]])


@pytest.mark.parametrize("kind", ["STANDARD", "EXPRESS"])
def test_a_run_of_a_map_is_told_and_may_be_changed(kind: str) -> None:
    """Counts, children and limits; a new MaxConcurrency counts at once."""

    async def story(world: World) -> None:
        execution = await world.start(await world.create(distributed(WAIT, kind, MaxConcurrency=1)), list(range(6)))
        await asyncio.sleep(11)
        (listed,) = (await world.ask("ListMapRuns", executionArn=execution.arn))["mapRuns"]
        arn = listed["mapRunArn"]
        assert arn.split(":")[5:7] == ["mapRun", "m0/L"]
        run = await world.ask("DescribeMapRun", mapRunArn=arn)
        counts = run["itemCounts"]
        shown = (counts["total"], counts["succeeded"], counts["running"], counts["pending"])
        assert (run["status"], run["maxConcurrency"], shown) == ("RUNNING", 1, (6, 1, 1, 4))
        await world.ask("UpdateMapRun", mapRunArn=arn, maxConcurrency=5)
        await execution.ended.wait()
        assert (execution.status, world.loop.time()) == ("SUCCEEDED", 21)
        children = (await world.ask("ListExecutions", mapRunArn=arn, statusFilter="SUCCEEDED"))["executions"]
        assert [each["itemCount"] for each in children] == [1] * 6
        child = await world.ask("DescribeExecution", executionArn=children[0]["executionArn"])
        assert (child["mapRunArn"], child["input"]) == (arn, "5")
        status, told = await world.call("UpdateMapRun", mapRunArn=arn, maxConcurrency=1)
        assert (status, told["__type"]) == (400, "ValidationException")

    run_world(story)


def test_a_map_that_is_stopped_aborts_its_children() -> None:
    """And its run."""

    async def story(world: World) -> None:
        execution = await world.start(await world.create(distributed(WAIT)), [1, 2])
        await asyncio.sleep(1)
        await world.ask("StopExecution", executionArn=execution.arn)
        (listed,) = (await world.ask("ListMapRuns", executionArn=execution.arn))["mapRuns"]
        run = await world.ask("DescribeMapRun", mapRunArn=listed["mapRunArn"])
        assert (execution.status, run["status"], run["executionCounts"]["aborted"]) == ("ABORTED", "ABORTED", 2)

    run_world(story)
