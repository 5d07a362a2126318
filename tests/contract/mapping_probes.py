"""Probes of event source mappings that any endpoint can be put to: each sets one property and says whether it acts.

A probe makes a mapping through the Lambda API, feeds its source and looks at what the function was invoked with. The
functions (`HANDLER`, one an entry) append a line of JSON for each invocation to the file that SEEN names, so the
endpoint must run them on this machine. Alone with an endpoint's address it deploys the functions by CreateFunction,
probes, and prints the answers as JSON:

    python tests/contract/mapping_probes.py http://127.0.0.1:4566
"""

from __future__ import annotations

import io
import itertools
import json
import sys
import tempfile
import time
import uuid
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3

HANDLER = """\
import base64, json, os, time

def _bodies(event):
    for record in event["Records"]:
        yield base64.b64decode(record["kinesis"]["data"]).decode() if "kinesis" in record else record["body"]

def _ids(event):
    for record in event["Records"]:
        yield record["kinesis"]["sequenceNumber"] if "kinesis" in record else record["messageId"]

def _note(event, began_s):
    line = {"began": began_s, "ended": time.time(), "bodies": list(_bodies(event))}
    line |= {"final": event.get("isFinalInvokeForWindow"), "state": event.get("state")}
    with open(os.environ["SEEN"], "a") as file:
        file.write(json.dumps(line) + "\\n")

def note(event, context):
    _note(event, time.time())
    if "window" in event:
        return {"state": {"count": event["state"].get("count", 0) + len(event["Records"])}}

def slow(event, context):
    began_s = time.time()
    time.sleep(1)
    _note(event, began_s)

def fail(event, context):
    _note(event, time.time())
    if "bad" in _bodies(event):
        raise ValueError("bad")

def report(event, context):
    _note(event, time.time())
    failed = [name for name, body in zip(_ids(event), _bodies(event)) if body.startswith("bad")]
    return {"batchItemFailures": [{"itemIdentifier": name} for name in failed[:1]]}
"""
ENTRIES = ("note", "slow", "fail", "report")
PATIENCE_S = 12.0
Seen = list[dict[str, Any]]


class Bench:
    """An endpoint with the four functions. `functions` gives the name of each entry, `seen` its file."""

    def __init__(self, endpoint: str, functions: dict[str, str], seen: dict[str, Path]) -> None:
        self._endpoint = endpoint
        self._functions = functions
        self._seen = seen
        self.kinesis, self.sqs, self.api = (self.client(name) for name in ("kinesis", "sqs", "lambda"))

    def client(self, service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=self._endpoint,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )

    def queue(self, **attributes: str) -> tuple[str, str]:
        """A new queue's URL and ARN."""
        name = uuid.uuid4().hex + (".fifo" if attributes.get("FifoQueue") else "")
        url = self.sqs.create_queue(QueueName=name, Attributes={"VisibilityTimeout": "60", **attributes})["QueueUrl"]
        found = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        return url, found["Attributes"]["QueueArn"]

    def stream(self, shards: int = 1) -> tuple[str, str]:
        """A new stream's name and ARN."""
        name = uuid.uuid4().hex
        self.kinesis.create_stream(StreamName=name, ShardCount=shards)
        self.kinesis.get_waiter("stream_exists").wait(StreamName=name, WaiterConfig={"Delay": 1})
        return name, self.kinesis.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]["StreamARN"]

    def put(self, stream: str, *bodies: str, key: str = "k") -> None:
        """Records with these bodies, in one call."""
        entries = [{"Data": body.encode(), "PartitionKey": key} for body in bodies]
        self.kinesis.put_records(StreamName=stream, Records=entries)

    @contextmanager
    def mapped(self, entry: str, source_arn: str, **settings: Any) -> Iterator[Callable[[], Seen]]:
        """A mapping to the function of `entry`; gives what reads its invocations since."""
        path = self._seen[entry]
        before = len(_lines(path))
        made = self.api.create_event_source_mapping(
            FunctionName=self._functions[entry], EventSourceArn=source_arn, **settings
        )
        try:
            yield lambda: _lines(path)[before:]
        finally:
            _settle(self.api, made["UUID"])
            self.api.delete_event_source_mapping(UUID=made["UUID"])


def _settle(api: Any, mapping_id: str) -> None:
    ends = time.monotonic() + PATIENCE_S
    while api.get_event_source_mapping(UUID=mapping_id)["State"] not in {"Enabled", "Disabled"}:
        assert time.monotonic() < ends
        time.sleep(0.05)


def _lines(path: Path) -> Seen:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _until(seen: Callable[[], Seen], holds: Callable[[Seen], bool], patience_s: float = PATIENCE_S) -> bool:
    """Whether `holds` comes true of what is seen within `patience_s`."""
    ends = time.monotonic() + patience_s
    while not holds(seen()):
        if time.monotonic() > ends:
            return False
        time.sleep(0.05)
    return True


def _bodies(seen: Seen) -> list[str]:
    return [body for each in seen for body in each["bodies"]]


def _overlap(seen: Seen) -> bool:
    return any(
        one["began"] < other["ended"] and other["began"] < one["ended"] for one, other in itertools.pairwise(seen)
    )


def probe_stream_window(bench: Bench) -> bool:
    """MaximumBatchingWindowInSeconds: four records put within a second make one invocation."""
    stream, arn = bench.stream()
    settings = {"StartingPosition": "TRIM_HORIZON", "BatchSize": 10, "MaximumBatchingWindowInSeconds": 3}
    with bench.mapped("note", arn, **settings) as seen:
        for body in "abcd":
            bench.put(stream, body)
            time.sleep(0.25)
        return _until(seen, lambda got: [each["bodies"] for each in got] == [["a", "b", "c", "d"]])


def probe_bisect(bench: Bench) -> bool:
    """BisectBatchOnFunctionError: what is good is handled apart from what is bad."""
    stream, arn = bench.stream()
    bench.put(stream, "a", "b", "bad", "d")
    settings = {"StartingPosition": "TRIM_HORIZON", "BisectBatchOnFunctionError": True, "MaximumRetryAttempts": 0}
    with bench.mapped("fail", arn, **settings) as seen:
        return _until(
            seen, lambda got: ["d"] in [each["bodies"] for each in got] and ["bad"] in [each["bodies"] for each in got]
        )


def probe_retries_and_destination(bench: Bench) -> bool:
    """MaximumRetryAttempts and OnFailure: two attempts, then a document; what follows is handled."""
    stream, arn = bench.stream()
    url, queue_arn = bench.queue()
    bench.put(stream, "bad")
    settings = {
        "StartingPosition": "TRIM_HORIZON",
        "MaximumRetryAttempts": 1,
        "DestinationConfig": {"OnFailure": {"Destination": queue_arn}},
    }
    with bench.mapped("fail", arn, **settings) as seen:
        _until(seen, lambda got: len(got) >= 2)
        got = bench.sqs.receive_message(QueueUrl=url, WaitTimeSeconds=8).get("Messages", [])
        bench.put(stream, "good")
        went_on = _until(seen, lambda got: "good" in _bodies(got), 5)
        return went_on and bool(got) and _bodies(seen()) == ["bad", "bad", "good"]


def probe_topic_destination(bench: Bench) -> bool:
    """OnFailure to a topic: its subscribers get the document."""
    stream, arn = bench.stream()
    url, queue_arn = bench.queue()
    policy = {"Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage", "Resource": queue_arn}
    document = json.dumps({"Version": "2012-10-17", "Statement": [policy]})
    bench.sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": document})
    sns = bench.client("sns")
    topic_arn = sns.create_topic(Name=uuid.uuid4().hex)["TopicArn"]
    raw = {"RawMessageDelivery": "true"}
    sns.subscribe(TopicArn=topic_arn, Protocol="sqs", Endpoint=queue_arn, Attributes=raw)
    bench.put(stream, "bad")
    destination = {"OnFailure": {"Destination": topic_arn}}
    settings = {"StartingPosition": "TRIM_HORIZON", "MaximumRetryAttempts": 0, "DestinationConfig": destination}
    with bench.mapped("fail", arn, **settings):
        got = bench.sqs.receive_message(QueueUrl=url, WaitTimeSeconds=10).get("Messages", [])
        return bool(got) and json.loads(got[0]["Body"])["KinesisBatchInfo"]["batchSize"] == 1


def probe_bucket_destination(bench: Bench) -> bool:
    """OnFailure to a bucket: an object with the document, and in it the records."""
    stream, arn = bench.stream()
    s3, bucket = bench.client("s3"), uuid.uuid4().hex
    s3.create_bucket(Bucket=bucket)
    bench.put(stream, "bad")
    destination = {"OnFailure": {"Destination": f"arn:aws:s3:::{bucket}"}}
    settings = {"StartingPosition": "TRIM_HORIZON", "MaximumRetryAttempts": 0, "DestinationConfig": destination}
    with bench.mapped("fail", arn, **settings):
        ends = time.monotonic() + PATIENCE_S
        while not (found := s3.list_objects_v2(Bucket=bucket).get("Contents", [])):
            if time.monotonic() > ends:
                return False
            time.sleep(0.05)
        document = json.loads(s3.get_object(Bucket=bucket, Key=found[0]["Key"])["Body"].read())
        records = json.loads(document["payload"])["Records"]
        return found[0]["Key"].startswith("aws/lambda/") and records[0]["kinesis"]["data"] == "YmFk"


def probe_stream_report(bench: Bench) -> bool:
    """ReportBatchItemFailures of a stream: what comes before the failed record is not handled again."""
    stream, arn = bench.stream()
    bench.put(stream, "a", "bad", "c")
    settings = {
        "StartingPosition": "TRIM_HORIZON",
        "MaximumRetryAttempts": 1,
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
    }
    with bench.mapped("report", arn, **settings) as seen:
        return _until(seen, lambda got: [each["bodies"] for each in got][:2] == [["a", "bad", "c"], ["bad", "c"]])


def probe_parallelization(bench: Bench) -> bool:
    """ParallelizationFactor: batches of one shard are handled at the same time."""
    stream, arn = bench.stream()
    for number in range(8):
        bench.put(stream, str(number), key=f"key-{number}")
    with bench.mapped("slow", arn, StartingPosition="TRIM_HORIZON", BatchSize=1, ParallelizationFactor=4) as seen:
        _until(seen, lambda got: len(got) == 8, 15)
        return _overlap(sorted(seen(), key=lambda each: each["began"]))


def probe_tumbling_window(bench: Bench) -> bool:
    """TumblingWindowInSeconds: the state goes from one invocation to the next, and a window has an end."""
    stream, arn = bench.stream()
    with bench.mapped("note", arn, StartingPosition="TRIM_HORIZON", BatchSize=1, TumblingWindowInSeconds=3) as seen:
        for body in "abc":
            bench.put(stream, body)
        return _until(seen, lambda got: any(each["final"] for each in got) and any(each["state"] for each in got))


def probe_stream_filter(bench: Bench) -> bool:
    """FilterCriteria of a stream: what does not match never arrives."""
    stream, arn = bench.stream()
    filters = {"Filters": [{"Pattern": '{"data": {"n": [2]}}'}]}
    with bench.mapped("note", arn, StartingPosition="TRIM_HORIZON", FilterCriteria=filters) as seen:
        bench.put(stream, '{"n":1}', '{"n":2}', "no JSON")
        _until(seen, bool)
        return _bodies(seen()) == ['{"n":2}']


def probe_queue_window(bench: Bench) -> bool:
    """MaximumBatchingWindowInSeconds of a queue: four messages sent within a second make one invocation."""
    url, arn = bench.queue()
    with bench.mapped("note", arn, BatchSize=10, MaximumBatchingWindowInSeconds=3) as seen:
        for body in "abcd":
            bench.sqs.send_message(QueueUrl=url, MessageBody=body)
            time.sleep(0.25)
        return _until(seen, lambda got: [sorted(each["bodies"]) for each in got] == [["a", "b", "c", "d"]])


def probe_queue_filter(bench: Bench) -> bool:
    """FilterCriteria of a queue: what does not match is deleted."""
    url, arn = bench.queue()
    filters = {"Filters": [{"Pattern": '{"body": {"n": [2]}}'}]}
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    with bench.mapped("note", arn, FilterCriteria=filters) as seen:
        for body in ('{"n":1}', '{"n":2}', "no JSON"):
            bench.sqs.send_message(QueueUrl=url, MessageBody=body)

        def is_empty(_: Seen) -> bool:
            found = bench.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
            return set(found.values()) == {"0"}

        return _until(seen, is_empty) and _bodies(seen()) == ['{"n":2}']


def probe_fifo_groups(bench: Bench) -> bool:
    """Groups of a FIFO queue are handled at the same time."""
    url, arn = bench.queue(FifoQueue="true", ContentBasedDeduplication="true")
    with bench.mapped("slow", arn, BatchSize=1) as seen:
        for number in range(6):
            bench.sqs.send_message(QueueUrl=url, MessageBody=str(number), MessageGroupId=f"group-{number}")
        _until(seen, lambda got: len(got) == 6, 15)
        return _overlap(sorted(seen(), key=lambda each: each["began"]))


def probe_fifo_order(bench: Bench) -> bool:
    """A group of a FIFO queue keeps its order."""
    url, arn = bench.queue(FifoQueue="true", ContentBasedDeduplication="true")
    with bench.mapped("note", arn, BatchSize=2) as seen:
        for number in range(9):
            bench.sqs.send_message(QueueUrl=url, MessageBody=str(number), MessageGroupId="group")
        _until(seen, lambda got: len(_bodies(got)) == 9)
        return _bodies(seen()) == [str(number) for number in range(9)]


PROBES: dict[str, Callable[[Bench], bool]] = {
    name.removeprefix("probe_"): probe for name, probe in list(globals().items()) if name.startswith("probe_")
}


def _deploy(endpoint: str, folder: Path) -> Bench:
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("probes.py", HANDLER)
    seen = {entry: folder / f"{entry}.jsonl" for entry in ENTRIES}
    names = {entry: f"probe-{entry}" for entry in ENTRIES}
    bench = Bench(endpoint, names, seen)
    for entry in ENTRIES:
        bench.api.create_function(
            FunctionName=names[entry],
            Runtime="python3.11",
            Role="arn:aws:iam::000000000000:role/probe",
            Handler=f"probes.{entry}",
            Code={"ZipFile": code.getvalue()},
            Timeout=20,
            Environment={"Variables": {"SEEN": str(seen[entry])}},
        )
    return bench


def main() -> None:
    """Probe the endpoint that the first argument names."""
    with tempfile.TemporaryDirectory() as folder:
        bench = _deploy(sys.argv[1], Path(folder))
        answers: dict[str, object] = {}
        for name, probe in PROBES.items():
            try:
                answers[name] = probe(bench)
            except Exception as error:  # noqa: BLE001 - an endpoint that breaks is an answer
                answers[name] = f"{type(error).__name__}: {error}"[:200]
        print(json.dumps(answers, indent=1))


if __name__ == "__main__":
    main()
