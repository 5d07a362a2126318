"""Streamed answers over real sockets and real function processes: docs/streaming.md as a client sees it."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import threading
import time
import uuid
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import boto3
import pytest

from localcloud.replay.targets import caller_of
from tests.answer_clients import EventClient, SocketClient, connect, get_answer, post_question
from tests.answer_reader import AnswerReader
from tests.local.conftest import call_api
from tests.local.stream_world import StreamWorld, start_stream_world

pytestmark = pytest.mark.local

PROMPT = "Name three rivers & say why: 100 % of them + one."
STORY, BALLAD = "Tell a story." + PROMPT, "Sing a ballad." + PROMPT
# What breaks a form body that is not encoded, a query, JSON, XML, and a text that is not Unicode to somebody.
HOSTILE = "a&b=c+d%20e%\"'\\\n\r\t\u0007</x>€😀&Action=DeleteQueue&MessageBody=x&MessageAttribute.1.Name=job_id " * 150
# An answer takes 1.5 s, a ballad 2.5 s, a story 6 s; a silent one longer than any silence that a client has to bear.
SCRIPT: dict[str, Any] = {
    "seed": 11,
    "first_token_s": 0.1,
    "token_s": 0.015,
    "tokens": 90,
    "replies": [
        {"contains": "silence", "tokens": 3, "first_token_s": 26},
        {"contains": HOSTILE, "text": "It arrived."},
        {"contains": "quick", "text": "Yes."},
        {"contains": "laugh", "text": "ha " * 150},
        {"contains": "ballad", "tokens": 160},
        {"contains": "story", "tokens": 400},
    ],
}
LEAD_MS = 500
GRACE_S = 1


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StreamWorld]:
    """One cloud for this module; an answer that nobody reads rests after 1 s."""
    started = start_stream_world(tmp_path_factory.mktemp("streams"), SCRIPT, DisconnectGraceSeconds=str(GRACE_S))
    yield started
    started.cloud.sluiceway("down")


def new_req() -> str:
    return f"r-{uuid.uuid4()}"


def has(length: int) -> Callable[[AnswerReader], bool]:
    """Whether the reader has so many characters, or an end."""
    return lambda reader: len(reader.text) >= length or reader.ended is not None


@asynccontextmanager
async def socket(world: StreamWorld, **options: Any) -> AsyncGenerator[SocketClient]:
    async with connect(world.url("Socket"), world.token, **options) as client:
        yield client


def end_of(reader: AnswerReader) -> tuple[str, str]:
    """The last frame's kind, and its stop reason or problem."""
    ended = reader.ended or {"t": "", "d": {}}
    return ended["t"], ended["d"].get("stop_reason") or ended["d"].get("type", "")


def now_ms() -> float:
    return time.time() * 1000


# ---------------------------------------------------------------- what takes long, read beside the other tests


@dataclass
class Silence:
    """A silent answer over a socket and one over each HTTP way. `workers`: the socket's, and who was there before."""

    thread: threading.Thread
    workers: set[int] = field(default_factory=set)
    over_socket: AnswerReader | None = None
    over_http: dict[str, tuple[EventClient, AnswerReader]] = field(default_factory=dict)


@pytest.fixture(scope="module")
def silence(world: StreamWorld) -> Iterator[Silence]:
    """Begun with the first test; what came of it is there once its thread has ended."""

    async def over_socket() -> None:
        async with socket(world) as client:
            found.over_socket = await client.follow(await client.ask(new_req(), "silence"), wait_s=40)

    async def over_http(way: str) -> None:
        question = {"req": new_req(), "prompt": "silence"}
        async with post_question(world.url(way), world.token, question, wait_s=40) as client:
            found.over_http[way] = client, await client.follow(AnswerReader(question["req"]))

    async def read() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(over_socket())
            group.create_task(over_http("Stream"))
            group.create_task(over_http("Api"))

    found = Silence(threading.Thread(target=lambda: asyncio.run(read())))
    found.thread.start()
    ends = time.monotonic() + 20
    while not found.workers:
        assert time.monotonic() < ends
        time.sleep(0.05)
        found.workers |= set(world.cloud.processes("sluiceway-StreamAnswer"))
    yield found
    found.thread.join()


async def test_an_answer_whose_worker_was_killed_is_gone_on_with(world: StreamWorld, silence: Silence) -> None:
    """SIGKILL in the middle: the client resumes after a silence, another worker goes on; the text is whole.

    The client has more than was stored: what the next worker says again is cut by a reset, not doubled.
    """
    began_ms = now_ms()
    async with socket(world) as client:
        reader = await client.follow(await client.ask(new_req(), BALLAD), until=has(560))
        (worker,) = set(world.cloud.processes("sluiceway-StreamAnswer")) - silence.workers
        os.kill(worker, signal.SIGKILL)
        await client.see_through(reader, patience_s=3)
        assert end_of(reader) == ("final", "end_turn")
        assert reader.text == world.whole(BALLAD)
        assert reader.attempt == 2
    (cut,) = [frame["off"] for frame in reader.frames if frame["t"] == "reset"]
    assert 0 < cut < len(reader.text)
    first, second = await world.spans(began_ms, "model", "ConverseStream")
    assert first["detail"]["left"] is True
    assert second["detail"]["output_tokens"] < 160


# ---------------------------------------------------------------- who may come


async def test_a_browsers_token_comes_as_a_subprotocol(world: StreamWorld) -> None:
    """The service chooses `sluiceway`, and never the one that carries the token."""
    async with socket(world, in_subprotocol=True) as client:
        assert client.subprotocol == "sluiceway"
        reader = await client.follow(await client.ask(new_req(), PROMPT))
    assert reader.text == world.whole(PROMPT)


async def test_a_header_token_is_as_good(world: StreamWorld) -> None:
    """With the subprotocol offered it is chosen all the same."""
    async with socket(world) as client:
        assert client.subprotocol == "sluiceway"
        await client.say({"action": "cancel", "req": "never-asked"})
        assert (await client.receive())["d"]["type"] == "/problems/no-such-answer"


@pytest.mark.parametrize("in_subprotocol", [True, False])
@pytest.mark.parametrize(
    ("token", "statuses"), [("", {401}), ("nonsense", {401, 403}), ("eyJhbGciOiJub25lIn0.e30.", {401, 403})]
)
async def test_a_connection_needs_a_good_token(
    world: StreamWorld, token: str, statuses: set[int], *, in_subprotocol: bool
) -> None:
    """The handshake itself is refused."""
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        async with connect(world.url("Socket"), token, in_subprotocol=in_subprotocol and bool(token)):
            pass
    assert caught.value.status in statuses


@pytest.mark.parametrize("way", ["Stream", "Api"])
@pytest.mark.parametrize("token", ["", "nonsense"])
async def test_http_needs_a_good_token(world: StreamWorld, way: str, token: str) -> None:
    """A 401 problem, whoever asks for the token: the API's authorizer or the function itself."""
    async with post_question(world.url(way), token, {"prompt": PROMPT}) as client:
        assert client.status == 401
        assert json.loads(await client.body())["type"] == "/problems/unauthorized"


# ---------------------------------------------------------------- the first words


async def test_the_first_words_come_while_the_worker_works(world: StreamWorld) -> None:
    """Over a WebSocket: half a second and more before the worker's handler returns."""
    began_ms = now_ms()
    async with socket(world) as client:
        reader = await client.follow(await client.ask(new_req(), PROMPT))
        assert reader.text == world.whole(PROMPT)
        assert end_of(reader) == ("final", "end_turn")
    (worked,) = await world.spans(began_ms, "function", "StreamAnswer")
    assert client.times["delta"] + LEAD_MS <= worked["end_ms"]


@pytest.mark.parametrize("way", ["Stream", "Api"])
async def test_http_hands_on_what_is_written(world: StreamWorld, way: str) -> None:
    """Function URL and REST: status, headers and first words come long before the function returns."""
    began_ms, question = now_ms(), {"req": new_req(), "prompt": PROMPT}
    async with post_question(world.url(way), world.token, question) as client:
        headers_ms = now_ms()
        reader = await client.follow(AnswerReader(question["req"]))
    assert (client.status, client.headers["content-type"]) == (200, "text/event-stream")
    assert reader.text == world.whole(PROMPT)
    assert end_of(reader) == ("final", "end_turn")
    (worked,) = await world.spans(began_ms, "function", "StreamHttp")
    assert headers_ms + LEAD_MS <= worked["end_ms"]
    assert client.times["delta"] + LEAD_MS <= worked["end_ms"]


# ---------------------------------------------------------------- asked once


async def test_the_same_question_again_attaches(world: StreamWorld) -> None:
    """From a second connection in the middle, over HTTP, and after the end: one generation, one text."""
    began_ms, req = now_ms(), new_req()
    question = {"req": req, "prompt": PROMPT}
    async with socket(world) as first, socket(world) as second:
        reader = await first.follow(await first.ask(req, PROMPT), until=has(100))
        beside = await second.ask(req, PROMPT)
        async with post_question(world.url("Stream"), world.token, question) as third:
            over_http = AnswerReader(req)
            await asyncio.gather(first.follow(reader), second.follow(beside), third.follow(over_http))
        late = await second.follow(await second.ask(req, PROMPT))
    whole = world.whole(PROMPT)
    assert [each.text for each in (reader, beside, over_http, late)] == [whole] * 4
    assert {end_of(each) for each in (reader, beside, over_http, late)} == {("final", "end_turn")}
    assert len(await world.spans(began_ms, "model")) == 1


async def test_another_question_under_the_same_req_conflicts(world: StreamWorld) -> None:
    """An error frame, a 409 over HTTP; the first question's answer stands."""
    req = new_req()
    async with socket(world) as client, socket(world) as other:
        reader = await client.follow(await client.ask(req, PROMPT), until=has(50))
        refused = await other.follow(await other.ask(req, "Another."))
        assert end_of(refused) == ("error", "/problems/conflict")
        async with post_question(world.url("Api"), world.token, {"req": req, "prompt": "Another."}) as third:
            assert third.status == 409
        await client.follow(reader)
    assert reader.text == world.whole(PROMPT)


async def test_an_answer_is_its_callers_own(world: StreamWorld) -> None:
    """Somebody else's req of the same name is another answer, and this one is not theirs to read."""
    req, stranger = new_req(), world.cloud.token("somebody-else")
    async with socket(world) as client, connect(world.url("Socket"), stranger) as other:
        reader = await client.follow(await client.ask(req, PROMPT), until=has(50))
        await other.say({"action": "resume", "req": req, "off": 0})
        assert (await other.receive())["d"]["type"] == "/problems/no-such-answer"
        async with get_answer(world.url("Api"), stranger, req) as third:
            assert third.status == 404
        await client.follow(reader)
    assert reader.text == world.whole(PROMPT)


# ---------------------------------------------------------------- cut, and stopped


async def test_a_cut_socket_resumes_at_its_character(world: StreamWorld) -> None:
    """Another connection goes on exactly there, while the answer is made."""
    began_ms, req = now_ms(), new_req()
    async with socket(world) as client:
        reader = await client.follow(await client.ask(req, PROMPT), until=has(120))
        client.cut()
    had, seen = len(reader.text), len(reader.frames)
    await asyncio.sleep(0.3)
    async with socket(world) as client:
        await client.say(reader.resume())
        await client.follow(reader)
    assert reader.text == world.whole(PROMPT)
    assert end_of(reader) == ("final", "end_turn")
    assert next(frame["off"] for frame in reader.frames[seen:]) == had
    assert len(await world.spans(began_ms, "model")) == 1


async def test_an_answer_that_nobody_reads_rests_until_somebody_comes_back(world: StreamWorld) -> None:
    """A dropped connection is gone from the table; after the grace period the model is stopped; a resume goes on."""
    began_ms, req = now_ms(), new_req()
    async with socket(world) as client:
        reader = await client.follow(await client.ask(req, STORY), until=has(120))
        known = await asyncio.to_thread(_connections, world)
        client.cut()
    had, seen = len(reader.text), len(reader.frames)
    (stopped,) = await world.spans(began_ms, "model", "ConverseStream")  # it has ended
    assert stopped["detail"]["left"] is True
    assert GRACE_S * 1000 <= stopped["end_ms"] - began_ms < 5000
    assert len(await asyncio.to_thread(_connections, world)) == len(known) - 1
    async with socket(world) as client:
        await client.say(reader.resume())
        await client.see_through(reader)
    assert reader.text == world.whole(STORY)
    assert next(frame["off"] for frame in reader.frames[seen:]) == had
    assert len(await world.spans(began_ms, "model")) == 2


def _connections(world: StreamWorld) -> list[Any]:
    keys = {"aws_access_key_id": "developer", "aws_secret_access_key": "x"}
    status = world.cloud.status
    client = boto3.client("dynamodb", endpoint_url=status["endpoints"]["aws"], region_name=status["region"], **keys)
    return client.scan(TableName=status["outputs"]["ConnectionsTableName"])["Items"]


async def test_cancel_stops_the_model(world: StreamWorld) -> None:
    """The reader hears of it, and the upstream is closed, not merely ignored: 4 s before it would have ended."""
    began_ms = now_ms()
    async with socket(world) as client:
        reader = await client.follow(await client.ask(new_req(), STORY), until=has(60))
        await client.say({"action": "cancel", "req": reader.req})
        said_ms = now_ms()
        await client.follow(reader)
    assert end_of(reader) == ("final", "cancelled")
    assert world.whole(STORY).startswith(reader.text)
    assert reader.text != world.whole(STORY)
    (generation,) = await world.spans(began_ms, "model", "ConverseStream")
    assert generation["detail"].get("left") is True
    assert "stop_reason" not in generation["detail"]
    assert generation["end_ms"] - said_ms < 2000
    assert (reader.ended or {})["d"]["usage"]["estimated"] == 1


# ---------------------------------------------------------------- server-sent events


@pytest.mark.parametrize("way", ["Stream", "Api"])
async def test_events_go_on_after_the_last_id(world: StreamWorld, way: str) -> None:
    """A client that goes away in the middle comes back with Last-Event-ID, and has the whole text exactly."""
    req = new_req()
    reader = AnswerReader(req)
    async with post_question(world.url(way), world.token, {"req": req, "prompt": PROMPT}) as client:
        await client.follow(reader, until=has(100))
    last_id = client.last_id
    assert last_id == f"1.{len(reader.text)}"
    for _ in range(2):  # in the middle of the answer, and once more
        async with get_answer(world.url(way), world.token, req, last_id=last_id) as client:
            await client.follow(reader, until=has(len(reader.text) + 100))
            last_id = client.last_id
    async with get_answer(world.url(way), world.token, req, last_id=last_id) as client:
        await client.follow(reader)
    assert reader.text == world.whole(PROMPT)
    assert end_of(reader) == ("final", "end_turn")
    offsets = [frame["off"] for frame in reader.frames if frame["t"] == "delta"]
    assert offsets == sorted(set(offsets))


async def test_a_finished_answer_is_read_from_anywhere(world: StreamWorld) -> None:
    """From the start without an id, from its end with the last one; over the socket from an offset."""
    req = new_req()
    async with post_question(world.url("Api"), world.token, {"req": req, "prompt": PROMPT}) as client:
        await client.follow(AnswerReader(req))
        last_id = client.last_id
    async with get_answer(world.url("Stream"), world.token, req) as client:
        again = await client.follow(AnswerReader(req))
    async with get_answer(world.url("Stream"), world.token, req, last_id=last_id) as client:
        nothing = await client.follow(AnswerReader(req, text=again.text, attempt=1))
    async with socket(world) as over_socket:
        tail = AnswerReader(req, text=again.text[:-7], attempt=1)
        await over_socket.say(tail.resume())
        await over_socket.follow(tail)
    assert again.text == tail.text == world.whole(PROMPT)
    assert [frame["t"] for frame in nothing.frames] == ["final"]
    assert [frame["d"] for frame in tail.frames if frame["t"] == "delta"] == [again.text[-7:]]


@pytest.mark.parametrize(
    ("last_id", "status", "kind"),
    [("x", 400, "invalid-event-id"), ("1.2.3", 400, "invalid-event-id"), ("", 404, "no-such-answer")],
)
async def test_http_refuses_before_the_stream_begins(world: StreamWorld, last_id: str, status: int, kind: str) -> None:
    """A status and a problem, not an event."""
    req = new_req()
    if last_id:
        async with post_question(world.url("Api"), world.token, {"req": req, "prompt": "Short."}) as client:
            await client.follow(AnswerReader(req))
    async with get_answer(world.url("Api"), world.token, req, last_id=last_id) as client:
        assert client.status == status
        assert json.loads(await client.body())["type"] == f"/problems/{kind}"


async def test_a_text_that_repeats_itself_is_whole_after_a_cut(world: StreamWorld) -> None:
    """Defect of a peer: tokens are de-duplicated by value. Here offsets tell, over the socket and over events."""
    req = new_req()
    over_events = AnswerReader(req)
    async with socket(world) as client:
        reader = await client.follow(await client.ask(req, "laugh"), until=has(100))
        client.cut()
    async with get_answer(world.url("Stream"), world.token, req) as events:
        await events.follow(over_events, until=has(150))
        last_id = events.last_id
    async with socket(world) as client, get_answer(world.url("Api"), world.token, req, last_id=last_id) as events:
        await client.say(reader.resume())
        await asyncio.gather(client.see_through(reader), events.follow(over_events))
    assert reader.text == over_events.text == world.whole("laugh")
    assert reader.text.count("ha") == 150


async def test_a_warm_worker_counts_each_answers_frames_from_1(world: StreamWorld) -> None:
    """Defect of a peer: the number of a frame is a module's global. One process makes these answers, one by one."""
    async with socket(world) as client:
        for _ in range(3):
            reader = await client.follow(await client.ask(new_req(), "quick"))
            assert [frame["seq"] for frame in reader.frames] == list(range(1, len(reader.frames) + 1))


# ---------------------------------------------------------------- jobs over the socket


def _job_id(world: StreamWorld, req: str) -> str:
    """The id of the job that the module's caller submits as `req`."""
    return f"k.{caller_of(world.token)}.{base64.urlsafe_b64encode(req.encode()).decode().rstrip('=')}"


def _get_job(world: StreamWorld, req: str) -> dict[str, Any]:
    reply = call_api(world.url("Api"), "GET", f"jobs/{_job_id(world, req)}", token=world.token)
    assert reply.status == 200, reply
    return reply.json()


async def _submit(client: SocketClient, req: str, job: Any) -> AnswerReader:
    await client.say({"action": "submit", "req": req, "job": job})
    return AnswerReader(req)


async def test_a_submitted_job_tells_its_connection(world: StreamWorld) -> None:
    """Queued, running, and the result: the one that GET shows; the prompt arrived as it was sent."""
    req = new_req()
    async with socket(world) as client:
        reader = await client.follow(await _submit(client, req, {"prompt": PROMPT, "max_tokens": 400}))
    job = _get_job(world, req)
    assert job["state"] == "succeeded"
    assert job["result"]["text"] == world.whole(PROMPT)
    assert [frame["t"] for frame in reader.frames] == ["ping", "final"]
    assert reader.frames[0]["d"] == {"job_id": job["job_id"], "status_url": f"jobs/{job['job_id']}", "state": "running"}
    assert reader.frames[1]["d"]["result"] == job["result"]
    assert [frame["seq"] for frame in reader.frames] == [1, 2]


@pytest.mark.parametrize("action", ["submit", "ask"])
async def test_a_hostile_prompt_arrives_character_for_character(world: StreamWorld, action: str) -> None:
    """Defect of a peer: `MessageBody=$input.body` without encoding, so `&`, `+` and `%` break it, or add parameters.

    The model knows the whole prompt and nothing but it: its answer is the proof.
    """
    req = new_req()
    async with socket(world) as client:
        if action == "ask":
            reader = await client.follow(await client.ask(req, HOSTILE))
            assert reader.text == "It arrived."
        else:
            reader = await client.follow(await _submit(client, req, {"prompt": HOSTILE}))
            assert (reader.ended or {})["d"]["result"]["text"] == "It arrived."
            assert _get_job(world, req)["result"]["text"] == "It arrived."


async def test_a_job_is_answered_though_its_connection_went(world: StreamWorld) -> None:
    """Nobody is there to be told: GET has it."""
    req = new_req()
    async with socket(world) as client:
        await _submit(client, req, {"prompt": PROMPT})
        assert (await client.receive())["d"]["state"] in {"queued", "running"}
        client.cut()
    ends = time.monotonic() + 20
    while (job := await asyncio.to_thread(_get_job, world, req))["state"] != "succeeded":
        assert time.monotonic() < ends, job
        await asyncio.sleep(0.2)
    assert job["result"]["text"] == world.whole(PROMPT)


async def test_a_job_submitted_twice_is_one_job(world: StreamWorld) -> None:
    """Its end is told again, from one generation."""
    began_ms, req = now_ms(), new_req()
    async with socket(world) as client:
        first = await client.follow(await _submit(client, req, {"prompt": PROMPT}))
        second = await client.follow(await _submit(client, req, {"prompt": PROMPT}))
    assert (first.ended or {})["d"] == (second.ended or {})["d"]
    assert _get_job(world, req)["attempts"] == 1
    assert len(await world.spans(began_ms, "model", "Converse")) == 1


@pytest.mark.parametrize("job", [{"prompt": 7}, {}, {"prompt": "x", "colour": "red"}, "text", [1], {"prompt": ""}])
async def test_an_invalid_job_is_told_under_its_req(world: StreamWorld, job: Any) -> None:
    """The job fails, and says so."""
    req = new_req()
    async with socket(world) as client:
        reader = await client.follow(await _submit(client, req, job))
    assert end_of(reader) == ("error", "/problems/invalid-body")
    assert (reader.ended or {})["d"]["resumable"] is False
    assert _get_job(world, req)["problem"]["type"] == "/problems/invalid-body"


@pytest.mark.parametrize(
    "message",
    [
        {"action": "submit", "job": {"prompt": "x"}},
        {"action": "submit", "req": "", "job": {"prompt": "x"}},
        {"action": "submit", "req": "x" * 129, "job": {"prompt": "x"}},
        {"action": "submit", "req": 5, "job": {"prompt": "x"}},
        {"action": "submit", "req": True, "job": {"prompt": "x"}},
        {"action": "submit", "req": ["x"], "job": {"prompt": "x"}},
        {"action": "submit", "req": {"x": "y"}, "job": {"prompt": "x"}},
        {"action": "submit", "req": 7, "job": {"prompt": "x"}},
        {"action": "submit", "req": "r1"},
        {"action": "submit"},
    ],
)
async def test_a_message_without_req_or_job_is_refused_at_once(world: StreamWorld, message: dict[str, Any]) -> None:
    """The queue has not taken it; what a message needs is said."""
    async with socket(world) as client:
        await client.say(message)
        frame = await client.receive()
    assert (frame["t"], frame["d"]["type"]) == ("error", "/problems/not-queued")
    assert "req" in frame["d"]["title"]


# ---------------------------------------------------------------- at the end


async def test_a_silent_answer_gives_signs_of_life(world: StreamWorld, silence: Silence) -> None:
    """Pings over the socket every 15 to 25 s, comments over HTTP every 15 s; then the answer."""
    await asyncio.to_thread(silence.thread.join)
    readers = [reader for _client, reader in silence.over_http.values()]
    assert [client.comments for client, _reader in silence.over_http.values()] == [[":", ": ping"]] * 2
    assert silence.over_socket is not None
    assert [frame["t"] for frame in silence.over_socket.frames][:2] == ["ping", "delta"]
    assert {reader.text for reader in (silence.over_socket, *readers)} == {world.whole("silence")}


async def test_no_call_of_these_answers_was_outside_its_role(world: StreamWorld) -> None:
    """Of all calls with a role none was denied, and every role made what it is there for."""
    req, job, question = new_req(), new_req(), {"req": new_req(), "prompt": "quick"}
    async with socket(world) as client:
        await client.follow(await client.ask(req, "quick"))
        await client.follow(await _submit(client, job, {"prompt": "quick"}))
        await client.say(AnswerReader(req).resume())
        await client.receive()
    async with post_question(world.url("Api"), world.token, question) as events:
        await events.follow(AnswerReader(question["req"]))
    async with get_answer(world.url("Stream"), world.token, req) as events:
        await events.follow(AnswerReader(req))
    of_roles = [call for call in world.cloud.calls() if call["role_arn"]]
    assert [call for call in of_roles if not call["allowed"]] == []
    made = {(call["function"].removeprefix("sluiceway-"), call["action"]) for call in of_roles}
    keeps = {"dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"}
    posts, streams = "execute-api:ManageConnections", "bedrock:InvokeModelWithResponseStream"
    assert made >= {("StreamAnswer", action) for action in keeps | {posts, streams}}
    assert made >= {("StreamHttp", action) for action in keeps | {"dynamodb:Query", streams}}
    assert made >= {("ServeSocket", action) for action in keeps | {"dynamodb:DeleteItem", "lambda:InvokeFunction"}}
    assert ("GenerateAnswer", posts) in made


async def test_no_log_holds_what_was_asked_or_said(world: StreamWorld) -> None:
    """Names, counts and states; never a question, an answer or a token."""
    async with socket(world) as client:
        await client.follow(await client.ask(new_req(), PROMPT))
    logs = "".join(path.read_text(errors="replace") for path in (world.cloud.state / "logs").glob("*.log"))
    assert "answer.ended" in logs
    assert "three rivers" not in logs
    assert "Scripted answer" not in logs
    assert "eyJ" not in logs
