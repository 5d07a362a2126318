"""Applications of the corpus that something else begins: objects that arrive, schedules, events; and connectors."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.local.corpus import application

pytestmark = pytest.mark.local


def test_what_is_uploaded_is_made_small(tmp_path: Path) -> None:
    """An object of the prefix reaches the function, whose object tells a queue; a failure is told at the first try."""
    with application("photo_uploads", tmp_path) as app:
        s3, uploads, small = app.client("s3"), app.outputs["Uploads"], app.outputs["Small"]
        s3.put_object(Bucket=uploads, Key="drafts/no.txt", Body=b"nobody hears of it")
        s3.put_object(Bucket=uploads, Key="photos/a b+ü.txt", Body=b"sunflower", ContentType="text/plain")
        made = json.loads(app.receive("Made"))
        if made.get("Event") == "s3:TestEvent":
            made = json.loads(app.receive("Made"))
        (record,) = made["Records"]
        assert (record["eventName"], record["s3"]["bucket"]["name"]) == ("ObjectCreated:Put", small)
        assert (record["s3"]["object"]["key"], record["s3"]["object"]["size"]) == ("thumbnails/a+b%2B%C3%BC.txt", 4)
        found = s3.get_object(Bucket=small, Key="thumbnails/a b+ü.txt", VersionId=record["s3"]["object"]["versionId"])
        assert (found["Body"].read(), found["ContentType"]) == (b"sunf", "text/plain")
        assert found["Metadata"] == {"of": uploads, "size": "9"}
        s3.put_object(Bucket=uploads, Key="photos/bad.txt", Body=b"\xff\xff")
        failed = json.loads(app.receive("Failed"))
        assert failed["requestContext"]["condition"] == "RetriesExhausted"
        assert failed["requestPayload"]["Records"][0]["s3"]["object"]["key"] == "photos/bad.txt"
        assert failed["responsePayload"]["errorType"] == "UnicodeDecodeError"
        assert [app.waiting(queue) for queue in ("Made", "Failed")] == [0, 0]


def test_reports_by_a_schedule_and_by_an_event(tmp_path: Path) -> None:
    """A closed day begins the machine by a rule; so does the schedule, brought forward; a function waits for one."""
    with application("nightly_reports", tmp_path) as app:
        tables, rows = (
            app.client("dynamodb"),
            [("monday", "north", "7"), ("monday", "south", "9"), ("last", "east", "1")],
        )
        for day, shop, total in rows:
            item = {"day": {"S": day}, "shop": {"S": shop}, "total": {"N": total}}
            tables.put_item(TableName=app.outputs["Days"], Item=item)
        events = [
            {"Source": "till", "DetailType": "DayClosed", "Detail": json.dumps(detail | {"asked": "by event"})}
            for detail in ({"day": "tuesday", "shops": [0]}, {"day": "monday", "shops": [2]})
        ]
        assert app.client("events").put_events(Entries=events)["FailedEntryCount"] == 0
        told = sorted(app.received("Reports", 2), key=lambda each: each["shop"])
        assert told == [
            {"shop": "north", "total": "7", "asked": "by event"},
            {"shop": "south", "total": "9", "asked": "by event"},
        ]
        scheduler = app.client("scheduler")
        nightly = scheduler.get_schedule(Name="nightly")
        zone, when = nightly["ScheduleExpressionTimezone"], datetime.now(UTC) + timedelta(seconds=4)
        assert (nightly["ScheduleExpression"], zone) == ("cron(0 3 * * ? *)", "Europe/Berlin")
        scheduler.update_schedule(
            Name="nightly",
            ScheduleExpression=f"at({when:%Y-%m-%dT%H:%M:%S})",
            FlexibleTimeWindow={"Mode": "OFF"},
            Target=nightly["Target"],
        )
        assert list(app.received("Reports", 1)) == [{"shop": "east", "total": "1", "asked": "by schedule"}]
        runs = app.client("stepfunctions").list_executions(stateMachineArn=app.outputs["Report"])["executions"]
        assert len(runs) == 2
        assert app.invoke("Preview", {"a": 2, "b": 3}) == ["SUCCEEDED", {"sum": 5}]


def test_connectors_give_what_they_say_and_no_more(tmp_path: Path) -> None:
    """Write is no Read, a topic may write to a connected queue, and a function without a connector may nothing."""
    with application("connectors", tmp_path) as app:
        assert app.invoke("Open", {"id": "t1"}) == "AccessDeniedException"
        assert (app.receive("Calls"), app.receive("Heard")) == ("t1", "t1 is open")
        assert app.invoke("Stranger", {"id": "t1"}) == "AccessDeniedException"
        assert [app.invoke("Close", {"id": "t1"}) for _ in range(2)] == ["open", "closed"]
