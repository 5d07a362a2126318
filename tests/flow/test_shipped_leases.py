"""The guards that this project ships fit a home Region as it is founded: no lease of theirs outlasts a reading."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from sluiceway.flows.job_end import JobEnd, make_job_guard
from sluiceway.flows.publish.ledger import KEEP_S, Publish, PublishLedger
from sluiceway.flows.publish.ledger import LEASE_S as PUBLISH_LEASE_S
from sluiceway.flows.publish.results import Failure
from sluiceway.flows.stream.asking import make_ask_keys
from sluiceway.idempotency import Fresh, Options
from sluiceway.rules.terms import LEASE_MS, SKEW_MS
from tests.fakes import FixedChance
from tests.unit.region_setup import EAST, LEASE_S, SKEW_S, Regions, virtual

LONG_S = 900.0  # Lambda's longest invocation


async def end_job() -> JobEnd:
    return JobEnd("succeeded", 1, "m1")


async def expire() -> int:
    return 1


async def refuse(_places: Any) -> list[Failure]:
    return [Failure("refused")]


@virtual
async def test_jobs_asks_and_publishes_begin_at_a_home_region() -> None:
    """Under the lease and the margin that a group is founded with, however long their invocation may take."""
    assert (LEASE_S * 1000, SKEW_S * 1000) == (LEASE_MS, SKEW_MS)
    world = Regions()
    home, deadline = world.home(EAST), asyncio.get_running_loop().time() + LONG_S
    jobs = make_job_guard(clock=world.clock, after_crash="doubt", chance=FixedChance())
    job = SimpleNamespace(job_id="j1", body_sha256="b")
    assert await jobs.run(job, end_job, store=home, deadline=deadline) == Fresh(await end_job())
    asks = make_ask_keys(home, clock=world.clock, chance=FixedChance()).guard
    ask = SimpleNamespace(caller="ann", req="r1", request_sha256="b")
    assert await asks.run(ask, expire, store=home, deadline=deadline) == Fresh(1)
    options = Options(keep_s=KEEP_S, lease_s=PUBLISH_LEASE_S, clock=world.clock, chance=FixedChance())
    ledger = PublishLedger(home, options=options)
    settled = await ledger.settle(Publish("ann", "records", "k1", "b", 1), refuse, deadline=deadline)
    assert (settled.recorded, settled.replayed) == (True, False)
