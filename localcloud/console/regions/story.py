"""The story of a failover, told from what was seen a moment ago and what is seen now. Pure.

Owns the sentences and their times: an alarm's and a term's own where they have one, else when it was seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from sluiceway.rules.terms import NOT_YET_MS, Term

__all__ = ["AlarmSeen", "Entry", "Sight", "Story", "compare"]

MAX_ENTRIES: Final = 200
ALARM: Final = "ALARM"
OK: Final = "OK"


class AlarmSeen(NamedTuple):
    """An alarm's state, and since when (epoch milliseconds)."""

    state: str
    since_ms: float


@dataclass(frozen=True, slots=True)
class Sight:
    """All that was seen at `now_ms`. By Region: `health` (`healthy`, `unhealthy`, `drill`, "" for no answer), `seen`

    (whether the other Region's probe found it well) and `doubts` (how many keys). `alarms` by Region and by what is
    behind the group's name; `names`: the Region that each name answers.
    """

    now_ms: float
    term: Term | None = None
    alarms: Mapping[tuple[str, str], AlarmSeen] = field(default_factory=dict[tuple[str, str], AlarmSeen])
    health: Mapping[str, str] = field(default_factory=dict[str, str])
    seen: Mapping[str, bool] = field(default_factory=dict[str, bool])
    doubts: Mapping[str, int] = field(default_factory=dict[str, int])
    names: Mapping[str, str] = field(default_factory=dict[str, str])
    regions: tuple[str, ...] = ()

    def other(self, region: str) -> str:
        """The other Region of two."""
        return next((each for each in self.regions if each != region), "the other Region")


class Entry(NamedTuple):
    """A sentence of the story. `kind` is a stable word, `tone` how it is taken: `bad`, `asks`, `good` or ""."""

    at_ms: float
    kind: str
    text: str
    tone: str = ""


class Story:
    """The latest entries, by time."""

    def __init__(self) -> None:
        self._entries: list[Entry] = []

    def add(self, *entries: Entry) -> None:
        """What happened; what happened before the oldest of many is forgotten."""
        self._entries = sorted([*self._entries, *entries], key=lambda entry: entry.at_ms)[-MAX_ENTRIES:]

    def tell(self) -> list[dict[str, Any]]:
        """The latest first. `since_ms` is the time since the latest loss of a Region, None before any."""
        told: list[dict[str, Any]] = []
        lost_ms: float | None = None
        for entry in self._entries:
            if entry.kind == "killed":
                lost_ms = entry.at_ms
            since_ms = None if lost_ms is None else round(entry.at_ms - lost_ms)
            told.append({**entry._asdict(), "at_ms": round(entry.at_ms), "since_ms": since_ms})
        return told[::-1]


def compare(before: Sight | None, now: Sight) -> list[Entry]:
    """What happened between two looks; of the first look, what is as it should not be."""
    past = before or Sight(0.0)
    told = [*_terms(past, now), *_alarms(past, now), *_names(past, now), *_doubts(past, now)]
    if before is not None:
        told += [*_health(before, now), *_probes(before, now)]
    return told


def _terms(past: Sight, now: Sight) -> Iterator[Entry]:
    term = now.term
    if term is None:
        return
    is_new = past.term is None or past.term.epoch != term.epoch
    is_open = term.begins_ms != NOT_YET_MS
    was_open = not is_new and past.term is not None and past.term.begins_ms != NOT_YET_MS
    if is_new and term.epoch > 1:
        at_ms = min(now.now_ms, term.begins_ms - term.lease_ms - term.skew_ms - 1) if is_open else now.now_ms
        yield Entry(at_ms, "approved", f"Approved: {term.approval}", "good")
        yield Entry(at_ms, "raised", f"Epoch {term.epoch}: {term.region} is home")
    if not is_open or term.begins_ms > now.now_ms:
        return
    began_before = was_open and past.term is not None and past.term.begins_ms <= past.now_ms
    if not began_before:
        first = " The group was founded" if term.epoch == 1 else ""
        yield Entry(term.begins_ms, "begins", f"{term.region} begins work.{first}".rstrip("."), "good")


_SAID: Final[Mapping[tuple[str, str], tuple[str, str]]] = {
    ("other-region-down", ALARM): ("{region} gets no healthy answer of {other}", "bad"),
    ("other-region-down", OK): ("{region} gets healthy answers of {other} again", "good"),
    ("secondary-is-home", ALARM): ("The alarm that traffic follows says that {region} is home", ""),
    ("secondary-is-home", OK): ("The alarm that traffic follows says that {other} is home", ""),
    ("failover-asked", ALARM): ("The alarm asks to approve the failover to {region}", "asks"),
    ("failover-asked", OK): ("The alarm asks for no failover any more", ""),
    ("failback-asked", ALARM): ("The alarm asks to approve the failback to {other}", "asks"),
    ("failback-asked", OK): ("The alarm asks for no failback any more", ""),
}


def _alarms(past: Sight, now: Sight) -> Iterator[Entry]:
    for (region, name), alarm in now.alarms.items():
        was = past.alarms.get((region, name))
        said = _SAID.get((name, alarm.state))
        if said is None or (was is not None and was.state == alarm.state):
            continue
        if alarm.state == OK and (was is None or was.state != ALARM):
            continue  # as it was made
        text, tone = said
        yield Entry(alarm.since_ms, f"alarm-{name}", text.format(region=region, other=now.other(region)), tone)


def _health(past: Sight, now: Sight) -> Iterator[Entry]:
    words = {
        "healthy": ("{region} says that it is well", "good"),
        "unhealthy": ("{region} says that it is unwell", "bad"),
        "drill": ("{region} says that it is unwell: a drill", "bad"),
    }
    for region, said in now.health.items():
        was = past.health.get(region, "")
        if said != was and said in words and not (said == "healthy" and not was):
            text, tone = words[said]
            yield Entry(now.now_ms, "health", text.format(region=region), tone)


def _probes(past: Sight, now: Sight) -> Iterator[Entry]:
    for region, is_well in now.seen.items():
        if past.seen.get(region, is_well) != is_well:
            got = "is answered again by" if is_well else "gets no healthy answer of"
            text = f"A probe from {now.other(region)} {got} {region}"
            yield Entry(now.now_ms, "probe", text, "" if is_well else "bad")


def _names(past: Sight, now: Sight) -> Iterator[Entry]:
    for name, region in now.names.items():
        was = past.names.get(name)
        if was is not None and was != region:
            yield Entry(now.now_ms, "name", f"{name} answers {region}" if region else f"{name} answers nothing", "good")


def _doubts(past: Sight, now: Sight) -> Iterator[Entry]:
    for region, count in now.doubts.items():
        was = past.doubts.get(region, 0)
        if count > was:
            yield Entry(now.now_ms, "doubts", f"{region} notes {_keys(count - was)} in doubt", "bad")
        elif count < was:
            yield Entry(now.now_ms, "doubts", f"{_keys(was - count)} in doubt no longer in {region}", "good")


def _keys(count: int) -> str:
    return f"{count} key" if count == 1 else f"{count} keys"
