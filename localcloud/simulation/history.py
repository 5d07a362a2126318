"""What happened, in order: the only thing that the checker sees, and what `--seed` prints.

Times are seconds of the run's own clock, the true one, which no host has.
"""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = ["Event", "History", "describe"]


class Event(NamedTuple):
    """One thing that happened. What the fields hold beside `kind` is in `_WORDS`; "" and 0 where there is nothing."""

    at_s: float
    kind: str
    region: str = ""
    key: str = ""
    value: str = ""
    epoch: int = 0


class History:
    """The events of one run."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def of(self, *kinds: str) -> list[Event]:
        """The events of these kinds, in order."""
        return [event for event in self.events if event.kind in kinds]


_WORDS: Final = {
    "cut": "links cut: {value}",
    "heal": "links healed: {value}",
    "slow": "{region}: the table is slow for {value} s",
    "approve": "a person approves {region}: {value}",
    "refuse": "a change to {region} is refused: {value}",
    "traffic": "DNS answers {region} from now on ({value})",
    "term": "epoch {epoch} is {region}'s ({value})",
    "drained": "{region}: the doubts are asked about again: {value}",
    "send": "{region} gets {key}",
    "claim": "{region}: the table holds {key} for attempt {value}, epoch {epoch}",
    "free": "{region}: the table lets {key} go",
    "begin": "{region}: the work of {key} BEGINS, epoch {epoch}",
    "overdue": "{region}: the lease of {key} had run out by the clock of who worked",
    "fail": "{region}: the work of {key} raises before its effect",
    "end": "{region}: the table has the end of {key}: {value}",
    "ack": "{region} tells {key}: {value}",
    "doubt": "{region} tells {key}: in doubt, {value}",
    "error": "{region} refuses {key}: {value}",
    "crash": "{region}: an environment is killed",
    "calm": "everything is healed, nothing is under way; the drain begins",
    "parked": "{region}: still parked after the drain: {key}",
    "listed": "{key} is on the list of doubts ({value})",
    "asked": "asked at last, {region} says of {key}: {value}",
}


def describe(event: Event) -> str:
    """One line for people."""
    what = _WORDS[event.kind].format(
        region=event.region, key=event.key or "-", value=event.value or "-", epoch=event.epoch
    )
    return f"{event.at_s:9.3f} s  {what}"
