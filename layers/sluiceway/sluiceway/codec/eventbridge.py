"""EventBridge rules and schedules: one event in. What is answered goes nowhere but to who invokes by hand.

Source: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-events-structure.html
"""

from __future__ import annotations

from collections.abc import Mapping

from sluiceway.codec.shape import mapping, optional_text, sequence, text
from sluiceway.events.eventbridge import EventBridgeEvent

__all__ = ["correlation_id", "decode", "encode"]


def decode(raw: object) -> EventBridgeEvent:
    """The event. Raises: Rejected (`malformed-event`)."""
    root = mapping(raw, "root")
    return EventBridgeEvent(
        event_id=text(root.get("id"), "id"),
        source=text(root.get("source"), "source"),
        detail_type=text(root.get("detail-type"), "detail-type"),
        time=text(root.get("time"), "time"),
        region=text(root.get("region"), "region"),
        account=text(root.get("account"), "account"),
        resources=tuple(text(each, "resources") for each in sequence(root.get("resources"), "resources")),
        detail=mapping(root.get("detail"), "detail"),
        replay_name=optional_text(root.get("replay-name"), "replay-name"),
    )


def encode(reply: Mapping[str, object]) -> Mapping[str, object]:
    """As it is: JSON types."""
    return reply


def correlation_id(event: EventBridgeEvent) -> str:
    """The event's id."""
    return event.event_id
