"""1,000 jobs on virtual time with kills, duplicates, throttles and lost answers: each ends once and none is lost.

The queue, its redrive, its visibility and the event source mapping are the local cloud's own models; the flow is the
function's, with its guard; store, keys, blobs, dead letters and returns are ports over memory and those models, with
troubles. Each environment has a clock of its own. A seed decides everything.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from functions.generate_answer.app import Services, generate_answer
from localcloud.clock import LoopClock, run_virtual
from localcloud.compute.event_source_sqs import SqsMapping, SqsMappingConfig
from localcloud.compute.functions import InvokeResult
from localcloud.services.lambda_.errors import throttled
from localcloud.services.sqs.held import Depth
from localcloud.services.sqs.message import AttributeValue, Content, Message
from localcloud.services.sqs.model import Queues
from localcloud.services.sqs.queue import Queue
from sluiceway.codec import sqs
from sluiceway.errors import ServiceMisconfigured
from sluiceway.events.http import HttpRequest
from sluiceway.events.invocation import Invocation
from sluiceway.flows.batch import BatchDesk
from sluiceway.flows.job import JobWorker
from sluiceway.flows.job_end import IN_DOUBT, AfterCrash, make_job_guard
from sluiceway.flows.job_status import JobDesk, read_job
from sluiceway.genai.faults import ContentFiltered, Overloaded, Throttled
from sluiceway.genai.provider import Answer, CallContext, ModelRequest
from sluiceway.genai.scripted import Script, ScriptedProvider
from sluiceway.idempotency.memory import MemoryIdempotencyStore
from tests.fakes import KilledError, Life, LoopClockMs, MemoryBlobStore, MemoryJobStore, Trouble
from tests.fakes_streaming import MemoryConnections
from tests.unit.idempotency_setup import HostClock, TroubledStore

JOBS = 1_000
RETENTION_S = 345_600
TIMEOUT_S = 60.0
VISIBILITY_S = 360
MAX_RECEIVES = 6
REGION = "eu-west-1"


@dataclass(frozen=True)
class Weather:
    """How bad it is: the share of invocations killed, of calls in trouble, of deliveries doubled, ..."""

    killed: float = 0.10
    store_trouble: float = 0.04
    dead_letters_trouble: float = 0.04
    return_trouble: float = 0.04
    doubled: float = 0.05
    delete_lost: float = 0.05
    lambda_throttled: float = 0.02
    model_throttled: float = 0.10
    model_refuses: float = 0.02
    bugs: float = 0.01
    keys_trouble: float = 0.04
    clocks_off_s: float = 4.0  # at most, between two environments


class Faults(Mapping[int, Exception]):
    """What a call of the model raises, by the call's number."""

    def __init__(self, rng: random.Random, weather: Weather) -> None:
        self._rng = rng
        self._weather = weather

    def get(self, key: int, default: object = None) -> Exception | None:  # type: ignore[override]
        del key, default
        draw, weather = self._rng.random(), self._weather
        for share, error in (
            (weather.model_throttled / 2, Throttled("slow down")),
            (weather.model_throttled / 2, Overloaded("busy")),
            (weather.model_refuses, ContentFiltered("withheld")),
            (weather.bugs, ValueError("a bug")),
        ):
            if draw < share:
                return error
            draw -= share
        return None

    def __getitem__(self, key: int) -> Exception:
        raise KeyError(key)

    def __iter__(self) -> Iterator[int]:
        return iter(())

    def __len__(self) -> int:
        return 0


class LossyQueue:
    """The queue as the mapping sees it: some messages are delivered twice at once, some deletes are lost."""

    def __init__(self, queue: Queue, rng: random.Random, weather: Weather) -> None:
        self._queue = queue
        self._rng = rng
        self._weather = weather
        self.arn = queue.arn

    @property
    def attributes(self) -> Mapping[str, str]:
        return self._queue.attributes

    async def receive(
        self, max_messages: int = 1, *, wait_s: float | None = None, visibility_s: int | None = None
    ) -> list[Message]:
        messages = await self._queue.receive(max_messages, wait_s=wait_s, visibility_s=visibility_s)
        for message in messages:
            if self._rng.random() < self._weather.doubled:
                await self._queue.change_visibility(message.receipt_handle, self._rng.choice([0, 1, 5]))
        return messages

    async def delete(self, receipt_handle: str) -> None:
        if self._rng.random() >= self._weather.delete_lost:
            await self._queue.delete(receipt_handle)


class QueueDeadLetters:
    """The DeadLetters port over the local cloud's queue."""

    def __init__(self, queue: Queue, trouble: Trouble) -> None:
        self._queue = queue
        self._trouble = trouble

    async def send(self, body: str, *, reason: str, detail: str, attributes: Mapping[str, str]) -> None:
        await self._trouble.before("send")
        told = {**attributes, "reason": reason, "detail": detail}
        await self._queue.send(
            Content(body, {name: AttributeValue("String", text) for name, text in told.items() if text})
        )
        await self._trouble.after("send")


class QueueRedelivery:
    """The Redelivery port over the local cloud's queue."""

    def __init__(self, queue: Queue, trouble: Trouble) -> None:
        self._queue = queue
        self._trouble = trouble

    async def return_after(self, receipt_handle: str, delay_s: int) -> None:
        await self._trouble.before("return_after")
        await self._queue.change_visibility(receipt_handle, delay_s)
        await self._trouble.after("return_after")


@dataclass(frozen=True)
class SeededChance:
    """Chance from the run's seed."""

    rng: random.Random

    def draw(self) -> float:
        return self.rng.random()


class WatchedProvider:
    """The scripted model, watched: when it is asked for each job, what came of it, and two calls for one job at a time.

    `fates`: of each call for a job `answered`, `failed` (an error of its own), or `cut`, in their order.
    """

    def __init__(self, script: Script) -> None:
        self.inner = ScriptedProvider(script)
        self.running: set[str] = set()
        self.asked_at: dict[str, list[float]] = {}
        self.fates: dict[str, list[str]] = {}
        self.overlaps = 0

    async def converse(self, request: ModelRequest, context: CallContext) -> Answer:
        self.asked_at.setdefault(context.request_id, []).append(asyncio.get_running_loop().time())
        self.overlaps += context.request_id in self.running
        self.running.add(context.request_id)
        fates = self.fates.setdefault(context.request_id, [])
        at = len(fates)
        fates.append("cut")
        try:
            answer = await self.inner.converse(request, context)
        except Exception:
            fates[at] = "failed"
            raise
        else:
            fates[at] = "answered"
            return answer
        finally:
            self.running.discard(context.request_id)


@dataclass
class World:
    """One run."""

    seed: int
    weather: Weather = field(default_factory=Weather)
    jobs_posted: int = JOBS
    after_crash: AfterCrash = "rerun"

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.posted: set[str] = set()
        self.posted_again: set[str] = set()
        self.invocations = 0
        self.kills = 0

    async def run(self) -> None:
        rng, weather = self.rng, self.weather
        loop = asyncio.get_running_loop()
        queues = Queues(clock=LoopClock(loop), rng=rng)
        self.dead = queues.create("dead", REGION, attributes={"MessageRetentionPeriod": "1209600"}, tags={})
        redrive = json.dumps({"deadLetterTargetArn": self.dead.arn, "maxReceiveCount": MAX_RECEIVES})
        attributes = {"VisibilityTimeout": str(VISIBILITY_S), "RedrivePolicy": redrive}
        self.jobs = queues.create("jobs", REGION, attributes=attributes, tags={})
        trouble = Trouble(rng, rate=weather.store_trouble, latency_s=0.05)
        letters = QueueDeadLetters(self.dead, Trouble(rng, rate=weather.dead_letters_trouble, latency_s=0.05))
        self.store, self.blobs = MemoryJobStore(trouble), MemoryBlobStore(trouble)
        self.provider = WatchedProvider(Script(tokens=12, first_s=0.4, token_s=0.2, faults=Faults(rng, weather)))
        self.keys = TroubledStore(MemoryIdempotencyStore(), Trouble(rng, rate=weather.keys_trouble, latency_s=0.05))
        returns = QueueRedelivery(self.jobs, Trouble(rng, rate=weather.return_trouble, latency_s=0.05))
        self.batch_desk = BatchDesk(letters, returns, SeededChance(rng), VISIBILITY_S)
        config = SqsMappingConfig(batch_size=10, max_concurrency=10, report_failures=True)
        mapping = SqsMapping(LossyQueue(self.jobs, rng, weather), self.invoke, config, rng=rng)
        async with asyncio.TaskGroup() as group:
            polling = group.create_task(mapping.run())
            await self.post_all()
            while self.jobs.depth != Depth(0, 0, 0) or mapping.in_flight:  # noqa: ASYNC110 - virtual time
                await asyncio.sleep(60)
            polling.cancel()
        assert self.provider.inner.active == 0
        self.store.trouble.rate = 0.0

    def open_environment(self) -> Services:
        """What one has whose clock is its own."""
        off_s = self.weather.clocks_off_s
        clock = HostClock(self.rng.uniform(-off_s / 2, off_s / 2))
        worker = JobWorker(
            self.store,
            self.blobs,
            self.provider,
            clock,
            50,
            MAX_RECEIVES,
            keys=self.keys,
            guard=make_job_guard(clock=clock, after_crash=self.after_crash, chance=SeededChance(self.rng)),
        )
        return Services(worker, self.batch_desk, MemoryConnections())

    async def post_all(self) -> None:
        """POST each job; some twice with the same body, some again with another, some that break a limit."""
        for number in range(self.jobs_posted):
            job_id = f"k.ann.{number}"
            body = json.dumps({"prompt": f"question {number}"}) if self.rng.random() > 0.03 else '{"prompt":""}'
            bodies = [body]
            if self.rng.random() < 0.05:
                bodies.append(body)
            if self.rng.random() < 0.03:
                bodies.append(json.dumps({"prompt": "another"}))
            if len(bodies) > 1:
                self.posted_again.add(job_id)
            for each in bodies:
                texts = {"job_id": job_id, "caller": "ann", "correlation_id": f"c{number}"}
                attributes = {name: AttributeValue("String", text) for name, text in texts.items()}
                await self.jobs.send(Content(each, attributes))
            self.posted.add(job_id)
            await asyncio.sleep(self.rng.random() * 0.2)

    async def invoke(self, payload: bytes, _batch: object) -> InvokeResult:
        """One environment: it answers, is killed, or times out."""
        if self.rng.random() < self.weather.lambda_throttled:
            raise throttled("ConcurrentInvocationLimitExceeded")
        self.invocations += 1
        started = asyncio.get_running_loop().time()
        call = Invocation(f"req-{self.invocations}", "generate_answer", "arn", deadline=started + TIMEOUT_S - 0.5)
        limit_s, services = TIMEOUT_S, self.open_environment()
        if self.rng.random() < self.weather.killed:
            limit_s = self.rng.random() * 4
        try:
            report = await Life(limit_s).spend(generate_answer(sqs.decode(json.loads(payload)), call, services))
        except KilledError:
            self.kills += 1
            return InvokeResult(200, b"{}", function_error="Unhandled", error_type="Sandbox.Timedout")
        return InvokeResult(200, json.dumps(sqs.encode(report)).encode())

    async def view(self, job_id: str) -> dict[str, object]:
        """What GET answers after the queue has forgotten everything."""
        desk = JobDesk(self.store, self.blobs, LaterClock(), RETENTION_S, "http://127.0.0.1:4603")
        request = HttpRequest("GET", "/", {}, {}, {"job_id": job_id}, b"", "ann", "req")
        call = Invocation("req", "read_job", "arn", deadline=asyncio.get_running_loop().time() + 60)
        return json.loads((await read_job(request, call, desk)).body)


class LaterClock(LoopClockMs):
    """Just past the queue's retention."""

    def now_ms(self) -> int:
        return super().now_ms() + RETENTION_S * 1000 + 1


async def drain(queue: Queue) -> list[Message]:
    letters: list[Message] = []
    while found := await queue.receive(10, wait_s=0, visibility_s=3600):
        letters += found
    return letters


async def judge(world: World) -> Counter[str]:
    """What holds in every weather: one end for each job, an answer for whoever asks, a reason on what died."""
    ends: Counter[str] = Counter()
    for job_id in sorted(world.posted):
        seen = await world.view(job_id)
        assert seen["state"] in {"succeeded", "failed"}, seen
        assert (seen["state"] == "succeeded") == ("result" in seen)
        assert (seen["state"] == "failed") == ("problem" in seen)
        written = [state for state in world.store.history.get(job_id, []) if state in {"succeeded", "failed"}]
        assert len(written) <= 1, (job_id, world.store.history[job_id])
        ends[str(seen["state"])] += 1
        ends["in doubt"] += IN_DOUBT in str(seen.get("problem"))
    for letter in await drain(world.dead):
        reason = letter.message_attributes.get("reason")
        job_id = str(letter.message_attributes["job_id"].value)
        record = world.store.records.get(job_id)
        assert reason is not None or record is None or record.problem or record.state == "succeeded", record
        ends["letters"] += 1
        ends["redriven" if reason is None else "buried"] += 1
    ends["kills"] = world.kills
    assert not world.jobs.depth.visible
    return ends


def count_again(world: World, *, after: set[str]) -> int:
    """The model's calls that followed one of these fates."""
    return sum(earlier in after for fates in world.provider.fates.values() for earlier in fates[:-1])


@pytest.mark.parametrize("seed", range(8))
def test_every_job_ends_once_none_is_lost_and_every_dead_letter_has_its_reason(seed: int) -> None:
    """1,000 jobs in bad weather: one end each, an answer for whoever asks, and a reason on everything that died."""

    async def run() -> Counter[str]:
        world = World(seed)
        await world.run()
        assert world.provider.overlaps == 0
        assert count_again(world, after={"cut"}) > 0
        return await judge(world)

    ends = run_virtual(run)
    assert ends["succeeded"] + ends["failed"] == JOBS
    assert ends["succeeded"] > 0.85 * JOBS
    assert ends["letters"] >= 0.02 * JOBS
    assert (ends["kills"] > 5, ends["in doubt"]) == (True, 0)


@pytest.mark.parametrize("seed", range(20, 24))
def test_with_doubt_no_answer_is_made_twice_whatever_the_clocks_say(seed: int) -> None:
    """Clocks up to two minutes apart, kills, lost answers of the keys' store: only what has failed is asked again.

    The jobs' table is calm here: an answer that it refuses is a failure of its own, and is made again.
    """

    async def run() -> Counter[str]:
        world = World(seed, Weather(clocks_off_s=120.0, store_trouble=0.0), after_crash="doubt")
        await world.run()
        assert (world.provider.overlaps, count_again(world, after={"cut", "answered"})) == (0, 0)
        assert count_again(world, after={"failed"}) > 50
        return await judge(world)

    ends = run_virtual(run)
    assert ends["succeeded"] + ends["failed"] == JOBS
    assert ends["in doubt"] > 10


def test_with_rerun_clocks_beyond_the_margin_have_a_job_asked_twice() -> None:
    """The same weather without `doubt`: the test above can fail."""

    async def run() -> int:
        world = World(20, Weather(clocks_off_s=240.0, store_trouble=0.0, doubled=0.5))
        await world.run()
        await judge(world)
        return world.provider.overlaps

    assert run_virtual(run) > 0


def test_the_same_seed_gives_the_same_run() -> None:
    """A failing seed can be looked at again."""

    async def run() -> tuple[int, int, list[str]]:
        world = World(3, jobs_posted=200)
        await world.run()
        return world.invocations, world.kills, sorted(f"{key}{value}" for key, value in world.store.history.items())

    assert run_virtual(run) == run_virtual(run)


def test_in_fair_weather_every_job_is_asked_once() -> None:
    """Without troubles nothing is asked twice and nothing dies but what breaks a limit."""
    fair = Weather(**dict.fromkeys(Weather.__dataclass_fields__, 0.0))

    async def run() -> tuple[int, int, int]:
        world = World(1, fair)
        await world.run()
        failed = sum(record.state == "failed" for record in world.store.records.values())
        return world.provider.inner.calls + failed, len(world.store.records), len(await drain(world.dead)) - failed

    assert run_virtual(run) == (JOBS, JOBS, 0)


def test_where_no_write_ever_arrived_the_dead_letter_has_the_reason() -> None:
    """A store that fails most calls: a job either ends, or lies among the dead letters with its reason."""
    storm = Weather(**{**dict.fromkeys(Weather.__dataclass_fields__, 0.0), "store_trouble": 1.0})

    async def run() -> tuple[set[str], set[str]]:
        world = World(5, storm, jobs_posted=400)
        await world.run()
        ended = {job_id for job_id in world.posted if (await world.view(job_id))["state"] in {"succeeded", "failed"}}
        letters = await drain(world.dead)
        buried = {str(one.message_attributes["job_id"].value) for one in letters if "reason" in one.message_attributes}
        return world.posted - ended, buried

    unended, buried = run_virtual(run)
    assert unended
    assert unended <= buried


def test_without_kills_every_dead_letter_carries_its_reason_itself() -> None:
    """A model that is nearly always throttled: the flow ends each job on its last delivery, the queue redrives none."""
    drought = Weather(**{**dict.fromkeys(Weather.__dataclass_fields__, 0.0), "model_throttled": 0.9})

    async def run() -> tuple[Counter[str], Counter[str]]:
        world = World(7, drought, jobs_posted=200)
        await world.run()
        reasons: Counter[str] = Counter()
        for letter in await drain(world.dead):
            reason = letter.message_attributes.get("reason")
            reasons[str(reason.value) if reason else "none"] += 1
        return reasons, Counter(record.state for record in world.store.records.values())

    reasons, states = run_virtual(run)
    assert set(reasons) <= {"model-throttled", "model-overloaded", "invalid-body", "job-busy"}
    assert reasons["model-throttled"] > 20
    assert states["failed"] + states["succeeded"] == 200


def test_a_throttled_job_is_tried_again_within_seconds() -> None:
    """Each wait is the back-off of its delivery, not the six minutes for which the queue hides a message."""
    drought = Weather(**{**dict.fromkeys(Weather.__dataclass_fields__, 0.0), "model_throttled": 0.5})

    async def run() -> tuple[list[list[float]], float]:
        world = World(11, drought, jobs_posted=300)
        await world.run()
        asked = [times for job_id, times in world.provider.asked_at.items() if job_id not in world.posted_again]
        return [[late - early for early, late in pairwise(times)] for times in asked], max(map(max, asked))

    waits, ended_s = run_virtual(run)
    second = [job[0] for job in waits if job]
    assert len(second) > 100
    assert max(second) < 4  # the attempt, a wait of two seconds at most, and the poll
    for delivery, bound_s in enumerate((2, 8, 32, 128, 300)):
        seen = [job[delivery] for job in waits if len(job) > delivery]
        assert all(bound_s / 2 <= wait_s <= bound_s + 3 for wait_s in seen), (delivery, seen)
    assert ended_s < 600


def test_where_returns_fail_the_visibility_timeout_still_brings_every_job_back() -> None:
    """Shortening the wait is a courtesy: without it jobs take minutes and none is lost."""
    mute = Weather(
        **{**dict.fromkeys(Weather.__dataclass_fields__, 0.0), "model_throttled": 0.3, "return_trouble": 2.0}
    )

    async def run() -> tuple[Counter[str], int]:
        world = World(13, mute, jobs_posted=100)
        await world.run()
        return Counter(record.state for record in world.store.records.values()), world.provider.overlaps

    states, overlaps = run_virtual(run)
    assert (states["succeeded"] + states["failed"], overlaps) == (100, 0)
    assert states["succeeded"] > 90


def test_a_deployment_mended_after_ten_minutes_has_lost_no_job() -> None:
    """A table that refuses every write buries nothing at first: the jobs wait, and end once somebody mends it."""
    fair = Weather(**dict.fromkeys(Weather.__dataclass_fields__, 0.0))

    async def run() -> tuple[Counter[str], int]:
        world = World(17, fair, jobs_posted=200)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(world.run())
            await asyncio.sleep(0)
            world.store.trouble.refusal = ServiceMisconfigured(
                "denied", service="dynamodb", operation="PutItem", code="AccessDeniedException"
            )
            await asyncio.sleep(600)
            assert world.dead.depth.visible == 0
            world.store.trouble.refusal = None
            await running
        return Counter(record.state for record in world.store.records.values()), len(await drain(world.dead))

    states, letters = run_virtual(run)
    assert (states["succeeded"], states["failed"]) == (200 - letters, letters)
