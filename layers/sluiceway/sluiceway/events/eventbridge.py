"""An event as a rule of EventBridge hands it to its target."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

__all__ = ["EventBridgeEvent"]


class EventBridgeEvent(NamedTuple):
    """One event. `time` is ISO 8601 in UTC, to the second; `resources` are ARNs (of a schedule: the rule's).

    `replay_name` is that of the replay that sent it again, "" where none did.
    Source: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-events-structure.html
    """

    event_id: str
    source: str
    detail_type: str
    time: str
    region: str
    account: str
    resources: tuple[str, ...] = ()
    detail: Mapping[str, object] = {}
    replay_name: str = ""
