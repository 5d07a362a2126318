"""Applications of the corpus that pass messages on: queues, topics, buses, and what comes of asynchronous events."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.local.corpus import Application, application

pytestmark = pytest.mark.local


def test_a_worker_of_a_queue_fails_only_what_fails(tmp_path: Path) -> None:
    """Partial batch responses: the bad job is redriven, the good ones are done once, others are filtered."""
    with application("sqs_worker", tmp_path) as app:
        jobs = [{"kind": "square", "job": f"j{n}", "number": n} for n in range(4)]
        jobs += [{"kind": "square", "job": "bad", "number": "x"}, {"kind": "cube", "job": "not ours", "number": 1}]
        sent = app.client("sqs").send_message_batch(
            QueueUrl=app.outputs["Jobs"],
            Entries=[{"Id": str(n), "MessageBody": json.dumps(job)} for n, job in enumerate(jobs)],
        )
        assert len(sent["Successful"]) == 6
        assert json.loads(app.receive("Failed")) == jobs[4]
        items = app.client("dynamodb").scan(TableName=app.outputs["Results"])["Items"]
        done = {item["job"]["S"]: (item["square"]["N"], item["attempt"]["N"]) for item in items}
        assert done == {f"j{n}": (str(n * n), "1") for n in range(4)}
        assert app.waiting("Jobs") == 0


def publish(app: Application, order: str, *, kind: str, total: int, country: str) -> None:
    """An order on the topic."""
    app.client("sns").publish(
        TopicArn=app.outputs["Orders"],
        Subject=kind,
        Message=json.dumps({"order": order, "address": {"country": country}}),
        MessageAttributes={
            "kind": {"DataType": "String", "StringValue": kind},
            "total": {"DataType": "Number", "StringValue": str(total)},
        },
    )


def test_a_topic_fans_out_by_filters(tmp_path: Path) -> None:
    """By attributes in an envelope, by the body raw, and to a function; what does not match goes nowhere."""
    with application("sns_fanout", tmp_path) as app:
        publish(app, "o1", kind="opened", total=5, country="XX")
        publish(app, "o2", kind="paid", total=2000, country="DE")
        publish(app, "o3", kind="opened", total=0, country="FR")
        envelope = json.loads(app.receive("Invoices"))
        assert (envelope["Type"], envelope["Subject"], envelope["TopicArn"]) == (
            "Notification", "paid", app.outputs["Orders"],
        )  # fmt: skip
        assert envelope["MessageAttributes"]["total"] == {"Type": "Number", "Value": "2000"}
        assert json.loads(envelope["Message"])["order"] == "o2"
        assert {parcel["order"] for parcel in app.received("Parcels", 2)} == {"o2", "o3"}
        assert json.loads(app.receive("Alerts")) == {"order": "o2", "total": "2000", "of": "paid"}
        assert [app.waiting(queue) for queue in ("Invoices", "Parcels", "Alerts")] == [0, 0, 0]


def test_a_bus_of_a_shop_with_an_archive(tmp_path: Path) -> None:
    """A rule with a transformer, a function that puts an event of its own, a schedule, and the archive told again."""
    with application("event_bus", tmp_path) as app:
        events, when = app.client("events"), datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
        order = {"Source": "shop.orders", "EventBusName": app.outputs["Bus"], "Time": when}
        put = events.put_events(
            Entries=[
                order | {"DetailType": "OrderPaid", "Detail": '{"order": "o1", "total": 5}'},
                order | {"DetailType": "OrderPaid", "Detail": '{"order": "o2", "total": 5, "gift": true}'},
                order | {"DetailType": "Broken", "Detail": "{"},
            ]
        )
        assert (put["FailedEntryCount"], put["Entries"][2]["ErrorCode"]) == (1, "MalformedDetail")
        assert app.receive("Shipped") == "o1"
        told = sorted((each["what"], each["order"]) for each in app.received("Audit", 3))
        assert told == [("OrderPaid", "o1"), ("OrderPaid", "o2"), ("OrderShipped", "o1")]
        events.start_replay(
            ReplayName="again",
            EventSourceArn=app.outputs["ArchiveArn"],
            EventStartTime=when - timedelta(minutes=1),
            EventEndTime=when + timedelta(minutes=1),
            Destination={"Arn": app.outputs["BusArn"]},
        )
        assert app.receive("Shipped") == "o1"
        again = sorted((each["what"], each["order"], each["again"]) for each in app.received("Audit", 2))
        assert again == [("OrderPaid", "o1", "again"), ("OrderPaid", "o2", "again")]
        nightly = events.describe_rule(Name="nightly-report")
        assert (nightly["ScheduleExpression"], nightly["State"]) == ("cron(0 3 * * ? *)", "ENABLED")
        (target,) = events.list_targets_by_rule(Rule="nightly-report")["Targets"]
        assert app.invoke("Report", json.loads(target["Input"])) == "made the nightly report"


def test_what_became_of_asynchronous_work_is_told(tmp_path: Path) -> None:
    """Through an alias: success to a topic, failure to a function that reads the record, without a retry."""
    with application("async_results", tmp_path) as app:
        api, alias = app.client("lambda"), app.outputs["Alias"]
        accepted = api.invoke(FunctionName=alias, InvocationType="Event", Payload=b'{"number": 8}')
        assert accepted["StatusCode"] == 202
        record = json.loads(json.loads(app.receive("FinishedQueue"))["Message"])
        assert (record["requestContext"]["condition"], record["requestPayload"]) == ("Success", {"number": 8})
        assert record["requestContext"]["functionArn"] == alias
        assert record["responsePayload"] == {"half": 4, "version": app.outputs["Version"], "arn": alias}
        api.invoke(FunctionName=alias, InvocationType="Event", Payload=b'{"number": 7}')
        assert json.loads(app.receive("Complaints")) == {
            "why": "7 is odd", "condition": "RetriesExhausted", "asked": {"number": 7}, "tries": 1,
        }  # fmt: skip
        named = api.get_alias(FunctionName=app.outputs["Work"], Name="live")
        assert (named["FunctionVersion"], app.outputs["Version"]) == ("1", "1")
