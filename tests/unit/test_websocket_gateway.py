"""What happens at the handshake, for a message and at the end, on virtual time and a deployed SAM template."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from localcloud.clock import VIRTUAL_EPOCH_S, run_virtual
from localcloud.gateway.ports import FunctionReply, FunctionUnavailableError
from localcloud.gateway.websocket.gateway import Refused
from localcloud.services.contract import WireResponse
from tests.unit.gateway_setup import allow
from tests.unit.websocket_setup import FakeWire, World, client_frame, open_world, text_frame

Scenario = Callable[[World], Awaitable[None]]


def _run(scenario: Scenario, *, alter: Callable[[dict[str, Any], str], None] | None = None) -> None:
    async def main() -> None:
        async with open_world(alter=alter) as world:
            await scenario(world)

    run_virtual(main)


def _stage(**settings: Any) -> Callable[[dict[str, Any], str], None]:
    def alter(properties: dict[str, Any], logical_id: str) -> None:
        if logical_id == "Socketv1Stage":
            properties.update(settings)

    return alter


def _refused(result: object) -> tuple[int, str]:
    assert isinstance(result, Refused)
    body = json.loads(result.body)
    assert set(body) == {"message", "connectionId", "requestId"}
    return result.status, body["message"]


def test_connect_events_are_api_gateways() -> None:
    """Headers as sent with the gateway's own, query, stage variables, context and who the authorizer says it is."""

    async def scenario(world: World) -> None:
        await asyncio.sleep(1.5)
        connection, _ = await world.open(
            query="token=t&a=1&a=2", host="here", upgrade="websocket", x_it="1", user_agent="it"
        )
        (event,) = world.events()
        context = event.pop("requestContext")
        assert event["headers"]["x-it"] == "1"
        host = f"{world.api_id}.execute-api.eu-central-1.amazonaws.com"
        assert {"Host", "X-Amzn-Trace-Id", "X-Forwarded-For", "X-Forwarded-Port", "X-Forwarded-Proto"} < set(
            event["headers"]
        )
        assert (event["headers"]["Host"], "upgrade" in event["headers"]) == (host, False)
        assert event["multiValueHeaders"]["x-it"] == ["1"]
        assert event["queryStringParameters"] == {"token": "t", "a": "2"}
        assert event["multiValueQueryStringParameters"] == {"token": ["t"], "a": ["1", "2"]}
        assert event["stageVariables"] == {"colour": "red"}
        assert (event["isBase64Encoded"], "body" in event) == (False, False)
        request_id = context.pop("requestId")
        assert context == {
            "routeKey": "$connect",
            "eventType": "CONNECT",
            "extendedRequestId": request_id,
            "requestTime": "15/Jan/2027:08:00:01 +0000",
            "messageDirection": "IN",
            "stage": "v1",
            "connectedAt": int(VIRTUAL_EPOCH_S * 1000) + 1500,
            "requestTimeEpoch": int(VIRTUAL_EPOCH_S * 1000) + 1500,
            "domainName": host,
            "connectionId": connection.id,
            "apiId": world.api_id,
            "identity": {"userAgent": "it", "sourceIp": "127.0.0.1"},
            "authorizer": {"principalId": "ann", "team": "blue", "integrationLatency": 0},
        }

    _run(scenario)


def test_message_events_have_no_headers() -> None:
    """Body, message id, the authorizer's words, and the connection's moment."""

    async def scenario(world: World) -> None:
        connection, wire = await world.open()
        await asyncio.sleep(2)
        assert await world.say(connection, wire, "no JSON") == []
        event = world.events()[-1]
        context = event["requestContext"]
        assert set(event) == {"requestContext", "body", "isBase64Encoded", "stageVariables"}
        assert (event["body"], context["routeKey"], context["eventType"]) == ("no JSON", "$default", "MESSAGE")
        assert context["requestTimeEpoch"] - context["connectedAt"] == 2000
        assert len(context["messageId"]) == 16
        assert context["authorizer"] == {"principalId": "ann", "team": "blue"}

    _run(scenario)


def test_disconnect_events_have_code_and_reason() -> None:
    """Also where the client just went, which is 1006."""

    async def scenario(world: World) -> None:
        connection, _ = await world.open()
        connection.receive(client_frame(8, b"\x03\xe9"))
        await asyncio.sleep(0.01)
        event = world.events()[-1]
        context = event["requestContext"]
        assert (context["routeKey"], context["eventType"]) == ("$disconnect", "DISCONNECT")
        assert (context["disconnectStatusCode"], context["disconnectReason"]) == (1001, "")
        assert set(event["headers"]) == {"Host", "x-api-key", "X-Forwarded-For", "x-restapi"}
        gone, _ = await world.open()
        gone.lost()
        await asyncio.sleep(0.01)
        assert world.events()[-1]["requestContext"]["disconnectStatusCode"] == 1006

    _run(scenario)


def test_the_authorizer_gets_a_request_event() -> None:
    """REQUEST, the route's ARN without a method, the handshake."""

    async def scenario(world: World) -> None:
        await world.open()
        (event,) = world.events("Check")
        arn = f"arn:aws:execute-api:eu-central-1:123456789012:{world.api_id}/v1/$connect"
        assert (event["type"], event["methodArn"]) == ("REQUEST", arn)
        assert event["headers"]["Upgrade"] == "websocket"
        assert event["queryStringParameters"] == {"token": "t"}
        assert "authorizer" not in event["requestContext"]
        asked = dict(world.functions.asked)
        assert asked["Serve"] == arn
        assert asked["Check"].startswith(f"arn:aws:execute-api:eu-central-1:123456789012:{world.api_id}/authorizers/")

    _run(scenario)


def _deny(_: object) -> bytes:
    return allow("ann").replace(b'"Allow"', b'"Deny"')


@pytest.mark.parametrize(
    ("reply", "status", "message"),
    [
        (_deny, 403, "User is not authorized to access this resource"),
        (
            lambda _: allow("ann", resource="arn:aws:execute-api:*:*:*/v2/*"),
            403,
            "User is not authorized to access this resource",
        ),
        (lambda _: FunctionReply(b'{"errorMessage":"Unauthorized"}', "Unhandled"), 401, "Unauthorized"),
        (lambda _: FunctionReply(b'{"errorMessage":"boom"}', "Unhandled"), 500, "Internal server error"),
        (lambda _: b"{}", 500, "Internal server error"),
        (lambda _: allow("ann", fat="x" * 8192), 500, "Internal server error"),
    ],
)
def test_authorizers_refuse_the_handshake(reply: Callable[[Any], Any], status: int, message: str) -> None:
    """401, 403 or 500; the route's function is not asked."""

    async def scenario(world: World) -> None:
        world.functions.replies["Check"] = reply
        assert _refused(await world.shake()) == (status, message)
        assert world.events() == []

    _run(scenario)


def test_a_missing_identity_source_is_401_without_a_call() -> None:
    """The authorizer is not asked."""

    async def scenario(world: World) -> None:
        assert _refused(await world.shake(query="")) == (401, "Unauthorized")
        assert world.functions.events == []

    _run(scenario)


def test_an_authorizer_that_takes_too_long_is_500() -> None:
    """After 29 seconds."""

    async def slow(_: Any) -> bytes:
        await asyncio.sleep(30)
        return allow("ann")

    async def scenario(world: World) -> None:
        world.functions.replies["Check"] = slow
        loop = asyncio.get_running_loop()
        assert _refused(await world.shake())[0] == 500
        assert loop.time() == 29

    _run(scenario)


@pytest.mark.parametrize(
    ("reply", "status"),
    [
        (b'{"statusCode":403,"body":"no"}', 403),
        (b'{"statusCode":"400"}', 400),
        (b'{"statusCode":302}', 302),
        (FunctionReply(b"{}", "Unhandled"), 502),
        (b"null", 502),
        (b'{"statusCode":99}', 502),
        (b'{"statusCode":101}', 502),
        (b'{"body":{}}', 502),
    ],
)
def test_the_connect_integration_decides(reply: Any, status: int) -> None:
    """Anything but a 2xx refuses; a function that fails is a 502."""

    async def scenario(world: World) -> None:
        world.functions.replies["Serve"] = reply
        result = await world.shake()
        assert isinstance(result, Refused)
        assert (result.status, world.gateway.connections()) == (status, [])

    _run(scenario)


def test_a_connect_integration_that_takes_too_long_is_504() -> None:
    """29 seconds are the most."""

    async def slow(_: Any) -> bytes:
        await asyncio.sleep(40)
        return b"{}"

    async def scenario(world: World) -> None:
        world.functions.replies["Serve"] = slow
        assert _refused(await world.shake()) == (504, "Endpoint request timed out")

    _run(scenario)


def test_an_unknown_stage_is_forbidden() -> None:
    """As is an unknown API."""

    async def scenario(world: World) -> None:
        assert _refused(await world.shake(stage="v2")) == (403, "Forbidden")

    _run(scenario)


def test_functions_need_a_permission() -> None:
    """Without it the handshake fails as an authorizer's misconfiguration does."""

    async def scenario(world: World) -> None:
        world.functions.permitted = False
        assert _refused(await world.shake())[0] == 500
        assert world.functions.events == []

    _run(scenario)


def test_the_integration_chooses_a_subprotocol() -> None:
    """Only one that the client offered."""

    async def scenario(world: World) -> None:
        reply = {"statusCode": 200, "headers": {"Sec-WebSocket-Protocol": "chat"}}
        world.functions.replies["Serve"] = json.dumps(reply).encode()
        offered: Any = await world.shake(sec_websocket_protocol="mqtt, chat")
        other: Any = await world.shake(sec_websocket_protocol="mqtt")
        assert (offered.subprotocol, other.subprotocol) == ("chat", "")

    _run(scenario)


@pytest.mark.parametrize(
    ("message", "route"),
    [
        ('{"action":"ask"}', "ask"),
        ('{"action":"Ask"}', "$default"),
        ('{"action":null}', "$default"),
        ("[]", "$default"),
        ("", "$default"),
        ('{"action":"$connect"}', "$default"),
        ('{"action":"$disconnect"}', "$default"),
        ('{"action":"$default"}', "$default"),
    ],
)
def test_the_selected_route_gets_the_message(message: str, route: str) -> None:
    """A client cannot reach $connect or $disconnect by name."""

    async def scenario(world: World) -> None:
        connection, wire = await world.open()
        await world.say(connection, wire, message)
        assert world.events()[-1]["requestContext"]["routeKey"] == route

    _run(scenario)


def test_without_a_route_and_a_default_the_client_is_told() -> None:
    """A frame with Forbidden, the connection's id and the request's; the connection stays."""

    async def scenario(world: World) -> None:
        handler = world.handlers["AWS::ApiGatewayV2::Route"]
        await handler.delete(world.resources["SocketDefaultRoute"], world.physical["SocketDefaultRoute"])
        connection, wire = await world.open()
        (answer,) = await world.say(connection, wire, "x")
        told = json.loads(answer)
        assert (told["message"], told["connectionId"], len(told["requestId"])) == ("Forbidden", connection.id, 16)
        assert connection.is_open

    _run(scenario)


def test_a_two_way_route_answers_with_the_body() -> None:
    """Text or base64; nothing where there is none; a one-way route never answers."""

    async def scenario(world: World) -> None:
        connection, wire = await world.open()
        world.functions.replies["Serve"] = b'{"statusCode":200,"body":"hello"}'
        assert await world.say(connection, wire, {"action": "ask"}) == ["hello"]
        assert await world.say(connection, wire, "x") == []
        world.functions.replies["Serve"] = b'{"statusCode":500,"body":"aGk=","isBase64Encoded":true}'
        assert await world.say(connection, wire, {"action": "ask"}) == ["hi"]
        world.functions.replies["Serve"] = b'{"statusCode":200}'
        assert await world.say(connection, wire, {"action": "ask"}) == []

    _run(scenario)


def _unavailable(_: Any) -> bytes:
    raise FunctionUnavailableError("Rate Exceeded.")


@pytest.mark.parametrize("reply", [FunctionReply(b"{}", "Unhandled"), b"null", b"no JSON", _unavailable])
def test_a_function_that_fails_is_told_as_a_frame(reply: Any) -> None:
    """Internal server error, on one-way routes too; the next message is served."""

    async def scenario(world: World) -> None:
        connection, wire = await world.open()
        world.functions.replies["Serve"] = reply
        (answer,) = await world.say(connection, wire, "x")
        assert json.loads(answer)["message"] == "Internal server error"
        world.functions.replies["Serve"] = b"{}"
        assert await world.say(connection, wire, "x") == []

    _run(scenario)


@pytest.mark.parametrize(("action", "limit_s"), [("ask", 29.0), ("quick", 0.05)])
def test_an_integration_has_its_time(action: str, limit_s: float) -> None:
    """29 seconds, or the integration's own; the function runs on."""
    ended: list[float] = []

    async def slow(_: Any) -> bytes:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(asyncio.get_running_loop().time())
        return b"{}"

    async def scenario(world: World) -> None:
        connection, wire = await world.open()
        world.functions.replies["Serve"] = slow
        await world.say(connection, wire, {"action": action})
        await asyncio.sleep(limit_s - 0.01)
        assert wire.texts() == []
        await asyncio.sleep(0.02)
        (answer,) = wire.texts()
        assert json.loads(answer)["message"] == "Endpoint request timed out"

    _run(scenario)


def test_messages_of_one_client_are_served_at_the_same_time() -> None:
    """A slow one does not hold up the next: API Gateway keeps no order."""

    async def first_slow(event: Any) -> bytes:
        await asyncio.sleep(5 if event["body"] == "slow" else 0)
        return b"{}"

    async def scenario(world: World) -> None:
        connection, _ = await world.open()
        world.functions.replies["Serve"] = first_slow
        connection.receive(text_frame("slow") + text_frame("fast"))
        await asyncio.sleep(0.1)
        assert [event["body"] for event in world.events()[1:]] == ["slow", "fast"]

    _run(scenario)


def test_a_service_integration_queues_the_message() -> None:
    """Byte for byte, with the connection's id as an attribute; the client is told nothing."""

    async def scenario(world: World) -> None:
        connection, wire = await world.open()
        message = json.dumps({"action": "job", "prompt": 'é & 😀 + % = "'}, ensure_ascii=False)
        assert await world.say(connection, wire, message) == []
        (queued,) = await world.queue.receive(10, wait_s=0, visibility_s=30)
        assert queued.body == message
        assert queued.message_attributes["connection"].value == connection.id
        (request,) = world.requests
        assert request.headers["content-type"] == "application/x-www-form-urlencoded"
        assert request.access_key == "ASIAROLE"

    _run(scenario)


def test_a_service_that_refuses_is_not_told_on_a_one_way_route() -> None:
    """The route has no response; the log says it."""

    async def scenario(world: World) -> None:
        connection, wire = await world.open()
        world.service_answer.append(WireResponse(403, b"no"))
        assert await world.say(connection, wire, {"action": "job"}) == []

    _run(scenario)


def test_a_role_that_cannot_be_assumed_is_told() -> None:
    """The call was never made, whatever the route's direction."""

    def alter(properties: dict[str, Any], logical_id: str) -> None:
        if logical_id == "JobIntegration":
            properties["CredentialsArn"] = "arn:aws:iam::123456789012:role/other"

    async def scenario(world: World) -> None:
        connection, wire = await world.open()
        (answer,) = await world.say(connection, wire, {"action": "job"})
        assert json.loads(answer)["message"] == "Internal server error"

    _run(scenario, alter=alter)


def test_integration_responses_make_the_answer() -> None:
    """By status, else the default one; the templates see the context, the stage's variables and who it is."""

    async def scenario(world: World) -> None:
        connection, wire = await world.open()
        assert await world.say(connection, wire, {"action": "echo"}) == [f"at {connection.id} by ann red"]
        assert await world.say(connection, wire, {"action": "echo", "status": "201"}) == ["created echo"]

    _run(scenario)


def test_a_stage_throttles_its_routes() -> None:
    """A route's own settings before the stage's; the client is told."""
    settings = {
        "DefaultRouteSettings": {"ThrottlingRateLimit": 100, "ThrottlingBurstLimit": 3},
        "RouteSettings": {"ask": {"ThrottlingRateLimit": 1, "ThrottlingBurstLimit": 1}},
    }

    async def scenario(world: World) -> None:
        connection, wire = await world.open()  # one of the stage's three
        ask = {"action": "ask"}
        told = [await world.say(connection, wire, ask) for _ in range(2)]
        assert [json.loads(each)["message"] for answers in told for each in answers] == ["Too Many Requests"]
        await asyncio.sleep(1)
        assert await world.say(connection, wire, ask) == []
        connection.receive(text_frame("x") * 5)
        await asyncio.sleep(0)
        assert len(wire.texts()) == 2

    _run(scenario, alter=_stage(**settings))


def test_the_account_takes_500_new_connections_a_second() -> None:
    """The next one is a 429 at the handshake."""

    async def scenario(world: World) -> None:
        statuses = [type(await world.shake()).__name__ for _ in range(501)]
        assert statuses.count("Refused") == 1
        assert _refused(await world.shake()) == (429, "Too Many Requests")

    _run(scenario)


def test_a_client_that_went_during_connect_is_told_of() -> None:
    """Its $connect ran, so its $disconnect does; the id never was of use to anybody for long."""

    async def scenario(world: World) -> None:
        accepted: Any = await world.shake()
        accepted.connection.open(FakeWire())
        accepted.connection.lost()
        await asyncio.sleep(0.01)
        assert [event["requestContext"]["routeKey"] for event in world.events()] == ["$connect", "$disconnect"]

    _run(scenario)


def test_a_removed_stage_closes_its_connections() -> None:
    """With 1001; nobody is told of the end any more."""

    async def scenario(world: World) -> None:
        _, wire = await world.open()
        world.gateway.remove(world.api_id, "v1")
        assert wire.frames() == [(8, True, b"\x03\xe9Going away")]
        assert (world.gateway.connections(), world.gateway.stages()) == ([], [])
        assert _refused(await world.shake()) == (403, "Forbidden")

    _run(scenario)
