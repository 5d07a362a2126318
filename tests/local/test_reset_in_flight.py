"""What waits for time when a local cloud is reset never happens; what the template arms is armed anew."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from localcloud.testing.app import App
from localcloud.testing.hosting import HostedCloud
from localcloud.testing.settings import Settings, cloud_options

pytestmark = pytest.mark.local
TEMPLATE = Path(__file__).parent / "reset" / "in_flight.yaml"
HOUR_S = 3600


@pytest.fixture
def host(tmp_path: Path) -> Iterator[HostedCloud]:
    """A cloud whose time a test lets pass."""
    options = cloud_options(Settings(template=TEMPLATE), tmp_path, os.environ, port=0)
    hosted = HostedCloud(options, seed=1)
    hosted.start()
    yield hosted
    hosted.stop()


def put_in_flight(app: App, name: str) -> None:
    """A retry of a message and of an event, a delayed message, a schedule of a call's; each has an hour at most."""
    sqs, queue = app.client("sqs"), app.physical("Late")
    sqs.send_message(QueueUrl=app.physical("Tasks"), MessageBody="fail")
    sqs.send_message(QueueUrl=queue, MessageBody="late", DelaySeconds=900)
    app.invoke("Work", {"fail": True}, invocation_type="Event")
    begins = (app.clock.now() + timedelta(minutes=30)).strftime("%Y-%m-%dT%H:%M:%S")
    role = f"arn:aws:iam::123456789012:role/{app.physical('SchedulerRole')}"
    target = {"Arn": f"arn:aws:sqs:us-east-1:123456789012:{queue.rpartition('/')[2]}", "RoleArn": role}
    app.client("scheduler").create_schedule(
        Name=name,
        ScheduleExpression=f"at({begins})",
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={**target, "Input": "scheduled"},
    )
    app.timeline.wait_for(kind="invocation", name="Work", result="error", count=2)
    app.settle()


def opened(host: HostedCloud) -> App:
    """The application as a test has it, from now on."""
    app = App(host)
    app.open()
    return app


def letters(app: App) -> int:
    """What is in the queue `Late`, delayed or not."""
    counts: dict[str, Any] = app.client("sqs").get_queue_attributes(
        QueueUrl=app.physical("Late"), AttributeNames=["All"]
    )["Attributes"]
    return sum(int(count) for name, count in counts.items() if name.startswith("ApproximateNumberOf"))


def test_nothing_that_was_in_flight_arrives(host: HostedCloud) -> None:
    """Without the reset each of them does, within the hour; after it there is the template's own schedule alone."""
    app = opened(host)
    put_in_flight(app, "first")
    app.clock.advance(HOUR_S - 10)
    assert len(app.timeline.find(kind="invocation", name="Work", result="error")) > 4
    assert letters(app) == 2
    app.clock.advance(HOUR_S / 2)
    put_in_flight(app, "second")
    app.close()
    host.reset()
    app = opened(host)
    app.clock.advance(HOUR_S - 10)
    assert app.timeline.find(kind="invocation") == []
    assert letters(app) == 0
    app.clock.advance(20)
    assert [entry.result for entry in app.timeline.find(kind="invocation", name="Work")] == ["ok"]
    app.close()
