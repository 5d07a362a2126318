"""Publishing to an Event API from a function: addresses, signatures and keys, batches, and what answers mean."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluiceway.aws.channels import EventChannels, open_keyed_channels
from sluiceway.aws.wire import Outside, Reply, Wire
from sluiceway.errors import (
    DeadlineExceeded,
    Misconfigured,
    Rejected,
    ServiceMisconfigured,
    ServiceRefused,
    ServiceUnavailable,
    SluicewayError,
)
from sluiceway.ports.channels import MAX_EVENT_BYTES, Channels, FailedEvent, Publication
from tests.fakes import RecordingCaller
from tests.unit.wire_server import MemoryNetwork, answer, environ

URL = "https://abcdefghijklmnopqrstuvwxyz.appsync-api.eu-west-1.amazonaws.com/event"
LOCAL = {"AWS_ENDPOINT_URL": "http://127.0.0.1:4600"}
TAKEN = answer(200, b'{"failed":[],"successful":[{"identifier":"a","index":0}]}')
Work = Callable[[Channels], Coroutine[Any, Any, object]]


def signed(network: MemoryNetwork, work: Work, *, url: str = URL, **settings: str) -> object:
    """What `work` on signed channels came to: its value or its error."""

    async def main() -> list[object]:
        async with Wire.open(environ(**(settings or LOCAL)), outside=Outside(draw=lambda: 1.0)) as wire:
            return [await outcome_of(work, EventChannels(wire, url))]

    return cast("list[object]", network.run(main))[0]


def keyed(network: MemoryNetwork, work: Work, *, key: str = "da2-key", url: str = URL, **settings: str) -> object:
    """What `work` on channels with a key came to."""

    async def main() -> list[object]:
        try:
            async with open_keyed_channels(url, key, settings or LOCAL) as channels:
                return [await outcome_of(work, channels)]
        except SluicewayError as error:
            return [error]

    return cast("list[object]", network.run(main))[0]


async def outcome_of(work: Work, channels: Channels) -> object:
    try:
        return await work(channels)
    except SluicewayError as error:
        return error


def refuse(status: int, code: str) -> bytes:
    """A refusal of the data plane."""
    body = json.dumps({"errors": [{"errorType": code, "message": "said so"}]}).encode()
    return answer(status, body, x_amzn_ErrorType=code)


def publish(*events: str, channel: str = "/default/room") -> Work:
    return lambda channels: channels.publish(channel, events)


def test_a_signed_publication_as_it_goes_out() -> None:
    """POST /event with channel and texts as they are, signed for appsync in the Region."""
    network = MemoryNetwork([TAKEN])
    assert signed(network, publish('{"a":"é"}')) == Publication()
    [request] = network.requests
    head, body = request.split(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[:2] == ["POST /event HTTP/1.1", "host: 127.0.0.1:4600"]
    assert "/eu-west-1/appsync/aws4_request, SignedHeaders=content-type;host;x-amz-date," in head.decode()
    assert json.loads(body) == {"channel": "/default/room", "events": ['{"a":"é"}']}


@pytest.mark.parametrize(
    ("url", "settings", "expected"),
    [
        (URL.removesuffix("/event"), LOCAL, ["POST /event HTTP/1.1", "host: 127.0.0.1:4600"]),
        (
            URL,
            {"AWS_ENDPOINT_URL_APPSYNC_EVENTS": "http://127.0.0.1:4601/abc", **LOCAL},
            ["POST /abc/event HTTP/1.1", "host: 127.0.0.1:4601"],
        ),
        ("http://127.0.0.1:4601/abc", {"x": ""}, ["POST /abc/event HTTP/1.1", "host: 127.0.0.1:4601"]),
    ],
)
def test_addresses(url: str, settings: dict[str, str], expected: list[str]) -> None:
    """`/event` may be left out; the settings change where requests go, signed or with a key."""
    for way in (signed, keyed):
        network = MemoryNetwork([TAKEN])
        assert way(network, publish("1"), url=url, **settings) == Publication()
        assert network.requests[0].decode().split("\r\n")[:2] == expected


def test_a_keyed_publication_as_it_goes_out() -> None:
    """The key in x-api-key, and no signature."""
    network = MemoryNetwork([TAKEN, TAKEN])

    async def twice(channels: Channels) -> object:
        await channels.publish("/default/room", ["1"])
        return await channels.publish("/default/room", ["2"])

    assert keyed(network, twice) == Publication()
    head, body = network.requests[1].split(b"\r\n\r\n")
    assert "x-api-key: da2-key" in head.decode().split("\r\n")
    assert b"authorization" not in head
    assert f"content-length: {len(body)}" in head.decode().split("\r\n")
    assert json.loads(body) == {"channel": "/default/room", "events": ["2"]}


def test_failed_events_are_told_by_their_place_among_all() -> None:
    """AppSync tells places in a batch; the port's are places in what was given."""
    second = b'{"failed":[{"identifier":"b","index":1,"errorMessage":"no"}],"successful":[]}'
    network = MemoryNetwork([TAKEN, answer(200, second)])
    outcome = signed(network, publish(*"1234567"))
    assert outcome == Publication((FailedEvent(6, "no"),))
    bodies = [json.loads(request.split(b"\r\n\r\n")[1])["events"] for request in network.requests]
    assert bodies == [["1", "2", "3", "4", "5"], ["6", "7"]]


@given(count=st.integers(0, 23))
def test_batches_hold_every_event_once_in_order(count: int) -> None:
    """Five at most in one request, and none for no events."""
    caller = RecordingCaller()
    events = [str(number) for number in range(count)]
    outcome = asyncio.run(EventChannels(caller, URL).publish("room", events))
    batches = [json.loads(call.body)["events"] for call in caller.calls if isinstance(call.body, bytes)]
    assert outcome == Publication()
    assert [event for batch in batches for event in batch] == events
    assert [len(batch) for batch in batches] == [5] * (count // 5) + [count % 5] * bool(count % 5)


def test_a_later_batch_that_fails_tells_what_is_unsent() -> None:
    """Only where nothing was published is it an exception."""
    network = MemoryNetwork([TAKEN, refuse(500, "InternalFailure")])
    outcome = signed(network, publish(*"1234567"))
    assert isinstance(outcome, Publication)
    assert (outcome.failed, outcome.unsent) == ((), 2)
    assert isinstance(outcome.error, ServiceUnavailable)
    assert outcome.error.code == "InternalFailure"


@pytest.mark.parametrize(("status", "code"), [(400, "BadRequestException"), (403, "MessageProcessingError")])
def test_one_event_that_is_refused_takes_no_other_with_it(status: int, code: str) -> None:
    """AppSync takes none of a batch then: its events go one by one, and the later batches as ever."""
    no = refuse(status, code)
    network = MemoryNetwork([no, TAKEN, no, TAKEN, TAKEN, TAKEN, TAKEN])
    outcome = signed(network, publish(*"1234567"))
    assert isinstance(outcome, Publication)
    assert ([each.index for each in outcome.failed], outcome.unsent, outcome.error) == ([1], 0, None)
    bodies = [json.loads(request.split(b"\r\n\r\n")[1])["events"] for request in network.requests]
    assert bodies == [["1", "2", "3", "4", "5"], ["1"], ["2"], ["3"], ["4"], ["5"], ["6", "7"]]


@pytest.mark.parametrize("way", [signed, keyed])
@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (400, "BadRequestException", ServiceRefused),
        (401, "UnauthorizedException", ServiceMisconfigured),
        (403, "MessageProcessingError", ServiceRefused),
        (429, "LimitExceededException", ServiceUnavailable),
        (500, "InternalFailure", ServiceUnavailable),
    ],
)
def test_refusals(way: Callable[..., object], status: int, code: str, expected: type[SluicewayError]) -> None:
    """One attempt; who may not publish has a deployment to mend."""
    network = MemoryNetwork([refuse(status, code)])
    outcome = way(network, publish("1"))
    assert type(outcome) is expected
    assert (outcome.code, outcome.status) == (code, status)  # type: ignore[attr-defined]
    assert len(network.requests) == 1


@pytest.mark.parametrize(
    ("channel", "event", "reason"),
    [
        ("/a/b/c/d/e/f", "1", "invalid-channel"),
        ("/default/*", "1", "invalid-channel"),
        ("", "1", "invalid-channel"),
        ("/default\n", "1", "invalid-channel"),
        ("/default", "x" * (MAX_EVENT_BYTES + 1), "event-too-large"),
        ("/default", "é" * (MAX_EVENT_BYTES // 2 + 1), "event-too-large"),
    ],
)
def test_what_appsync_would_refuse_is_not_sent(channel: str, event: str, reason: str) -> None:
    """A wrong channel, or an event over 240 KB, wherever it stands."""
    network = MemoryNetwork([TAKEN])
    outcome = signed(network, publish("1", "2", "3", "4", "5", event, channel=channel))
    assert isinstance(outcome, Rejected)
    assert outcome.reason == reason
    assert network.requests == []


@pytest.mark.parametrize(
    "body",
    [b"[]", b"no", b'{"failed":{}}', b'{"failed":[{"index":1}]}', b'{"failed":[{"index":-1}]}', b'{"failed":[7]}'],
)
def test_an_answer_that_tells_nothing_is_an_outage(body: bytes) -> None:
    """Nobody knows what became of the events."""
    outcome = asyncio.run(outcome_of(publish("1"), EventChannels(RecordingCaller([Reply(200, {}, body)]), URL)))
    expected = Publication() if body == b'{"failed":{}}' else "MalformedReply"
    assert (outcome if isinstance(outcome, Publication) else getattr(outcome, "code", None)) == expected


def test_a_deadline_ends_a_keyed_publication() -> None:
    """An API that does not answer is waited for until then."""

    async def late(channels: Channels) -> object:
        return await channels.publish("/default", ["1"], deadline=asyncio.get_running_loop().time() + 2)

    assert isinstance(keyed(MemoryNetwork([]), late), DeadlineExceeded)


@pytest.mark.parametrize("key", ["", "a\r\nb: c", "k" * 257])
def test_a_key_that_is_no_header_is_refused_at_init(key: str) -> None:
    """The deployment is wrong, whatever is published."""
    assert isinstance(keyed(MemoryNetwork([]), publish("1"), key=key), Misconfigured)


def test_an_address_that_is_none_is_refused_at_init() -> None:
    """With the words of what it is."""
    with pytest.raises(Misconfigured, match="address of the Event API"):
        EventChannels(RecordingCaller(), "events.example.com")
