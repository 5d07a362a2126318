"""Event APIs over WebSocket: connecting, the protocol's messages, and what ends a connection. In virtual time."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcloud.gateway.appsync.realtime import MAX_SUBSCRIPTIONS, MAX_UNDER_WAY, SUBPROTOCOL
from localcloud.gateway.message import HttpRequest
from localcloud.services.appsync.model import Namespace
from localcloud.services.contract import Permission
from tests.unit.appsync_setup import REGION, Client, World, config_of, encode_authorization, run, signed, token
from tests.unit.websocket_setup import client_frame, text_frame


def refused(kind: str, code: str, message: str, **more: str) -> list[dict[str, Any]]:
    return [{**more, "type": kind, "errors": [{"errorType": code, "message": message}]}]


NOT_AUTHORIZED = ("UnauthorizedException", "You are not authorized to make this call.")


def test_connecting_and_what_keeps_a_connection() -> None:
    """connection_ack tells five minutes; `ka` comes each minute, asked for or not."""

    async def test(world: World) -> None:
        client = await world.connect()
        assert client.heard() == []
        assert await client.say(type="connection_init") == [{"type": "connection_ack", "connectionTimeoutMs": 300_000}]
        for _ in range(3):
            await asyncio.sleep(60)
            assert client.heard() == [{"type": "ka"}]

    run(test)


def test_a_connection_lasts_24_hours() -> None:
    """Then it is closed, and hears nothing."""

    async def test(world: World) -> None:
        client = await world.subscriber("/default/a")
        await asyncio.sleep(24 * 3600)
        [*beats, (opcode, _, payload)] = client.wire.frames()
        assert (opcode, payload[:2]) == (8, (1001).to_bytes(2))
        assert len(beats) in {1439, 1440}
        await world.post({"channel": "/default/a", "events": ["1"]})
        assert client.wire.frames() == []

    run(test)


def test_an_ended_connection_leaves_no_timer() -> None:
    """After hours, too: each `ka` sets the next."""

    async def test(world: World) -> None:
        loop: Any = asyncio.get_running_loop()
        client = await world.connect()
        await asyncio.sleep(3 * 3600)
        assert len([timer for timer in loop._scheduled if not timer.cancelled()]) == 2
        client.connection.lost()
        assert [timer for timer in loop._scheduled if not timer.cancelled()] == []

    run(test)


def test_the_addresses_of_an_api() -> None:
    """Its id in the path, or the host name it has on AWS."""

    async def test(world: World) -> None:
        await world.connect(path="/event/realtime", host=f"{world.api.realtime_domain}:4602")
        api_id = world.api.id
        for path, host in (
            ("/event/realtime", "h"),
            (f"/{api_id}/event", "h"),
            (f"/{'a' * 26}/event/realtime", "h"),
            ("/event", world.api.realtime_domain),
            ("/event/realtime", world.api.http_domain),
        ):
            headers = (("Host", host), ("Sec-WebSocket-Protocol", SUBPROTOCOL))
            assert await world.realtime.connect(HttpRequest("GET", path, "", headers, b"")) is None

    run(test)


def closing(client: Client) -> tuple[list[dict[str, Any]], int]:
    """What a client was told before it was closed, and the code."""
    frames = client.wire.frames()
    assert frames[-1][0] == 8
    return [json.loads(payload) for _, _, payload in frames[:-1]], int.from_bytes(frames[-1][2][:2])


@pytest.mark.parametrize(
    ("protocols", "code", "message"),
    [
        ("", "NoProtocolError", f"The subprotocol {SUBPROTOCOL} must be offered"),
        ("graphql-ws", "NoProtocolError", f"The subprotocol {SUBPROTOCOL} must be offered"),
        (SUBPROTOCOL, "UnauthorizedException", "Valid authorization header not provided."),
        (
            f"{SUBPROTOCOL}, header-!!",
            "BadRequestException",
            "The authorization header is not JSON in base64url",
        ),
        (f"{SUBPROTOCOL}, header-e30", "UnauthorizedException", "Valid authorization header not provided."),
        (f"header-W10,{SUBPROTOCOL}", "BadRequestException", "The authorization is not a JSON object"),
        (f"{SUBPROTOCOL}, {encode_authorization({'x-api-key': 'da2-x'})}", *NOT_AUTHORIZED),
    ],
)
def test_a_client_that_may_not_connect_is_told_so_and_closed(protocols: str, code: str, message: str) -> None:
    """connection_error, then the end: a browser would see nothing of a refused handshake."""

    async def test(world: World) -> None:
        client = await world.connect(protocols=protocols)
        assert closing(client) == (refused("connection_error", code, message), 1008)
        assert await client.say(type="connection_init") == []

    run(test)


def test_each_kind_of_authorization_connects() -> None:
    """IAM is asked for appsync:EventConnect on the API; an authorizer hears of no channel."""
    kinds = ("API_KEY", "AWS_IAM", "AWS_LAMBDA", "OPENID_CONNECT")

    async def test(world: World) -> None:
        for shown in (world.auth, signed(), {"Authorization": "custom"}, {"Authorization": token(world.clock)}):
            client = await world.connect(shown)
            assert [each["type"] for each in await client.say(type="connection_init")] == ["connection_ack"]
        arn = f"arn:aws:appsync:{REGION}:123456789012:apis/{world.api.id}"
        assert world.access.asked == [Permission("appsync:EventConnect", arn)]
        about = world.functions.events[0]["requestContext"]
        assert (about["operation"], about["channel"], about["channelNamespaceName"]) == ("EVENT_CONNECT", None, None)
        assert closing(await world.connect(signed("DENIED")))[1] == 1008

    run(test, config=config_of(*kinds))


def test_subscribing_hearing_and_leaving() -> None:
    """Each subscription hears under its own id; who has left hears no more."""

    async def test(world: World) -> None:
        client = await world.subscriber("/default/*", "all")
        assert await client.say(type="subscribe", id="one", channel="default/a", authorization=world.auth) == [
            {"id": "one", "type": "subscribe_success"}
        ]
        await world.post({"channel": "/default/a", "events": ["1"]})
        assert sorted(each["id"] for each in client.heard()) == ["all", "one"]
        await world.post({"channel": "/default/b/c", "events": ["2"]})
        assert client.heard() == [{"type": "data", "id": "all", "event": "2"}]
        assert await client.say(type="unsubscribe", id="all") == [{"id": "all", "type": "unsubscribe_success"}]
        await world.post({"channel": "/default/b", "events": ["3"]})
        assert client.heard() == []
        unknown = refused("unsubscribe_error", "UnknownOperationError", "Unknown operation id all", id="all")
        assert await client.say(type="unsubscribe", id="all") == unknown
        again = await client.say(type="subscribe", id="all", channel="/default/*", authorization=world.auth)
        assert again == [{"id": "all", "type": "subscribe_success"}]

    run(test)


def test_each_subscription_shows_its_own_authorization() -> None:
    """That of the connection does not count for its messages."""

    async def test(world: World) -> None:
        client = await world.connect()
        about: dict[str, Any] = {"type": "subscribe", "id": "s", "channel": "/default/a"}
        none = refused("subscribe_error", "UnauthorizedException", "Valid authorization header not provided.", id="s")
        assert await client.say(**about) == none
        wrong = await client.say(**about, authorization={"x-api-key": "da2-x"})
        assert wrong == refused("subscribe_error", *NOT_AUTHORIZED, id="s")
        for bad in ("text", {"x-api-key": 7}):
            [answer] = await client.say(**about, authorization=bad)
            assert (answer["type"], answer["errors"][0]["errorType"]) == ("subscribe_error", "BadRequestException")

    run(test)


def test_a_subscription_asks_iam_for_its_namespace() -> None:
    """appsync:EventSubscribe on the channel namespace."""

    async def test(world: World) -> None:
        client = await world.connect(signed())
        world.access.asked.clear()
        await client.say(type="subscribe", id="s", channel="/default/a/*", authorization=signed())
        arn = f"arn:aws:appsync:{REGION}:123456789012:apis/{world.api.id}/channelNamespace/default"
        assert world.access.asked == [Permission("appsync:EventSubscribe", arn)]

    run(test, config=config_of("AWS_IAM"))


def test_a_namespace_s_modes_stand_before_the_api_s() -> None:
    """For subscribing on its own: neither the modes of publishing nor those of the API count."""

    async def test(world: World) -> None:
        own = Namespace("own", publish=("API_KEY",), subscribe=("AWS_IAM",))
        world.apis.put_namespace(world.api, own, is_new=True)
        client = await world.connect()
        about: dict[str, Any] = {"type": "subscribe", "channel": "/own/a"}
        shy = await client.say(**about, id="k", authorization=world.auth)
        assert shy == refused("subscribe_error", *NOT_AUTHORIZED, id="k")
        assert await client.say(**about, id="i", authorization=signed()) == [{"id": "i", "type": "subscribe_success"}]
        await world.subscriber("/default/a")

    run(test, config=config_of("API_KEY", "AWS_IAM", publish=("AWS_IAM",)))


@pytest.mark.parametrize("channel", ["/default/*/a", "*", "", None, "/a/b/c/d/e/f"])
def test_a_malformed_channel_is_refused(channel: str | None) -> None:
    """In the same words as over HTTP."""

    async def test(world: World) -> None:
        client = await world.connect()
        answer = await client.say(type="subscribe", id="s", channel=channel, authorization=world.auth)
        assert answer == refused("subscribe_error", "BadRequestException", "Invalid Channel Format", id="s")

    run(test)


def test_a_namespace_that_is_not_there_lets_nobody_in() -> None:
    """As for a client who may not."""

    async def test(world: World) -> None:
        client = await world.connect()
        answer = await client.say(type="subscribe", id="s", channel="/nobody/*", authorization=world.auth)
        assert answer == refused("subscribe_error", *NOT_AUTHORIZED, id="s")

    run(test)


@pytest.mark.parametrize("given", ["", "a b", "é", "x" * 129, "a\n", 7, None])
def test_a_malformed_id_is_refused(given: object) -> None:
    """1 to 128 letters, digits and `_+-`; an id that is no text cannot be told back."""

    async def test(world: World) -> None:
        client = await world.connect()
        [answer] = await client.say(type="subscribe", id=given, channel="/default/a", authorization=world.auth)
        assert answer["errors"] == [{"errorType": "BadRequestException", "message": "Invalid operation id"}]
        assert answer.get("id") == (given if isinstance(given, str) else None)

    run(test)


def test_an_id_in_use_is_refused() -> None:
    """On the same connection, also while the first is still being judged; another client may have it."""

    async def test(world: World) -> None:
        client = await world.subscriber("/default/a")
        twice = await client.say(type="subscribe", id="s", channel="/default/b", authorization=world.auth)
        assert twice == refused("subscribe_error", "DuplicatedOperationError", "Duplicated operation id s", id="s")
        await world.subscriber("/default/a")
        world.functions.delay_s = 1
        world.handle("onSubscribe", is_event=True)
        about: dict[str, Any] = {"type": "subscribe", "id": "t", "channel": "/default/a", "authorization": world.auth}
        assert await client.say(**about) == []
        [answer] = await client.say(**about)
        assert answer["errors"][0]["errorType"] == "DuplicatedOperationError"

    run(test)


def test_a_connection_has_a_hundred_subscriptions() -> None:
    """One more is refused, until one is given back."""

    async def test(world: World) -> None:
        client = await world.connect()
        about: dict[str, Any] = {"type": "subscribe", "channel": "/default/a", "authorization": world.auth}
        for number in range(MAX_SUBSCRIPTIONS):
            [answer] = await client.say(**about, id=f"s{number}")
            assert answer["type"] == "subscribe_success"
        [answer] = await client.say(**about, id="more")
        assert answer["errors"][0]["errorType"] == "MaxSubscriptionsReachedError"
        await client.say(type="unsubscribe", id="s0")
        assert await client.say(**about, id="more") == [{"id": "more", "type": "subscribe_success"}]

    run(test)


def test_publishing_over_a_connection() -> None:
    """publish_success has what the HTTP answer has; publish_error its errors."""

    async def test(world: World) -> None:
        client = await world.subscriber("/default/a")
        about: dict[str, Any] = {"type": "publish", "id": "p", "channel": "/default/a", "authorization": world.auth}
        *heard, answer = await client.say(**about, events=["1", "2"])
        assert [each["event"] for each in heard] == ["1", "2"]
        assert (answer["id"], answer["type"], answer["failed"]) == ("p", "publish_success", [])
        assert [each["index"] for each in answer["successful"]] == [0, 1]
        many = await client.say(**about, events=["1"] * 6)
        assert many == refused("publish_error", "BadRequestException", "Input exceeded 5 event limit", id="p")
        wild = await client.say(**{**about, "channel": "/default/*"}, events=["1"])
        assert wild == refused("publish_error", "BadRequestException", "Invalid Channel Format", id="p")
        shy = await client.say(**{**about, "authorization": {"x-api-key": "no"}}, events=["1"])
        assert shy == refused("publish_error", *NOT_AUTHORIZED, id="p")

    run(test)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{", "BadRequestException"),
        ("[]", "BadRequestException"),
        ("{}", "UnsupportedOperation"),
        ('{"type":"start","id":"1"}', "UnsupportedOperation"),
        ('{"type":["publish"],"id":"1"}', "UnsupportedOperation"),
        ("[" * 2000, "BadRequestException"),
    ],
)
def test_what_is_no_message_of_the_protocol_is_an_error(text: str, code: str) -> None:
    """And the connection stays."""

    async def test(world: World) -> None:
        client = await world.connect()
        client.connection.receive(text_frame(text))
        await asyncio.sleep(0.001)
        [answer] = client.heard()
        assert (answer["type"], answer["errors"][0]["errorType"]) == ("error", code)
        assert len(await client.say(type="connection_init")) == 1

    run(test)


@given(text=st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner) | (
    st.dictionaries(st.sampled_from(["type", "id", "channel", "events", "authorization", "x"]), inner)
), max_leaves=8), kind=st.sampled_from(["subscribe", "publish", "unsubscribe", "connection_init", ""]))  # fmt: skip
def test_no_message_breaks_a_connection(text: Any, kind: str) -> None:
    """Whatever JSON comes is answered once, never with a failure of the local cloud."""

    async def test(world: World) -> None:
        client = await world.connect()
        told: Any = text
        message = {**told, "type": kind} if isinstance(text, dict) and kind else told
        client.connection.receive(text_frame(json.dumps(message)))
        await asyncio.sleep(0.001)
        [answer] = client.heard()
        assert answer.get("errors", [{"errorType": ""}])[0]["errorType"] != "InternalFailure"

    run(test)


def test_a_slow_authorizer_holds_up_nobody_else() -> None:
    """Messages are answered as they are ready; a client that asks for too much at once is told so."""

    async def test(world: World) -> None:
        client = await world.connect({"authorization": "custom"})
        world.functions.delay_s = 5
        about: dict[str, Any] = {"type": "subscribe", "channel": "/default/a", "authorization": {"authorization": "x"}}
        assert await client.say(**about, id="slow") == []
        assert [each["type"] for each in await client.say(type="connection_init")] == ["connection_ack"]
        for number in range(MAX_UNDER_WAY):
            await client.say(
                type="publish",
                id=f"p{number}",
                channel="/default/a",
                events=["1"],
                authorization={"authorization": "x"},
            )
        [answer] = await client.say(**about, id="more")
        assert answer["errors"][0]["errorType"] == "LimitExceededException"

    run(test, config=config_of("AWS_LAMBDA"))


def test_a_handler_lets_subscribers_in() -> None:
    """`null` or an object without an error; it is told of no events."""

    async def test(world: World) -> None:
        world.handle("onSubscribe")
        client = await world.connect()
        about: dict[str, Any] = {"type": "subscribe", "channel": "/default/a/*", "authorization": world.auth}
        answers: list[dict[str, Any] | None] = [None, {}]
        for number, answer in enumerate(answers):
            world.functions.answer = lambda _, answer=answer: answer
            assert await client.say(**about, id=f"s{number}") == [{"id": f"s{number}", "type": "subscribe_success"}]
        event = world.functions.events[0]
        assert event["events"] is None
        assert event["info"] == {
            "channel": {"path": "/default/a/*", "segments": ["default", "a", "*"]},
            "channelNamespace": {"name": "default"},
            "operation": "SUBSCRIBE",
        }

    run(test)


@pytest.mark.parametrize("answer", [{"error": "no"}, [], ValueError("broken"), b"{"])
def test_a_handler_keeps_subscribers_out(answer: Any) -> None:
    """Its words stay in the log; in event mode they do not count."""

    async def test(world: World) -> None:
        world.functions.answer = lambda _: answer
        world.handle("onSubscribe")
        client = await world.connect()
        about: dict[str, Any] = {"type": "subscribe", "channel": "/default/a", "authorization": world.auth}
        message = "There was an error processing the operation"
        assert await client.say(**about, id="s") == refused(
            "subscribe_error", "SubscriptionProcessingError", message, id="s"
        )
        await world.post({"channel": "/default/a", "events": ["1"]})
        assert client.heard() == []
        world.handle("onSubscribe", is_event=True)
        assert await client.say(**about, id="s") == [{"id": "s", "type": "subscribe_success"}]

    run(test)


@pytest.mark.parametrize("how", ["lost", "closed"])
def test_a_client_that_goes_hears_nothing_more(how: str) -> None:
    """Its subscriptions end, and what it still waits for is dropped."""

    async def test(world: World) -> None:
        client = await world.subscriber("/default/a")
        world.functions.delay_s = 1
        world.handle("onSubscribe", is_event=True)
        await client.say(type="subscribe", id="t", channel="/default/a", authorization=world.auth)
        if how == "lost":
            client.connection.lost()
        else:
            client.connection.receive(client_frame(8, (1000).to_bytes(2)))
            assert client.wire.frames() == [(8, True, (1000).to_bytes(2))]
            assert client.wire.log == ["close"]
        await asyncio.sleep(2)
        await world.post({"channel": "/default/a", "events": ["1"]})
        assert client.wire.frames() == []
        assert world.realtime.broker.audience_of(world.api.id) == 0

    run(test)


def test_an_api_that_is_removed_takes_its_clients_along() -> None:
    """Going away, as when the local cloud ends."""

    async def test(world: World) -> None:
        client = await world.subscriber("/default/a")
        world.apis.delete(world.api)
        assert closing(client) == ([], 1001)

    run(test)


def test_a_client_that_does_not_read_is_cut() -> None:
    """At 8 MiB that it has not taken; others hear on."""

    async def test(world: World) -> None:
        slow, quick = await world.subscriber("/default/a"), await world.subscriber("/default/a")
        slow.wire.stuck = 8 * 1024 * 1024
        await world.post({"channel": "/default/a", "events": ["1"]})
        assert closing(slow) == ([], 1008)
        assert slow.wire.log == ["abort"]
        assert len(quick.heard()) == 1

    run(test)


def test_pings_are_answered_and_rules_of_frames_held() -> None:
    """A pong of the same payload; a message over 2 MiB ends the connection with 1009, binary with 1003."""

    async def test(world: World) -> None:
        client = await world.connect()
        client.connection.receive(client_frame(9, b"abc"))
        assert client.wire.frames() == [(10, True, b"abc")]
        client.connection.receive(client_frame(2, b"abc"))
        assert closing(client) == ([], 1003)
        other = await world.connect()
        other.connection.receive(client_frame(1, b"x" * (2 * 1024 * 1024 + 1)))
        assert closing(other) == ([], 1009)

    run(test)
