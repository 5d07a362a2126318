"""Events of EventBridge rules and schedules, from the wire and as replies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sluiceway.codec import eventbridge
from sluiceway.errors import Rejected
from sluiceway.events.eventbridge import EventBridgeEvent

SCHEDULED = json.loads(
    (Path(__file__).resolve().parents[2] / "events" / "verify_rollups" / "scheduled.json").read_text(encoding="utf-8")
)


def test_a_scheduled_event_is_read_whole() -> None:
    """Every member has its place; the id is what follows it through the logs."""
    event = eventbridge.decode(SCHEDULED)
    assert event == EventBridgeEvent(
        event_id="53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa",
        source="aws.events",
        detail_type="Scheduled Event",
        time="2026-11-28T00:00:00Z",
        region="us-east-1",
        account="123456789012",
        resources=("arn:aws:events:us-east-1:123456789012:rule/sluiceway-VerifyRollupsHourly",),
    )
    assert eventbridge.correlation_id(event) == event.event_id


def test_a_replayed_event_says_of_which_replay() -> None:
    """And its detail is there."""
    event = eventbridge.decode({**SCHEDULED, "detail": {"order": 7}, "replay-name": "again"})
    assert (event.detail, event.replay_name) == ({"order": 7}, "again")


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("id", None), ("source", 1), ("detail-type", None), ("time", 3), ("region", None), ("account", 1),
        ("resources", "arn"), ("resources", [1]), ("detail", []), ("replay-name", 1),
    ],
)  # fmt: skip
def test_what_is_no_event_is_refused_by_its_member(member: str, value: Any) -> None:
    """Its name and never its value."""
    with pytest.raises(Rejected) as caught:
        eventbridge.decode({**SCHEDULED, member: value})
    assert (caught.value.reason, caught.value.field) == ("malformed-event", member)


def test_a_reply_is_what_the_flow_says() -> None:
    """JSON types, as they are."""
    assert eventbridge.encode({"status": "started"}) == {"status": "started"}
