"""`sluiceway reset` on a cloud that has a bit of everything: services say after it what they said at the start."""

from __future__ import annotations

import http.client
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.local.conftest import RunningCloud, start_cloud
from tests.local.reset_looks import Looks

pytestmark = pytest.mark.local
GATEWAY_GRACE_MS = 5_000  # of a request under way when a cloud ends
TEMPLATE = Path(__file__).parent / "reset" / "template.yaml"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    """One cloud for every test here, which keeps its tables, queues and buckets."""
    folder = tmp_path_factory.mktemp("reset")
    cloud = start_cloud(folder / "state", "--template", str(TEMPLATE), "--persist", str(folder / "kept"))
    yield cloud
    cloud.sluiceway("down", check=False)


@pytest.fixture(scope="module")
def looks(running: RunningCloud) -> Looks:
    """Clients of it."""
    return Looks(running.status["endpoints"]["aws"])


def physical(looks: Looks, logical_id: str) -> str:
    """A resource's physical id."""
    told = looks.client("cloudformation").describe_stack_resource(StackName="sluiceway", LogicalResourceId=logical_id)
    return str(told["StackResourceDetail"]["PhysicalResourceId"])


def ask(url: str, method: str, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
    """One request on a connection of its own."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=30)
    connection.request(method, parts.path or "/", headers=headers or {})
    answer = connection.getresponse()
    try:
        return answer.status, answer.read()
    finally:
        connection.close()


def reset(running: RunningCloud) -> float:
    """Reset, as the command does; milliseconds."""
    status, body = ask(running.status["endpoints"]["aws"] + "/_sluiceway/reset", "POST")
    assert status == 200, body
    return float(json.loads(body)["reset_ms"])


def wait_for(happened: Callable[[], bool]) -> None:
    """Look until something can be observed, 10 s at most."""
    ends = time.monotonic() + 10
    while not happened():
        assert time.monotonic() < ends, happened
        time.sleep(0.02)


def make_messages(looks: Looks) -> None:
    """Queues, topics, streams: one made, one deleted, and something in each that stays."""
    sqs, sns, kinesis = looks.client("sqs"), looks.client("sns"), looks.client("kinesis")
    sqs.create_queue(QueueName="made")
    sqs.send_message(QueueUrl=physical(looks, "Dead"), MessageBody="left")
    sqs.delete_queue(QueueUrl=physical(looks, "Idle"))
    sqs.set_queue_attributes(QueueUrl=physical(looks, "Late"), Attributes={"DelaySeconds": "7"})
    arn = sns.create_topic(Name="made")["TopicArn"]
    queue = f"arn:aws:sqs:us-east-1:123456789012:{physical(looks, 'Dead').rpartition('/')[2]}"
    sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=queue)
    sns.unsubscribe(SubscriptionArn=physical(looks, "NewsToDead"))
    sns.publish(TopicArn=arn, Message="news")
    kinesis.put_record(StreamName=physical(looks, "Records"), Data=b"record", PartitionKey="p")
    kinesis.create_stream(StreamName="made", ShardCount=1)


def make_data(looks: Looks) -> None:
    """Tables, objects, secrets, parameters, keys, users."""
    dynamodb, s3 = looks.client("dynamodb"), looks.client("s3")
    dynamodb.put_item(TableName=physical(looks, "Items"), Item={"id": {"S": "made"}})
    dynamodb.delete_item(TableName=physical(looks, "Items"), Key={"id": {"S": "seed"}})
    dynamodb.update_time_to_live(
        TableName=physical(looks, "Items"), TimeToLiveSpecification={"Enabled": True, "AttributeName": "ends"}
    )
    key = [{"AttributeName": "id", "AttributeType": "S"}], [{"AttributeName": "id", "KeyType": "HASH"}]
    dynamodb.create_table(
        TableName="made", AttributeDefinitions=key[0], KeySchema=key[1], BillingMode="PAY_PER_REQUEST"
    )
    s3.put_object(Bucket=physical(looks, "Bucket"), Key="made", Body=b"body")
    s3.create_bucket(Bucket="made-here")
    looks.client("secretsmanager").put_secret_value(SecretId=physical(looks, "Password"), SecretString="second")
    looks.client("ssm").put_parameter(Name="/limit", Value="11", Overwrite=True)
    looks.client("ssm").put_parameter(Name="/made", Value="1", Type="String")
    looks.client("kms").create_key()
    looks.client("cognito-idp").admin_create_user(UserPoolId=physical(looks, "Pool"), Username="alice")


def make_work(looks: Looks) -> None:
    """Versions, aliases, settings and invocations of functions; executions, rules, schedules, metrics, alarms."""
    lambda_, events = looks.client("lambda"), looks.client("events")
    name = physical(looks, "Work")
    lambda_.invoke(FunctionName=name, Payload=b"{}")
    lambda_.update_function_configuration(FunctionName=name, Timeout=31)
    version = lambda_.publish_version(FunctionName=name)["Version"]
    lambda_.create_alias(FunctionName=name, Name="made", FunctionVersion=version)
    lambda_.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=5)
    (mapping,) = lambda_.list_event_source_mappings()["EventSourceMappings"]
    wait_for(lambda: lambda_.get_event_source_mapping(UUID=mapping["UUID"])["State"] == "Enabled")
    lambda_.update_event_source_mapping(UUID=mapping["UUID"], BatchSize=2)
    looks.client("stepfunctions").start_execution(stateMachineArn=physical(looks, "Machine"))
    events.put_rule(Name="made", EventPattern='{"source": ["made"]}')
    events.create_event_bus(Name="made")
    rule = events.list_rules(EventBusName="orders")["Rules"][0]["Name"]
    events.remove_targets(Rule=rule, EventBusName="orders", Ids=["dead"])
    looks.client("scheduler").delete_schedule(Name=physical(looks, "Yearly"))
    cloudwatch = looks.client("cloudwatch")
    cloudwatch.put_metric_data(Namespace="Shop", MetricData=[{"MetricName": "Trouble", "Value": 1}])
    cloudwatch.set_alarm_state(AlarmName=physical(looks, "Trouble"), StateValue="ALARM", StateReason="made")
    looks.client("logs").create_log_group(logGroupName="/made")


def test_what_every_service_says_is_what_it_said_at_the_start(running: RunningCloud, looks: Looks) -> None:
    """What calls made is gone, what they deleted or changed is back, and each thing has the id that it had."""
    before, addresses = looks.take(), running.status
    for make in (make_messages, make_data, make_work):
        make(looks)
    between = looks.take()
    made = {name.split()[0] for name in between if name not in before}
    gone = [name.split()[0] for name in before if name not in between]
    changed = {name.split()[0] for name in before if name in between and between[name] != before[name]}
    assert gone == ["queue"]
    assert made == {"bucket", "bus", "items", "log", "queue", "records", "rule", "stream", "table", "ttl"}
    assert changed >= {
        "alarms", "aliases", "bucket", "concurrency", "executions", "function", "items", "keys", "mappings",
        "metrics", "parameters", "pool", "queue", "records", "rule", "schedules", "secret", "subscriptions", "table",
        "topics", "ttl", "versions",
    }  # fmt: skip
    reset(running)
    called = {call["action"] for call in running.calls()}
    assert looks.take() == before
    assert running.status == addresses
    assert called & {"lambda:UpdateFunctionConfiguration", "sqs:CreateQueue"} == set()


def test_a_handler_without_an_end_is_killed(running: RunningCloud, looks: Looks) -> None:
    """A reset waits neither for an invocation nor for its caller, whose connection ends without an answer."""
    name, url = physical(looks, "Wedged"), running.status["endpoints"]["serverlesshttpapi"] + "/wedge"
    ended: list[BaseException] = []

    def call() -> None:
        try:
            ask(url, "GET")
        except (OSError, http.client.HTTPException) as error:
            ended.append(error)

    caller = threading.Thread(target=call)
    caller.start()
    wait_for(lambda: running.processes(name) != [])
    took_ms = reset(running)
    assert running.processes(name) == []
    caller.join(10)
    assert len(ended) == 1
    assert took_ms < GATEWAY_GRACE_MS


def test_who_calls_while_it_is_reset_waits_or_is_cut_off(running: RunningCloud) -> None:
    """A client of the API never sees an API without its routes, and no other answer than the function's."""
    api, over = running.status["endpoints"]["serverlesshttpapi"] + "/work", threading.Event()
    seen: list[object] = []

    def call() -> None:
        while not over.is_set():
            try:
                seen.append(ask(api, "GET"))
            except (OSError, http.client.HTTPException):
                seen.append("cut off")

    callers = [threading.Thread(target=call) for _ in range(3)]
    for each in callers:
        each.start()
    for _ in range(2):
        reset(running)
        asked = len(seen)
        wait_for(lambda asked=asked: len(seen) > asked + 3)
    over.set()
    for each in callers:
        each.join()
    assert set(seen) - {"cut off"} == {(200, b"seeded")}


def test_the_command_says_how_long_it_took(running: RunningCloud) -> None:
    """`sluiceway reset`."""
    assert running.sluiceway("reset").stdout.startswith("reset in ")


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [("GET", {}, 405), ("POST", {"origin": "http://localhost:3000"}, 403), ("POST", {"host": "evil.example"}, 403)],
    ids=["not posted", "by a page of this machine", "under another name"],
)
def test_nothing_else_resets_it(running: RunningCloud, method: str, headers: dict[str, str], status: int) -> None:
    """A link that is followed, a page of another port and a name that was pointed here are refused."""
    assert ask(running.status["endpoints"]["aws"] + "/_sluiceway/reset", method, headers)[0] == status


def test_what_was_kept_is_gone_after_a_kill_too(running: RunningCloud, looks: Looks, tmp_path: Path) -> None:
    """`--persist` keeps what is made after a reset, and nothing of what was made before it."""
    name = physical(looks, "Items")
    looks.client("dynamodb").put_item(TableName=name, Item={"id": {"S": "old"}})
    reset(running)
    looks.client("dynamodb").put_item(TableName=name, Item={"id": {"S": "new"}})
    pid, kept = running.status["pid"], running.state.parent / "kept"
    os.kill(pid, signal.SIGKILL)
    again = start_cloud(tmp_path / "state", "--template", str(TEMPLATE), "--persist", str(kept))
    try:
        dynamodb: Any = Looks(again.status["endpoints"]["aws"]).client("dynamodb")
        tables = dynamodb.list_tables()["TableNames"]
        found = sorted(item["id"]["S"] for table in tables for item in dynamodb.scan(TableName=table)["Items"])
    finally:
        again.sluiceway("down")
    assert found == ["new", "seed"]
