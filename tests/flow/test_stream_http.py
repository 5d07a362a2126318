"""Answers over HTTP: asked, followed, gone on with, taken over; refused before the stream begins."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from localcloud.clock import run_virtual
from sluiceway.events.http import HttpRequest
from sluiceway.events.stream import HttpStream
from sluiceway.flows.authorize.gate import Gate
from sluiceway.flows.authorize.key_ring import KeysUnavailable
from sluiceway.flows.stream.http import HttpDesk, stream_answer_over_http
from sluiceway.genai.faults import Throttled
from sluiceway.genai.scripted import Script
from sluiceway.rules.tokens import Identity, InvalidToken
from tests.answer_reader import AnswerReader
from tests.fakes import unavailable
from tests.flow.test_stream_answers import SLOW, whole_text
from tests.streaming_world import CALLER, StreamWorld

ORIGIN = "http://127.0.0.1:4603"
QUESTION = {"req": "r1", "prompt": "Name three rivers."}


class OneToken:
    """A gate that knows one token, and one whose issuer is away."""

    async def verify(self, token: str, *, deadline: float) -> Identity:
        assert deadline > 0
        if token == "of-another-day":
            raise KeysUnavailable("https://issuer.example/")
        if token != "good":
            raise InvalidToken("signature")
        return Identity(CALLER, "ann", "issuer", 0)


@dataclass
class Page:
    """A client of server-sent events: what it was told, and the id of the last event."""

    reader: AnswerReader
    status: int = 0
    last_id: str = ""
    comments: list[str] = field(default_factory=list)
    body: str = ""

    def take(self, part: bytes | str) -> None:
        """One part of the body, which is one event here."""
        text = part if isinstance(part, str) else part.decode()
        self.body += text
        if text.startswith(":"):
            self.comments.append(text.strip())
            return
        members = dict(line.split(": ", 1) for line in text.strip().splitlines())
        self.last_id = members.get("id", self.last_id)
        self.reader.take(json.loads(members["data"]))


def request(method: str = "POST", path: str = "/answers", **options: Any) -> HttpRequest:
    headers = {"authorization": "Bearer good"} | options.get("headers", {})
    body = options.get("body", QUESTION)
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return HttpRequest(method, path, headers, {}, {}, content, options.get("caller", ""), "gateway-1")


def http_desk(world: StreamWorld) -> HttpDesk:
    return HttpDesk(world.desk, cast("Gate", OneToken()), frozenset({"model-a"}), ORIGIN, world.ask_keys)


async def fetch(world: StreamWorld, asked: HttpRequest, *, timeout_s: float = 300.0, until: int | None = None) -> Page:
    """Read a response to its end, or until the text has so many characters."""
    page = Page(AnswerReader("r1"))
    response = await stream_answer_over_http(asked, world.call(timeout_s), http_desk(world))
    assert isinstance(response, HttpStream)
    page.status = response.status
    async with aclosing(cast("AsyncGenerator[bytes | str]", response.parts)) as parts:
        async for part in parts:
            if response.status != 200:
                page.body += part if isinstance(part, str) else part.decode()
                continue
            page.take(part)
            if until is not None and len(page.reader.text) >= until:
                break
    return page


def play(scene: Callable[[StreamWorld], Awaitable[None]], **options: Any) -> StreamWorld:
    made: list[StreamWorld] = []

    async def run() -> None:
        async with asyncio.TaskGroup() as group:
            made.append(StreamWorld(group, **options))
            await scene(made[0])
            await made[0].idle()
        assert made[0].scripted.active == 0

    run_virtual(run)
    return made[0]


def test_an_answer_is_streamed_as_events() -> None:
    """A comment at once, ids that count, `final` last; the head says what it is."""

    async def scene(world: StreamWorld) -> None:
        asked = request(caller=CALLER)
        response = await stream_answer_over_http(asked, world.call(60.0), http_desk(world))
        assert (response.status, response.headers["content-type"]) == (200, "text/event-stream")
        assert response.headers["access-control-allow-origin"] == ORIGIN
        page = Page(AnswerReader("r1"))
        async for part in response.parts:
            page.take(part)
        assert page.comments[0] == ":"
        assert page.reader.text == whole_text(SLOW)
        assert (page.reader.ended or {})["t"] == "final"
        assert page.last_id == f"1.{len(page.reader.text)}"

    world = play(scene, script=SLOW)
    assert world.record("r1").state == "finished"


def test_a_client_that_goes_away_comes_back_with_its_last_event() -> None:
    """The model is stopped, the answer rests; `Last-Event-ID` goes on where it was, also with a POST again."""

    async def scene(world: StreamWorld) -> None:
        first = await fetch(world, request(), until=50)
        assert world.scripted.active == 0
        assert world.record("r1").state == "paused"
        back = request("GET", "/answers/r1", headers={"last-event-id": first.last_id})
        second = await fetch(world, back, until=150)
        third = await fetch(world, request("GET", "/v1/answers/r1", headers={"last-event-id": second.last_id}))
        reader = first.reader
        for frame in [*second.reader.frames, *third.reader.frames]:
            reader.take(frame)
        assert (reader.text, reader.gap) == (whole_text(SLOW), False)
        again = await fetch(world, request())
        assert again.reader.text == whole_text(SLOW)

    world = play(scene, script=SLOW)
    assert world.record("r1").state == "finished"


def test_two_clients_have_one_generation() -> None:
    """The second follows what the first's invocation stores, and both end with the text."""

    async def scene(world: StreamWorld) -> None:
        async with asyncio.TaskGroup() as group:
            first = group.create_task(fetch(world, request()))
            await asyncio.sleep(2.0)
            second = group.create_task(fetch(world, request()))
            third = group.create_task(fetch(world, request("GET", "/answers/r1")))
        for page in (first.result(), second.result(), third.result()):
            assert page.reader.text == whole_text(SLOW)
            assert (page.reader.ended or {})["t"] == "final"

    world = play(scene, script=SLOW)
    assert world.scripted.calls == 1


def test_a_follower_takes_over_where_the_worker_dies() -> None:
    """The other worker's lease ends; the follower goes on with the model."""

    async def scene(world: StreamWorld) -> None:
        await world.connect("c1")
        await world.send("c1", {"action": "ask", **QUESTION})
        await asyncio.sleep(1.0)
        page = await fetch(world, request("GET", "/answers/r1"))
        assert page.reader.text == whole_text(SLOW)

    world = play(scene, script=SLOW, workers_die_after=[3.0])
    assert world.scripted.calls == 2


def test_the_end_of_the_invocation_is_told() -> None:
    """`error`, resumable, for whoever makes the answer and for who follows it; coming back goes on."""

    async def scene(world: StreamWorld) -> None:
        async with asyncio.TaskGroup() as group:
            maker = group.create_task(fetch(world, request(), timeout_s=4.0))
            await asyncio.sleep(0.5)
            follower = group.create_task(fetch(world, request(), timeout_s=3.0))
        for page in (maker.result(), follower.result()):
            assert page.reader.is_resumable
            assert (page.reader.ended or {})["d"]["type"] == "/problems/deadline-exceeded"
        page = await fetch(world, request("GET", "/answers/r1", headers={"last-event-id": maker.result().last_id}))
        reader = maker.result().reader
        for frame in page.reader.frames:
            reader.take(frame)
        assert reader.text == whole_text(SLOW)

    play(scene, script=SLOW)


def test_silence_is_bridged_by_comments() -> None:
    """Every 15 s at most, for the maker and the follower, whatever chance says of connections' heartbeats."""

    async def scene(world: StreamWorld) -> None:
        async with asyncio.TaskGroup() as group:
            maker = group.create_task(fetch(world, request()))
            await asyncio.sleep(0.5)
            follower = group.create_task(fetch(world, request()))
        assert maker.result().comments.count(": ping") >= 3
        assert follower.result().comments.count(": ping") >= 3

    for seed in range(3):
        play(scene, script=Script(tokens=3, first_s=60.0), seed=seed)


def test_a_model_in_trouble_is_an_event() -> None:
    """The status is out already: the error comes in the stream."""

    async def scene(world: StreamWorld) -> None:
        page = await fetch(world, request())
        assert page.status == 200
        assert page.reader.is_resumable

    play(scene, script=Script(faults=dict.fromkeys(range(4), Throttled("later"))))


@pytest.mark.parametrize(
    ("asked", "status", "kind"),
    [
        (request(headers={"authorization": ""}), 401, "unauthorized"),
        (request(headers={"authorization": "Bearer bad"}), 401, "unauthorized"),
        (request(headers={"authorization": "Basic good"}), 401, "unauthorized"),
        (request(headers={"authorization": "Bearer of-another-day"}), 503, "unavailable"),
        (request("GET", "/answers"), 404, "no-such-route"),
        (request("PUT", "/answers/r1"), 404, "no-such-route"),
        (request("GET", "/answers/never"), 404, "no-such-answer"),
        (request("GET", "/answers/%20"), 400, "invalid-body"),
        (request(body=b"{"), 400, "invalid-body"),
        (request(body=b"\xff"), 400, "invalid-body"),
        (request(body={"prompt": ""}), 400, "invalid-body"),
        (request(body={**QUESTION, "model": "model-b"}), 400, "unknown-model"),
    ],
)
def test_what_is_wrong_is_refused_before_the_stream(asked: HttpRequest, status: int, kind: str) -> None:
    """With problem details, and nothing is begun."""

    async def scene(world: StreamWorld) -> None:
        page = await fetch(world, asked)
        assert page.status == status
        assert json.loads(page.body)["type"] == f"/problems/{kind}"

    assert play(scene).answers.records == {}


def test_a_conflict_and_a_wrong_event_id() -> None:
    """409 for another question under the req; 400 for an id that is none of ours."""

    async def scene(world: StreamWorld) -> None:
        await fetch(world, request())
        assert (await fetch(world, request(body={**QUESTION, "prompt": "Another."}))).status == 409
        assert (await fetch(world, request("GET", "/answers/r1", headers={"last-event-id": "x"}))).status == 400

    play(scene, script=SLOW)


def test_a_table_that_is_away() -> None:
    """503 with Retry-After before the stream; in it, an error that is resumable."""

    async def scene(world: StreamWorld) -> None:
        world.answers.trouble.refusal = unavailable("get")
        response = await stream_answer_over_http(request(), world.call(), http_desk(world))
        assert (response.status, response.headers["retry-after"]) == (503, "2")
        async for _part in response.parts:
            pass
        world.answers.trouble.refusal = None
        response = await stream_answer_over_http(request(), world.call(), http_desk(world))
        page = Page(AnswerReader("r1"))
        parts = aiter(response.parts)
        page.take(await anext(parts))
        world.answers.trouble.refusal = unavailable("get")
        async for part in parts:
            page.take(part)
        assert page.reader.is_resumable

    play(scene, script=SLOW)


def test_the_authorizer_s_caller_needs_no_token() -> None:
    """Behind the REST API the caller is known already."""

    async def scene(world: StreamWorld) -> None:
        page = await fetch(world, request(caller=CALLER, headers={"authorization": ""}))
        assert page.reader.text == whole_text(SLOW)

    play(scene, script=SLOW)


def test_an_answer_is_stopped_over_http() -> None:
    """202 with its state: by its worker, whose readers hear of it, or at once where nobody works on it."""

    async def stop(world: StreamWorld, req: str) -> tuple[int, dict[str, str]]:
        response = await stream_answer_over_http(request("DELETE", f"/answers/{req}"), world.call(), http_desk(world))
        (body,) = [part async for part in response.parts]
        return response.status, json.loads(body)

    async def scene(world: StreamWorld) -> None:
        await fetch(world, request(), until=20)
        assert await stop(world, "r1") == (202, {"req": "r1", "state": "cancelled"})
        await world.connect("c1")
        await world.send("c1", {"action": "ask", **QUESTION, "req": "r2"})
        await asyncio.sleep(1.0)
        assert await stop(world, "r2") == (202, {"req": "r2", "state": "running"})
        await asyncio.sleep(0.6)
        assert world.scripted.active == 0
        assert (world.read("c1", "r2").ended or {})["d"]["stop_reason"] == "cancelled"
        assert (await stop(world, "never"))[0] == 404

    play(scene, script=SLOW)
