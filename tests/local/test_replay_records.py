"""`sluiceway replay --from` on a local cloud of its own: the command as people run it, over processes and sockets."""

from __future__ import annotations

import gzip
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import boto3
import pytest

from sluiceway.codec.raw_records import RawRecord, encode_lines, name_object
from tests.local.conftest import ROOT, RunningCloud, clean_environment, start_cloud

pytestmark = pytest.mark.local

TEMPLATE = Path(__file__).parent / "replay_records" / "template.yaml"
PATIENCE_S = 60
ORDERS = 20
HOUR_MS = 1_795_824_000_000


class World:
    """The stack, what was put into its stream, and what its function printed."""

    def __init__(self, cloud: RunningCloud) -> None:
        self.cloud = cloud
        self.outputs: dict[str, str] = cloud.status["outputs"]
        entries = [{"Data": json.dumps({"n": n}).encode(), "PartitionKey": f"k{n}"} for n in range(ORDERS)]
        entries.append({"Data": json.dumps({"n": 99, "bad": True}).encode(), "PartitionKey": "k0"})
        entries.append({"Data": json.dumps({"n": -1}).encode(), "PartitionKey": "k0"})
        put = self.client("kinesis").put_records(StreamName=self.outputs["OrdersStream"], Records=entries)
        assert put["FailedRecordCount"] == 0
        self.places = put["Records"]
        self.client("kinesis").put_record(StreamName=self.outputs["UnreadStream"], Data=b"{}", PartitionKey="k0")

    def client(self, service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=self.cloud.status["endpoints"]["aws"],
            region_name="us-east-1",
            aws_access_key_id="root",
            aws_secret_access_key="root",
        )

    def replay(self, *words: str, code: int = 0) -> dict[str, Any]:
        """The outcome that the command prints as JSON."""
        done = self.cloud.sluiceway("replay", *words, "--json", check=False)
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout)

    def seen(self) -> list[int]:
        """The numbers of the orders that the function printed so far."""
        path = Path(self.cloud.status["logs"][self.cloud.status["functions"]["HandleOrders"]])
        lines = path.read_text().splitlines() if path.exists() else []
        return [json.loads(line.partition("SEEN ")[2])["n"] for line in lines if "SEEN {" in line]

    def wait_seen(self, before: int, count: int) -> list[int]:
        """What was printed after the first `before`, once there is so much of it."""
        ends = time.monotonic() + PATIENCE_S
        while len(found := self.seen()[before:]) < count:
            assert time.monotonic() < ends, found
            time.sleep(0.05)
        return found

    def bodies(self, url: str) -> list[str]:
        """All messages of a queue, taken from it."""
        sqs, found = self.client("sqs"), []
        while got := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1).get("Messages"):
            for message in got:
                found.append(message["Body"])
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return sorted(found)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    cloud = start_cloud(tmp_path_factory.mktemp("replay"), "--template", str(TEMPLATE))
    yield World(cloud)
    cloud.sluiceway("down")


def read_numbers(path: Path) -> list[int]:
    """The orders in a file that was replayed to."""
    import base64

    records = [json.loads(line) for line in path.read_text().splitlines()]
    return [json.loads(base64.b64decode(record["kinesis"]["data"]))["n"] for record in records]


def test_a_stream_goes_to_its_own_function_once_more(world: World) -> None:
    """Through the mapping's filter, in its batches; the record that the function names is refused."""
    before = len(world.seen())
    told = world.replay("--from", "stream:OrdersStream", "--target", "same", "--tries", "2", code=1)
    assert (told["taken"], told["refused"]) == (ORDERS + 1, 1)
    assert told["reasons"] == {"reported: the function names it as failed": 1}
    assert sorted(set(world.wait_seen(before, ORDERS))) == list(range(ORDERS))


def test_a_stream_goes_to_a_file_and_on_from_where_it_was(world: World, tmp_path: Path) -> None:
    """Killed on the way and resumed, every record stands in the file once; a third run has nothing left."""
    file, bookmark = tmp_path / "out.jsonl", tmp_path / "bookmark.json"
    words = ["--from", "stream:OrdersStream", "--target", f"file:{file}", "--resume", str(bookmark), "--batch", "2"]
    running = subprocess.Popen(
        [sys.executable, "-m", "localcloud", "--state", str(world.cloud.state), "replay", *words, "--rate", "10"],
        cwd=ROOT,
        env=clean_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    ends = time.monotonic() + PATIENCE_S
    while not (bookmark.exists() and json.loads(bookmark.read_text())["taken"]):  # the first one is before any batch
        assert time.monotonic() < ends
        time.sleep(0.02)
    running.kill()
    running.wait()
    assert 2 <= len(read_numbers(file)) < ORDERS
    told = world.replay(*words)
    assert (told["taken"], told["refused"], told["interrupted"]) == (ORDERS + 2, 0, False)
    assert sorted(read_numbers(file)) == sorted([-1, 99, *range(ORDERS)])
    assert world.replay(*words)["taken"] == ORDERS + 2
    assert len(read_numbers(file)) == ORDERS + 2


def test_a_run_that_is_interrupted_says_how_to_go_on(world: World, tmp_path: Path) -> None:
    """SIGINT ends it after its batch with code 130; the words that it prints do the rest."""
    file = tmp_path / "out.jsonl"
    start = [sys.executable, "-m", "localcloud", "--state", str(world.cloud.state)]
    words = ["replay", "--from", "stream:OrdersStream", "--target", f"file:{file}", "--batch", "2"]
    running = subprocess.Popen(
        [*start, *words, "--rate", "4"], cwd=ROOT, env=clean_environment(), stderr=subprocess.PIPE, text=True
    )
    ends = time.monotonic() + PATIENCE_S
    while not (file.exists() and file.read_text()):
        assert time.monotonic() < ends
        time.sleep(0.02)
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=PATIENCE_S)
    assert running.returncode == 130
    hint = next(line for line in said.splitlines() if line.startswith("go on with: "))
    taken = len(read_numbers(file))
    told = world.replay(*words[1:], "--resume", hint.rpartition("--resume ")[2])
    assert told["taken"] == ORDERS + 2 > taken
    assert sorted(read_numbers(file)) == sorted([-1, 99, *range(ORDERS)])


def test_a_consumer_of_its_own_is_removed_afterwards(world: World) -> None:
    """`--fan-out` registers one, reads by it, and leaves none."""
    told = world.replay("--from", f"stream:{world.outputs['OrdersArn']}", "--fan-out", "--dry-run")
    assert (told["taken"], told["dry_run"]) == (ORDERS + 2, True)
    listed = world.client("kinesis").list_stream_consumers(StreamARN=world.outputs["OrdersArn"])["Consumers"]
    assert [each["ConsumerStatus"] for each in listed] in ([], ["DELETING"])


def test_a_stream_goes_to_another_stream(world: World) -> None:
    """From behind a record on, with data and keys."""
    place = world.places[0]
    after = f"{place['ShardId']}:{place['SequenceNumber']}"
    told = world.replay("--from", "stream:OrdersStream", "--after", after, "--target", "stream:CopiesStream")
    alike = [each for each in world.places if each["ShardId"] == place["ShardId"]]
    assert told["taken"] == len(alike) - 1
    kinesis = world.client("kinesis")
    shard = {"StreamName": world.outputs["CopiesStream"], "ShardId": "shardId-000000000000"}
    iterator = kinesis.get_shard_iterator(**shard, ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
    copied = [json.loads(record["Data"])["n"] for record in kinesis.get_records(ShardIterator=iterator)["Records"]]
    numbers = [*range(ORDERS), 99, -1]
    assert copied == [numbers[at] for at, each in enumerate(world.places) if each in alike][1:]


def test_letters_are_listed_edited_and_driven_back(world: World) -> None:
    """A list leaves them there; an edit that fails keeps its letter; the others go back to their queue."""
    sqs, work, letters = world.client("sqs"), world.outputs["WorkUrl"], world.outputs["LettersUrl"]
    attributes = {"reason": {"DataType": "String", "StringValue": "no-prompt"}}
    sqs.send_message(QueueUrl=letters, MessageBody='{"order": {"total": 1}}', MessageAttributes=attributes)
    sqs.send_message(QueueUrl=letters, MessageBody="no JSON", MessageAttributes=attributes)
    sqs.send_message(QueueUrl=work, MessageBody='{"order": {"total": 2}}')
    moved = sqs.receive_message(QueueUrl=work, WaitTimeSeconds=5, VisibilityTimeout=0)["Messages"]
    assert len(moved) == 1
    assert "Messages" not in sqs.receive_message(QueueUrl=work, WaitTimeSeconds=1)
    listed = world.replay("--from", "queue:LettersUrl", "--list")
    assert sorted(each["reason"] for each in listed) == ["no-prompt", "no-prompt", "redrive-policy"]
    words = ["--from", "queue:LettersUrl", "--target", "source", "--edit", "order.total=7"]
    told = world.replay(*words, code=1)
    assert (told["taken"], told["refused"]) == (2, 1)
    assert world.bodies(work) == ['{"order":{"total":7}}'] * 2
    assert world.bodies(letters) == ["no JSON"]


def test_what_a_mapping_gave_up_is_read_from_its_stream(world: World) -> None:
    """The document names two sequence numbers: the records between them go to the function, and the letter is gone."""
    sqs, letters = world.client("sqs"), world.outputs["LettersUrl"]
    shard = world.places[1]["ShardId"]
    alike = [at for at, each in enumerate(world.places[:ORDERS]) if each["ShardId"] == shard]
    first, last = (world.places[at]["SequenceNumber"] for at in (alike[0], alike[2]))
    document = {
        "requestContext": {"condition": "RetryAttemptsExhausted"},
        "KinesisBatchInfo": {
            "shardId": shard,
            "startSequenceNumber": first,
            "endSequenceNumber": last,
            "streamArn": world.outputs["OrdersArn"],
        },
    }
    sqs.send_message(QueueUrl=letters, MessageBody=json.dumps(document))
    assert [each["reason"] for each in world.replay("--from", "queue:LettersUrl", "--list")] == [
        "RetryAttemptsExhausted"
    ]
    before = len(world.seen())
    assert world.replay("--from", "queue:LettersUrl", "--target", "same")["taken"] == 3
    assert world.wait_seen(before, 3) == [alike[0], alike[1], alike[2]]
    assert world.bodies(letters) == []


def test_changes_that_a_mapping_gave_up_are_read_from_the_tables_stream(world: World, tmp_path: Path) -> None:
    """As the event has them."""
    table, arn = world.outputs["AccountsTable"], world.outputs["AccountsStream"]
    for name in ("a", "b", "c"):
        world.client("dynamodb").put_item(TableName=table, Item={"id": {"S": name}})
    streams = world.client("dynamodbstreams")
    (shard,) = streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]
    place = {"StreamArn": arn, "ShardId": shard["ShardId"]}
    iterator = streams.get_shard_iterator(**place, ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
    numbers = [each["dynamodb"]["SequenceNumber"] for each in streams.get_records(ShardIterator=iterator)["Records"]]
    batch = {"shardId": shard["ShardId"], "startSequenceNumber": numbers[1], "endSequenceNumber": numbers[2]}
    document = {"requestContext": {"condition": "RecordAgeExceeded"}, "DDBStreamBatchInfo": {**batch, "streamArn": arn}}
    world.client("sqs").send_message(QueueUrl=world.outputs["LettersUrl"], MessageBody=json.dumps(document))
    file = tmp_path / "changes.jsonl"
    assert world.replay("--from", "queue:LettersUrl", "--target", f"file:{file}")["taken"] == 2
    changes = [json.loads(line) for line in file.read_text().splitlines()]
    assert [change["dynamodb"]["NewImage"]["id"]["S"] for change in changes] == ["b", "c"]
    assert {(change["eventSource"], change["eventSourceARN"]) for change in changes} == {("aws:dynamodb", arn)}
    assert world.bodies(world.outputs["LettersUrl"]) == []


class _Desk(BaseHTTPRequestHandler):
    """Takes orders, after it was busy once."""

    taken: ClassVar[list[int]] = []
    busy = 1

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        status = 200
        if _Desk.busy:
            _Desk.busy -= 1
            status = 503
        else:
            _Desk.taken.append(body["n"])
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


def test_an_archive_in_s3_goes_to_a_url(world: World) -> None:
    """Raw records once, however often they stand there; gzipped lines; a server that is busy is asked again."""
    s3, bucket = world.client("s3"), world.outputs["ArchiveBucket"]
    records = [RawRecord("shardId-0", str(n), -1, HOUR_MS + n, json.dumps({"n": n}).encode()) for n in range(6)]
    for first, last in ((0, 4), (2, 6)):
        name = name_object("orders", HOUR_MS, shard="shardId-0", first=str(first), last=str(last))
        s3.put_object(Bucket=bucket, Key=name, Body=encode_lines(records[first:last]))
    s3.put_object(Bucket=bucket, Key="raw/zipped.jsonl.gz", Body=gzip.compress(b'{"n": 50}\n{"n": 51}\n'))
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Desk)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_port}/orders"
        told = world.replay("--from", "s3://ArchiveBucket/raw/", "--target", url)
    finally:
        server.shutdown()
        server.server_close()
    assert (told["taken"], told["refused"]) == (8, 0)
    assert sorted(_Desk.taken) == [0, 1, 2, 3, 4, 5, 50, 51]


def test_an_archive_of_a_bus_is_replayed_to_its_bus(world: World) -> None:
    """The rule's queue gets the event once more, with the replay's name; a dry run counts, and starts none."""
    events, parcels = world.client("events"), world.outputs["ParcelsUrl"]
    sent = events.put_events(Entries=[{"Source": "shop", "DetailType": "shipped", "Detail": '{"id": 1}'}])
    assert sent["FailedEntryCount"] == 0
    (first,) = world.bodies(parcels)
    at = json.loads(first)["time"]
    counted = world.replay("--from", "archive:HistoryArchive", "--dry-run")
    assert counted["events"] == 1
    assert events.list_replays()["Replays"] == []
    told = world.replay("--from", "archive:HistoryArchive", "--target", "source", "--at", at)
    assert told["state"] == "COMPLETED"
    (again,) = world.bodies(parcels)
    assert json.loads(again)["replay-name"] == told["replay"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--from", "stream:nowhere", "--dry-run"], "ResourceNotFoundException"),
        (["--from", "queue:LettersUrl", "--target", "queue:LettersUrl"], "cannot go to the same queue"),
        (["--from", "stream:UnreadStream", "--target", "same"], "no event source mapping reads"),
        (["--from", "s3://no-such-bucket-here/x", "--dry-run"], "NoSuchBucket"),
        (
            ["--from", "s3://b/x", "--dry-run", "--at", "2027-01-02", "--until", "2027-01-01"],
            "--at lies behind --until",
        ),
    ],
)
def test_what_is_not_there_is_code_2(world: World, words: list[str], said: str) -> None:
    """One sentence, no traceback."""
    done = world.cloud.sluiceway("replay", *words, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr
