"""A whole rehearsal: clients and story side by side, and then the count of what became of every record."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aiohttp import ClientSession, TCPConnector

from localcloud.clock import SystemClock
from localcloud.issuer import ISSUER, LocalIssuer
from localcloud.regions.rehearsal.counts import Counts, count, read_stream
from localcloud.regions.rehearsal.load import Ask, Load
from localcloud.regions.rehearsal.recovery import Recovery, measure_recovery
from localcloud.regions.rehearsal.scene import RunningPair
from localcloud.regions.rehearsal.story import Stage, Step, Story
from localcloud.state import RunningState, read_state
from sluiceway import settings
from sluiceway.aws.wire import Wire
from sluiceway.errors import Misconfigured
from sluiceway.flows.publish.ledger import Publish, PublishLedger
from sluiceway.idempotency.memory import MemoryIdempotencyStore
from sluiceway.region.doubts import list_doubts
from sluiceway.region.records import open_doubts
from sluiceway.rules.tokens import name_caller

__all__ = ["Plan", "Report", "rehearse"]

TOPIC: Final = "records"
SUBJECT: Final = "rehearsal"
STREAM: Final = "RecordsStreamName"  # outputs of the shipped stack
OBJECTIVES: Final = "RecoveryObjectives"
DOUBTS: Final = "RegionsTableName"
TOKEN_MINUTES: Final = 60
AFTER_S: Final = 240.0  # for what is left to be known once home is home again: a lease, a visibility, a parked key


@dataclass(frozen=True, slots=True)
class Plan:
    """How many clients, how many of them begin in a second, by which name they call, of which group of Regions."""

    requests: int
    rate: float
    name: str
    group: str


@dataclass(frozen=True, slots=True)
class Report:
    """What happened when, how it ended, how often each answer was seen, and whether recovery was in time."""

    steps: tuple[Step, ...]
    counts: Counts
    answers: Counter[str]
    recovery: Recovery

    @property
    def is_right(self) -> bool:
        """Whether nothing was done twice or lost, and recovery took no longer than the stack says."""
        return self.counts.is_right and self.recovery.is_in_time


async def rehearse(
    host: RunningState, plan: Plan, *, tell: Callable[[Step], None], look: Callable[[Load], None]
) -> Report:
    """Rehearse on a pair that runs. `tell` is given each step as it happens; `look` the load, about once a second.

    Raises Broken, NotRunning, Misconfigured, ServiceError.
    """
    issuer = LocalIssuer.open(Path(host.issuer))
    token = issuer.token(subject=SUBJECT, audience=host.audience, minutes=TOKEN_MINUTES, clock=SystemClock())
    address = f"{host.endpoints[plan.name]}/topics/{TOPIC}/records"
    connector = TCPConnector(force_close=True)  # a connection that is open stays in its Region, whatever its name says
    async with ClientSession(connector=connector) as session:
        scene = RunningPair(host, session, name=plan.name)
        await scene.serving()  # the term that keys are made of is told with it
        load = scene.load = Load(address, token=token, make_key=scene.make_key, count=plan.requests, rate=plan.rate)
        stage = Stage(tell, asyncio.get_running_loop().time())
        async with asyncio.TaskGroup() as group:
            clients = group.create_task(load.run())
            watch = group.create_task(_watch(load, look))
            await Story(scene, stage).play()
            await asyncio.wait([clients], timeout=AFTER_S)
            clients.cancel()
            watch.cancel()
        counts = await _count(scene, load, plan)
    answers = Counter(seen for ask in load.asks for seen in ask.seen)
    recovery = measure_recovery(stage.steps, _objectives(scene))
    return Report(tuple(stage.steps), counts, answers, recovery)


def _objectives(scene: RunningPair) -> str:
    """What the stack says that it is to recover in. Raises Misconfigured."""
    outputs = read_state(scene.folder(scene.other)).outputs
    if OBJECTIVES not in outputs:
        raise Misconfigured(f"the stack has no output {OBJECTIVES}", what=OBJECTIVES)
    return outputs[OBJECTIVES]


async def _watch(load: Load, look: Callable[[Load], None]) -> None:
    while True:
        look(load)
        await asyncio.sleep(1.0)


async def _count(scene: RunningPair, load: Load, plan: Plan) -> Counts:
    stored: Counter[str] = Counter()
    listed: set[str] = set()
    for region in (scene.home, scene.other):
        stack = read_state(scene.folder(region)).outputs
        stored += await read_stream({**settings.environ(), **scene.environ(region)}, stack[STREAM])
        environ = {**scene.environ(region), "REGION_GROUP": plan.group, "REGIONS_TABLE": stack[DOUBTS]}
        async with Wire.open(environ) as wire:
            listed |= {doubt.key async for doubt in list_doubts(open_doubts(environ, wire), region)}
    return count(load.asks, stored, frozenset(ask.key for ask in load.asks if _is_listed(ask, listed)))


def _is_listed(ask: Ask, listed: set[str]) -> bool:
    """Whether the first round of a client's request is among the keys in doubt."""
    ledger = PublishLedger(MemoryIdempotencyStore())
    publish = Publish(name_caller(ISSUER, SUBJECT), TOPIC, ask.key, body_sha256="", records=1)
    return ledger.key_of(publish) in listed
