"""What must break the two Regions' properties does: local claims, wrong clocks, and the shipped code with one part out.

Were one of these to pass, the simulation would show nothing. Each case runs in a setting that gives its fault room, and
the same setting without the fault breaks nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from localcloud.simulation.checker import Fault
from localcloud.simulation.run import play, run_seeds
from localcloud.simulation.setting import Setting
from sluiceway.errors import Rejected, Retryable
from sluiceway.idempotency import guard
from sluiceway.region import handover, home
from sluiceway.rules.terms import Term
from tests.unit.region_setup import next_term

BUSY: dict[str, Any] = {"keys": 100, "weather": "calm", "decides_s": 3.0, "repeated": 0.6, "chosen": 0.9}
SHORT: dict[str, Any] = {
    "keys": 200, "slow": 0.3, "lease_s": 2.0, "skew_s": 0.5, "off_s": 0.5, "term_lease_s": 3.0,
}  # fmt: skip
LATE: dict[str, Any] = {"keys": 60, "late": 0.5, "fails": 0.4, "lag_s": 15.0}
SLOW: dict[str, Any] = {"keys": 200, "slow": 0.1, "slow_most_s": 20.0}


def faults(setting: Setting, seeds: int) -> list[Fault]:
    return [fault for result in run_seeds(range(seeds), setting) for fault in result.verdict.faults]


def first_broken(setting: Setting, number: int) -> int:
    """The first of 400 seeds that breaks the property, -1 for none."""
    for seed in range(400):
        if number in numbers(list(play(seed, setting)[1].verdict.faults)):
            return seed
    return -1


def numbers(found: list[Fault]) -> set[int]:
    return {fault.number for fault in found}


# ------------------------------------------------------------ another mode, other clocks


def test_local_claims_let_both_regions_begin_a_key() -> None:
    """Each Region for itself, two minutes' partition with a failover: several keys in a hundred run twice."""
    setting = Setting(mode="naive", keys=400, span_s=240.0, weather="split", outage_s=120.0, decides_s=20.0)
    results = list(run_seeds(range(5), setting))
    assert min(result.verdict.twice for result in results) > 3
    assert all({1, 2} <= numbers(list(result.verdict.faults)) for result in results)


@pytest.mark.parametrize(
    "beyond", [{"off_s": 30.0}, {"overrun_s": 25.0}], ids=["clocks beyond the bound", "a lease that is overrun"]
)
def test_a_home_region_needs_its_clock_bound(beyond: dict[str, Any]) -> None:
    """Clocks that differ by more than stated, and environments that believe a term longer, begin where another may."""
    assert first_broken(Setting(**BUSY | beyond), 4) >= 0


def test_a_strong_table_needs_no_clock_bound_to_begin_once() -> None:
    """Clocks 30 s apart: with `doubt` no key begins twice, since one condition decides and leases decide nothing."""
    results = list(run_seeds(range(150), Setting(mode="strong", off_s=30.0)))
    assert sum(result.verdict.twice for result in results) == 0


# ------------------------------------------------------------ the shipped code with one part out


def begin_at_once(closed: Term, *, now_ms: int) -> Term:
    return closed._replace(begins_ms=now_ms)


async def raise_in_one_write(
    terms: Any, *, group: str, to: str, approval: str, clock: Any, ends: int | None = None
) -> Term:
    """As it was made at first: counted from before it was written."""
    term = await terms.get(group)
    if ends is not None and ends != term.epoch:
        raise Rejected("over", reason="stale-approval")
    raised = next_term(term, to, now_ms=clock.now_ms(), approval=approval)
    if not await terms.replace(raised, seen=term):
        raise Retryable("another was faster")
    return raised


async def raise_whenever_asked(*args: Any, ends: int | None = None, **kwargs: Any) -> Term:
    del ends
    return await RAISE(*args, **kwargs)


async def ask_nobody(*_: Any, **__: Any) -> None:
    return None


async def ask_own_replica(self: home.HomeStore, key: str, past: Any, **_: Any) -> home.Earlier:
    found = await self._desk.local.get(home.item_key(key, past.epoch))
    return home.Earlier(past, found, is_known=True)


def one_item(key: str, epoch: int) -> str:
    del epoch
    return key


async def begin_late(self: guard.Guard[Any], attempt: Any, work: Callable[[], Any]) -> Any:
    """After an answer that came when the lease was over."""
    until = max(attempt.until, asyncio.get_running_loop().time() + attempt.options.lease_s * 2)
    return await WORK(self, attempt._replace(until=until), work)


async def find_no_end(*_: Any, **__: Any) -> None:
    return None


RAISE, WORK = handover.raise_epoch, guard.Guard._work

MUTATIONS: dict[str, tuple[object, str, object, dict[str, Any], int]] = {
    "the new home does not wait": (handover, "open_term", begin_at_once, BUSY, 4),
    "a hand-over counts from before it was written": (handover, "raise_epoch", raise_in_one_write, BUSY | SLOW, 4),
    "an approval counts twice": (handover, "raise_epoch", raise_whenever_asked, {}, 5),
    "nobody is asked about earlier terms": (home.HomeStore, "_find_earlier", ask_nobody, {}, 1),
    "the own replica is asked alone": (
        home.HomeStore, "ask", ask_own_replica, {"keys": 60, "weather": "isolate", "decides_s": 3.0}, 1,
    ),
    "all terms have one item": (home, "item_key", one_item, BUSY | LATE, 2),
    "a guard begins after a late claim": (guard.Guard, "_work", begin_late, BUSY | SHORT, 4),
    "a late claim stays on the list": (home.HomeStore, "find_end", find_no_end, BUSY | LATE, 3),
}  # fmt: skip


@pytest.mark.parametrize("name", MUTATIONS)
def test_each_part_of_the_shipped_code_is_needed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The setting breaks nothing by itself (a few seeds), and breaks the property without the part."""
    target, attribute, replacement, choices, number = MUTATIONS[name]
    assert faults(Setting(**choices), 6) == []
    monkeypatch.setattr(target, attribute, replacement)
    assert first_broken(Setting(**choices), number) >= 0
