"""The defects that were read in other applications that stream answers, each as a test that would find it here.

Those that need real processes (a message that reaches the queue byte for byte, a connection's record in its table) are
in tests/local/test_streamed_answers.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from sluiceway.aws.connections import ApiConnections
from sluiceway.aws.wire import Outside, Wire
from sluiceway.events.socket import Frame
from sluiceway.flows.stream.generation import MAX_FAILURES, Model
from sluiceway.flows.stream.lines import MAX_WAITING, QueueLine
from sluiceway.genai.bedrock import BedrockProvider
from sluiceway.genai.provider import CallContext, Delta, Finish, ModelRequest, StreamEvent, Usage
from sluiceway.genai.scripted import Script
from tests.flow.test_stream_answers import ASK, SLOW, play, whole_text
from tests.streaming_world import StreamWorld
from tests.unit.wire_server import MemoryNetwork, answer, environ

LONG = Script(tokens=600, token_s=0.1)


def test_generation_stops_when_the_client_has_left() -> None:
    """Defect: `except ClientError` stands before `except GoneException`, its subclass, so the branch for a client that
    left is dead code, and the generation runs to its end for nobody.

    Here a post that finds the connection gone ends that delivery, and after the grace period the generation.
    """

    async def scene(world: StreamWorld) -> None:
        await world.send("c1", ASK)
        await asyncio.sleep(2.0)
        world.line.leave("c1")  # without a word: only a post finds out
        await asyncio.sleep(1.0)
        assert world.record("r1").readers == ()
        await asyncio.sleep(5.0 + 1.0)
        assert world.scripted.active == 0

    world = play(scene, script=LONG, grace_s=5.0)
    assert world.record("r1").state == "paused"
    assert world.record("r1").usage["output_tokens"] < 200


def test_a_connections_record_is_deleted_when_it_ends() -> None:
    """Defect: connecting stores `connectionId` and the cleanup deletes `connection_id`, so none is ever forgotten."""

    async def scene(world: StreamWorld) -> None:
        assert set(world.known.connections) == {"c1"}
        await world.disconnect("c1")
        assert world.known.connections == {}

    play(scene)


@pytest.mark.parametrize("at_once", [True, False])
def test_each_answer_counts_its_own_frames(*, at_once: bool) -> None:
    """Defect: the sequence number is a module's global, so every request on a warm worker goes on counting for all.

    One worker's services serve three answers here, one after the other or together.
    """

    async def scene(world: StreamWorld) -> None:
        for req in ("r1", "r2", "r3"):
            await world.send("c1", {**ASK, "req": req})
            if not at_once:
                await world.idle()

    world = play(scene, script=SLOW)
    for req in ("r1", "r2", "r3"):
        frames = world.read("c1", req).frames
        assert [frame["seq"] for frame in frames] == list(range(1, len(frames) + 1))
        assert world.read("c1", req).text == whole_text(SLOW)


def test_posts_are_fewer_than_tokens_and_one_at_a_time() -> None:
    """Defect: a post for each token on a queue without a bound, so a slow connection falls behind without end.

    200 tokens a second over posts of 0.25 s: what waits goes together, and the end is told right behind the model's.
    """
    script = Script(tokens=2_000, token_s=0.005)
    ended_at: list[float] = []

    async def scene(world: StreamWorld) -> None:
        world.line.slow_s["c1"] = 0.25
        began = asyncio.get_running_loop().time()
        await world.send("c1", ASK)
        await world.idle()
        ended_at.append(asyncio.get_running_loop().time() - began)

    world = play(scene, script=script)
    reader = world.read("c1", "r1")
    assert reader.text == whole_text(script)
    assert len(reader.frames) <= 10 / 0.25 + 3
    assert world.line.most_under_way["c1"] == 1
    assert ended_at[0] < 10 + 4 * 0.25


async def test_what_waits_for_a_slow_http_client_is_bounded() -> None:
    """Defect: the same queue without a bound. Here the fifth frame waits until one is taken."""
    line = QueueLine()
    for seq in range(MAX_WAITING):
        await line.send(Frame("delta", "r1", seq + 1, 0, 1, "x"))
    waiting = asyncio.ensure_future(line.send(Frame("delta", "r1", MAX_WAITING + 1, 0, 1, "x")))
    await asyncio.sleep(0)
    assert not waiting.done()
    await anext(line)
    await waiting


def test_the_tail_of_an_answer_is_not_dropped_for_a_slow_reader() -> None:
    """Defect: the sender is joined with a timeout of 60 s, and what it had not sent by then is lost without a word.

    A reader that takes 40 s for a frame is told to come back, or comes back by its own clock; then it has everything.
    """
    script = Script(tokens=9_000, token_s=0.001)  # several frames of the largest size

    async def scene(world: StreamWorld) -> None:
        world.line.slow_s["c1"] = 40.0
        await world.send("c1", ASK)
        await world.idle()
        reader = world.read("c1", "r1")
        assert (reader.ended is None) or reader.is_resumable
        assert 0 < len(reader.text) < len(whole_text(script))
        world.line.slow_s["c1"] = 0.0
        await world.send("c1", reader.resume())

    world = play(scene, script=script)
    reader = world.read("c1", "r1")
    assert reader.text == whole_text(script)
    assert (reader.ended or {})["t"] == "final"


# ---------------------------------------------------------------- hidden retry layers

TOO_MANY = answer(429, b'{"message":"slow down"}', x_amzn_ErrorType="ThrottlingException")
AWAY = answer(503, b'{"message":"away"}', x_amzn_ErrorType="ServiceUnavailableException")
FULL = answer(429, b'{"message":"full"}', x_amzn_ErrorType="LimitExceededException")


@pytest.mark.parametrize("reply", [TOO_MANY, AWAY, answer(500, b"{}"), ConnectionResetError("cut")])
def test_the_model_is_asked_as_often_as_the_flow_says(reply: bytes | Exception) -> None:
    """Defect: a client that retries 8 or 15 times by itself below a flow that retries, each time paid for.

    Four times in all, whatever AWS_MAX_ATTEMPTS says; then the reader is told to come back.
    """
    network = MemoryNetwork([reply] * 20)

    async def main() -> tuple[str, str]:
        async with (
            Wire.open(_environ(), outside=Outside(draw=lambda: 0.5)) as wire,
            asyncio.TaskGroup() as group,
        ):
            world = StreamWorld(group)
            await world.connect("c1")
            world.desk = replace(world.desk, model=Model(BedrockProvider(wire, "m"), max_output_tokens=100))
            await world.send("c1", ASK)
            await world.idle()
            reader = world.read("c1", "r1")
        return world.record("r1").state, "resumable" if reader.is_resumable else "over"

    assert network.run(main) == ("paused", "resumable")
    assert len(network.requests) == MAX_FAILURES


@pytest.mark.parametrize("reply", [FULL, AWAY, ConnectionResetError("cut")])
def test_a_frame_is_posted_as_often_as_the_flow_says(reply: bytes | Exception) -> None:
    """Defect: as above, of posts; and a retry below the flow would let a later frame overtake.

    A piece that was not taken is cut anew and posted again after a pause of the flow's own, one request each time.
    """
    network = MemoryNetwork([reply, reply, *[answer(200, b"")] * 200])

    async def main() -> None:
        async with (
            Wire.open(_environ(), outside=Outside(draw=lambda: 0.5)) as wire,
            asyncio.TaskGroup() as group,
        ):
            world = StreamWorld(group, script=SLOW)
            await world.connect("c1")
            world.desk = replace(world.desk, connections=ApiConnections(wire, "https://a.test/v1"))
            await world.send("c1", ASK)
            await world.idle()

    network.run(main)
    bodies = [request.partition(b"\r\n\r\n")[2] for request in network.requests]
    assert [body.count(b'"seq":1,') for body in bodies[:3]] == [1, 1, 1]  # not taken twice, then taken
    assert all(later - earlier >= 0.05 for earlier, later in zip(network.times, network.times[1:3], strict=False))
    assert [body.count(f'"seq":{seq},'.encode()) for seq, body in enumerate(bodies[2:], 1)] == [1] * len(bodies[2:])


def _environ() -> dict[str, str]:
    return environ(AWS_ENDPOINT_URL="http://aws.test", AWS_MAX_ATTEMPTS="9", AWS_RETRY_MODE="standard")


# ---------------------------------------------------------------- de-duplication by value


LAUGHTER = "ha " * 200


class _Laughing:
    """A model that says one token again and again, and goes on with it."""

    async def converse(self, request: ModelRequest, context: CallContext) -> Any:
        raise AssertionError(request, context)

    @asynccontextmanager
    async def stream(self, request: ModelRequest, context: CallContext) -> AsyncGenerator[AsyncIterator[StreamEvent]]:
        del context

        async def say() -> AsyncGenerator[StreamEvent]:
            rest = LAUGHTER.removeprefix(request.prefill)
            for start in range(0, len(rest), 3):
                await asyncio.sleep(0.05)
                yield Delta(rest[start : start + 3])
            yield Finish("end_turn", Usage(1, len(rest) // 3))

        events = say()
        try:
            yield events
        finally:
            await events.aclose()


@pytest.mark.parametrize("away_s", [0.5, 3.0])
def test_a_token_that_repeats_is_not_taken_for_a_duplicate(away_s: float) -> None:
    """Defect: tokens are de-duplicated by value, so a text that repeats itself loses its repetitions.

    Offsets tell what came twice: with a reader that is cut in the middle, and with one that reads it all.
    """

    async def scene(world: StreamWorld) -> None:
        await world.send("c1", ASK)
        await world.connect("c2")
        await world.send("c2", ASK)
        await asyncio.sleep(2.03)
        await world.disconnect("c1")
        await asyncio.sleep(away_s)
        reader = world.read("c1", "r1")
        await world.connect("c3")
        await world.send("c3", reader.resume())
        await world.idle()
        for frame in world.line.frames("c3"):
            reader.take(frame)
        assert (reader.text, reader.gap) == (LAUGHTER, False)

    world = play(scene, provider=_Laughing())
    assert world.read("c2", "r1").text == LAUGHTER


def test_a_generation_that_broke_off_repeats_nothing_and_loses_nothing() -> None:
    """The same where a worker dies: the next one goes on by prefill, in the middle of the repetitions."""

    async def scene(world: StreamWorld) -> None:
        await world.send("c1", ASK)
        await asyncio.sleep(16.0)
        await world.send("c1", world.read("c1", "r1").resume())

    world = play(scene, provider=_Laughing(), workers_die_after=[3.3])
    assert world.read("c1", "r1").text == LAUGHTER
    assert world.record("r1").attempt == 2
