"""GET /health: what is looked at, for how long, how often, and what strangers are told of it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcloud.clock import run_virtual
from sluiceway.events.http import HttpReply, HttpRequest
from sluiceway.events.invocation import Invocation
from sluiceway.flows.health import BOUND_S, KEEP_S, HealthDesk, HealthWatch, Look, check_health
from sluiceway.ports.failover import Drill
from sluiceway.steps.metrics import _gathered
from tests.fakes import EPOCH_MS, LoopClockMs, unavailable
from tests.fakes_failover import FakeDependency, MemoryDrillStore
from tests.unit.region_setup import EAST, virtual

SECRET = "arn:aws:dynamodb:us-east-1:123456789012:table/keys"


async def get(watch: HealthWatch) -> HttpReply:
    request = HttpRequest("GET", "/health", {}, {}, {}, b"", "", "req")
    call = Invocation("req", "check_health", "arn", deadline=asyncio.get_running_loop().time() + 4)
    return await check_health(request, call, HealthDesk(watch, EAST))


def make_watch(*dependencies: FakeDependency, drills: MemoryDrillStore | None = None, **bounds: float) -> HealthWatch:
    return HealthWatch(dependencies, drills, LoopClockMs(), **bounds)


def read(reply: HttpReply) -> dict[str, Any]:
    return json.loads(reply.body)


@virtual
async def test_a_region_where_everything_answers_is_healthy() -> None:
    """200, the Region, every name that was looked at, and no cache may keep it."""
    reply = await get(make_watch(FakeDependency("keys"), FakeDependency("jobs"), drills=MemoryDrillStore()))
    assert (reply.status, read(reply)) == (
        200,
        {"status": "healthy", "region": EAST, "checks": {"keys": "ok", "jobs": "ok", "drills": "ok"}},
    )
    assert reply.headers == {"content-type": "application/json", "cache-control": "no-store"}


@pytest.mark.parametrize(
    "error",
    [
        unavailable(SECRET),
        OSError(SECRET),
        TimeoutError(SECRET),
        KeyError(SECRET),
        ValueError(SECRET),
        Exception(SECRET),
    ],
)
def test_one_dependency_that_fails_makes_it_unhealthy_and_no_error_gets_out(error: Exception) -> None:
    """503, whatever the adapter raises; the others are still told, and nothing of the error is."""

    async def go() -> None:
        reply = await get(make_watch(FakeDependency("keys", error=error), FakeDependency("jobs")))
        assert (reply.status, read(reply)) == (
            503,
            {"status": "unhealthy", "region": EAST, "checks": {"keys": "failed", "jobs": "ok"}},
        )
        assert SECRET not in repr(reply)

    run_virtual(go)


@virtual
async def test_a_dependency_that_hangs_is_waited_for_until_the_bound() -> None:
    """All are asked at once, and the answer comes in less than the 2 s that a health checker waits."""
    loop = asyncio.get_running_loop()
    hanging = [FakeDependency("keys", takes_s=3600), FakeDependency("jobs", takes_s=3600), FakeDependency("records")]
    began = loop.time()
    reply = await get(make_watch(*hanging, drills=MemoryDrillStore()))
    assert loop.time() - began == pytest.approx(BOUND_S)
    assert BOUND_S < 2
    checks = {"keys": "failed", "jobs": "failed", "records": "ok", "drills": "ok"}
    assert (reply.status, read(reply)["checks"]) == (503, checks)


@virtual
async def test_many_who_ask_at_once_share_one_look() -> None:
    """A thousand callers cost what one does, and wait no longer."""
    loop = asyncio.get_running_loop()
    slow = FakeDependency("keys", takes_s=1.0)
    watch = make_watch(slow)
    began = loop.time()
    async with asyncio.TaskGroup() as group:
        asking = [group.create_task(get(watch)) for _ in range(1000)]
    assert {each.result().status for each in asking} == {200}
    assert (len(slow.at), loop.time() - began) == (1, 1.0)


@virtual
async def test_a_look_is_kept_for_a_while_and_then_made_again() -> None:
    """Two seconds: what changed is seen in the next interval of a fast health check, 10 s, at the latest."""
    keys = FakeDependency("keys")
    watch = make_watch(keys)
    assert (await get(watch)).status == 200
    keys.error = unavailable("GetItem")
    await asyncio.sleep(KEEP_S - 0.01)
    assert (await get(watch)).status == 200
    await asyncio.sleep(0.02)
    assert (await get(watch)).status == 503
    keys.error = None
    await asyncio.sleep(KEEP_S)
    assert (await get(watch)).status == 200
    assert len(keys.at) == 3


@pytest.mark.parametrize("jump_ms", [60_000, -60_000])
def test_a_look_from_before_the_environment_was_frozen_is_not_told(jump_ms: int) -> None:
    """The loop's clock may have stood still: the wall clock says that time has passed, or that it cannot be trusted."""

    class Clock(LoopClockMs):
        ahead_ms = 0

        def now_ms(self) -> int:
            return super().now_ms() + self.ahead_ms

    async def go() -> None:
        clock, keys = Clock(), FakeDependency("keys")
        watch = HealthWatch([keys], None, clock)
        await get(watch)
        keys.error = unavailable("GetItem")
        clock.ahead_ms = jump_ms
        assert (await get(watch)).status == 503

    run_virtual(go)


@virtual
async def test_who_gives_up_waiting_leaves_the_look_to_the_next() -> None:
    """The look of a caller that was cancelled is nobody's answer, and holds up nobody."""
    keys = FakeDependency("keys", takes_s=1.0)
    watch = make_watch(keys)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await get(watch)
    assert (await get(watch)).status == 200
    assert len(keys.at) == 2


@virtual
async def test_a_drill_says_500_until_it_is_over() -> None:
    """Everything is well and the Region says that it is not, as its drill says, until its end comes."""
    drills = MemoryDrillStore(Drill(EPOCH_MS + 60_000, "drill 7"))
    watch = make_watch(FakeDependency("keys"), drills=drills)
    reply = await get(watch)
    assert (reply.status, read(reply)) == (
        500,
        {"status": "drill", "region": EAST, "checks": {"keys": "ok", "drills": "ok"}},
    )
    assert "drill 7" not in str(reply.body)
    await asyncio.sleep(59.9)
    assert (await get(watch)).status == 500
    await asyncio.sleep(KEEP_S)
    assert (await get(watch)).status == 200


@virtual
async def test_a_region_that_cannot_read_its_drill_cannot_tell_that_it_is_well() -> None:
    """The store of drills is one more thing that the Region depends on; a slow one is bounded as the others are."""
    drills = MemoryDrillStore()
    drills.is_away = True
    reply = await get(make_watch(FakeDependency("keys"), drills=drills))
    assert (reply.status, read(reply)["checks"]) == (503, {"keys": "ok", "drills": "failed"})
    drills.is_away, drills.takes_s = False, 60.0
    began = asyncio.get_running_loop().time()
    assert (await get(make_watch(FakeDependency("keys"), drills=drills))).status == 503
    assert asyncio.get_running_loop().time() - began == pytest.approx(BOUND_S)


@virtual
async def test_health_is_counted() -> None:
    """1 or 0 for each answer, so that an average is the share of time that the Region is well."""
    for error, expected in ((None, 1), (unavailable("GetItem"), 0)):
        counted: list[tuple[str, float, str]] = []
        token = _gathered.set(counted)
        await get(make_watch(FakeDependency("keys", error=error)))
        _gathered.reset(token)
        assert counted == [("Healthy", expected, "Count")]


@given(st.lists(st.tuples(st.floats(0, 5), st.booleans()), max_size=8))
def test_a_look_is_well_where_all_answered_in_time(dependencies: list[tuple[float, bool]]) -> None:
    """And never longer than its bound, whatever its parts do."""

    async def go() -> tuple[Look, float]:
        fakes = [
            FakeDependency(f"d{number}", takes_s=takes_s, error=OSError() if fails else None)
            for number, (takes_s, fails) in enumerate(dependencies)
        ]
        look = await make_watch(*fakes, bound_s=2.0).look()
        return look, asyncio.get_running_loop().time()

    look, took_s = run_virtual(go)
    assert took_s <= 2.0 + 1e-6
    for finding, (takes_s, fails) in zip(look.findings, dependencies, strict=True):
        assert finding.is_well is (takes_s < 2.0 and not fails)
        assert 0 <= finding.took_ms <= 2000
    assert look.is_well is all(finding.is_well for finding in look.findings)
