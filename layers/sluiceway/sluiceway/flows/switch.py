"""Moving traffic between two Regions: the one place where a person's approval becomes a new term.

Owns what has to be so before the home is handed over, and what is told to the alarm that traffic follows: 1 while this
Region is home. A Region takes over from one that is lost; it hands over to one that is well, once what is written here
arrives there and no key is parked. Must not know DNS, alarms or health checks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from sluiceway import log
from sluiceway.errors import Misconfigured, Rejected, Retryable, ServiceError
from sluiceway.events.invocation import Invocation
from sluiceway.events.switch import StepRefused, SwitchOrder
from sluiceway.flows.probe import ANSWER_S, is_well
from sluiceway.ports import Clock
from sluiceway.ports.failover import Drill, DrillStore, Gauge, MarkStore, Prober
from sluiceway.ports.regions import DoubtStore, TermStore
from sluiceway.ports.standby import Surveyor, Workload
from sluiceway.region.doubts import drain
from sluiceway.region.handover import raise_epoch
from sluiceway.region.home import HomeStore
from sluiceway.rules.terms import NOT_YET_MS, Term

__all__ = ["Readiness", "SwitchDesk", "switch_region"]

MARK_S: Final = 10.0  # for a mark to arrive: replication takes a second usually
MARK_EVERY_S: Final = 0.25
DRAIN_S: Final = 25.0  # for the keys in doubt: some hundreds may be asked about, and the rest the next time


@dataclass(frozen=True, slots=True)
class SwitchDesk:
    """What switching needs. `region` is this one, `other` the other of the group. `prober` looks at the other one.

    `workload` rests here while the other one is home; None where all of it runs always.
    """

    terms: TermStore
    home: HomeStore
    doubts: DoubtStore
    marks: MarkStore
    prober: Prober
    drills: DrillStore
    gauge: Gauge
    clock: Clock
    group: str
    region: str
    other: str
    workload: Workload | None = None
    surveyor: Surveyor | None = None


class Readiness(NamedTuple):
    """Whether the home may be handed over now. `against` says what speaks against it, in stable words.

    `already-home`, `home-is-well`, `other-is-unwell`, `replication-lags`, `keys-parked`, `drain-unfinished`.
    `replicated_ms`: how long marks took between the Regions, the slower way's; None where one did not arrive or none
    was sent. `parked`: keys that nobody could ask about.
    """

    against: tuple[str, ...]
    status: int = 0
    replicated_ms: int | None = None
    parked: int = 0


class _Reading(NamedTuple):
    """The term, and when it was asked for at the latest.

    The metric has that date: an environment that is frozen in between tells the alarm of a minute that is over, and
    moves nothing by what it read long ago.
    """

    at_ms: int
    term: Term


async def switch_region(order: SwitchOrder, _call: Invocation, desk: SwitchDesk) -> Mapping[str, object]:
    """Carry out `order`; what is given tells the term: afterwards, or for `look` the one that was looked at.

    Raises Rejected (`no-approval`, `already-home`, `stale-approval`, `not-here`, `not-ready`), StepRefused for the same
    of a plan's step, Misconfigured where the group has no term, Retryable where it could not be read or written.
    """
    try:
        return await _carry_out(order, desk)
    except Rejected as error:
        if order.of_plan:
            raise StepRefused(str(error), reason=error.reason, field=error.field) from error
        raise


async def _carry_out(order: SwitchOrder, desk: SwitchDesk) -> Mapping[str, object]:
    at_ms = desk.clock.now_ms()
    term = await desk.terms.get(desk.group)
    if term is None:
        raise Misconfigured(f"the group {desk.group!r} has no term", what="REGION_GROUP")
    reading = _Reading(at_ms, term)
    if order.action == "raise":
        reading = await _raise(order, reading, desk)
    term = reading.term
    _publish(reading, desk)  # now, and not once a look is over: by then the term may be another's
    return {
        "group": term.group,
        "region": desk.region,
        "home": term.region,
        "epoch": term.epoch,
        "begins_ms": term.begins_ms,
        "approval": term.approval,
        **await _tell_more(order, term, desk),
    }


async def _tell_more(order: SwitchOrder, term: Term, desk: SwitchDesk) -> Mapping[str, object]:
    """What the order asks for beside the term."""
    match order.action:
        case "drill":
            return await _drill(order, desk)
        case "look":
            return {"readiness": (await _look(order.to or desk.region, term, desk))._asdict()}
        case "survey":
            return {"survey": await desk.surveyor.survey() if desk.surveyor else {}}
        case _:
            return await _settle(order, term, desk)


async def _settle(order: SwitchOrder, term: Term, desk: SwitchDesk) -> Mapping[str, object]:
    """Let what rests in a standby run where this Region is home, and rest where it is not.

    A hand-over is done without it, and tells what became of it; the clock's next order settles what is left.
    Raises, of a `publish`, what the workload raises: the invocation counts as failed, for the alarm on that.
    """
    if desk.workload is None:
        return {}
    is_home = term.region == desk.region
    try:
        changed = await desk.workload.run(is_running=is_home)
    except (Retryable, Rejected, Misconfigured, ServiceError) as error:
        log.failure("region.workload_unsettled", error)
        if order.action == "publish":
            raise
        return {"workload": "unsettled"}
    if changed:
        log.info("region.workload_settled", running=is_home, changed=changed)
    return {"workload": "running" if is_home else "resting"}


def _publish(reading: _Reading, desk: SwitchDesk) -> None:
    """Where traffic should go, for the alarm that it follows."""
    term = reading.term
    values = {"IsHome": int(term.region == desk.region), "Epoch": term.epoch}
    desk.gauge.put(values, at_ms=reading.at_ms, Group=term.group)


async def _raise(order: SwitchOrder, reading: _Reading, desk: SwitchDesk) -> _Reading:
    term, to = reading.term, order.to or desk.region
    if to not in {desk.region, desk.other}:
        raise Rejected(f"{to} is none of the group's Regions", reason="not-here", field="to")
    if (term.region, term.approval) == (to, order.approval):
        if term.begins_ms != NOT_YET_MS:
            return reading  # the same order again, whose answer was lost
    elif order.ends not in {0, term.epoch}:
        raise Rejected(f"the approval is about epoch {order.ends}", reason="stale-approval", field="ends")
    elif term.region != to and not order.force:
        await _insist(to, term, desk)
    # What was read and looked at is what ends: an order that was slow does not end somebody else's term.
    ends, at_ms = order.ends or term.epoch, desk.clock.now_ms()
    raised = await raise_epoch(
        desk.terms, group=desk.group, to=to, approval=order.approval, clock=desk.clock, ends=ends
    )
    return _Reading(at_ms, raised)


async def _insist(to: str, term: Term, desk: SwitchDesk) -> None:
    """Raises Rejected (`not-here`, `not-ready`) where something speaks against making `to` the home."""
    found = await _look(to, term, desk)
    if found.against:
        log.warning("region.not_handed_over", to=to, against=list(found.against))
        raise Rejected(f"not handed over to {to}: {', '.join(found.against)}", reason="not-ready", field="to")


async def _look(to: str, term: Term, desk: SwitchDesk) -> Readiness:
    """What speaks against making `to` the home. Raises Rejected (`not-here`)."""
    if to not in {desk.region, desk.other}:
        raise Rejected(f"{to} is none of the group's Regions", reason="not-here", field="to")
    if to == term.region:
        return Readiness(("already-home",))
    if to == desk.region:
        return await _look_at_home(desk)
    if term.region == desk.region:
        return await _look_at_other(desk)
    raise Rejected(f"{desk.region} cannot hand over to {to}: {term.region} is home", reason="not-here", field="to")


async def _look_at_home(desk: SwitchDesk) -> Readiness:
    """Taking over: from a Region that is well it is that one's to hand over, with nothing under way."""
    status = await desk.prober.status(within_s=ANSWER_S)
    return Readiness(("home-is-well",) if is_well(status) else (), status)


async def _look_at_other(desk: SwitchDesk) -> Readiness:
    """Handing over: to a Region that is well and has what was written here, with no key that nobody asked about."""
    status = await desk.prober.status(within_s=ANSWER_S)
    if not is_well(status):
        return Readiness(("other-is-unwell",), status)
    replicated_ms = await _replicate(desk)
    parked = await _drain(desk)
    against = [
        *(["replication-lags"] if replicated_ms is None else []),
        *(["keys-parked"] if parked else []),
        *(["drain-unfinished"] if parked is None else []),
    ]
    return Readiness(tuple(against), status, replicated_ms, parked or 0)


async def _drain(desk: SwitchDesk) -> int | None:
    """How many keys stay parked; None where there were more doubts than could be asked about in DRAIN_S."""
    try:
        async with asyncio.timeout(DRAIN_S):
            report = await drain(desk.doubts, region=desk.region, home=desk.home, clock=desk.clock)
    except TimeoutError as error:
        log.failure("region.drain_unfinished", error)
        return None
    return report.parked


async def _replicate(desk: SwitchDesk) -> int | None:
    """How many milliseconds marks take from each Region to the other, the slower way's; None where one did not arrive.

    What was written here has to be there before that one is home, and what is written there then has to come back.
    """
    async with asyncio.TaskGroup() as group:
        there = group.create_task(_send_mark(desk, desk.region, desk.other))
        back = group.create_task(_send_mark(desk, desk.other, desk.region))
    there_ms, back_ms = there.result(), back.result()
    return None if there_ms is None or back_ms is None else max(there_ms, back_ms)


async def _send_mark(desk: SwitchDesk, source: str, target: str) -> int | None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    mark = desk.clock.now_ms()
    try:
        async with asyncio.timeout(MARK_S):
            await desk.marks.write(mark, at=source)
            while await desk.marks.read(of=source, at=target) < mark:  # noqa: ASYNC110 - a table tells nobody
                await asyncio.sleep(MARK_EVERY_S)
    except (TimeoutError, Retryable, ServiceError) as error:
        log.failure("region.mark_lost", error, source=source, target=target)
        return None
    return round((loop.time() - began) * 1000)


async def _drill(order: SwitchOrder, desk: SwitchDesk) -> dict[str, object]:
    """This Region says that it is unwell for so many minutes; nothing else changes."""
    until_ms = desk.clock.now_ms() + order.minutes * 60_000
    await desk.drills.put(Drill(until_ms, order.approval))
    log.warning("region.drill", minutes=order.minutes, approval=order.approval)
    return {"drill_until_ms": until_ms}
