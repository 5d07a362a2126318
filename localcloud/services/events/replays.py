"""Replays: the events of an archive once more, to the bus that they came from.

1. A replay goes through the minutes between its two dates, by the events' own times, one minute after the other; within
   a minute the events come in an order of chance, for AWS promises none.
2. An event that is replayed has another id and the replay's name, so that no archive takes it.
3. A replay waits while much is under way, so that it takes no more memory than the archive does and never keeps
   PutEvents from its place; between two events everything else has its turn.

Knows no protocol.
Source: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-replay-archived-event.html
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Final

from localcloud.clock import Clock
from localcloud.services.contract import ACCOUNT_ID
from localcloud.services.events.archive import DAY_S, MINUTE_S, Archive
from localcloud.services.events.archives import Archives
from localcloud.services.events.bus import Bus
from localcloud.services.events.delivery import Courier
from localcloud.services.events.envelope import Event
from localcloud.services.events.errors import EventsError, limit_exceeded, missing_replay, validation
from localcloud.services.events.limits import Limits
from localcloud.uuids import new_uuid

__all__ = ["SETTLE_S", "Outlet", "Replay", "ReplaySettings", "Replays"]

log = logging.getLogger(__name__)

SETTLE_S: Final = 0.1  # STARTING and CANCELLING; on AWS they take minutes, a laptop has one process to tell
_KEPT_S: Final = 90 * DAY_S  # how long AWS remembers a replay and its name
MAX_REASON_CHARS: Final = 512  # ReplayStateReason
_ACTIVE: Final = frozenset({"STARTING", "RUNNING"})
_OVER: Final = frozenset({"COMPLETED", "CANCELLED", "FAILED"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplaySettings:
    """What StartReplay says. `start_s` and `end_s` in epoch seconds, the latter exclusive; no `rule_arns`: all."""

    name: str
    archive_arn: str
    bus_arn: str
    start_s: float
    end_s: float
    rule_arns: tuple[str, ...] = ()
    description: str = ""


@dataclass(frozen=True, slots=True)
class Outlet:
    """The way back to the buses. `resend`: bus, event, ARNs of the rules that may take it (none: all)."""

    courier: Courier
    get_bus: Callable[[str, str], Bus]
    resend: Callable[[Bus, Event, frozenset[str]], None]


@dataclass(slots=True)
class Replay:
    """A replay as it is now. Dates in epoch seconds; `last_s` is the latest time of an event that was replayed."""

    settings: ReplaySettings
    arn: str
    archive: Archive
    bus: Bus
    started_s: float
    stopped: asyncio.Future[None] = field(repr=False)
    state: str = "STARTING"
    reason: str = ""
    last_s: int | None = None
    ended_s: float | None = None


class Replays:
    """The replays of the account. They begin once `run` runs; one event loop."""

    def __init__(self, archives: Archives, outlet: Outlet, *, clock: Clock, rng: Random, limits: Limits) -> None:
        self._archives = archives
        self._outlet = outlet
        self._clock = clock
        self._rng = rng
        self._limits = limits
        self._replays: dict[str, Replay] = {}  # by ARN, in the order in which they were started
        self._group: asyncio.TaskGroup | None = None
        self._early: list[Replay] = []

    async def run(self) -> None:
        """Play, until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            try:
                for replay in self._early:
                    group.create_task(self._play(replay))
                self._early.clear()
                await asyncio.get_running_loop().create_future()
            finally:
                self._group = None

    def start(self, region: str, settings: ReplaySettings) -> Replay:
        """Begin a replay.

        Raises EventsError: ValidationException, ResourceNotFoundException, ResourceAlreadyExistsException,
        LimitExceededException.
        """
        if settings.start_s >= settings.end_s:
            raise _invalid("EventEndTime", "EventStartTime must be before EventEndTime.")
        bus, archive = self._find(region, settings)
        _check_rules(settings, bus)
        self._forget()
        arn = f"{archive.arn.partition(':archive/')[0]}:replay/{settings.name}"
        if arn in self._replays:
            raise EventsError("ResourceAlreadyExistsException", f"Replay {settings.name} already exists.")
        if sum(replay.state in _ACTIVE for replay in self.list(region)) >= self._limits.replays:
            raise limit_exceeded()
        stopped = asyncio.get_running_loop().create_future()
        replay = Replay(settings, arn, archive, bus, self._clock.time(), stopped)
        self._replays[arn] = replay
        if self._group is None:
            self._early.append(replay)
        else:
            self._group.create_task(self._play(replay))
        return replay

    def get(self, name: str, region: str) -> Replay:
        """The replay of a name. Raises EventsError: ResourceNotFoundException."""
        replay = next((each for each in self.list(region) if each.settings.name == name), None)
        if replay is None:
            raise missing_replay(name)
        return replay

    def list(self, region: str) -> list[Replay]:
        """The Region's replays, by name."""
        self._forget()
        found = [replay for replay in self._replays.values() if replay.arn.split(":")[3] == region]
        return sorted(found, key=lambda replay: replay.settings.name)

    def cancel(self, replay: Replay) -> None:
        """Replay no more of it. Raises EventsError: IllegalStatusException where it neither starts nor runs."""
        name = replay.settings.name
        if replay.state not in _ACTIVE:
            raise EventsError("IllegalStatusException", f"Replay {name} is not in a valid state for this operation.")
        replay.state = "CANCELLING"
        replay.stopped.set_result(None)

    # ------------------------------------------------------------------ what it is started with

    def _find(self, region: str, settings: ReplaySettings) -> tuple[Bus, Archive]:
        if not _is_own(settings.bus_arn, "event-bus/"):
            raise _invalid("Destination.Arn", "Must contain an event bus ARN.")
        bus = self._outlet.get_bus(settings.bus_arn, region)
        if not _is_own(settings.archive_arn, "archive/"):
            raise _invalid("EventSourceArn", "Must contain an archive ARN.")
        archive = self._archives.find(settings.archive_arn)
        if archive is None or archive.arn.split(":")[3] != region:
            name = settings.archive_arn.partition(":archive/")[2]
            raise _invalid("EventSourceArn", f"Archive {name} does not exist.")
        if archive.settings.bus_arn != bus.arn:
            raise _invalid("Destination.Arn", "Cross event bus replay is not permitted.")
        return bus, archive

    def _forget(self) -> None:
        """Replays that ended long ago; and the first of those that ended, where there are too many."""
        ended = [replay for replay in self._replays.values() if replay.state in _OVER]
        spare = len(self._replays) - self._limits.replays_kept
        since_s = self._clock.time() - _KEPT_S
        for number, replay in enumerate(ended):
            if number < spare or (replay.ended_s or 0.0) <= since_s:
                del self._replays[replay.arn]

    # ------------------------------------------------------------------ playing

    async def _play(self, replay: Replay) -> None:
        """From STARTING to the end. Whatever goes wrong belongs to this replay, never to the group."""
        try:
            await asyncio.wait((replay.stopped,), timeout=SETTLE_S)
            if not replay.stopped.done():
                replay.state = "RUNNING"
                await self._resend_all(replay)
            if replay.stopped.done():
                await asyncio.sleep(SETTLE_S)
                self._end(replay, "CANCELLED", "")
            elif replay.archive.deleted:
                self._end(replay, "FAILED", f"Archive {replay.archive.settings.name} does not exist.")
            else:
                self._end(replay, "COMPLETED", replay.archive.reason)
        except Exception as error:
            log.exception("events.replay_failed", extra={"replay": replay.arn})
            self._end(replay, "FAILED", f"{type(error).__name__}: {error}")

    def _end(self, replay: Replay, state: str, reason: str) -> None:
        replay.state, replay.reason = state, reason[:MAX_REASON_CHARS]
        replay.ended_s = self._clock.time()

    async def _resend_all(self, replay: Replay) -> None:
        """Send what lies between the dates, minute by minute; no more of it once it is stopped."""
        low = int(replay.settings.start_s // MINUTE_S)
        high = int(replay.settings.end_s // MINUTE_S)
        while (minute := replay.archive.next_minute(low, high)) is not None:
            numbers = replay.archive.numbers_in(minute)
            while numbers:
                at = self._rng.randrange(len(numbers))
                numbers[at], numbers[-1] = numbers[-1], numbers[at]
                await self._make_way(replay)
                if replay.stopped.done() or replay.archive.deleted:
                    return
                self._resend(replay, numbers.pop())
            low = minute + 1

    def _resend(self, replay: Replay, number: int) -> None:
        settings = replay.settings
        self._archives.find(replay.archive.arn)  # which forgets what is too old
        event = replay.archive.find(number)
        if event is None or not settings.start_s <= event.time_s < settings.end_s:
            return
        again = event.replayed(settings.name, event_id=new_uuid(self._rng), now_s=self._clock.time())
        self._outlet.resend(replay.bus, again, frozenset(settings.rule_arns))
        replay.last_s = max(event.time_s, replay.last_s or event.time_s)

    async def _make_way(self, replay: Replay) -> None:
        """Let everything else have its turn, and wait until less is under way, or the replay is stopped."""
        await asyncio.sleep(0)
        courier, limits = self._outlet.courier, self._limits
        while courier.under_way >= limits.replay_backlog or courier.held_chars * 2 >= limits.backlog_chars:
            if replay.stopped.done():
                return
            waits = (replay.stopped, courier.next_change())
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)


def _check_rules(settings: ReplaySettings, bus: Bus) -> None:
    """FilterArns name rules of the bus. Raises EventsError."""
    names = {rule.arn for rule in bus.rules}
    for arn in settings.rule_arns:
        if arn not in names:
            raise _invalid("Destination.FilterArns", f"{arn} is no rule of event bus {bus.name}.")


def _is_own(arn: str, beginning: str) -> bool:
    parts = arn.split(":", 5)
    return len(parts) == 6 and parts[2] == "events" and parts[4] == ACCOUNT_ID and parts[5].startswith(beginning)


def _invalid(parameter: str, reason: str) -> EventsError:
    return validation(f"Parameter {parameter} is not valid. Reason: {reason}")
