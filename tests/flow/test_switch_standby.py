"""switch_region in a standby that rests: its mappings and schedules follow the term; and what a survey tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from sluiceway.errors import Misconfigured, Rejected, Retryable
from tests.fakes import unavailable
from tests.flow.test_switch_region import Pair
from tests.unit.region_setup import EAST, WEST, virtual


class FakeWorkload:
    """Three parts. `error` is raised once they were tried, before any was changed."""

    def __init__(self) -> None:
        self.is_running = False
        self.said: list[bool] = []
        self.error: Exception | None = None

    async def run(self, *, is_running: bool) -> int:
        self.said.append(is_running)
        if self.error is not None:
            raise self.error
        changed = 3 * (self.is_running is not is_running)
        self.is_running = is_running
        return changed


class FakeSurveyor:
    async def survey(self) -> Mapping[str, object]:
        return {"alarms": {"a": "OK"}}


def pilot_light() -> tuple[Pair, FakeWorkload]:
    """A pair whose west rests until it is home."""
    pair, workload = Pair(), FakeWorkload()
    pair.desks[WEST] = replace(pair.desks[WEST], workload=workload)
    return pair, workload


@virtual
async def test_what_rests_in_the_standby_runs_once_it_is_home_and_rests_again_after_the_way_back() -> None:
    """With the order itself, after the term is raised: nothing runs in two Regions on one approval."""
    pair, workload = pilot_light()
    pair.status[EAST] = 0
    told = await pair.order(WEST, "raise", to=WEST, approval="incident 7", ends=1)
    assert (told["home"], told["workload"], workload.is_running) == (WEST, "running", True)
    pair.status[EAST] = 200
    told = await pair.order(WEST, "raise", to=EAST, approval="back", ends=2)
    assert (told["home"], told["workload"], workload.is_running) == (EAST, "resting", False)
    assert workload.said == [True, False]


@virtual
async def test_the_clock_settles_what_an_order_elsewhere_decided() -> None:
    """A hand-over that the other Region carried out is seen within a minute; the same again changes nothing."""
    pair, workload = pilot_light()
    assert (await pair.order(WEST, "publish"))["workload"] == "resting"
    await pair.order(EAST, "raise", to=WEST, approval="moved", force=True)
    assert not workload.is_running
    for _ in range(2):
        assert (await pair.order(WEST, "publish"))["workload"] == "running"
    assert workload.said == [False, True, True]


@pytest.mark.parametrize(
    "error",
    [
        unavailable("UpdateEventSourceMapping"),
        Misconfigured("no", what="x"),
        Rejected("no", reason="x"),
        Retryable("no"),
    ],
)
def test_a_workload_that_does_not_start_holds_up_no_hand_over_and_heals(error: Exception) -> None:
    """The term is raised and told; the clock's order fails, for the alarm on that, until one of them gets through."""

    @virtual
    async def go() -> None:
        pair, workload = pilot_light()
        pair.status[EAST] = 0
        workload.error = error
        told = await pair.order(WEST, "raise", to=WEST, approval="incident 7", ends=1)
        assert (told["home"], told["workload"], pair.told(WEST)) == (WEST, "unsettled", (1, 2))
        with pytest.raises(type(error)):
            await pair.order(WEST, "publish")
        assert pair.told(WEST) == (1, 2)  # traffic goes on whatever becomes of it
        workload.error = None
        assert (await pair.order(WEST, "publish"))["workload"] == "running"
        assert workload.is_running

    go()


@virtual
async def test_an_order_that_is_refused_starts_nothing() -> None:
    """Nor one that only looks, drills or surveys."""
    pair, workload = pilot_light()
    assert (await pair.refused(WEST, to=WEST, approval="x"))[0] == "not-ready"
    await pair.order(WEST, "look")
    await pair.order(WEST, "drill", minutes=1, approval="x")
    await pair.order(WEST, "survey")
    assert workload.said == []


@virtual
async def test_a_survey_tells_beside_the_term_what_the_surveyor_found() -> None:
    """Nothing changes; a Region without one tells an empty survey."""
    pair = Pair()
    pair.desks[WEST] = replace(pair.desks[WEST], surveyor=FakeSurveyor())
    told: dict[str, Any] = await pair.order(WEST, "survey")
    assert (told["home"], told["epoch"], told["survey"]) == (EAST, 1, {"alarms": {"a": "OK"}})
    assert (await pair.order(EAST, "survey"))["survey"] == {}
    assert (await pair.term()).epoch == 1
