"""Stop sequences, the scripted model, chat completion events and the choice of an engine."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from localcloud.clock import run_virtual
from localcloud.models.choose import choose_engine
from localcloud.models.engine import Chunk, Delta, Finished, ModelFailure, Prompt, StopText, Turn, Usage
from localcloud.models.openai import OpenAIEngine, chat_request, read_chunks
from localcloud.models.scripted import Fault, Reply, Script, ScriptedEngine, read_script


def prompt(text: str = "Name three rivers.", **more: Any) -> Prompt:
    return Prompt((Turn("user", text),), **more)


async def collect(chunks: AsyncGenerator[Chunk]) -> tuple[str, Finished | None]:
    text, finished = "", None
    async for chunk in chunks:
        if isinstance(chunk, Delta):
            text += chunk.text
        else:
            finished = chunk
    return text, finished


def say(engine: ScriptedEngine, asked: Prompt) -> tuple[str, Finished | None]:
    return run_virtual(lambda: collect(engine.generate(asked)))


@given(st.text("abc", max_size=30), st.lists(st.text("abc", min_size=1, max_size=4), max_size=3), st.data())
def test_text_is_cut_at_the_first_stop_sequence_however_it_is_split(
    text: str, stop: list[str], data: st.DataObject
) -> None:
    """Fed in any pieces, what is shown is the text up to the first stop sequence that is complete in it."""
    cutter, shown, at = StopText(tuple(stop)), "", 0
    while at < len(text) and not cutter.stopped:
        size = data.draw(st.integers(1, 5))
        shown += cutter.feed(text[at : at + size])
        at += size
    if not cutter.stopped:
        shown += cutter.rest()
    ends = [text.find(sequence) for sequence in stop if sequence in text]
    assert cutter.stopped == bool(ends)
    assert text.startswith(shown)
    if not ends:
        assert shown == text
    else:
        assert not any(sequence in shown for sequence in stop)


def test_the_same_prompt_gives_the_same_text() -> None:
    """Text depends on seed, system and last turn alone; another seed says something else."""
    first, again = say(ScriptedEngine(), prompt()), say(ScriptedEngine(), prompt())
    other, _ = say(ScriptedEngine(Script(seed=1)), prompt())
    assert first == again
    assert other != first[0]
    assert first[0].startswith("You asked: Name three rivers. Scripted answer: ")
    assert first[1] == Finished("end_turn", Usage(4, first[1].usage.output if first[1] else 0))


def test_max_tokens_cuts_the_text() -> None:
    """Exactly as many tokens as asked, and the reason says so."""
    whole, _ = say(ScriptedEngine(), prompt())
    text, finished = say(ScriptedEngine(), prompt(max_tokens=5))
    assert whole.startswith(text)
    assert finished == Finished("max_tokens", Usage(4, 5))


def test_a_stop_sequence_ends_the_scripted_text() -> None:
    """The text before it, without it."""
    text, finished = say(ScriptedEngine(), prompt(stop=("Scripted",)))
    assert text == "You asked: Name three rivers. "
    assert finished is not None
    assert finished.reason == "stop_sequence"


def test_replies_and_faults_follow_the_script() -> None:
    """A reply by what the prompt contains; faults by call number, by every n-th call, and after some tokens."""
    script = Script(
        replies=(Reply("rivers", "The Rhine."),),
        faults=(Fault("throttled", call=0), Fault("unavailable", every=3), Fault("failed", call=4, after_tokens=2)),
    )
    engine = ScriptedEngine(script)
    told: list[str] = []
    for _ in range(6):
        try:
            told.append(say(engine, prompt())[0])
        except ModelFailure as failure:
            told.append(failure.kind)
    assert told == ["throttled", "The Rhine.", "unavailable", "The Rhine.", "failed", "unavailable"]


@given(st.text(max_size=60), st.integers(0, 60), st.booleans())
def test_a_cut_answer_goes_on_where_it_stopped(text: str, cut: int, stripped: bool) -> None:
    """Beginning and rest are the whole answer to the character, cut anywhere, also where white space was stripped."""
    engine = ScriptedEngine(Script(replies=(Reply("", text),)) if text else None)
    whole, _ = say(engine, prompt())
    begun = whole[:cut].rstrip() if stripped else whole[:cut]
    rest, finished = say(engine, Prompt((*prompt().turns, Turn("assistant", begun)) if begun else prompt().turns))
    assert begun + rest == whole
    assert finished is not None
    assert finished.reason == "end_turn"


def test_the_rest_has_its_own_tokens_and_another_beginning_none() -> None:
    """`max_tokens` bounds what comes after the beginning; after one that is not this answer's, the whole is said."""
    engine = ScriptedEngine(Script(replies=(Reply("rivers", "one two three four"),)))
    told = [
        say(engine, Prompt((*prompt().turns, Turn("assistant", begun)), max_tokens=2)) for begun in ("one tw", "two")
    ]
    assert told == [
        ("o three", Finished("max_tokens", Usage(4 + 2, 2))),
        ("one two", Finished("max_tokens", Usage(4 + 1, 2))),
    ]


def test_the_script_sets_the_length_of_the_text() -> None:
    """Exactly as many tokens, for every prompt or for one reply; the prompt still decides which."""
    script = Script(tokens=400, replies=(Reply("lake", "Leman."), Reply("sea", tokens=3)))
    told = [say(ScriptedEngine(script), prompt(asked)) for asked in ("river", "mill", "lake", "sea")]
    assert [finished.usage.output for _, finished in told if finished] == [400, 400, 2, 3]
    assert told[0][0] != told[1][0]


def test_the_script_sets_the_pace_on_the_loops_clock() -> None:
    """Two tokens: the first after first_token_s, the second token_s later."""

    async def main() -> list[float]:
        engine = ScriptedEngine(Script(first_token_s=3, token_s=0.5, replies=(Reply("", "one two three"),)))
        loop, times = asyncio.get_running_loop(), []
        async for chunk in engine.generate(prompt()):
            if isinstance(chunk, Delta):
                times.append(loop.time())
        return times

    assert run_virtual(main) == pytest.approx([3, 3.5, 4])


def test_a_reply_may_take_longer_than_the_others() -> None:
    """Its own first_token_s, 0 included, stands for the script's."""

    async def main() -> list[float]:
        replies = (Reply("sea", "calm", first_token_s=20), Reply("lake", "still", first_token_s=0), Reply("", "well"))
        engine = ScriptedEngine(Script(first_token_s=3, replies=replies))
        times: list[float] = []
        for asked in ("sea", "lake", "mill"):
            begun = asyncio.get_running_loop().time()
            async for _chunk in engine.generate(prompt(asked)):
                times.append(asyncio.get_running_loop().time() - begun)
                break
        return times

    assert run_virtual(main) == pytest.approx([20, 0, 3])


def test_a_prompt_over_the_context_is_too_long() -> None:
    """The script's context bounds the input."""
    with pytest.raises(ModelFailure) as caught:
        say(ScriptedEngine(Script(context_tokens=10)), prompt("word " * 11))
    assert caught.value.kind == "too_long"


def test_a_script_file_is_read_or_says_what_is_wrong(tmp_path: Path) -> None:
    """Every field of the module's example; a wrong one is named."""
    path = tmp_path / "script.json"
    good = {
        "seed": 7,
        "token_s": 0.1,
        "tokens": 400,
        "prefill": False,
        "replies": [{"contains": "a", "text": "b", "first_token_s": 0.5}, {"contains": "c", "tokens": 9}],
        "faults": [{"call": 0, "kind": "throttled"}, {"every": 2, "kind": "failed", "after_tokens": 5}],
    }
    path.write_text(json.dumps(good))
    assert read_script(path) == Script(
        seed=7,
        token_s=0.1,
        tokens=400,
        prefill=False,
        replies=(Reply("a", "b", first_token_s=0.5), Reply("c", tokens=9)),
        faults=(Fault("throttled", call=0), Fault("failed", every=2, after_tokens=5)),
    )
    for wrong in (
        [],
        {"colour": 1},
        {"prefill": 1},
        {"token_s": -1},
        {"first_token_s": "soon"},
        {"tokens": 0},
        {"tokens": True},
        {"context_tokens": 1.5},
        {"seed": None},
        {"replies": [{"text": "b"}]},
        {"replies": [{"contains": "a"}]},
        {"replies": [{"contains": "a", "text": "b", "tokens": 3}]},
        {"replies": [{"contains": "a", "text": 1}]},
        {"replies": [{"contains": "a", "tokens": 0}]},
        {"replies": [{"contains": "a", "tokens": 1, "first_token_s": -1}]},
        {"replies": [{"contains": "a", "tokens": 1, "first_token_s": "soon"}]},
        {"replies": [{"contains": "a", "first_token_s": 1}]},
        {"faults": [{"kind": "nonsense", "call": 0}]},
        {"faults": [{"kind": "failed"}]},
        {"faults": [{"kind": "failed", "every": 0}]},
    ):
        path.write_text(json.dumps(wrong))
        with pytest.raises(ValueError, match=r"script\.json"):
            read_script(path)


def test_the_script_in_the_documentation_is_one(tmp_path: Path) -> None:
    """It is read, with every field that there is."""
    page = Path(__file__).parents[2] / "docs" / "local-cloud.md"
    path = tmp_path / "script.json"
    path.write_text(page.read_text(encoding="utf-8").split("```json\n")[1].split("```")[0])
    script = read_script(path)
    assert json.loads(path.read_text()).keys() == {field.name for field in dataclasses.fields(Script)}
    assert [(reply.tokens, reply.first_token_s) for reply in script.replies] == [(None, None), (2000, 20)]
    assert [fault.kind for fault in script.faults] == ["throttled", "filtered"]


def test_engines_are_chosen_by_their_setting(tmp_path: Path) -> None:
    """scripted, scripted:FILE, embedded or a URL; anything else is refused with what there is."""
    path = tmp_path / "script.json"
    path.write_text("{}")
    names = ["scripted", f"scripted:{path}", "embedded", "http://127.0.0.1:1/v1#m"]
    assert [choose_engine(name, progress=print).name for name in names] == [
        "scripted",
        "scripted",
        "embedded",
        "openai",
    ]
    with pytest.raises(ValueError, match="give scripted"):
        choose_engine("gpt", progress=print)


def events(*told: dict[str, Any]) -> AsyncGenerator[dict[str, Any]]:
    async def stream() -> AsyncGenerator[dict[str, Any]]:
        for event in told:
            yield event

    return stream()


def delta(text: str | None, reason: str | None = None) -> dict[str, Any]:
    return {"choices": [{"delta": {"content": text}, "finish_reason": reason}]}


def test_chat_events_become_chunks() -> None:
    """Text, the reason and the usage that comes after it."""
    usage = {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2, "prompt_tokens_details": None}}
    told = run_virtual(
        lambda: collect(read_chunks(events(delta(None), delta("a"), delta("b", "length"), usage), prompt()))
    )
    assert told == ("ab", Finished("max_tokens", Usage(3, 2)))


def test_chat_events_are_cut_at_stop_sequences_with_usage_from_timings() -> None:
    """The reading ends at the stop sequence; usage is what llama.cpp told last."""
    timed = {**delta("x END y"), "timings": {"prompt_n": 4, "cache_n": 6, "predicted_n": 5}}
    told = run_virtual(lambda: collect(read_chunks(events(timed, delta("z")), prompt(stop=("END",)))))
    assert told == ("x ", Finished("stop_sequence", Usage(10, 5, 6)))


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        ({"error": {"code": 400, "type": "exceed_context_size_error"}}, "too_long"),
        ({"error": {"code": 429, "message": "slow down"}}, "throttled"),
        ({"error": {"code": 500}}, "unavailable"),
        ({"error": {"code": 400}}, "failed"),
        ({"choices": []}, "failed"),
    ],
)
def test_errors_in_the_events_are_failures(event: dict[str, Any], kind: str) -> None:
    """Each error has its kind; a stream that ends without a reason has broken off."""
    with pytest.raises(ModelFailure) as caught:
        run_virtual(lambda: collect(read_chunks(events(event), prompt())))
    assert caught.value.kind == kind


def test_the_request_has_what_was_asked_and_nothing_else() -> None:
    """System first, then the turns; parameters only where they were given; stop sequences stay here."""
    asked = Prompt((Turn("user", "u"), Turn("assistant", "a"), Turn("user", "v")), "s", 5, 0.0, None, ("END",))
    assert chat_request(asked, model="m") == {
        "messages": [
            {"role": "system", "content": "s"},
            {"role": "user", "content": "u"},
            {"role": "assistant", "content": "a"},
            {"role": "user", "content": "v"},
        ],
        "stream": True,
        "stream_options": {"include_usage": True},
        "model": "m",
        "max_tokens": 5,
        "temperature": 0.0,
    }


def test_a_request_that_was_begun_asks_to_go_on() -> None:
    """With the two members that vLLM and llama.cpp take for it."""
    asked = chat_request(Prompt((Turn("user", "u"), Turn("assistant", "a"))))
    assert asked["messages"] == [{"role": "user", "content": "u"}, {"role": "assistant", "content": "a"}]
    assert (asked["continue_final_message"], asked["add_generation_prompt"]) == (True, False)


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    """Nothing listens: a failure to retry, not an exception of the HTTP client."""
    engine = OpenAIEngine("http://127.0.0.1:1/v1#m")
    await engine.start()
    try:
        with pytest.raises(ModelFailure) as caught:
            await collect(engine.generate(prompt()))
        assert caught.value.kind == "unavailable"
    finally:
        await engine.close()


@pytest.mark.parametrize(("status", "kind"), [(400, "no_prefill"), (422, "no_prefill"), (500, "unavailable")])
async def test_a_server_that_refuses_to_go_on(status: int, kind: str) -> None:
    """OpenAI refuses members that it does not know: no other try passes, so it is not a model that failed."""
    begun = Prompt((*prompt().turns, Turn("assistant", "The Rhine")))
    async with refusing(status, "Unrecognized request arguments supplied: continue_final_message") as engine:
        with pytest.raises(ModelFailure) as caught:
            await collect(engine.generate(begun))
        assert caught.value.kind == kind


@pytest.mark.parametrize("status", [401, 403])
async def test_a_server_that_refuses_the_key_names_the_variable_and_never_the_key(status: int) -> None:
    """The server's own text may repeat the key, so the failure says only where the key comes from."""
    async with refusing(status, "no such key", api_key="sk-1234") as engine:
        with pytest.raises(ModelFailure, match="OPENAI_API_KEY") as caught:
            await collect(engine.generate(prompt()))
        assert "sk-1234" not in str(caught.value)
        assert caught.value.kind == "failed"


@asynccontextmanager
async def refusing(status: int, text: str, **more: str) -> AsyncGenerator[OpenAIEngine]:
    """An engine whose server answers every prompt so, and repeats the key."""

    async def refuse(request: web.Request) -> web.Response:
        return web.Response(status=status, text=f"{text}: {request.headers.get('authorization')}")

    app = web.Application()
    app.router.add_post("/v1/chat/completions", refuse)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    engine = OpenAIEngine(f"http://127.0.0.1:{runner.addresses[0][1]}/v1#m", **more)
    await engine.start()
    try:
        yield engine
    finally:
        await engine.close()
        await runner.cleanup()
