"""The real, small model: it answers, stops, is cancelled, says what is too long, and works while it loads."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from localcloud.models.embedded import CONTEXT_TOKENS, EmbeddedEngine, find_weights
from localcloud.models.engine import Delta, Engine, Finished, ModelFailure, Prompt, Turn
from localcloud.models.openai import OpenAIEngine
from localcloud.services.bedrock.wire import BedrockService
from localcloud.services.contract import WireRequest
from sluiceway.genai.openai import OpenAIProvider
from sluiceway.genai.provider import CallContext, Message, ModelRequest

pytestmark = [
    pytest.mark.embedded,
    pytest.mark.skipif(
        find_weights() is None and not os.environ.get("CI"),
        reason="needs `sluiceway model install` (in CI it must be there)",
    ),
]
PROGRESS: list[str] = []


@pytest.fixture
async def engine() -> AsyncIterator[EmbeddedEngine]:
    """A started engine, loading."""
    PROGRESS.clear()
    made = EmbeddedEngine(progress=PROGRESS.append, ready_within_s=120)
    await made.start()
    yield made
    await made.close()


def ask(text: str, *, max_tokens: int = 12, stop: tuple[str, ...] = ()) -> Prompt:
    return Prompt((Turn("user", text),), max_tokens=max_tokens, temperature=0.0, stop=stop)


async def answer(engine: Engine, prompt: Prompt) -> tuple[str, Finished]:
    deltas: list[str] = []
    async for chunk in engine.generate(prompt):
        if isinstance(chunk, Finished):
            return "".join(deltas), chunk
        deltas.append(chunk.text)
    raise AssertionError("no Finished chunk")


async def test_it_answers_while_it_was_still_loading(engine: EmbeddedEngine) -> None:
    """The prompt waits for the model; text, reason and usage come back; the loading was told."""
    assert not engine.ready
    text, finished = await answer(engine, ask("Name three rivers."))
    assert engine.ready
    assert text
    assert finished.reason == "max_tokens"
    assert (finished.usage.input > 5, finished.usage.output) == (True, 12)
    assert PROGRESS[0].startswith("Loading SmolLM2")
    assert PROGRESS[-1].endswith("is ready.")
    again, repeated = await answer(engine, ask("Name three rivers."))
    assert again == text
    assert repeated.usage.input == finished.usage.input
    assert repeated.usage.cached > 0


async def test_a_cut_answer_goes_on_where_it_stopped(engine: EmbeddedEngine) -> None:
    """At temperature 0, cut between two tokens and stripped, beginning and rest read as the answer that was not cut."""
    asked = ask("Name three rivers and say where they are.", max_tokens=40)
    tokens = [chunk.text async for chunk in engine.generate(asked) if isinstance(chunk, Delta)]
    whole = "".join(tokens)
    for cut in (5, 17, 29):
        begun = "".join(tokens[:cut]).rstrip()
        rest, finished = await answer(engine, go_on(asked, begun))
        assert (begun + rest)[: len(begun) + 10] == whole[: len(begun) + 10]
        assert begun not in rest
        assert 0 < finished.usage.output <= 12
    inside, _ = await answer(engine, go_on(asked, begun[:-2]))
    assert inside
    assert begun[:20] not in inside


def go_on(asked: Prompt, begun: str) -> Prompt:
    return Prompt((*asked.turns, Turn("assistant", begun)), max_tokens=12, temperature=0.0)


async def test_servers_of_llama_cpp_go_on_in_the_same_way(engine: EmbeddedEngine) -> None:
    """Asked over HTTP, by the engine for URLs and by the layer's provider: the text that the engine itself gives."""
    asked = ask("Name three rivers and say where they are.")
    begun = (await answer(engine, asked))[0].rstrip()
    rest, _ = await answer(engine, go_on(asked, begun))
    assert engine._server is not None
    url = f"{engine._server.result().listening_address}/v1"
    remote = OpenAIEngine(url)
    await remote.start()
    try:
        assert (await answer(remote, go_on(asked, begun)))[0] == rest
    finally:
        await remote.close()
    messages = (Message("user", asked.turns[0].text), Message("assistant", begun))
    within = CallContext(deadline=asyncio.get_running_loop().time() + 60)
    async with OpenAIProvider.open(url, model="any") as provider:
        answered = await provider.converse(ModelRequest(messages, max_tokens=12, temperature=0.0), within)
    assert answered.text == rest


async def test_a_prompt_over_its_context_is_no_stream(engine: EmbeddedEngine) -> None:
    """ConverseStream answers with the error itself, before the first byte of a stream."""
    body = {"messages": [{"role": "user", "content": [{"text": "word " * CONTEXT_TOKENS}]}]}
    path = "/model/amazon.nova-micro-v1%3A0/converse-stream"
    asked = WireRequest("bedrock", "eu-west-1", "POST", path, "", {}, json.dumps(body).encode(), "AK", "r")
    response = await BedrockService(engine).handle(asked)
    assert (response.status, response.headers["x-amzn-errortype"]) == (400, "ValidationException")
    assert isinstance(response.body, bytes)


async def test_it_stops_at_a_stop_sequence(engine: EmbeddedEngine) -> None:
    """The text ends before the sequence, with its usage."""
    whole, _ = await answer(engine, ask("Count: one, two, three, four", max_tokens=16))
    word = whole.split()[2]
    text, finished = await answer(engine, ask("Count: one, two, three, four", max_tokens=16, stop=(word,)))
    assert text == whole[: whole.index(word)]
    assert (finished.reason, finished.usage.input > 0, finished.usage.output > 0) == ("stop_sequence", True, True)


async def test_a_prompt_over_its_context_is_too_long(engine: EmbeddedEngine) -> None:
    """Not cut, not answered: too_long."""
    with pytest.raises(ModelFailure) as caught:
        await answer(engine, ask("word " * CONTEXT_TOKENS))
    assert caught.value.kind == "too_long"


async def test_a_reader_who_leaves_stops_the_generation(engine: EmbeddedEngine) -> None:
    """The reader closes after the first words: both slots are free again long before the text would have ended."""
    async with aclosing(engine.generate(ask("Write a very long story.", max_tokens=1500))) as chunks:
        async for chunk in chunks:
            assert isinstance(chunk, Delta)
            break
    async with asyncio.timeout(20):
        async with asyncio.TaskGroup() as tasks:
            for _ in range(2):
                tasks.create_task(answer(engine, ask("Hello", max_tokens=2)))


async def test_more_prompts_than_slots_wait_in_turn(engine: EmbeddedEngine) -> None:
    """Six at once on two slots: all are answered, and the event loop was never held up."""
    gaps: list[float] = []
    done = asyncio.Event()
    await answer(engine, ask("Hello", max_tokens=1))

    async def watch() -> None:
        loop = asyncio.get_running_loop()
        while not done.is_set():
            before = loop.time()
            await asyncio.sleep(0.01)
            gaps.append(loop.time() - before)

    async with asyncio.TaskGroup() as tasks:
        watcher = tasks.create_task(watch())
        asked = [tasks.create_task(answer(engine, ask(f"Say {number}", max_tokens=4))) for number in range(6)]
        await asyncio.wait(asked)
        done.set()
    assert watcher.done()
    assert [task.result()[1].usage.output <= 4 for task in asked] == [True] * 6
    assert max(gaps) < 1.0


async def test_an_openai_compatible_server_answers_the_same(engine: EmbeddedEngine) -> None:
    """The engine for URLs, pointed at llama.cpp's own server: the model found by itself, the same text and usage."""
    text, finished = await answer(engine, ask("Name three rivers."))
    assert engine._server is not None
    remote = OpenAIEngine(f"{engine._server.result().listening_address}/v1")
    await remote.start()
    try:
        told, ended = await answer(remote, ask("Name three rivers."))
        with pytest.raises(ModelFailure) as caught:
            await answer(remote, ask("word " * CONTEXT_TOKENS))
    finally:
        await remote.close()
    assert (told, ended.reason) == (text, finished.reason)
    assert (ended.usage.input, ended.usage.output) == (finished.usage.input, finished.usage.output)
    assert caught.value.kind == "too_long"


async def test_a_model_that_takes_too_long_to_load_is_not_ready() -> None:
    """The wait is bounded; the failure says so, and the loading goes on."""
    made = EmbeddedEngine(progress=PROGRESS.append, ready_within_s=0)
    await made.start()
    with pytest.raises(ModelFailure) as caught:
        await answer(made, ask("Hello"))
    assert caught.value.kind == "not_ready"
    await made.close()


async def test_without_its_packages_it_says_what_to_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """The failure names the command."""
    monkeypatch.setattr("localcloud.models.embedded.find_weights", lambda: None)
    made = EmbeddedEngine(progress=PROGRESS.append)
    await made.start()
    with pytest.raises(ModelFailure, match="sluiceway model install"):
        await answer(made, ask("Hello"))
    await made.close()
