"""The contract of streamed answers over WebSocket and HTTP: the same assertions locally and on a deployed stack.

Needs SOCKET_URL, STREAM_URL and API_URL (the stack's SocketUrl, StreamUrl and ApiUrl outputs) and TOKEN (a bearer
token); OTHER_TOKEN (another caller's) adds the ownership cases. Skipped, visibly, where they are not set; tests/local
runs them against the local cloud.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import aiohttp
import pytest

from tests.answer_clients import WAIT_S, EventClient, SocketClient, connect, get_answer, post_question
from tests.answer_reader import AnswerReader

URLS = {name: os.environ.get(f"{name.upper()}_URL", "") for name in ("Socket", "Stream", "Api")}
TOKEN = os.environ.get("TOKEN", "")
OTHER_TOKEN = os.environ.get("OTHER_TOKEN", "")
JOB_S = float(os.environ.get("JOB_TIMEOUT_S", "60"))
PROMPT = "Count from one to forty in words."
HTTP = pytest.mark.parametrize("way", ["Stream", "Api"])

pytestmark = pytest.mark.skipif(
    not all(URLS.values()), reason="SOCKET_URL, STREAM_URL or API_URL is not set; tests/local runs these locally"
)


def new_req() -> str:
    return f"contract-{uuid.uuid4()}"


@asynccontextmanager
async def socket(token: str = TOKEN, **options: Any) -> AsyncGenerator[SocketClient]:
    async with connect(URLS["Socket"], token, **options) as client:
        yield client


async def asked(client: SocketClient, req: str, prompt: str = PROMPT, **members: Any) -> AnswerReader:
    """The whole answer."""
    return await client.see_through(await client.ask(req, prompt, **members))


async def posted(way: str, req: str, prompt: str = PROMPT) -> tuple[EventClient, AnswerReader]:
    """The whole answer over HTTP."""
    async with post_question(URLS[way], TOKEN, {"req": req, "prompt": prompt}) as client:
        return client, await client.follow(AnswerReader(req))


def is_whole(reader: AnswerReader) -> bool:
    """Ended well, with its length and its usage."""
    ended = reader.ended or {}
    usage = ended["d"]["usage"]
    return (
        ended["t"] == "final"
        and ended["off"] == len(reader.text) > 0
        and ended["d"]["stop_reason"] in {"end_turn", "max_tokens", "stop_sequence"}
        and usage["input_tokens"] >= 1
        and usage["output_tokens"] >= 1
    )


# ---------------------------------------------------------------- over a WebSocket


@pytest.mark.parametrize("in_subprotocol", [True, False])
async def test_an_answer_comes_in_frames_that_follow_one_another(*, in_subprotocol: bool) -> None:
    """Numbered from 1, each where the one before ended, of one attempt; `sluiceway` is the chosen subprotocol."""
    async with socket(in_subprotocol=in_subprotocol) as client:
        assert client.subprotocol == "sluiceway"
        reader = await asked(client, new_req())
    assert is_whole(reader)
    deltas = [frame for frame in reader.frames if frame["t"] == "delta"]
    assert [frame["seq"] for frame in reader.frames] == list(range(1, len(reader.frames) + 1))
    assert {frame["v"] for frame in reader.frames} == {1}
    assert deltas[0]["off"] == 0
    assert all(one["off"] + len(one["d"]) == other["off"] for one, other in pairwise(deltas))
    assert "".join(frame["d"] for frame in deltas) == reader.text


@pytest.mark.parametrize("token", ["", "not-a-token", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0."])
@pytest.mark.parametrize("in_subprotocol", [True, False])
async def test_nobody_connects_without_a_good_token(token: str, *, in_subprotocol: bool) -> None:
    """401 or 403, before the connection is open."""
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        async with socket(token, in_subprotocol=in_subprotocol and bool(token)):
            pass
    assert caught.value.status in {401, 403}


async def test_the_same_question_is_the_same_answer() -> None:
    """Asked again under its req, from another connection: the same text and the same end."""
    req = new_req()
    async with socket() as client, socket() as other:
        first, second = await asked(client, req), await asked(other, req)
    assert is_whole(first)
    assert (second.text, (second.ended or {})["d"]) == (first.text, (first.ended or {})["d"])


async def test_a_cut_connection_costs_nothing() -> None:
    """Another one goes on at the character where the first one broke; asked again, it comes from the start."""
    req = new_req()
    async with socket() as client:
        reader = await client.follow(await client.ask(req, PROMPT), until=lambda reader: reader.text or reader.ended)
        client.cut()
    had, seen = len(reader.text), len(reader.frames)
    async with socket() as client:
        await client.say(reader.resume())
        await client.see_through(reader)
        whole = await asked(client, req)
    assert is_whole(reader)
    assert whole.text == reader.text
    if had < len(reader.text):
        assert next(frame["off"] for frame in reader.frames[seen:] if frame["t"] == "delta") == had


async def test_the_end_of_an_answer_is_brought_from_any_character() -> None:
    """`resume` with an offset and the attempt brings what is missing, and nothing else."""
    req = new_req()
    async with socket() as client:
        whole = await asked(client, req)
        tail = AnswerReader(req, text=whole.text[:-5], attempt=whole.attempt)
        await client.say(tail.resume())
        await client.see_through(tail)
    assert [frame["d"] for frame in tail.frames if frame["t"] == "delta"] == [whole.text[-5:]]
    assert tail.text == whole.text


async def test_a_cancelled_answer_stays_cancelled() -> None:
    """What was said before is kept, and everyone who comes later is told the same end."""
    req = new_req()
    async with socket() as client:
        reader = await client.ask(req, "Tell a long story about a river and its locks.")
        await client.follow(
            reader, until=lambda reader: reader.frames
        )  # before that a cancel may overtake the question
        await client.say({"action": "cancel", "req": req})
        await client.see_through(reader)
        again = AnswerReader(req)
        await client.say(again.resume())
        await client.see_through(again)
    assert (reader.ended or {})["t"] == "final"
    assert (again.text, (again.ended or {})["d"]) == (reader.text, (reader.ended or {})["d"])


async def test_another_question_under_a_taken_req_is_a_conflict() -> None:
    """Over the socket an error frame; over HTTP 409. The first question stands."""
    req = new_req()
    async with socket() as client:
        reader = await asked(client, req)
        refused = await client.follow(await client.ask(req, "Something else."))
    assert (refused.ended or {})["d"]["type"] == "/problems/conflict"
    assert (refused.ended or {})["d"]["resumable"] is False
    for way in ("Stream", "Api"):
        async with post_question(URLS[way], TOKEN, {"req": req, "prompt": "Something else."}) as other:
            assert other.status == 409
            assert json.loads(await other.body())["type"] == "/problems/conflict"
    assert is_whole(reader)


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ({"action": "ask", "req": "a b", "prompt": "x"}, "invalid-body"),
        ({"action": "ask", "req": "x" * 129, "prompt": "x"}, "invalid-body"),
        ({"action": "ask", "req": "r", "prompt": ""}, "invalid-body"),
        ({"action": "ask", "req": "r", "prompt": "x", "max_tokens": 0}, "invalid-body"),
        ({"action": "ask", "req": "r", "prompt": "x", "colour": "red"}, "invalid-body"),
        ({"action": "ask", "req": "r", "prompt": "x", "model": "none.such"}, "unknown-model"),
        ({"action": "ask", "req": "r", "prompt": "x", "after": "never-asked"}, "no-such-answer"),
        ({"action": "resume", "req": "never-asked", "off": 0}, "no-such-answer"),
        ({"action": "resume", "req": "never-asked", "off": -1}, "invalid-body"),
        ({"action": "cancel", "req": "never-asked"}, "no-such-answer"),
        ({"action": "dance"}, "unknown-action"),
        ("no json", "unknown-action"),
    ],
)
async def test_a_wrong_message_is_an_error_frame(message: dict[str, Any] | str, kind: str) -> None:
    """It says what is wrong under the req that it could read; the connection stays open."""
    async with socket() as client:
        for _ in range(2):
            await client.say(message)
            frame = await client.receive()
            assert (frame["t"], frame["d"]["type"]) == ("error", f"/problems/{kind}")
            assert frame["d"]["resumable"] is False
            assert frame["req"] == (message.get("req", "")[:128] if isinstance(message, dict) else "")


async def test_a_frame_that_is_too_large_closes_the_connection() -> None:
    """32 KB a frame: 1009."""
    async with aiohttp.ClientSession() as session:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with session.ws_connect(URLS["Socket"], headers=headers) as opened:
            await opened.send_str(json.dumps({"action": "ask", "req": "r", "prompt": "x" * 40_000}))
            closed = await opened.receive(timeout=WAIT_S)
            assert (closed.type, opened.close_code) == (aiohttp.WSMsgType.CLOSE, 1009)


async def test_a_question_may_go_on_with_a_conversation() -> None:
    """`after` names the turn before."""
    first, second = new_req(), new_req()
    async with socket() as client:
        await asked(client, first)
        assert is_whole(await asked(client, second, "And backwards?", after=first))


# ---------------------------------------------------------------- over HTTP


@HTTP
async def test_events_carry_the_frames_and_where_they_end(way: str) -> None:
    """Server-sent events that nobody may keep; each id is the attempt and the length (the client here checks them)."""
    client, reader = await posted(way, new_req())
    assert client.status == 200
    assert client.headers["content-type"].startswith("text/event-stream")
    assert "no-store" in client.headers["cache-control"]
    assert is_whole(reader)
    assert client.last_id == f"{reader.attempt}.{len(reader.text)}"


@HTTP
async def test_an_answer_is_read_again_and_gone_on_with(way: str) -> None:
    """From the start without an id, after an event with its id, and over the socket."""
    req = new_req()
    client, reader = await posted(way, req)
    async with get_answer(URLS[way], TOKEN, req) as again:
        whole = await again.follow(AnswerReader(req))
    async with get_answer(URLS[way], TOKEN, req, last_id=client.last_id) as at_end:
        nothing = await at_end.follow(AnswerReader(req, text=reader.text, attempt=reader.attempt))
    async with socket() as over_socket:
        same = await asked(over_socket, req)
    assert whole.text == same.text == reader.text
    assert [frame["t"] for frame in nothing.frames] == ["final"]


@HTTP
async def test_a_reader_that_goes_away_comes_back(way: str) -> None:
    """In the middle, with Last-Event-ID: the text is whole, each character once."""
    req = new_req()
    reader = AnswerReader(req)
    async with post_question(URLS[way], TOKEN, {"req": req, "prompt": PROMPT}) as client:
        await client.follow(reader, until=lambda reader: reader.text or reader.ended)
        last_id = client.last_id
    ends = time.monotonic() + JOB_S
    while not reader.ended or reader.is_resumable:
        assert time.monotonic() < ends
        reader.resume()
        async with get_answer(URLS[way], TOKEN, req, last_id=last_id) as client:
            await client.follow(reader)
            last_id = client.last_id or last_id
    async with get_answer(URLS[way], TOKEN, req) as client:
        assert (await client.follow(AnswerReader(req))).text == reader.text
    assert is_whole(reader)


@HTTP
@pytest.mark.parametrize("token", ["", "not-a-token"])
async def test_no_answer_without_a_good_token(way: str, token: str) -> None:
    """A 401 problem on both routes."""
    async with (
        post_question(URLS[way], token, {"prompt": PROMPT}) as asking,
        get_answer(URLS[way], token, "r") as reading,
    ):
        for client in (asking, reading):
            assert client.status == 401
            assert json.loads(await client.body())["type"] == "/problems/unauthorized"


@HTTP
@pytest.mark.parametrize(
    ("question", "status", "kind"),
    [
        ({"prompt": ""}, 400, "invalid-body"),
        ({"prompt": "x", "colour": "red"}, 400, "invalid-body"),
        ({"prompt": "x", "req": "a b"}, 400, "invalid-body"),
        ({"prompt": "x", "model": "none.such"}, 400, "unknown-model"),
        ([], 400, "invalid-body"),
    ],
)
async def test_a_wrong_question_is_refused_before_the_stream(way: str, question: Any, status: int, kind: str) -> None:
    """A problem that names what is wrong."""
    async with post_question(URLS[way], TOKEN, question) as client:
        assert client.status == status
        assert client.headers["content-type"].startswith("application/problem+json")
        assert json.loads(await client.body())["type"] == f"/problems/{kind}"


@HTTP
async def test_unknown_answers_and_ids_are_refused(way: str) -> None:
    """404, and 400 for a Last-Event-ID that no event had."""
    async with get_answer(URLS[way], TOKEN, new_req()) as client:
        assert client.status == 404
        assert json.loads(await client.body())["type"] == "/problems/no-such-answer"
    req = new_req()
    await posted(way, req)
    async with get_answer(URLS[way], TOKEN, req, last_id="yesterday") as client:
        assert client.status == 400
        assert json.loads(await client.body())["type"] == "/problems/invalid-event-id"


@HTTP
async def test_the_console_may_read_answers_and_nobody_else(way: str) -> None:
    """CORS names one origin, and lets a page send Last-Event-ID."""
    asked_for = {
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "authorization,last-event-id",
    }
    async with aiohttp.ClientSession() as session:
        url = f"{URLS[way].rstrip('/')}/answers/{new_req()}"
        async with session.options(url, headers={"Origin": "https://example.org", **asked_for}) as foreign:
            assert foreign.headers.get("access-control-allow-origin", "") not in {"*", "https://example.org"}
        async with session.options(f"{URLS['Api']}/answers", headers={"Origin": "x", **asked_for}) as preflight:
            console = preflight.headers["access-control-allow-origin"]
        async with session.options(url, headers={"Origin": console, **asked_for}) as own:
            assert own.headers["access-control-allow-origin"] == console
            assert "last-event-id" in own.headers["access-control-allow-headers"]
        headers = {"Origin": console, "Authorization": f"Bearer {TOKEN}"}
        async with session.get(url, headers=headers) as unknown:
            assert unknown.headers.getall("access-control-allow-origin") == [console]


# ---------------------------------------------------------------- jobs over the socket


async def test_a_submitted_job_is_the_one_that_the_api_shows() -> None:
    """Its sender is told where it is and how it ended; asked again, the same end."""
    req = new_req()
    async with socket() as client:
        for _ in range(2):
            await client.say({"action": "submit", "req": req, "job": {"prompt": PROMPT, "max_tokens": 64}})
            reader = await client.follow(AnswerReader(req), wait_s=JOB_S)
            assert (reader.ended or {})["t"] == "final"
    told = (reader.ended or {})["d"]
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{URLS['Api']}/{told['status_url']}", headers={"Authorization": f"Bearer {TOKEN}"}) as response,
    ):
        job = await response.json()
    assert (job["state"], job["attempts"]) == ("succeeded", 1)
    assert job["result"] == told["result"]


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ({"req": "{req}", "job": {"prompt": ""}}, "invalid-body"),
        ({"req": "{req}", "job": []}, "invalid-body"),
        ({"req": "{req}"}, "not-queued"),
        ({"job": {"prompt": "x"}}, "not-queued"),
    ],
)
async def test_a_job_that_cannot_be_is_told(message: dict[str, Any], kind: str) -> None:
    """What the queue took is told under its req; what it did not take has none."""
    req = new_req()
    named = {name: req if value == "{req}" else value for name, value in message.items()}
    async with socket() as client:
        await client.say({"action": "submit", **named})
        while (frame := await client.receive(JOB_S))["t"] == "ping":
            pass
    assert (frame["t"], frame["d"]["type"]) == ("error", f"/problems/{kind}")
    assert frame["req"] == ("" if kind == "not-queued" else req)


# ---------------------------------------------------------------- whose it is


@pytest.mark.skipif(not OTHER_TOKEN, reason="OTHER_TOKEN names no second caller")
async def test_an_answer_belongs_to_its_caller() -> None:
    """Another caller neither reads it nor stops it, and may use the same req."""
    req = new_req()
    async with socket() as mine, socket(OTHER_TOKEN) as theirs:
        await asked(mine, req)
        for message in (AnswerReader(req).resume(), {"action": "cancel", "req": req}):
            await theirs.say(message)
            assert (await theirs.receive())["d"]["type"] == "/problems/no-such-answer"
        assert is_whole(await asked(theirs, req, "Something else."))
    async with get_answer(URLS["Api"], OTHER_TOKEN, new_req()) as client:
        assert client.status == 404
