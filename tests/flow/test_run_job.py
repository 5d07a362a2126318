"""The job flow: every state a delivery can meet, and what is left behind when something fails."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

import pytest

from localcloud.clock import run_virtual
from sluiceway.errors import (
    DeadlineExceeded,
    Misconfigured,
    Rejected,
    Retryable,
    ServiceMisconfigured,
    ServiceRefused,
    SluicewayError,
)
from sluiceway.events.invocation import Invocation
from sluiceway.events.sqs import SqsMessage
from sluiceway.flows.job import JobWorker, run_job
from sluiceway.flows.job_end import KEEP_S, LEASE_S, AfterCrash, make_job_guard
from sluiceway.genai.faults import ContentFiltered, Denied, Throttled
from sluiceway.genai.scripted import Script, ScriptedProvider
from sluiceway.idempotency.memory import MemoryIdempotencyStore
from sluiceway.ports import Clock, IdempotencyStore, JobRecord
from sluiceway.rules.idempotency import IdempotencyRecord
from tests.fakes import EPOCH_MS, KilledError, Life, LoopClockMs, MemoryBlobStore, MemoryJobStore
from tests.unit.idempotency_setup import TroubledStore

JOB = "k.ann.a2V5"
BODY = json.dumps({"prompt": "Name three rivers & say why."})


@dataclass
class Bench:
    """One job's surroundings on a virtual clock."""

    script: Script = field(default_factory=Script)
    store: MemoryJobStore = field(default_factory=MemoryJobStore)
    blobs: MemoryBlobStore = field(default_factory=MemoryBlobStore)
    keys: IdempotencyStore = field(default_factory=lambda: TroubledStore(MemoryIdempotencyStore()))
    after_crash: AfterCrash = "rerun"
    clock: Clock = field(default_factory=LoopClockMs)

    def __post_init__(self) -> None:
        self.provider = ScriptedProvider(self.script)

    def worker(self, max_output_tokens: int = 50) -> JobWorker:
        return JobWorker(
            self.store,
            self.blobs,
            self.provider,
            self.clock,
            max_output_tokens=max_output_tokens,
            max_receives=4,
            keys=self.keys,
            guard=make_job_guard(clock=self.clock, after_crash=self.after_crash),
        )

    async def deliver(self, body: str = BODY, *, receive: int = 1, message_id: str = "m1", job_id: str = JOB) -> None:
        loop = asyncio.get_running_loop()
        attributes = {"job_id": job_id, "caller": "ann", "correlation_id": "corr"}
        message = SqsMessage(message_id, "handle", body, attributes, receive, 0, "arn:aws:sqs:x")
        call = Invocation(f"req-{loop.time()}-{receive}", "generate_answer", "arn", deadline=loop.time() + 58.0)
        await run_job(message, call=call, worker=self.worker())

    @property
    def record(self) -> JobRecord:
        return self.store.records[JOB]

    @property
    def problem(self) -> str:
        return str((self.record.problem or {})["type"])


def run(bench: Bench, *steps: Callable[[], Awaitable[None]]) -> list[SluicewayError | Exception | None]:
    """Do the steps in turn on one virtual clock; what each raised."""

    async def go() -> list[SluicewayError | Exception | None]:
        outcomes: list[SluicewayError | Exception | None] = []
        for step in steps:
            try:
                await step()
            except Exception as error:  # noqa: BLE001 - the outcome is what is tested
                outcomes.append(error)
            else:
                outcomes.append(None)
        return outcomes

    return run_virtual(go)


def test_a_job_goes_from_nothing_through_running_to_succeeded() -> None:
    """One delivery: a claim, an answer, a record with its result, its usage and seven days to live."""
    bench = Bench()
    assert run(bench, bench.deliver) == [None]
    record = bench.record
    assert bench.store.history[JOB] == ["running", "succeeded"]
    assert record.result is not None
    assert record.result["stop_reason"] == "end_turn"
    assert record.result["usage"] == {"input_tokens": 7, "output_tokens": 24}
    assert (record.owner, record.attempt, record.problem, record.correlation_id) == ("ann", 1, None, "corr")
    assert (record.created_ms, record.expires_s) == (EPOCH_MS, EPOCH_MS // 1000 + KEEP_S)
    assert record.lease_until_ms == 0


def test_a_duplicate_of_a_finished_job_does_nothing() -> None:
    """The same message again, or a repeated POST: the model is asked once."""
    bench = Bench()
    assert run(bench, bench.deliver, bench.deliver, lambda: bench.deliver(message_id="m2")) == [None, None, None]
    assert bench.provider.calls == 1


def test_another_body_under_the_same_id_is_a_conflict_and_the_first_wins() -> None:
    """The conflict is counted on the record; the message is done with."""
    bench = Bench()
    other = json.dumps({"prompt": "Something else"})
    assert run(bench, bench.deliver, lambda: bench.deliver(other, message_id="m2")) == [None, None]
    assert (bench.record.state, bench.record.conflicts, bench.provider.calls) == ("succeeded", 1, 1)


def test_a_job_that_another_worker_runs_goes_back_until_the_lease_lapses() -> None:
    """A redelivery while the key is held is Retryable with the time left; after it the job is claimed anew."""
    bench = Bench(Script(token_s=1.0))

    async def killed() -> None:
        await Life(3).spend(bench.deliver())

    async def wait_for_the_lease() -> None:
        await asyncio.sleep(LEASE_S + 5.01)

    outcomes = run(
        bench,
        killed,
        lambda: bench.deliver(receive=2),
        wait_for_the_lease,
        lambda: bench.deliver(receive=3),
    )
    assert [type(outcome).__name__ for outcome in outcomes] == [
        "KilledError",
        "StillInProgress",
        "NoneType",
        "NoneType",
    ]
    assert isinstance(outcomes[1], Retryable)
    assert outcomes[1].after_s == pytest.approx(LEASE_S + 5 - 3, abs=0.01)
    assert bench.store.history[JOB] == ["running", "running", "succeeded"]
    assert bench.record.attempt == 2


def test_a_killed_worker_leaves_its_reason_in_the_record() -> None:
    """The claim already holds the problem that stands if nobody writes again, and whether anybody will come."""
    bench = Bench(Script(token_s=1.0))

    async def killed() -> None:
        await Life(3).spend(bench.deliver(receive=4))

    (outcome,) = run(bench, killed)
    assert isinstance(outcome, KilledError)
    assert (bench.record.state, bench.record.final, bench.problem) == ("running", True, "/problems/attempt-lost")


def test_a_throttled_model_gives_the_job_back_with_its_last_error() -> None:
    """The lease is let go at once, so the next delivery need not wait for it."""
    bench = Bench(Script(faults={0: Throttled("slow down", after_s=3.0)}))
    (first,) = run(bench, bench.deliver)
    assert isinstance(first, Throttled)
    assert (bench.record.state, bench.problem) == ("queued", "/problems/model-throttled")
    assert run(bench, lambda: bench.deliver(receive=2)) == [None]
    assert (bench.record.state, bench.record.attempt, bench.record.problem) == ("succeeded", 2, None)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Throttled("slow down"), "model-throttled"),
        (DeadlineExceeded("late"), "deadline-exceeded"),
        (RuntimeError("a bug with SECRET inside"), "internal-error"),
    ],
)
def test_the_last_delivery_ends_the_job_with_its_reason(fault: SluicewayError, reason: str) -> None:
    """On the fourth receive a failure is final: the record fails and the dead letter carries the code."""
    bench = Bench(Script(faults={0: fault}))
    (outcome,) = run(bench, lambda: bench.deliver(receive=4))
    assert isinstance(outcome, Rejected)
    assert (outcome.reason, bench.record.state, bench.problem) == (reason, "failed", f"/problems/{reason}")
    assert "SECRET" not in str(outcome)
    assert "SECRET" not in str(bench.record.problem)


def test_what_the_model_refuses_ends_the_job_at_once() -> None:
    """A Rejected fault fails the record on the first delivery and goes to the dead letters."""
    bench = Bench(Script(faults={0: ContentFiltered("withheld")}))
    (outcome,) = run(bench, bench.deliver)
    assert isinstance(outcome, ContentFiltered)
    assert (bench.record.state, bench.problem) == ("failed", "/problems/content-filtered")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ("not json", None),
        ("[]", None),
        ('{"prompt":""}', "prompt"),
        ('{"prompt":1}', "prompt"),
        ("{}", "prompt"),
        ('{"prompt":"\\ud800"}', "prompt"),
        ('{"prompt":"a","system":""}', "system"),
        ('{"prompt":"a","max_tokens":0}', "max_tokens"),
        ('{"prompt":"a","max_tokens":8193}', "max_tokens"),
        ('{"prompt":"a","max_tokens":1.5}', "max_tokens"),
        ('{"prompt":"a","max_tokens":true}', "max_tokens"),
        ('{"prompt":"a","temperature":1.1}', "temperature"),
        ('{"prompt":"a","temperature":NaN}', None),
        ('{"prompt":"a","temperature":1e999}', "temperature"),
        ('{"prompt":"a","other":1}', None),
        (json.dumps({"prompt": "x" * 262145}), "prompt"),
        ("[" * 100_000, None),
    ],
    ids=range(17),
)
def test_a_body_that_breaks_a_limit_fails_its_job(body: str, field: str | None) -> None:
    """The dead letter and the record's problem name the field; the model is never asked."""
    bench = Bench()
    (outcome,) = run(bench, lambda: bench.deliver(body))
    assert isinstance(outcome, Rejected)
    assert (outcome.reason, outcome.field) == ("invalid-body", field)
    assert (bench.record.state, bench.problem, bench.provider.calls) == ("failed", "/problems/invalid-body", 0)


@pytest.mark.parametrize("job_id", ["", "k.bob.a2V5", "x.ann.a2V5", "k.ann.", "r.ann.12.", "k.ann.a/b"])
def test_a_message_without_an_id_of_its_caller_is_poison(job_id: str) -> None:
    """A message that did not come through the API has no record to fail: it goes to the dead letters."""
    bench = Bench()
    (outcome,) = run(bench, lambda: bench.deliver(job_id=job_id))
    assert isinstance(outcome, Rejected)
    assert (outcome.reason, bench.store.records) == ("invalid-message", {})


def test_a_message_that_ended_its_job_and_comes_back_is_buried_again() -> None:
    """Its dead letter may have been lost with the invocation; another message of the same job is simply done."""
    bench = Bench()
    first, again, other = run(
        bench,
        lambda: bench.deliver("not json"),
        lambda: bench.deliver("not json", receive=2),
        lambda: bench.deliver("not json", message_id="m2"),
    )
    assert isinstance(first, Rejected)
    assert isinstance(again, Rejected)
    assert (again.reason, other) == ("invalid-body", None)


def test_a_lost_answer_to_the_claim_is_recognised() -> None:
    """A create whose answer was lost and which is tried again by the client finds its own lease and goes on."""
    bench = Bench()

    class Echo(MemoryJobStore):
        async def create(self, record: JobRecord) -> JobRecord | None:
            await super().create(record)
            return await super().create(record)

    bench.store = Echo()
    assert run(bench, bench.deliver) == [None]
    assert bench.record.state == "succeeded"


def test_a_lost_answer_to_the_last_write_does_not_undo_it() -> None:
    """The record is read, and says that the job has ended; the redelivery has nothing to do either."""
    bench = Bench()

    async def lose() -> None:
        bench.store.trouble.next_after = 0
        original = bench.store.replace

        async def lossy(record: JobRecord, *, seen: JobRecord) -> bool:
            bench.store.trouble.next_after = 1 if record.state == "succeeded" else 0
            return await original(record, seen=seen)

        bench.store.replace = lossy  # type: ignore[method-assign]
        await bench.deliver()

    outcomes = run(bench, lose, lambda: bench.deliver(receive=2))
    assert outcomes == [None, None]
    assert (bench.record.state, bench.provider.calls) == ("succeeded", 1)


def test_a_store_that_is_away_gives_the_message_back_and_at_last_buries_it() -> None:
    """Without a record there is still a dead letter with a reason."""
    bench = Bench()
    bench.store.trouble.rate = 2.0
    first, last = run(bench, bench.deliver, lambda: bench.deliver(receive=4))
    assert isinstance(first, Retryable)
    assert isinstance(last, Rejected)
    assert last.reason == "service-unavailable"


def test_a_refusing_service_is_named_to_us_and_not_to_the_caller() -> None:
    """The dead letter names the AWS code; the caller's problem says internal-error."""
    fault = ServiceRefused("arn:aws:... not allowed", service="dynamodb", operation="PutItem", code="AccessDenied")
    bench = Bench(Script(faults={0: fault}))
    (outcome,) = run(bench, bench.deliver)
    assert isinstance(outcome, Rejected)
    assert (outcome.reason, bench.problem) == ("dynamodb-AccessDenied", "/problems/internal-error")
    assert "arn" not in str(bench.record.problem)


DENIED = ServiceMisconfigured(
    "dynamodb UpdateItem: AccessDeniedException: arn:aws:sts::1:role may not",
    service="dynamodb",
    operation="UpdateItem",
    code="AccessDeniedException",
)


@pytest.mark.parametrize(
    ("fault", "problem", "letter"),
    [
        (DENIED, "misconfigured", "dynamodb-AccessDeniedException"),
        (Misconfigured("AWS_CA_BUNDLE cannot be read", what="AWS_CA_BUNDLE"), "misconfigured", "misconfigured"),
        (Denied("the model's service answered AccessDeniedException"), "model-denied", "model-denied"),
    ],
)
def test_a_wrong_deployment_is_not_the_messages_fault(fault: Misconfigured, problem: str, letter: str) -> None:
    """The job goes back with its problem in the record, and ends on its last delivery only; callers see our words."""
    bench = Bench(Script(faults={0: fault, 1: fault}))
    (first,) = run(bench, bench.deliver)
    assert first is fault
    assert (bench.record.state, bench.problem) == ("queued", f"/problems/{problem}")
    (last,) = run(bench, lambda: bench.deliver(receive=4))
    assert isinstance(last, Rejected)
    assert (last.reason, bench.record.state, bench.problem) == (letter, "failed", f"/problems/{problem}")
    assert "detail" not in (bench.record.problem or {})
    assert "arn" not in str(last)


def test_a_mended_deployment_answers_what_waited() -> None:
    """The message that came back for a missing permission is an ordinary delivery."""
    bench = Bench(Script(faults={0: DENIED}))
    first, second = run(bench, bench.deliver, lambda: bench.deliver(receive=2))
    assert (first, second) == (DENIED, None)
    assert (bench.record.state, bench.record.problem) == ("succeeded", None)


@pytest.mark.parametrize("fault", [Throttled("slow down", after_s=3.0), ContentFiltered("withheld"), DENIED])
def test_a_record_that_could_not_be_written_holds_nobody_up(fault: SluicewayError) -> None:
    """The key is free by then: the message comes back after its back-off, and the record of the lost lease is taken."""
    bench = Bench(Script(first_s=2.0, faults={0: fault}))

    async def with_a_store_that_fails() -> None:
        original = bench.store.replace

        async def failing(record: JobRecord, *, seen: JobRecord) -> bool:
            bench.store.trouble.next_before = 1
            return await original(record, seen=seen)

        bench.store.replace = failing  # type: ignore[method-assign]
        try:
            await bench.deliver()
        finally:
            bench.store.replace = original  # type: ignore[method-assign]

    first, second = run(bench, with_a_store_that_fails, lambda: bench.deliver(receive=2))
    assert isinstance(first, Retryable | Misconfigured)
    assert fault in {first, first.__cause__}
    assert second is None
    assert bench.store.history[JOB] == ["running", "running", "succeeded"]


def test_a_cancelled_attempt_lets_its_lease_go() -> None:
    """The batch's deadline came first: the message comes back at once, and finds a job that nobody holds."""
    bench = Bench(Script(token_s=1.0))

    async def cancelled() -> None:
        async with asyncio.timeout(3):
            await bench.deliver()

    first, second = run(bench, cancelled, lambda: bench.deliver(receive=2))
    assert (type(first), second) == (TimeoutError, None)
    assert bench.store.history[JOB] == ["running", "queued", "running", "succeeded"]


def test_a_cancelled_last_attempt_ends_its_job() -> None:
    """No delivery follows: the queue moves the message, and the record says that the worker stopped."""
    bench = Bench(Script(token_s=1.0))

    async def cancelled() -> None:
        async with asyncio.timeout(3):
            await bench.deliver(receive=4)

    run(bench, cancelled)
    assert (bench.record.state, bench.problem) == ("failed", "/problems/attempt-lost")


def test_letting_go_takes_less_than_half_a_second() -> None:
    """Stores that do not answer must not keep a cancelled invocation alive: 0.15 s for the record, 0.25 for the key."""
    bench = Bench(Script(token_s=1.0))

    class Slow(MemoryJobStore):
        async def replace(self, record: JobRecord, *, seen: JobRecord) -> bool:
            await asyncio.sleep(1000)
            return await super().replace(record, seen=seen)

    class SlowKeys(MemoryIdempotencyStore):
        async def release(self, record: IdempotencyRecord) -> None:
            await asyncio.sleep(1000)
            await super().release(record)

    bench.store, bench.keys = Slow(), SlowKeys()

    async def cancelled() -> None:
        try:
            async with asyncio.timeout(3):
                await bench.deliver()
        finally:
            assert asyncio.get_running_loop().time() == pytest.approx(3.4)

    (outcome,) = run(bench, cancelled)
    assert isinstance(outcome, TimeoutError)
    assert bench.record.state == "running"


def test_a_large_result_is_in_the_blob_store_before_the_record_says_so() -> None:
    """Above 340,000 bytes the record holds the key of this attempt; one that fits stays in the item."""
    bench = Bench(Script(answer="word " * 80_000))
    bench.provider = ScriptedProvider(bench.script)

    async def ask_for_all() -> None:
        attributes = {"job_id": JOB, "caller": "ann"}
        message = SqsMessage("m", "h", BODY, attributes, 1, 0, "arn:aws:sqs:x")
        await run_job(message, call=Invocation("r", "f", "a", deadline=60.0), worker=bench.worker(8192 * 100))

    assert run(bench, ask_for_all) == [None]
    key = f"results/ann/{JOB}/1"
    assert (bench.record.result, bench.record.result_key) == (None, key)
    assert json.loads(bench.blobs.blobs[key])["text"] == "word " * 80_000


def test_a_result_larger_than_a_reply_is_refused() -> None:
    """5 MB is the most that `GET` can hand over: the job fails and says so."""
    bench = Bench(Script(answer="\n" * 1_700_000))
    (outcome,) = run(bench, bench.deliver)
    assert isinstance(outcome, Rejected)
    assert (outcome.reason, bench.record.state) == ("result-too-large", "failed")


def test_a_slow_model_is_stopped_while_the_outcome_can_still_be_written() -> None:
    """The model gets the invocation's time less what writing needs; the record tells why."""
    bench = Bench(Script(token_s=30.0))

    async def timed() -> None:
        try:
            await bench.deliver()
        finally:
            assert asyncio.get_running_loop().time() == pytest.approx(56.5)

    (outcome,) = run(bench, timed)
    assert isinstance(outcome, DeadlineExceeded)
    assert (bench.record.state, bench.problem) == ("queued", "/problems/deadline-exceeded")


def test_max_tokens_is_the_smaller_of_what_is_asked_and_what_is_allowed() -> None:
    """A request may ask for less than the deployment's limit, never get more."""
    bench = Bench(Script(tokens=100))
    small = json.dumps({"prompt": "a", "max_tokens": 3})
    large = json.dumps({"prompt": "a", "max_tokens": 8000})
    run(bench, lambda: bench.deliver(small), lambda: bench.deliver(large, job_id="k.ann.b"))
    counts = [(record.result or {})["usage"]["output_tokens"] for record in bench.store.records.values()]  # type: ignore[index]
    assert counts == [3, 50]


def test_an_expired_record_gives_its_id_free() -> None:
    """TTL deletes late: a record past its time counts as gone, and the new job starts afresh."""
    bench = Bench()
    run(bench, bench.deliver)
    old = replace(bench.record, expires_s=EPOCH_MS // 1000 - 1, conflicts=2, created_ms=EPOCH_MS - 5)
    bench.store.records[JOB] = old
    bench.keys = MemoryIdempotencyStore()  # which has expired as well
    other = json.dumps({"prompt": "new"})
    assert run(bench, lambda: bench.deliver(other, message_id="m9")) == [None]
    record = bench.record
    assert (record.state, record.attempt, record.conflicts, record.created_ms) == ("succeeded", 1, 0, EPOCH_MS)


def test_neither_prompt_nor_answer_is_logged(capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever happens to a job, its texts stay out of the log."""
    bench = Bench(Script(answer="SECRET-ANSWER", faults={1: Throttled("x"), 2: RuntimeError("SECRET-PROMPT")}))
    body = json.dumps({"prompt": "SECRET-PROMPT"})
    run(bench, *[lambda job=job: bench.deliver(body, job_id=f"k.ann.{job}") for job in "abc"])
    assert "SECRET" not in capsys.readouterr().out
