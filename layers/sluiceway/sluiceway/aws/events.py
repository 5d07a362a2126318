"""EventBridge: many events in one request.

Owns the request of PutEvents. Must not know what an event means. Source:
https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, cast

from sluiceway.aws.batch_entries import Failures, read_failures
from sluiceway.aws.endpoints import ServiceSpec
from sluiceway.aws.wire import Caller
from sluiceway.errors import ServiceUnavailable

__all__ = ["EVENTS", "Event", "put_events"]

EVENTS: Final = ServiceSpec(
    endpoint_prefix="events",
    signing_name="events",
    protocol="json-1.1",
    env_name="EVENTBRIDGE",
    target_prefix="AWSEvents",
)


class Event(NamedTuple):
    """One event. `detail` is JSON text of an object, `time_ms` epoch milliseconds (the bus keeps whole seconds)."""

    source: str
    detail_type: str
    detail: str
    time_ms: int


async def put_events(caller: Caller, bus: str, events: Sequence[Event], *, deadline: float | None = None) -> Failures:
    """Send up to 10 events, 1,048,576 bytes together, to a bus by name or ARN; those that it did not take.

    Raises what `Caller.call` raises, and then nobody knows of any. A retry whose first answer was lost sends twice.
    """
    request = {
        "Entries": [
            {
                "EventBusName": bus,
                "Source": event.source,
                "DetailType": event.detail_type,
                "Detail": event.detail,
                "Time": event.time_ms // 1000,
            }
            for event in events
        ]
    }
    reply = (await caller.call(EVENTS, "PutEvents", request, deadline=deadline)).json()
    answers = cast("Sequence[Mapping[str, Any]]", reply.get("Entries") or ())
    if len(answers) != len(events):
        why = "the answer has another number of entries than the request"
        raise ServiceUnavailable(why, service="events", operation="PutEvents", code="MalformedReply", status=200)
    return read_failures("events", "PutEvents", answers)
