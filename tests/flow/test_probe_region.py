"""probe_region: how often the other Region is asked in a minute, what counts as an answer, what is counted of it."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcloud.clock import run_virtual
from sluiceway.events.eventbridge import EventBridgeEvent
from sluiceway.events.invocation import Invocation
from sluiceway.flows.probe import ANSWER_S, ProbeDesk, is_well, probe_region
from tests.fakes_failover import FakeProber, RecordingGauge
from tests.unit.region_setup import WEST, virtual

EVENT = EventBridgeEvent("e", "aws.events", "Scheduled Event", "2026-11-28T00:00:00Z", "us-east-1", "123456789012")


async def probe(
    prober: FakeProber, gauge: RecordingGauge | None = None, *, every_s: float = 10, has_s: float = 69.5
) -> dict[str, object]:
    call = Invocation("r", "probe_region", "arn", deadline=asyncio.get_running_loop().time() + has_s)
    desk = ProbeDesk(prober, gauge or RecordingGauge(), WEST, every_s)
    return dict(await probe_region(EVENT, call, desk))


@pytest.mark.parametrize(("every_s", "probes"), [(1, 60), (7, 9), (10, 6), (30, 2), (60, 1)])
def test_a_minute_has_so_many_probes(every_s: int, probes: int) -> None:
    """At 0 s, and then each so many seconds, until the next minute's invocation begins."""

    async def go() -> None:
        prober = FakeProber()
        assert await probe(prober, every_s=every_s) == {"region": WEST, "probes": probes, "well": probes}
        assert [at for at, _ in prober.asked] == [every_s * number for number in range(probes)]
        assert asyncio.get_running_loop().time() < 60

    run_virtual(go)


@virtual
async def test_each_probe_is_counted_as_it_is_made() -> None:
    """1 or 0 and the time, under the other Region's name, at once and not at the end of the minute."""
    statuses = iter([200, 503, 0, 200, 301, 500])
    prober, gauge = FakeProber(lambda: next(statuses), takes_s=0.25), RecordingGauge()
    async with asyncio.TaskGroup() as group:
        probing = group.create_task(probe(prober, gauge))
        await asyncio.sleep(11)
        assert len(gauge.told) == 2
    assert probing.result() == {"region": WEST, "probes": 6, "well": 3}
    assert [values["RegionHealthy"] for values, _ in gauge.told] == [1, 0, 0, 1, 1, 0]
    assert {values["ProbeTime"] for values, _ in gauge.told} == {250.0}
    assert {str(dimensions) for _, dimensions in gauge.told} == {str({"Region": WEST})}


@pytest.mark.parametrize(("every_s", "within_s"), [(10, ANSWER_S), (2, 2), (1, 1)])
def test_a_slow_answer_is_no_answer_and_holds_up_no_other(every_s: int, within_s: float) -> None:
    """Each probe waits as long as a health checker, and no longer than until the next one."""

    async def go() -> None:
        prober = FakeProber(takes_s=100)
        told = await probe(prober, every_s=every_s)
        assert (told["probes"], told["well"]) == (60 / every_s, 0)
        assert {within for _, within in prober.asked} == {within_s}
        assert [at for at, _ in prober.asked] == [every_s * number for number in range(60 // every_s)]

    run_virtual(go)


@given(st.sampled_from([1, 2, 5, 10, 60]), st.floats(0.5, 75), st.floats(0, 6))
def test_it_is_over_by_its_deadline(every_s: int, has_s: float, takes_s: float) -> None:
    """However little time an invocation has and however slow the answers: what was probed has been counted by then."""

    async def go() -> None:
        prober, gauge = FakeProber(takes_s=takes_s), RecordingGauge()
        told = await probe(prober, gauge, every_s=every_s, has_s=has_s)
        assert asyncio.get_running_loop().time() <= has_s + 1e-6
        assert told["probes"] == len(prober.asked) == len(gauge.told) <= 60 / every_s

    run_virtual(go)


@pytest.mark.parametrize(
    ("status", "well"), [(0, False), (199, False), (200, True), (301, True), (399, True), (400, False), (503, False)]
)
def test_a_status_counts_as_a_health_checker_takes_it(status: int, well: bool) -> None:
    """2xx and 3xx are healthy, everything else is not, no answer least of all."""
    assert is_well(status) is well
