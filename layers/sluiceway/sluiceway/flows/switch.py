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
from sluiceway.events.switch import SwitchOrder
from sluiceway.flows.probe import ANSWER_S, is_well
from sluiceway.ports import Clock
from sluiceway.ports.failover import Drill, DrillStore, Gauge, MarkStore, Prober
from sluiceway.ports.regions import DoubtStore, TermStore
from sluiceway.region.doubts import drain
from sluiceway.region.handover import raise_epoch
from sluiceway.region.home import HomeStore
from sluiceway.rules.terms import Term

__all__ = ["Readiness", "SwitchDesk", "switch_region"]

MARK_S: Final = 10.0  # for a mark to arrive: replication takes a second usually
MARK_EVERY_S: Final = 0.25


@dataclass(frozen=True, slots=True)
class SwitchDesk:
    """What switching needs. `region` is this one, `other` the other of the group. `prober` looks at the other one."""

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


class Readiness(NamedTuple):
    """Whether the home may be handed over now. `against` says what speaks against it, in stable words.

    `replicated_ms`: how long a mark took to the other Region, None where none arrived or none was sent. `parked`: keys
    that nobody could ask about.
    """

    against: tuple[str, ...]
    status: int = 0
    replicated_ms: int | None = None
    parked: int = 0


async def switch_region(order: SwitchOrder, _call: Invocation, desk: SwitchDesk) -> Mapping[str, object]:
    """Carry out `order`; what is given tells the term afterwards.

    Raises Rejected (`no-approval`, `already-home`, `stale-approval`, `not-here`, `not-ready`), Misconfigured where the
    group has no term, Retryable where the term could not be read or written.
    """
    term = await desk.terms.get(desk.group)
    if term is None:
        raise Misconfigured(f"the group {desk.group!r} has no term", what="REGION_GROUP")
    told: dict[str, object] = {}
    if order.action == "drill":
        told = await _drill(order, desk)
    elif order.action == "look":
        told = {"readiness": (await _look(order.to or desk.region, term, desk))._asdict()}
    elif order.action == "raise":
        term = await _raise(order, term, desk)
    _publish(term, desk)
    return {
        "group": term.group,
        "region": desk.region,
        "home": term.region,
        "epoch": term.epoch,
        "begins_ms": term.begins_ms,
        "approval": term.approval,
        **told,
    }


def _publish(term: Term, desk: SwitchDesk) -> None:
    """Where traffic should go, for the alarm that it follows."""
    desk.gauge.put({"IsHome": int(term.region == desk.region), "Epoch": term.epoch}, Group=term.group)


async def _raise(order: SwitchOrder, term: Term, desk: SwitchDesk) -> Term:
    to = order.to or desk.region
    if term.region == to and term.approval == order.approval:
        return term  # the same order again, whose answer was lost
    if term.region != to and not order.force:
        found = await _look(to, term, desk)
        if found.against:
            log.warning("region.not_handed_over", to=to, against=list(found.against))
            raise Rejected(f"not handed over to {to}: {', '.join(found.against)}", reason="not-ready", field="to")
    elif to not in {desk.region, desk.other}:
        raise Rejected(f"{to} is none of the group's Regions", reason="not-here", field="to")
    return await raise_epoch(
        desk.terms, group=desk.group, to=to, approval=order.approval, clock=desk.clock, ends=order.ends or None
    )


async def _look(to: str, term: Term, desk: SwitchDesk) -> Readiness:
    """What speaks against making `to` the home. Raises Rejected (`not-here`)."""
    if to == desk.region:
        return await _look_at_home(term, desk)
    if to == desk.other and term.region == desk.region:
        return await _look_at_other(desk)
    raise Rejected(f"{desk.region} cannot hand over to {to}: {term.region} is home", reason="not-here", field="to")


async def _look_at_home(term: Term, desk: SwitchDesk) -> Readiness:
    """Taking over: from a Region that is well it is that one's to hand over, with nothing under way."""
    if term.region == desk.region:
        return Readiness(("already-home",))
    status = await desk.prober.status(within_s=ANSWER_S)
    return Readiness(("home-is-well",) if is_well(status) else (), status)


async def _look_at_other(desk: SwitchDesk) -> Readiness:
    """Handing over: to a Region that is well, that has what was written here, with no key that nobody asked about."""
    status = await desk.prober.status(within_s=ANSWER_S)
    if not is_well(status):
        return Readiness(("other-is-unwell",), status)
    replicated_ms = await _replicate(desk)
    report = await drain(desk.doubts, region=desk.region, home=desk.home, clock=desk.clock)
    against = [
        *(["replication-lags"] if replicated_ms is None else []),
        *(["keys-parked"] if report.parked else []),
    ]
    return Readiness(tuple(against), status, replicated_ms, report.parked)


async def _replicate(desk: SwitchDesk) -> int | None:
    """How many milliseconds a mark takes from here to the other Region; None where it has not arrived in MARK_S."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    mark = f"{desk.clock.now_ms()}"
    try:
        async with asyncio.timeout(MARK_S):
            await desk.marks.write(mark)
            while await desk.marks.read(desk.other) != mark:  # noqa: ASYNC110 - a table tells nobody
                await asyncio.sleep(MARK_EVERY_S)
    except (TimeoutError, Retryable, ServiceError) as error:
        log.failure("region.mark_lost", error, region=desk.other)
        return None
    return round((loop.time() - began) * 1000)


async def _drill(order: SwitchOrder, desk: SwitchDesk) -> dict[str, object]:
    """This Region says that it is unwell for so many minutes; nothing else changes."""
    until_ms = desk.clock.now_ms() + order.minutes * 60_000
    await desk.drills.put(Drill(until_ms, order.approval))
    log.warning("region.drill", minutes=order.minutes, approval=order.approval)
    return {"drill_until_ms": until_ms}
