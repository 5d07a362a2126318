"""Streamed answers against clients that mean no good, or leave at the worst moment."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import aclosing
from typing import Any, cast

import pytest

from sluiceway.errors import Rejected, ServiceRefused
from sluiceway.flows.stream.http import stream_answer_over_http
from sluiceway.ports import Reader
from sluiceway.rules.answers import parse_ask
from tests.fakes import unavailable
from tests.flow.test_stream_answers import SLOW, whole_text
from tests.flow.test_stream_http import ORIGIN, fetch, http_desk, play, request
from tests.streaming_world import CALLER, StreamWorld

SECRET = "the table's own words"


def test_half_a_character_as_a_model_is_refused() -> None:
    """What cannot be written as UTF-8 is no name of a model."""
    with pytest.raises(Rejected) as refused:
        parse_ask('{"req":"r1","prompt":"x","model":"\\ud800"}')
    assert (refused.value.reason, refused.value.field) == ("invalid-body", "model")


@pytest.mark.parametrize("character", ["漢", "\N{GRINNING FACE}", "\x01"])
def test_a_question_larger_than_an_item_is_too_large(character: str) -> None:
    """262,144 characters may be more bytes than a table keeps: the client hears so, and the table is not asked."""

    async def scene(world: StreamWorld) -> None:
        page = await fetch(world, request(body={"req": "r1", "prompt": character * 200_000}))
        assert (page.status, json.loads(page.body)["type"]) == (413, "/problems/too-large")
        assert not world.answers.records

    play(scene, script=SLOW)


def test_the_longest_question_of_plain_text_is_taken() -> None:
    """The limit on bytes is above what the limits on characters allow for ASCII."""
    ask = parse_ask(json.dumps({"req": "r1", "prompt": "a" * 262_144, "system": "b" * 16_384}))
    assert len(ask.question) > 262_144 + 16_384


def test_what_a_service_says_is_not_told_to_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that refuses a request of ours is our trouble: its words are for the log."""

    async def refuse(*_: Any, **__: Any) -> None:
        raise ServiceRefused(SECRET, service="dynamodb", operation="PutItem", code="ValidationException")

    async def scene(world: StreamWorld) -> None:
        monkeypatch.setattr(world.answers, "create", refuse)
        await world.connect("c1")
        await world.send("c1", {"action": "ask", "req": "r1", "prompt": "x"})
        told = json.dumps(world.line.frames("c1"))
        page = await fetch(world, request())
        assert SECRET not in told
        assert SECRET not in page.body
        assert "/problems/unavailable" in told
        assert (page.status, json.loads(page.body)["type"]) == (503, "/problems/unavailable")

    play(scene, script=SLOW)


def test_a_cancel_before_any_worker_came_tells_everyone_who_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another device cancels while the worker's order is under way: who asked need not wait for its own clock."""

    async def scene(world: StreamWorld) -> None:
        monkeypatch.setattr(world.dispatcher, "start", None)
        await world.connect("c1")
        await world.connect("c2")
        await world.send("c1", {"action": "ask", "req": "r1", "prompt": "x"})
        await world.send("c2", {"action": "cancel", "req": "r1"})
        for connection_id in ("c1", "c2"):
            assert (world.read(connection_id, "r1").ended or {})["d"]["stop_reason"] == "cancelled"

    play(scene, script=SLOW)


def test_a_client_that_leaves_before_the_last_event_leaves_the_answer_finished() -> None:
    """It is slow, and goes when all is stored but not all sent: what is finished never rests, nor is it made longer."""

    async def scene(world: StreamWorld) -> None:
        response = await stream_answer_over_http(request(), world.call(300.0), http_desk(world))
        async with aclosing(cast("AsyncGenerator[bytes | str]", response.parts)) as parts:
            async for _ in parts:
                await asyncio.sleep(4.0)
                if world.answers.records and world.record("r1").state == "finished":
                    break
        assert world.record("r1").state == "finished"
        back = await fetch(world, request("GET", "/answers/r1"))
        assert (back.reader.text, (back.reader.ended or {})["t"]) == (whole_text(SLOW), "final")
        assert world.record("r1").attempt == 1

    play(scene, script=SLOW)


def test_a_worker_that_is_stopped_over_a_slow_reader_leaves_the_answer_finished(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The record is finished before the last frame has been taken; being stopped then changes nothing."""

    async def scene(world: StreamWorld) -> None:
        await world.connect("c1")
        await world.send("c1", {"action": "ask", "req": "r1", "prompt": "x"})
        stuck = asyncio.Event()

        async def hang(*_: Any) -> None:
            await stuck.wait()

        await asyncio.sleep(0.1)
        monkeypatch.setattr(world.line, "post", hang)
        await asyncio.sleep(20.0)
        assert world.record("r1").state == "finished"
        for worker in tuple(world.workers):
            worker.cancel()
        await world.idle()
        assert world.record("r1").state == "finished"

    play(scene, script=SLOW)


def test_a_slow_reader_over_http_is_no_connection_to_be_detached(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has no place in the record; DynamoDB refuses an update that names one by an empty name."""
    detached: list[Reader] = []

    async def keep(_caller: str, _req: str, reader: Reader) -> None:
        detached.append(reader)

    async def scene(world: StreamWorld) -> None:
        monkeypatch.setattr(world.answers, "detach", keep)
        response = await stream_answer_over_http(request(), world.call(300.0), http_desk(world))
        parts = [part async for part in slowly(response.parts)]
        assert "reader-behind" in str(parts[-1])
        assert detached == []

    play(scene, script=SLOW)


async def slowly(parts: AsyncIterable[bytes | str]) -> AsyncGenerator[bytes | str]:
    """Takes a part every 50 seconds."""
    async for part in parts:
        await asyncio.sleep(50.0)
        yield part


def test_a_store_that_fails_before_the_model_is_asked_ends_the_events_in_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The client hears that it may come again, instead of a stream that breaks off."""

    async def fail(*_: Any) -> str:
        raise unavailable("GetItem")

    async def scene(world: StreamWorld) -> None:
        monkeypatch.setattr(world.answers, "read_question", fail)
        page = await fetch(world, request())
        ended = page.reader.ended or {}
        assert (ended["t"], ended["d"]["type"], ended["d"]["resumable"]) == ("error", "/problems/unavailable", True)

    play(scene, script=SLOW)


@pytest.mark.parametrize(("caller", "named"), [("", None), (CALLER, ORIGIN)])
def test_the_origin_is_named_once(caller: str, named: str | None) -> None:
    """A Function URL adds its own to what the function says, and a browser refuses two of them."""

    async def scene(world: StreamWorld) -> None:
        for asked in (request(caller=caller), request("GET", "/nothing", caller=caller)):
            response = await stream_answer_over_http(asked, world.call(60.0), http_desk(world))
            assert response.headers.get("access-control-allow-origin") == named
            await fetch(world, asked)

    play(scene, script=SLOW)
