"""Every kind of event source in a stack of its own, over real processes, as boto3 sees it."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest

from sluiceway.codec.kpl import Aggregator, HashRange
from tests.local.conftest import RunningCloud, start_cloud

pytestmark = pytest.mark.local

TEMPLATE = Path(__file__).parent / "event_sources" / "template.yaml"
PATIENCE_S = 60  # a busy machine starts a process in seconds; nothing here waits for it


class World:
    """The stack, and what its functions have printed."""

    def __init__(self, cloud: RunningCloud) -> None:
        self.cloud = cloud
        self.outputs: dict[str, str] = cloud.status["outputs"]
        self.functions: dict[str, str] = cloud.status["functions"]

    def client(self, service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=self.cloud.status["endpoints"]["aws"],
            region_name="us-east-1",
            aws_access_key_id="root",
            aws_secret_access_key="root",
        )

    def seen(self, function: str) -> list[dict[str, Any]]:
        """Everything that `function` has printed so far."""
        path = Path(self.cloud.status["logs"][self.functions[function]])
        lines = path.read_text().splitlines() if path.exists() else []
        return [json.loads(line.partition("SEEN ")[2]) for line in lines if "SEEN {" in line]

    def wait(self, function: str, holds: Callable[[list[dict[str, Any]]], bool]) -> list[dict[str, Any]]:
        """What `function` has printed once `holds` of it; fails after PATIENCE_S."""
        return self.wait_for(lambda: self.seen(function), holds)

    def wait_for(self, look: Callable[[], Any], holds: Callable[[Any], bool]) -> Any:
        """What `look` finds once `holds` of it; fails after PATIENCE_S."""
        ends = time.monotonic() + PATIENCE_S
        while not holds(found := look()):
            assert time.monotonic() < ends, found
            time.sleep(0.05)
        return found


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    cloud = start_cloud(tmp_path_factory.mktemp("sources"), "--template", str(TEMPLATE))
    yield World(cloud)
    cloud.sluiceway("down")


def _records(seen: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [record for each in seen for record in each["records"]]


def _keys(seen: list[dict[str, Any]]) -> list[str]:
    return [record["kinesis"]["partitionKey"] for record in _records(seen)]


def test_orders_of_a_group_keep_their_order_through_a_failure(world: World) -> None:
    """The flaky order and what follows it in its group come again, in order; the other groups went on."""
    sqs = world.client("sqs")
    for body, group in [("a1", "a"), ("flaky-a2", "a"), ("a3", "a"), ("b1", "b"), ("b2", "b")]:
        sqs.send_message(QueueUrl=world.outputs["Orders"], MessageBody=body, MessageGroupId=group)
    first = world.wait("HandleOrders", lambda seen: {"b2", "a1"} <= {each["body"] for each in seen})
    assert [each["body"] for each in first if each["group"] == "b"] == ["b1", "b2"]
    assert [each["body"] for each in first if each["group"] == "a"] == ["a1"]


def test_a_window_gathers_and_a_filter_deletes(world: World) -> None:
    """Four messages within the window make one invocation; what is too light never arrives, and is deleted."""
    sqs = world.client("sqs")
    for weight in (11, 2, 12, 13, 14):
        sqs.send_message(QueueUrl=world.outputs["Parcels"], MessageBody=json.dumps({"weight": weight}))
    seen = world.wait("HandleParcels", lambda seen: len(_records(seen)) == 4)
    assert [len(each["records"]) for each in seen] == [4]
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]

    def depth() -> list[str]:
        found = sqs.get_queue_attributes(QueueUrl=world.outputs["Parcels"], AttributeNames=names)
        return [found["Attributes"][name] for name in names]

    world.wait_for(depth, lambda found: found == ["0", "0"])


def test_poison_in_a_stream_is_cut_out_and_told(world: World) -> None:
    """Bisecting leaves the poison alone in a batch of one, whose place in the stream goes to the failure queue."""
    kinesis, sqs = world.client("kinesis"), world.client("sqs")
    values = [{"kind": "reading", "n": n, "poison": n == 4} for n in range(8)] + [{"kind": "noise"}]
    entries = [{"Data": json.dumps(value).encode(), "PartitionKey": "sensor"} for value in values]
    put = kinesis.put_records(StreamName=world.outputs["Readings"], Records=entries)
    assert put["FailedRecordCount"] == 0
    readings = world.wait("HandleReadings", lambda seen: sum(len(each["readings"]) for each in seen) == 7)
    assert [each["n"] for one in readings for each in one["readings"]] == [0, 1, 2, 3, 5, 6, 7]
    got = sqs.receive_message(QueueUrl=world.outputs["Failures"], WaitTimeSeconds=20)["Messages"]
    document = json.loads(got[0]["Body"])
    place = put["Records"][4]
    assert document["KinesisBatchInfo"]["startSequenceNumber"] == place["SequenceNumber"]
    assert document["KinesisBatchInfo"]["endSequenceNumber"] == place["SequenceNumber"]
    assert document["KinesisBatchInfo"]["shardId"] == place["ShardId"]
    assert document["requestContext"]["condition"] == "RetryAttemptsExhausted"
    pushed = world.wait("HandlePushedReadings", lambda seen: len(_records(seen)) >= 9)
    assert _records(pushed)[0]["eventSourceARN"].endswith(
        "consumer/pushed:" + _records(pushed)[0]["eventSourceARN"].rpartition(":")[2]
    )
    counted = world.wait("CountReadings", lambda seen: sum(each["count"] for each in seen) >= 9)
    assert sum(each["count"] for each in counted) == 9


def test_a_filter_judges_an_aggregates_records_behind_a_consumer_only(world: World) -> None:
    """Pushed, each user record is judged and arrives on its own; polled, the aggregate is no JSON and drops whole."""
    kinesis, stream = world.client("kinesis"), world.outputs["Readings"]
    shards = {
        shard["ShardId"]: HashRange.parse(
            shard["HashKeyRange"]["StartingHashKey"], shard["HashKeyRange"]["EndingHashKey"]
        )
        for shard in kinesis.list_shards(StreamName=stream)["Shards"]
    }
    aggregator = Aggregator(shards)
    for n in range(4):
        aggregator.add("joined", json.dumps({"kind": "joined", "n": n}).encode())
    (entry,) = aggregator.flush()
    kinesis.put_record(
        StreamName=stream,
        Data=entry.data,
        PartitionKey=entry.partition_key,
        ExplicitHashKey=str(entry.explicit_hash_key),
    )
    kinesis.put_record(StreamName=stream, Data=b'{"kind": "joined", "n": 9}', PartitionKey="joined")

    def numbers(function: str) -> list[int]:
        data = [base64.b64decode(record["kinesis"]["data"]) for record in _records(world.seen(function))]
        return [json.loads(each)["n"] for each in data]

    assert world.wait_for(lambda: numbers("FilterPushedReadings"), lambda found: 9 in found) == [2, 3, 9]
    assert world.wait_for(lambda: numbers("FilterReadings"), lambda found: 9 in found) == [9]


def test_the_age_of_what_is_read_is_a_metric(world: World) -> None:
    """IteratorAge of a function that reads a stream, as CloudWatch tells it."""
    world.wait("CountReadings", bool)
    monitoring = world.client("cloudwatch")
    now = datetime.now(UTC)
    (metric,) = monitoring.list_metrics(
        Namespace="AWS/Lambda",
        MetricName="IteratorAge",
        Dimensions=[{"Name": "FunctionName", "Value": world.functions["HandleReadings"]}],
    )["Metrics"]
    (point,) = monitoring.get_metric_statistics(
        **metric,
        StartTime=now - timedelta(minutes=30),
        EndTime=now + timedelta(minutes=30),
        Period=3600,
        Statistics=["Maximum", "SampleCount"],
    )["Datapoints"][-1:]
    assert (point["Unit"], point["SampleCount"] >= 1, 0 < point["Maximum"] < 60_000) == ("Milliseconds", True, True)


def test_changes_of_a_table_arrive_filtered(world: World) -> None:
    """The insert is filtered out, the change arrives with both images."""
    dynamodb = world.client("dynamodb")
    for balance in ("1", "2"):
        item = {"id": {"S": "a"}, "balance": {"N": balance}}
        dynamodb.put_item(TableName=world.outputs["Accounts"], Item=item)
    (record,) = _records(world.wait("HandleChanges", lambda seen: bool(_records(seen))))
    assert record["eventName"] == "MODIFY"
    assert record["dynamodb"]["OldImage"]["balance"] == {"N": "1"}
    assert record["dynamodb"]["NewImage"]["balance"] == {"N": "2"}


def test_a_topic_and_a_bus_pass_on_what_their_filters_take(world: World) -> None:
    """One of two messages and one of two events reach the queue that both deliver to."""
    sns, events = world.client("sns"), world.client("events")
    for severity in (1, 5):
        sns.publish(TopicArn=world.outputs["News"], Message=json.dumps({"severity": severity}))
    entries = [
        {"EventBusName": "changes", "Source": "shop", "DetailType": "price", "Detail": json.dumps({"urgent": urgent})}
        for urgent in (False, True)
    ]
    assert events.put_events(Entries=entries)["FailedEntryCount"] == 0
    seen = world.wait("HandleAlerts", lambda seen: len(_records(seen)) == 2)
    bodies = sorted((json.loads(record["body"]) for record in _records(seen)), key=lambda body: "Message" in body)
    assert bodies[0]["detail"] == {"urgent": True}
    assert json.loads(bodies[1]["Message"]) == {"severity": 5}


def test_a_pipe_passes_on_what_its_filter_takes(world: World) -> None:
    """One of two messages arrives, as the template says it."""
    sqs = world.client("sqs")
    for urgent in (False, True):
        body = json.dumps({"urgent": urgent, "subject": f"urgent {urgent}"})
        sqs.send_message(QueueUrl=world.outputs["Inbox"], MessageBody=body)
    (message,) = sqs.receive_message(QueueUrl=world.outputs["Outbox"], WaitTimeSeconds=20)["Messages"]
    assert json.loads(message["Body"]) == {"subject": "urgent True"}
    assert "Messages" not in sqs.receive_message(QueueUrl=world.outputs["Outbox"], WaitTimeSeconds=1)


def test_a_mapping_is_disabled_and_goes_on_where_it_was(world: World) -> None:
    """What is put while the mapping is off is read when it is on again, and nothing twice."""
    api, kinesis = world.client("lambda"), world.client("kinesis")
    name = world.functions["HandlePushedReadings"]
    (mapping,) = api.list_event_source_mappings(FunctionName=name)["EventSourceMappings"]

    def state() -> str:
        return api.get_event_source_mapping(UUID=mapping["UUID"])["State"]

    kinesis.put_record(StreamName=world.outputs["Readings"], Data=b"{}", PartitionKey="loud")
    world.wait("HandlePushedReadings", lambda seen: "loud" in _keys(seen))
    before = len(_keys(world.seen("HandlePushedReadings")))
    api.update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)
    world.wait_for(state, lambda found: found == "Disabled")
    kinesis.put_record(StreamName=world.outputs["Readings"], Data=b"{}", PartitionKey="quiet")
    api.update_event_source_mapping(UUID=mapping["UUID"], Enabled=True)
    world.wait_for(state, lambda found: found == "Enabled")
    keys = _keys(world.wait("HandlePushedReadings", lambda seen: len(_records(seen)) > before))
    assert (len(keys), keys[-1]) == (before + 1, "quiet")
