"""The scripted model: the same text for the same seed, faults where the script puts them, time on the loop."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcloud.clock import run_virtual
from sluiceway.errors import DeadlineExceeded
from sluiceway.genai.faults import ContentFiltered, Invalid, Throttled
from sluiceway.genai.provider import CallContext, Delta, Finish, Message, ModelRequest, Usage
from sluiceway.genai.scripted import Script, ScriptedProvider, count_tokens

FOREVER = CallContext(deadline=float("inf"))


def ask(text: str = "Name a river.", *, max_tokens: int = 100) -> ModelRequest:
    return ModelRequest((Message("user", text),), max_tokens=max_tokens, system="Be brief.")


def go_on(begun: str, *, max_tokens: int = 100) -> ModelRequest:
    messages = (Message("user", "Name a river."), Message("assistant", begun))
    return ModelRequest(messages, max_tokens=max_tokens, system="Be brief.")


async def test_same_seed_same_answer_other_seed_another() -> None:
    """The text depends on seed and request alone."""
    first = await ScriptedProvider(Script(seed=1)).converse(ask(), FOREVER)
    again = await ScriptedProvider(Script(seed=1)).converse(ask(), FOREVER)
    other = await ScriptedProvider(Script(seed=2)).converse(ask(), FOREVER)
    asked = await ScriptedProvider(Script(seed=1)).converse(ask("Name a lake."), FOREVER)
    assert (first.text, first.usage) == (again.text, again.usage)
    assert len({first.text, other.text, asked.text}) == 3
    assert first.usage == Usage(input_tokens=7, output_tokens=24)


@given(st.text(max_size=60), st.integers(1, 12))
async def test_a_scripted_answer_comes_whole_or_cut_at_max_tokens(text: str, max_tokens: int) -> None:
    """The pieces of a stream add up to the answer's beginning, and the usage counts them exactly."""
    provider = ScriptedProvider(Script(answer=text or "x"))
    async with provider.stream(ask(max_tokens=max_tokens), FOREVER) as events:
        seen = [event async for event in events]
    finish = seen.pop()
    said = "".join(event.text for event in seen if isinstance(event, Delta))
    assert (text or "x").startswith(said)
    assert isinstance(finish, Finish)
    assert finish.usage.output_tokens == len(seen) <= max_tokens
    assert (finish.stop_reason == "end_turn") == (said == (text or "x"))


@given(st.text(max_size=60), st.integers(0, 60), st.booleans(), st.integers(0, 3))
async def test_a_cut_answer_goes_on_where_it_stopped(text: str, cut: int, stripped: bool, seed: int) -> None:
    """Beginning and rest are the whole answer to the character, cut anywhere, also where white space was stripped."""
    provider = ScriptedProvider(Script(seed=seed, answer=text))
    whole = (await provider.converse(ask(), FOREVER)).text
    begun = whole[:cut].rstrip() if stripped else whole[:cut]
    rest = await provider.converse(go_on(begun), FOREVER)
    assert begun + rest.text == whole
    assert rest.stop_reason == "end_turn"


async def test_a_beginning_of_another_answer_is_not_continued() -> None:
    """The whole answer is said."""
    provider = ScriptedProvider(Script(answer="one two"))
    assert (await provider.converse(go_on("on the"), FOREVER)).text == "one two"


async def test_the_rest_has_its_own_tokens() -> None:
    """`max_tokens` bounds what comes after the beginning, which counts as asked; a cut token's end is one token."""
    provider = ScriptedProvider(Script(answer="one two three four"))
    answer = await provider.converse(go_on("one tw", max_tokens=2), FOREVER)
    assert (answer.text, answer.stop_reason) == ("o three ", "max_tokens")
    assert answer.usage == Usage(input_tokens=7 + 2, output_tokens=2)
    assert (await provider.converse(go_on("one two three four"), FOREVER)).usage.output_tokens == 0


async def test_a_model_that_goes_on_from_no_text_refuses() -> None:
    """Before the first event, and only what ends with the beginning of an answer."""
    provider = ScriptedProvider(Script(prefill=False))
    with pytest.raises(Invalid):
        async with provider.stream(go_on("water"), FOREVER):
            pytest.fail("it begins")
    assert (await provider.converse(ask(), FOREVER)).text
    assert (provider.calls, provider.active) == (2, 0)


async def test_faults_hit_the_calls_they_name() -> None:
    """Call 1 fails, calls 0 and 2 answer."""
    provider = ScriptedProvider(Script(faults={1: Throttled("slow down", after_s=2.0)}))
    await provider.converse(ask(), FOREVER)
    with pytest.raises(Throttled):
        await provider.converse(ask(), FOREVER)
    await provider.converse(ask(), FOREVER)
    assert (provider.calls, provider.active) == (3, 0)


async def test_a_fault_may_come_after_tokens() -> None:
    """The tokens before it are heard; a call that says fewer fails at its end."""
    for fault, after, heard in (
        (Throttled("slow down"), 2, 2),
        (Throttled("slow down"), 99, 24),
        (ContentFiltered("withheld"), 5, 5),
    ):
        provider = ScriptedProvider(Script(faults={0: fault}, fault_after=after))
        seen: list[str] = []
        with pytest.raises(type(fault)):
            await listen(provider, seen)
        assert (len(seen), provider.active) == (heard, 0)


async def listen(provider: ScriptedProvider, seen: list[str]) -> None:
    async with provider.stream(ask(), FOREVER) as events:
        async for event in events:
            if isinstance(event, Delta):
                seen.append(event.text)


async def test_a_provider_that_does_not_tell_the_usage() -> None:
    """The usage is the estimate of the text."""
    answer = await ScriptedProvider(Script(answer="one two", tells_usage=False)).converse(ask(), FOREVER)
    assert answer.usage == Usage(6, 2, estimated=True)


def test_the_cadence_is_the_loops_time() -> None:
    """0.5 s to the first of 5 tokens and 0.1 s to each other make 0.9 s."""

    async def run() -> tuple[float, int]:
        provider = ScriptedProvider(Script(tokens=5, first_s=0.5, token_s=0.1))
        answer = await provider.converse(ask(), FOREVER)
        return asyncio.get_running_loop().time(), answer.latency_ms

    assert run_virtual(run) == (pytest.approx(0.9), 900)


def test_the_deadline_ends_a_slow_answer() -> None:
    """A model that is not done raises DeadlineExceeded at the deadline, not later."""

    async def run() -> float:
        provider = ScriptedProvider(Script(tokens=50, token_s=1.0))
        with pytest.raises(DeadlineExceeded):
            await provider.converse(ask(), CallContext(deadline=3.5))
        assert provider.active == 0
        return asyncio.get_running_loop().time()

    assert run_virtual(run) == pytest.approx(3.5)


async def test_leaving_the_stream_stops_it() -> None:
    """A reader that goes away ends the generation."""
    provider = ScriptedProvider(Script(tokens=50))
    async with provider.stream(ask(), FOREVER) as events:
        await anext(events)
        assert provider.active == 1
    assert provider.active == 0
    with pytest.raises(StopAsyncIteration):
        await anext(events)


def test_tokens_are_words_and_runs_of_signs() -> None:
    """The count is exact and the same everywhere."""
    assert [count_tokens(text) for text in ("", "  ", "a", "Say: why?", "naïve — no")] == [0, 0, 1, 4, 3]
