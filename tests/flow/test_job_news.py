"""A submitted job's news: what its connection hears, and that nothing of it ever changes what becomes of the job."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from localcloud.clock import run_virtual
from sluiceway.errors import Rejected, Retryable
from sluiceway.events.invocation import Invocation
from sluiceway.events.sqs import SqsMessage
from sluiceway.flows.job import JobWorker
from sluiceway.flows.job_end import make_job_guard
from sluiceway.flows.job_news import run_job_and_tell
from sluiceway.genai.faults import Throttled
from sluiceway.genai.scripted import Script, ScriptedProvider
from sluiceway.idempotency.memory import MemoryIdempotencyStore
from tests.fakes import LoopClockMs, MemoryBlobStore, MemoryJobStore, unavailable
from tests.fakes_streaming import MemoryConnections

JOB = "k.ann.cjE"
WHERE = {"job_id": JOB, "status_url": f"jobs/{JOB}"}
ATTRIBUTES = {"job_id": JOB, "caller": "ann", "connection_id": "c1", "req": "r1"}


@dataclass
class Bench:
    """One job and the connection that it came over, which is open."""

    script: Script = field(default_factory=lambda: Script(answer="Rhine, Nile, Amazon."))
    store: MemoryJobStore = field(default_factory=MemoryJobStore)
    line: MemoryConnections = field(default_factory=MemoryConnections)
    keys: MemoryIdempotencyStore = field(default_factory=MemoryIdempotencyStore)

    def __post_init__(self) -> None:
        self.provider = ScriptedProvider(self.script)
        self.line.connect("c1")

    def deliver(self, attributes: dict[str, str] = ATTRIBUTES, body: str = '{"prompt":"Name three rivers."}') -> None:
        """Raises what the flow raises."""

        async def go() -> None:
            message = SqsMessage("m1", "handle", body, attributes, 1, 0, "arn:aws:sqs:x")
            call = Invocation("req-1", "generate_answer", "arn", deadline=asyncio.get_running_loop().time() + 58.0)
            worker = JobWorker(
                self.store,
                MemoryBlobStore(),
                self.provider,
                LoopClockMs(),
                max_output_tokens=9_999,
                max_receives=4,
                keys=self.keys,
                guard=make_job_guard(clock=LoopClockMs(), after_crash="rerun"),
            )
            await run_job_and_tell(message, call=call, worker=worker, connections=self.line)

        run_virtual(go)

    def told(self) -> list[tuple[str, str, int, Any]]:
        """Kind, req, seq and data of each frame that came."""
        return [(frame["t"], frame["req"], frame["seq"], frame["d"]) for frame in self.line.frames("c1")]


def test_the_sender_hears_that_a_worker_has_it_and_how_it_ended() -> None:
    """A ping with where the job is asked about, then `final` with the result, under the sender's own req."""
    bench = Bench()
    bench.deliver()
    assert bench.told() == [
        ("ping", "r1", 1, {**WHERE, "state": "running"}),
        ("final", "r1", 2, {**WHERE, "state": "succeeded", "result": bench.store.records[JOB].result}),
    ]


def test_a_job_submitted_again_after_its_end_is_told_its_end_again() -> None:
    """The model is not asked again."""
    bench = Bench()
    bench.deliver()
    bench.deliver()
    assert [kind for kind, *_ in bench.told()] == ["ping", "final", "ping", "final"]
    assert bench.provider.calls == 1


def test_a_job_without_a_connection_tells_nobody() -> None:
    """As `POST /jobs` makes them."""
    bench = Bench()
    bench.deliver({"job_id": JOB, "caller": "ann"})
    assert bench.told() == []
    assert bench.store.records[JOB].state == "succeeded"


def test_poison_is_told_and_stays_poison() -> None:
    """An error with the job's problem, not resumable; the message still goes to the dead letters."""
    bench = Bench()
    with pytest.raises(Rejected):
        bench.deliver(body="{}")
    kind, req, seq, data = bench.told()[-1]
    assert (kind, req, seq) == ("error", "r1", 2)
    assert data == {**(bench.store.records[JOB].problem or {}), **WHERE, "state": "failed", "resumable": False}


def test_a_job_that_goes_back_has_no_end_yet() -> None:
    """Nothing but the ping of this attempt."""
    bench = Bench(script=Script(faults={0: Throttled("later")}))
    with pytest.raises(Retryable):
        bench.deliver()
    assert [kind for kind, *_ in bench.told()] == ["ping"]


def test_a_result_too_large_for_a_message_is_left_where_it_is_asked_for() -> None:
    """`final` without the text."""
    bench = Bench(script=Script(answer=f"{'x' * 199} " * 700))
    bench.deliver()
    assert bench.told()[-1] == ("final", "r1", 2, {**WHERE, "state": "succeeded"})


def test_another_callers_job_is_told_to_nobody() -> None:
    """Whoever names a job that is not theirs learns nothing of its end."""
    bench = Bench()
    bench.deliver()
    with pytest.raises(Rejected):
        bench.deliver({**ATTRIBUTES, "caller": "bob"})
    assert [kind for kind, *_ in bench.told()] == ["ping", "final", "ping"]


def test_a_client_that_is_gone_costs_the_job_nothing() -> None:
    """It ends as ever."""
    bench = Bench()
    bench.line.leave("c1")
    bench.deliver()
    assert bench.store.records[JOB].state == "succeeded"


def test_a_gateway_that_is_away_costs_the_job_nothing() -> None:
    """News that cannot be sent bring no message back."""
    bench = Bench()
    bench.line.trouble.refusal = unavailable("post")
    bench.deliver()
    assert bench.store.records[JOB].state == "succeeded"
    assert bench.told() == []


def test_no_log_holds_what_was_asked_or_answered(capsys: pytest.CaptureFixture[str]) -> None:
    """Nor the connection's trouble in a service's words."""
    bench = Bench()
    bench.line.leave("c1")
    bench.deliver()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    assert [line["error_type"] for line in lines if line["message"] == "job.untold"] == ["Gone", "Gone"]
    assert "rivers" not in json.dumps(lines)
    assert "Amazon" not in json.dumps(lines)
