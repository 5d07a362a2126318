"""What happened to alarms, for DescribeAlarmHistory: two weeks of it, also of alarms that are gone.

Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_DescribeAlarmHistory.html
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from localcloud.services.cloudwatch.alarm import AlarmState, Kind
from localcloud.services.cloudwatch.notices import Change

__all__ = ["ITEM_TYPES", "Past", "PastItem", "action_item", "configuration_item", "state_item"]

KEPT_S: Final = 14 * 86_400  # AlarmThatSendsEmail.html: CloudWatch keeps the history for two weeks
MAX_ITEMS: Final = 20_000  # of all Regions; memory has a bound
MAX_SUMMARY: Final = 255  # API_AlarmHistoryItem.html, as the next
MAX_DATA: Final = 4095
ITEM_TYPES: Final = ("ConfigurationUpdate", "StateUpdate", "Action")
_DONE: Final = {"Create": "created", "Update": "updated", "Delete": "deleted"}


@dataclass(frozen=True, slots=True)
class PastItem:
    """One entry. `data` is JSON."""

    arn: str
    kind: Kind
    at_s: float
    item_type: str
    summary: str
    data: str

    @property
    def name(self) -> str:
        """The alarm's name."""
        return self.arn.split(":", 6)[6]


class Past:
    """The entries of every alarm, in the order of their dates."""

    def __init__(self) -> None:
        self._items: deque[PastItem] = deque(maxlen=MAX_ITEMS)

    def add(self, item: PastItem) -> None:
        """Keep an entry, and forget those that are too old."""
        while self._items and self._items[0].at_s < item.at_s - KEPT_S:
            self._items.popleft()
        self._items.append(item)

    def __iter__(self) -> Iterator[PastItem]:
        return iter(self._items)


def configuration_item(kind: Kind, arn: str, at_s: float, *, done: str, definition: Mapping[str, Any]) -> PastItem:
    """An alarm was made, changed or deleted; `done`: Create, Update or Delete."""
    data = {"version": "1.0", "type": done, f"{_DONE[done]}Alarm": definition}
    summary = f'Alarm "{arn.split(":", 6)[6]}" {_DONE[done]}'[:MAX_SUMMARY]
    return PastItem(arn, kind, at_s, "ConfigurationUpdate", summary, _fit(data, f"{_DONE[done]}Alarm"))


def state_item(change: Change) -> PastItem:
    """An alarm came into another state."""
    definition, old, new = change.definition, change.old, change.new
    data = {"version": "1.0", "oldState": _state(old), "newState": _state(new)}
    summary = f"Alarm updated from {old.value} to {new.value}"
    return PastItem(definition.arn, definition.kind, new.updated_s, "StateUpdate", summary, _fit(data, "oldState"))


def action_item(change: Change, action: str, at_s: float, *, error: str = "") -> PastItem:
    """An action was done; `error`: why not."""
    definition = change.definition
    data: dict[str, Any] = {
        "actionState": "Failed" if error else "Succeeded",
        "stateUpdateTimestamp": round(change.new.updated_s * 1000),
        "notificationResource": action,
    }
    summary = f"Successfully executed action {action}"
    if error:
        data["error"] = error
        summary = f'Failed to execute action {action}. Received error: "{error}"'
    return PastItem(definition.arn, definition.kind, at_s, "Action", summary[:MAX_SUMMARY], _fit(data, "error"))


def _state(state: AlarmState) -> dict[str, Any]:
    told: dict[str, Any] = {"stateValue": state.value, "stateReason": state.reason}
    if state.reason_data:
        told["stateReasonData"] = json.loads(state.reason_data)
    return told


def _fit(data: dict[str, Any], spare: str) -> str:
    """JSON that is no longer than it may be; `spare` is what is left out where it is."""
    text = json.dumps(data, separators=(",", ":"))
    if len(text) > MAX_DATA:
        text = json.dumps({name: value for name, value in data.items() if name != spare}, separators=(",", ":"))
    return text[:MAX_DATA]
