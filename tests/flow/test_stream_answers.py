"""Streamed answers: asked, read, resumed, stopped, interrupted; each rule of docs/streaming.md once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any

import pytest

from localcloud.clock import run_virtual
from sluiceway.errors import Retryable
from sluiceway.genai.faults import ContentFiltered, Denied, Invalid, Overloaded, Throttled
from sluiceway.genai.provider import CallContext, Message, ModelRequest
from sluiceway.genai.scripted import Script, ScriptedProvider
from sluiceway.ports import AnswerRecord
from tests.streaming_world import CALLER, StreamWorld

SLOW = Script(tokens=60, first_s=0.3, token_s=0.1)
ASK = {"action": "ask", "req": "r1", "prompt": "Name three rivers."}


def play(scene: Callable[[StreamWorld], Awaitable[None]], **options: Any) -> StreamWorld:
    """Run a scene on virtual time, and let every worker end."""
    made: list[StreamWorld] = []

    async def run() -> None:
        async with asyncio.TaskGroup() as group:
            world = StreamWorld(group, **options)
            made.append(world)
            await world.connect("c1")
            await scene(world)
            await world.idle()
        assert world.scripted.active == 0

    run_virtual(run)
    return made[0]


def whole_text(script: Script, prompt: str = "Name three rivers.") -> str:
    return " ".join(_words(script, prompt))


def _words(script: Script, prompt: str) -> list[str]:
    provider = ScriptedProvider(script)
    request = ModelRequest((Message("user", prompt),), 10_000)
    return provider._compose(request).split(" ")


def reader_before_the_fault(script: Script) -> str:
    """What the first call says before it fails: so many words, each with the space that follows it."""
    return "".join(f"{word} " for word in _words(script, "Name three rivers.")[: script.fault_after])


def test_an_answer_comes_as_it_is_made_and_ends_with_its_usage() -> None:
    """Deltas from offset 0 on, `final` with the whole length, and the record says the same."""

    async def scene(world: StreamWorld) -> None:
        await world.send("c1", ASK)
        await asyncio.sleep(2.0)
        assert 0 < len(world.read("c1", "r1").text) < len(whole_text(SLOW))

    world = play(scene, script=SLOW)
    reader = world.read("c1", "r1")
    record = world.record("r1")
    assert reader.text == whole_text(SLOW)
    assert (reader.ended or {})["t"] == "final"
    assert (reader.ended or {})["d"]["stop_reason"] == "end_turn"
    assert (reader.ended or {})["d"]["usage"]["output_tokens"] == 60
    assert (record.state, record.off, record.attempt) == ("finished", len(reader.text), 1)
    assert [frame["seq"] for frame in reader.frames] == list(range(1, len(reader.frames) + 1))


def test_the_same_req_again_attaches_and_never_generates_twice() -> None:
    """Asked again while it runs, from another connection, and after its end: one call of the model, the same text."""

    async def scene(world: StreamWorld) -> None:
        await world.send("c1", ASK)
        await asyncio.sleep(2.0)
        await world.connect("c2")
        await world.send("c2", ASK)
        await world.idle()
        await world.connect("c3")
        await world.send("c3", ASK)

    world = play(scene, script=SLOW)
    assert world.scripted.calls == 1
    for connection in ("c1", "c2", "c3"):
        assert world.read(connection, "r1").text == whole_text(SLOW)
        assert (world.read(connection, "r1").ended or {})["t"] == "final"


def test_another_question_under_the_same_req_is_a_conflict() -> None:
    """The first question stands; the second sender is told."""

    async def scene(world: StreamWorld) -> None:
        await world.send("c1", ASK)
        await world.connect("c2")
        await world.send("c2", {**ASK, "prompt": "Another."})

    world = play(scene, script=SLOW)
    (frame,) = world.line.frames("c2")
    assert (frame["t"], frame["d"]["type"]) == ("error", "/problems/conflict")
    assert world.read("c1", "r1").text == whole_text(SLOW)


@pytest.mark.parametrize("offline_s", [0.2, 2.0, 10.0])
def test_a_cut_socket_resumes_at_its_character(offline_s: float) -> None:
    """What came before the cut is kept, the rest comes over the new connection, nothing twice."""

    async def scene(world: StreamWorld) -> None:
        await world.send("c1", ASK)
        await asyncio.sleep(2.0)
        await world.disconnect("c1")
        reader = world.read("c1", "r1")
        await asyncio.sleep(offline_s)
        await world.connect("c2")
        await world.send("c2", reader.resume())
        await world.idle()
        before = len(reader.text)
        frames = world.line.frames("c2")
        assert frames[0]["off"] == before
        for frame in frames:
            reader.take(frame)
        assert reader.text == whole_text(SLOW)
        assert (reader.ended or {})["t"] == "final"

    world = play(scene, script=SLOW)
    assert world.scripted.calls == 1


def test_cancel_stops_the_model_and_counts_what_it_cost() -> None:
    """Within half a second; the upstream is closed, the readers are told, usage is estimated."""

    async def scene(world: StreamWorld) -> None:
        await world.send("c1", ASK)
        await asyncio.sleep(2.0)
        await world.send("c1", {"action": "cancel", "req": "r1"})
        await asyncio.sleep(0.6)
        assert world.scripted.active == 0
        assert (world.read("c1", "r1").ended or {})["d"]["stop_reason"] == "cancelled"

    world = play(scene, script=SLOW)
    record = world.record("r1")
    assert (record.state, record.usage["estimated"]) == ("cancelled", 1)
    assert record.usage["output_tokens"] > 0
    assert world.read("c1", "r1").text == whole_text(SLOW)[: record.off]


def test_cancel_where_nobody_works_ends_the_answer_at_once() -> None:
    """An answer at rest, and one whose worker is dead."""

    async def scene(world: StreamWorld) -> None:
        await world.send("c1", ASK)
        await asyncio.sleep(20.0)
        await world.send("c1", {"action": "cancel", "req": "r1"})
        assert world.record("r1").state == "cancelled"
        assert (world.read("c1", "r1").ended or {})["d"]["stop_reason"] == "cancelled"

    play(scene, script=SLOW, workers_die_after=[2.0])


@pytest.mark.parametrize("policy", ["cancel", "drain"])
def test_nobody_reading_rests_or_drains_after_the_grace_period(policy: str) -> None:
    """`cancel`: the model is stopped after the grace period and the answer rests; `drain`: it is made to its end."""
    script = Script(tokens=400, token_s=0.1)

    async def scene(world: StreamWorld) -> None:
        await world.send("c1", ASK)
        await asyncio.sleep(2.0)
        await world.disconnect("c1")
        await asyncio.sleep(4.0)
        assert world.scripted.active == 1  # within the grace period
        await asyncio.sleep(8.0)
        assert world.scripted.active == (policy == "drain")

    world = play(scene, script=script, grace_s=8.0, on_disconnect=policy)
    record = world.record("r1")
    assert record.state == {"cancel": "paused", "drain": "finished"}[policy]
    assert record.usage["output_tokens"] > 0


def test_a_paused_answer_goes_on_where_it_stopped() -> None:
    """Coming back after the grace period: the text so far stands, the model continues it."""
    script = Script(tokens=100, token_s=0.1)

    async def scene(world: StreamWorld) -> None:
        await world.send("c1", ASK)
        await asyncio.sleep(2.0)
        await world.disconnect("c1")
        await asyncio.sleep(20.0)
        assert world.record("r1").state == "paused"
        reader = world.read("c1", "r1")
        await world.connect("c2")
        await world.send("c2", reader.resume())
        await world.idle()
        for frame in world.line.frames("c2"):
            reader.take(frame)
        assert (reader.text, reader.gap) == (whole_text(script), False)

    world = play(scene, script=script, grace_s=1.0)
    assert world.scripted.calls == 2
    assert world.record("r1").state == "finished"


@pytest.mark.parametrize("continues", [True, False])
@pytest.mark.parametrize("died_at_s", [0.1, 1.05, 2.6, 4.0])
def test_another_worker_goes_on_when_one_is_killed(died_at_s: float, *, continues: bool) -> None:
    """By prefill from what is stored, or from the start: the reader is told where to cut, and ends with the text."""

    async def scene(world: StreamWorld) -> None:
        await world.send("c1", ASK)
        await asyncio.sleep(15.0)
        reader = world.read("c1", "r1")
        await world.send("c1", reader.resume())
        await world.idle()

    world = play(scene, script=SLOW, workers_die_after=[died_at_s], continues=continues)
    reader = world.read("c1", "r1")
    assert (reader.text, reader.gap) == (whole_text(SLOW), False)
    assert world.record("r1").attempt == 2
    assert world.record("r1").state == "finished"


def test_resuming_at_once_after_a_kill_sends_a_standby_worker() -> None:
    """The lease still runs: the standby waits for its end and takes over, without another word of the client."""

    async def scene(world: StreamWorld) -> None:
        await world.send("c1", ASK)
        await asyncio.sleep(7.5)  # the worker is dead since 3 s, its lease ends at about 12 s
        await world.send("c1", world.read("c1", "r1").resume())
        await asyncio.sleep(40.0)

    world = play(scene, script=SLOW, workers_die_after=[3.0])
    assert world.read("c1", "r1").text == whole_text(SLOW)


@pytest.mark.parametrize("error", [Throttled("later"), Overloaded("busy")])
def test_before_the_first_word_a_failure_is_retried(error: Retryable) -> None:
    """Nothing is shown of it."""
    world = play(ask_and_wait, script=replace(SLOW, faults={0: error, 1: error}))
    reader = world.read("c1", "r1")
    assert (reader.text, world.scripted.calls) == (whole_text(SLOW), 3)
    assert not [frame for frame in reader.frames if frame["t"] in {"reset", "error"}]


@pytest.mark.parametrize("continues", [True, False])
def test_after_the_first_word_another_attempt_is_told(*, continues: bool) -> None:
    """Throttled midway: the next attempt goes on, or begins again after a reset to 0; never silently appended."""
    script = replace(SLOW, faults={0: Throttled("midway")}, fault_after=20)
    world = play(ask_and_wait, script=script, continues=continues)
    reader = world.read("c1", "r1")
    assert reader.text == whole_text(SLOW)
    assert world.record("r1").attempt == 2
    assert {frame.get("try") for frame in reader.frames} == {1, 2}
    resets = [frame["off"] for frame in reader.frames if frame["t"] == "reset"]
    said = reader_before_the_fault(script)
    assert resets == ([len(said.rstrip())] if continues else [0])


def test_a_model_that_refuses_to_continue_begins_again() -> None:
    """It answers a prefill with a refusal: then the whole answer is said anew."""
    script = replace(SLOW, prefill=False, faults={0: Overloaded("midway")}, fault_after=20)
    world = play(ask_and_wait, script=script)
    reader = world.read("c1", "r1")
    assert (reader.text, world.record("r1").state) == (whole_text(SLOW), "finished")
    assert [frame["off"] for frame in reader.frames if frame["t"] == "reset"][-1] == 0


def test_what_a_guardrail_takes_back_is_retracted() -> None:
    """`retract` to 0, then the error; nothing of it is stored for those who come later."""
    script = replace(SLOW, faults={0: ContentFiltered("withheld")}, fault_after=20)

    async def scene(world: StreamWorld) -> None:
        await world.send("c1", ASK)
        await world.idle()
        await world.connect("c2")
        await world.send("c2", {"action": "resume", "req": "r1", "off": 0})

    world = play(scene, script=script)
    for connection in ("c1", "c2"):
        reader = world.read(connection, "r1")
        assert reader.text == ""
        assert (reader.ended or {})["d"]["type"] == "/problems/content-filtered"
        assert (reader.ended or {})["d"]["resumable"] is False
    assert [f["t"] for f in world.read("c1", "r1").frames][-2:] == ["retract", "error"]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (Invalid("no"), "model-invalid-request"),
        (Denied("no"), "model-denied"),
        (ContentFiltered("x"), "content-filtered"),
    ],
)
def test_what_no_retry_helps_ends_as_an_error(error: Exception, reason: str) -> None:
    """Without a retry, as problem members; the record keeps it."""
    world = play(ask_and_wait, script=replace(SLOW, faults={0: error}))
    reader = world.read("c1", "r1")
    assert (reader.ended or {})["d"]["type"] == f"/problems/{reason}"
    assert (world.record("r1").state, world.scripted.calls) == ("failed", 1)


def test_a_model_that_stays_away_rests_the_answer() -> None:
    """After four failures the reader is told to come back; coming back tries again."""
    script = replace(SLOW, faults=dict.fromkeys(range(4), Throttled("later")))

    async def scene(world: StreamWorld) -> None:
        await world.send("c1", ASK)
        await world.idle()
        reader = world.read("c1", "r1")
        assert reader.is_resumable
        assert (reader.ended or {})["d"]["type"] == "/problems/model-throttled"
        await world.send("c1", reader.resume())

    world = play(scene, script=script)
    assert world.read("c1", "r1").text == whole_text(SLOW)


def test_a_worker_out_of_time_rests_the_answer() -> None:
    """What it has is stored; a resume goes on."""

    async def scene(world: StreamWorld) -> None:
        await world.send("c1", ASK)
        await world.idle()
        reader = world.read("c1", "r1")
        assert reader.is_resumable
        assert 0 < len(reader.text) == world.record("r1").off
        await world.send("c1", reader.resume())

    world = play(scene, script=SLOW, timeout_s=5.0)
    assert world.read("c1", "r1").text == whole_text(SLOW)


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("{", "unknown-action"),  # the gateway's route of what is no JSON is $default
        ({"action": "ask"}, "invalid-body"),
        ({"action": "ask", "req": 7, "prompt": "x"}, "invalid-body"),
        ({"action": "ask", "req": "r 1", "prompt": "x"}, "invalid-body"),
        ({"action": "ask", "req": "r1"}, "invalid-body"),
        ({"action": "ask", "req": "r1", "prompt": ""}, "invalid-body"),
        ({"action": "ask", "req": "r1", "prompt": "x", "more": 1}, "invalid-body"),
        ({"action": "ask", "req": "r1", "prompt": "x", "model": "model-b"}, "unknown-model"),
        ({"action": "resume", "req": "r1", "off": -1}, "invalid-body"),
        ({"action": "resume", "req": "none", "off": 0}, "no-such-answer"),
        ({"action": "cancel", "req": "none"}, "no-such-answer"),
        ({"action": "dance", "req": "r1"}, "unknown-action"),
    ],
)
def test_a_wrong_message_is_told_to_its_sender(message: dict[str, Any] | str, kind: str) -> None:
    """An error frame that names the limit; nothing is begun."""

    async def scene(world: StreamWorld) -> None:
        await world.send("c1", message)

    world = play(scene)
    (frame,) = world.line.frames("c1")
    assert (frame["t"], frame["d"]["type"], frame["d"]["resumable"]) == ("error", f"/problems/{kind}", False)
    assert world.answers.records == {}


def test_a_slow_reader_is_held_back_without_losing_a_character() -> None:
    """Posts that take long, and 429s: fewer and larger frames, the same text."""
    script = Script(tokens=200, token_s=0.02)

    async def scene(world: StreamWorld) -> None:
        world.line.slow_s["c1"] = 0.3
        await world.send("c1", ASK)

    world = play(scene, script=script)
    reader = world.read("c1", "r1")
    assert reader.text == whole_text(script)
    assert len(reader.frames) < 30
    assert world.line.most_under_way["c1"] == 1


def test_a_reader_too_far_behind_is_told_to_come_back_for_the_rest() -> None:
    """Past 262,144 characters that it has not taken; the answer is made to its end, and a resume has the whole."""
    script = Script(answer=f"{'r' * 39} " * 9_000)

    async def scene(world: StreamWorld) -> None:
        world.line.slow_s["c1"] = 2.0
        await world.send("c1", ASK)
        await world.idle()
        reader = world.read("c1", "r1")
        assert ((reader.ended or {})["d"]["type"], reader.is_resumable) == ("/problems/reader-behind", True)
        assert world.record("r1").state == "finished"
        world.line.slow_s["c1"] = 0.0
        await world.send("c1", reader.resume())

    world = play(scene, script=script, grace_s=1e6)
    reader = world.read("c1", "r1")
    assert (len(reader.text), (reader.ended or {})["t"]) == (360_000, "final")


def test_an_answer_has_a_most() -> None:
    """1,048,576 characters: the model is stopped there, and the end says why."""
    world = play(ask_and_wait, script=Script(answer=f"{'x' * 199} " * 6_000))
    assert (world.record("r1").off, world.record("r1").stop_reason) == (1_048_576, "size_limit")


def test_a_reader_that_is_gone_costs_the_others_nothing() -> None:
    """One of two leaves without a word: the first post tells, the other reads on."""

    async def scene(world: StreamWorld) -> None:
        await world.send("c1", ASK)
        await world.connect("c2")
        await world.send("c2", ASK)
        await asyncio.sleep(2.0)
        world.line.leave("c1")

    world = play(scene, script=SLOW)
    assert world.read("c2", "r1").text == whole_text(SLOW)
    assert [reader.connection_id for reader in world.record("r1").readers] == ["c2"]


def test_a_silent_model_is_pinged() -> None:
    """Every 15 to 25 s."""
    script = Script(tokens=3, first_s=70.0)
    world = play(ask_and_wait, script=script)
    kinds = [frame["t"] for frame in world.read("c1", "r1").frames]
    assert 2 <= kinds.count("ping") <= 4


def test_ownership_is_by_caller() -> None:
    """Another person's req of the same name is another answer, and nobody resumes or cancels somebody else's."""

    async def scene(world: StreamWorld) -> None:
        await world.send("c1", ASK)
        await world.connect("c2")
        for action in ("resume", "cancel"):
            await world.send("c2", {"action": action, "req": "r1"}, caller="bob")
            assert world.line.frames("c2")[-1]["d"]["type"] == "/problems/no-such-answer"
        await world.send("c2", {**ASK, "prompt": "Name a sea."}, caller="bob")

    world = play(scene, script=SLOW)
    assert set(world.answers.records) == {(CALLER, "r1"), ("bob", "r1")}
    assert world.read("c1", "r1").text == whole_text(SLOW)
    assert world.read("c2", "r1").text == whole_text(SLOW, "Name a sea.")


def test_a_worker_logs_under_the_id_of_whoever_asked(capsys: pytest.CaptureFixture[str]) -> None:
    """Its order carries no correlation id: the answer's record does."""
    world = play(ask_and_wait, script=SLOW)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "answer.ended" in line]
    assert [line["correlation_id"] for line in lines] == [world.record("r1").correlation_id]
    assert lines[0]["correlation_id"] == "c2"  # of the ask; c1 connected


async def ask_and_wait(world: StreamWorld) -> None:
    await world.send("c1", ASK)
    await world.idle()


class Listening(ScriptedProvider):
    """Remembers what it was asked."""

    def __init__(self, script: Script) -> None:
        super().__init__(script)
        self.asked: list[ModelRequest] = []

    def stream(self, request: ModelRequest, context: CallContext) -> AbstractAsyncContextManager[Any]:
        self.asked.append(request)
        return super().stream(request, context)


@pytest.mark.parametrize(("history", "turns"), [(0, 0), (60, 1), (10_000, 2)])
def test_a_conversation_reminds_the_model_of_what_fits(history: int, turns: int) -> None:
    """Along `after`, the newest turns first, each whole; roles alternate and the question is last."""
    model = Listening(Script(answer="A river flows."))

    async def scene(world: StreamWorld) -> None:
        for number, more in ((1, {}), (2, {"after": "r1"}), (3, {"after": "r2"})):
            await world.send(
                "c1", {"action": "ask", "req": f"r{number}", "prompt": f"Question number {number}?", **more}
            )
            await world.idle()

    play(scene, provider=model, history=history)
    messages = model.asked[-1].messages
    assert [message.role for message in messages] == ["user", "assistant"] * turns + ["user"]
    assert messages[-1].text == "Question number 3?"
    assert [message.text for message in messages[:-1]] == [
        text for number in (1, 2) for text in (f"Question number {number}?", "A river flows.")
    ][4 - 2 * turns :]


def test_a_conversation_goes_on_with_one_s_own_answers_only() -> None:
    """`after` that names nothing of the caller's is refused."""

    async def scene(world: StreamWorld) -> None:
        await world.send("c1", {**ASK, "after": "never"})

    world = play(scene)
    (frame,) = world.line.frames("c1")
    assert frame["d"]["type"] == "/problems/no-such-answer"
    assert world.answers.records == {}


def test_places_of_connections_that_are_over_are_taken() -> None:
    """Eight readers at once are the most; those whose connection is over, though no worker noticed, do not count."""

    async def scene(world: StreamWorld) -> None:
        await world.send("c1", ASK)
        await asyncio.sleep(2.0)  # the worker is dead by then
        for number in range(2, 9):
            await world.connect(f"c{number}")
            await world.send(f"c{number}", {"action": "resume", "req": "r1", "off": 0})
        await world.connect("c9")
        await world.send("c9", {"action": "resume", "req": "r1", "off": 0})
        assert world.line.frames("c9")[-1]["d"]["type"] == "/problems/too-many-readers"
        await world.disconnect("c3")
        await asyncio.sleep(20.0)
        await world.send("c9", {"action": "resume", "req": "r1", "off": 0})

    world = play(scene, script=SLOW, workers_die_after=[1.0])
    assert world.read("c9", "r1").text == whole_text(SLOW)


@pytest.mark.parametrize("lost", range(2, 8))
def test_a_write_whose_answer_is_lost_costs_no_lease(lost: int) -> None:
    """The same write again tells that it was ours: the worker goes on, and the reader hears the end."""

    async def scene(world: StreamWorld) -> None:
        await world.send("c1", ASK)
        kept, writes = world.answers.replace, 0

        async def lossy(record: AnswerRecord, *, seen: AnswerRecord, text: str = "") -> AnswerRecord | None:
            nonlocal writes
            writes += 1
            world.store_trouble.next_after = int(writes == lost)
            return await kept(record, seen=seen, text=text)

        world.answers.replace = lossy  # type: ignore[method-assign]
        await world.idle()
        assert writes >= lost

    world = play(scene, script=Script(tokens=80, token_s=0.1))
    reader = world.read("c1", "r1")
    assert (reader.ended or {})["t"] == "final"
    assert (world.record("r1").attempt, world.scripted.calls) == (1, 1)


def test_a_paused_answer_goes_on_without_an_error_first() -> None:
    """A reader that comes back with less than is stored gets that, then the rest: nothing says that it ended."""
    script = Script(tokens=100, token_s=0.1)

    async def scene(world: StreamWorld) -> None:
        await world.send("c1", ASK)
        await asyncio.sleep(2.0)
        await world.disconnect("c1")
        await asyncio.sleep(20.0)
        assert world.record("r1").state == "paused"
        await world.connect("c2")
        await world.send("c2", {"action": "resume", "req": "r1", "off": 0, "try": 1})

    world = play(scene, script=script, grace_s=1.0)
    reader = world.read("c2", "r1")
    assert reader.text == whole_text(script)
    assert [frame["t"] for frame in reader.frames if frame["t"] not in {"delta", "reset"}] == ["final"]


def test_a_retracted_answer_is_the_same_live_and_later() -> None:
    """Offset 0 of the attempt that took it back, in the frames and in the record."""
    script = replace(SLOW, faults={0: ContentFiltered("withheld")}, fault_after=20)
    world = play(ask_and_wait, script=script)
    retract, error = world.read("c1", "r1").frames[-2:]
    assert [(frame["t"], frame["off"], frame["try"]) for frame in (retract, error)] == [
        ("retract", 0, 2),
        ("error", 0, 2),
    ]
    assert (world.record("r1").off, world.record("r1").attempt) == (0, 2)


def test_a_place_in_an_attempt_that_has_not_been_is_refused() -> None:
    """Nobody can have read of it; a reader that believes it would ignore what comes."""

    async def scene(world: StreamWorld) -> None:
        await world.send("c1", ASK)
        await world.idle()
        await world.send("c1", {"action": "resume", "req": "r1", "off": 5, "try": 9})

    world = play(scene, script=SLOW)
    last = world.line.frames("c1")[-1]
    assert (last["d"]["type"], last["d"]["detail"]) == (
        "/problems/invalid-body",
        "try names an attempt that has not been",
    )


def test_a_late_order_does_not_wake_an_answer_that_nobody_reads() -> None:
    """Lambda delivers at least once, and up to six hours late: only a reader's order goes on with what rests."""

    async def scene(world: StreamWorld) -> None:
        await world.send("c1", ASK)
        await asyncio.sleep(2.0)
        await world.disconnect("c1")
        await asyncio.sleep(20.0)
        await world.dispatcher.dispatch(CALLER, "r1")

    world = play(scene, script=Script(tokens=200, token_s=0.1), grace_s=1.0)
    assert (world.record("r1").state, world.scripted.calls) == ("paused", 1)
