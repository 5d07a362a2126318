"""Publishing to an Event API over HTTP: answers, limits, who may, and handlers."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from localcloud.issuer import ISSUER
from localcloud.services.appsync.model import Namespace
from localcloud.services.contract import Permission
from tests.unit.appsync_setup import AUTHORIZER, EVERY_KIND, REGION, World, config_of, run, signed, token

ROOM: dict[str, Any] = {"channel": "/default/room", "events": ['{"a":1}', "[2]"]}


def refusal(code: str, message: str) -> dict[str, Any]:
    return {"errors": [{"errorType": code, "message": message}]}


NOT_AUTHORIZED = (401, refusal("UnauthorizedException", "You are not authorized to make this call."))


def test_published_events_are_told_with_their_ids_and_heard_as_they_were_sent() -> None:
    """`{"failed":[],"successful":[{identifier, index}]}`; each event is a message of its own, in order."""

    async def test(world: World) -> None:
        client = await world.subscriber("/default/*")
        status, answer = await world.post(ROOM)
        assert status == 200
        assert [sorted(each) for each in answer["successful"]] == [["identifier", "index"]] * 2
        assert [each["index"] for each in answer["successful"]] == [0, 1]
        assert len({each["identifier"] for each in answer["successful"]}) == 2
        assert answer["failed"] == []
        expected = [{"type": "data", "id": "s", "event": text} for text in ROOM["events"]]
        assert client.heard() == expected

    run(test)


def test_the_addresses_of_an_api() -> None:
    """Its id in the path, or the host name it has on AWS; anything else of it is an unknown operation."""

    async def test(world: World) -> None:
        unknown = (404, refusal("UnknownOperationException", "Unknown Operation Request."))
        domain = f"{world.api.http_domain}:4601"
        assert (await world.post(ROOM, path="/event", host=domain))[0] == 200
        assert await world.post(ROOM, path="/other", host=domain) == unknown
        assert await world.post(ROOM, method="GET") == unknown
        assert await world.post(ROOM, path=f"/{world.api.id}/event/realtime") == unknown
        gone = domain.replace(world.api.id, "a" * 26)
        missing = (404, refusal("ResourceNotFoundException", "Unable to find the Api."))
        assert await world.post(ROOM, path="/event", host=gone) == missing

    run(test)


def test_what_is_for_no_event_api_is_left_to_others() -> None:
    """A REST API's path, and an id that no Event API has."""

    async def test(world: World) -> None:
        for path in ("/a1b2c3d4e5/v1/event", f"/{'a' * 26}/event", "/event"):
            with pytest.raises(AssertionError):
                await world.post(ROOM, path=path)

    run(test)


def test_a_page_of_another_origin_may_publish() -> None:
    """AppSync answers every origin, preflights as well."""

    async def test(world: World) -> None:
        answer = await world.answer(ROOM)
        assert answer.header("access-control-allow-origin") == "*"
        asked = {"access-control-request-headers": "x-api-key,content-type"}
        preflight = await world.answer(b"", asked, method="OPTIONS")
        assert preflight.status == 200
        assert preflight.header("access-control-allow-headers") == "x-api-key,content-type"
        assert preflight.header("access-control-allow-methods") == "POST, OPTIONS"

    run(test)


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        (b"{", "SerializationException", "Unable to parse request body"),
        (b"[]", "BadRequestException", "Request body must be a JSON object"),
        (b"[" * 9999, "SerializationException", "Unable to parse request body"),
        ({"events": ["1"]}, "BadRequestException", "Missing channel"),
        ({"channel": "/default/a"}, "BadRequestException", "Missing events"),
        ({"channel": "/default/a", "events": []}, "BadRequestException", "Missing events"),
        ({"channel": "/default/a", "events": {}}, "SerializationException", "Expected list or null"),
        ({"channel": "/default/a", "events": [{"a": 1}]}, "SerializationException", "Expected string"),
        ({"channel": "/default/a", "events": ["1"] * 6}, "BadRequestException", "Input exceeded 5 event limit"),
        ({"channel": "/default/*", "events": ["1"]}, "BadRequestException", "Invalid Channel Format"),
        ({"channel": 7, "events": ["1"]}, "BadRequestException", "Invalid Channel Format"),
        ({"channel": "/default/a", "events": ["1", "{"]}, "BadRequestException", "Event is not a valid JSON value"),
        ({"channel": "/default/a", "events": ["NaN"]}, "BadRequestException", "Event is not a valid JSON value"),
        ({"channel": "/default/a", "events": ['"\ud800"']}, "BadRequestException", "Event is not a valid JSON value"),
        (
            {"channel": "/default/a", "events": [f'"{"x" * (240 * 1024 - 1)}"']},
            "BadRequestException",
            "Event exceeded 240 KB limit",
        ),
    ],
)
def test_malformed_publications_are_refused_whole(body: Any, code: str, message: str) -> None:
    """400 with the error's type, also in a header; nobody hears anything."""

    async def test(world: World) -> None:
        client = await world.subscriber("/default/*")
        answer = await world.answer(body)
        assert (answer.status, json.loads(answer.body)) == (400, refusal(code, message))
        assert answer.header("x-amzn-errortype") == code
        assert client.heard() == []

    run(test)


def test_five_events_of_240_kb_are_taken() -> None:
    """The limits themselves are within."""

    async def test(world: World) -> None:
        client = await world.subscriber("/default/a")
        text = f'"{"x" * (240 * 1024 - 2)}"'
        status, _ = await world.post({"channel": "/default/a", "events": [text] * 5})
        assert status == 200
        frames = b"".join(payload for _, _, payload in client.wire.frames())
        assert frames.count(text.encode()[1:-1]) == 5

    run(test)


def test_a_namespace_that_is_not_there_lets_nobody_in() -> None:
    """As for a caller who may not."""

    async def test(world: World) -> None:
        assert await world.post({"channel": "/nobody/a", "events": ["1"]}) == NOT_AUTHORIZED

    run(test)


@pytest.mark.parametrize("shown", [{"x-api-key": "da2-wrong"}, {"authorization": "Bearer a.b.c"}, {"x-api-key": ""}])
def test_a_wrong_key_lets_nobody_in(shown: dict[str, str]) -> None:
    """Another key, another kind of authorization, none."""

    async def test(world: World) -> None:
        status, answer = await world.post(ROOM, shown)
        assert status == 401
        assert answer["errors"][0]["errorType"] == "UnauthorizedException"

    run(test)


def test_a_request_without_authorization_is_told_so() -> None:
    """In AppSync's words."""

    async def test(world: World) -> None:
        expected = refusal("UnauthorizedException", "Valid authorization header not provided.")
        assert await world.post(ROOM, {}) == (401, expected)

    run(test)


def test_a_key_lets_in_until_it_expires() -> None:
    """Seven days, on the hour, where nobody says otherwise."""

    async def test(world: World) -> None:
        expires_s = world.api.keys[world.key].expires_s
        assert expires_s % 3600 == 0
        await asyncio.sleep(expires_s - 1 - world.clock.time())
        assert (await world.post(ROOM))[0] == 200
        await asyncio.sleep(1)
        assert await world.post(ROOM) == NOT_AUTHORIZED

    run(test)


def test_a_signature_counts_as_the_principal_it_names() -> None:
    """IAM is asked for appsync:EventPublish on the namespace; the signature must be for appsync and the Region."""

    async def test(world: World) -> None:
        assert (await world.post(ROOM, signed()))[0] == 200
        arn = f"arn:aws:appsync:{REGION}:123456789012:apis/{world.api.id}/channelNamespace/default"
        assert world.access.asked == [Permission("appsync:EventPublish", arn)]
        denied = (401, refusal("UnauthorizedException", "Permission denied"))
        assert await world.post(ROOM, signed("DENIED")) == denied
        for shown in (signed(service="execute-api"), signed(region="us-east-1")):
            status, answer = await world.post(ROOM, shown)
            assert status == 401
            assert answer["errors"][0]["message"].startswith("Credential should be scoped to")

    run(test, config=config_of("AWS_IAM"))


def test_tokens_of_the_issuer_let_in() -> None:
    """With and without the Bearer scheme, until they expire; one that is forged, or another's, does not."""

    async def test(world: World) -> None:
        good = token(world.clock)
        for shown in (good, f"Bearer {good}", f"bearer {good}"):
            assert (await world.post(ROOM, {"authorization": shown}))[0] == 200
        unreadable = refusal("UnauthorizedException", "Unable to parse JWT token.")
        for bad in (good[:-4] + "AAAA", "a.b.c", token(world.clock, iss="https://else"), "x", good + "x" * 9000):
            assert await world.post(ROOM, {"authorization": bad}) == (401, unreadable)
        await asyncio.sleep(300)
        expired = refusal("UnauthorizedException", "Token has expired.")
        assert await world.post(ROOM, {"authorization": good}) == (401, expired)

    run(test, config=config_of("OPENID_CONNECT"))


def test_an_openid_provider_s_client_and_ages_are_held() -> None:
    """`clientId` is an expression for aud or azp; `iatTTL` and `authTTL` are milliseconds."""
    provider = {"openIDConnectConfig": {"issuer": ISSUER, "clientId": "app-.*", "iatTTL": 60_000, "authTTL": 90_000}}

    async def test(world: World) -> None:
        now = world.clock.time()
        good = token(world.clock, aud=["x", "app-1"], auth_time=now)
        assert (await world.post(ROOM, {"authorization": good}))[0] == 200
        wrong: tuple[dict[str, Any], ...] = (
            {"aud": "app", "auth_time": now},
            {"aud": "app-1", "auth_time": now - 90},
            {"aud": "app-1"},
        )
        for claims in wrong:
            assert (await world.post(ROOM, {"authorization": token(world.clock, **claims)}))[0] == 401
        await asyncio.sleep(60)
        assert (await world.post(ROOM, {"authorization": good}))[0] == 401

    run(test, config=config_of("OPENID_CONNECT", OPENID_CONNECT=provider))


def test_tokens_of_other_issuers_are_refused_by_name() -> None:
    """Their keys are not here, and nothing is fetched."""
    provider = {"openIDConnectConfig": {"issuer": "https://id.example.com"}}

    async def test(world: World) -> None:
        status, answer = await world.post(ROOM, {"authorization": token(world.clock, iss="https://id.example.com")})
        message = "Tokens of https://id.example.com cannot be verified by this local cloud."
        assert (status, answer) == (401, refusal("UnauthorizedException", message))

    run(test, config=config_of("OPENID_CONNECT", OPENID_CONNECT=provider))


def test_a_lambda_authorizer_is_told_and_believed() -> None:
    """The event of the documentation; anything but `isAuthorized: true` refuses, as does a failure."""

    async def test(world: World) -> None:
        shown = {"authorization": "custom", "x-other": "y"}
        assert (await world.post(ROOM, shown))[0] == 200
        [event] = world.functions.events
        request_id = event["requestContext"].pop("requestId")
        assert len(request_id) == 36
        assert event == {
            "authorizationToken": "custom",
            "requestContext": {
                "apiId": world.api.id,
                "accountId": "123456789012",
                "operation": "EVENT_PUBLISH",
                "channelNamespaceName": "default",
                "channel": "/default/room",
            },
            "requestHeaders": shown,
        }
        answers: list[Any] = [{"isAuthorized": False}, {"isAuthorized": "true"}, [], b"{", ValueError("broken"), None]
        for answer in answers:
            world.functions.answer = lambda _, answer=answer: answer
            assert await world.post(ROOM, shown) == NOT_AUTHORIZED
        world.functions.delay_s = 11
        world.functions.answer = lambda _: {"isAuthorized": True}
        assert await world.post(ROOM, shown) == NOT_AUTHORIZED

    run(test, config=config_of("AWS_LAMBDA"))


@pytest.mark.parametrize(("ttl_s", "override", "calls"), [(None, None, 2), (60, None, 1), (60, 0, 2), (None, 60, 1)])
def test_an_authorizer_s_answer_is_kept_as_long_as_it_and_the_api_say(
    ttl_s: int | None, override: int | None, calls: int
) -> None:
    """Not at all by default; for the same token, operation and channel alone."""
    own = {} if ttl_s is None else {"authorizerResultTtlInSeconds": ttl_s}
    provider = {"lambdaAuthorizerConfig": {"authorizerUri": AUTHORIZER, **own}}

    async def test(world: World) -> None:
        more = {} if override is None else {"ttlOverride": override}
        world.functions.answer = lambda _: {"isAuthorized": True, **more}
        for _ in range(2):
            await world.post(ROOM, {"authorization": "a"})
            await asyncio.sleep(59)
        assert len(world.functions.events) == calls
        await asyncio.sleep(60)
        await world.post(ROOM, {"authorization": "a"})
        await world.post(ROOM, {"authorization": "b"})
        await world.post({**ROOM, "channel": "/default/b"}, {"authorization": "b"})
        assert len(world.functions.events) == calls + 3

    run(test, config=config_of("AWS_LAMBDA", AWS_LAMBDA=provider))


def test_a_token_that_the_expression_does_not_fit_reaches_no_function() -> None:
    """`identityValidationExpression`, for the whole token; one that never ends fits nothing."""
    provider = {"lambdaAuthorizerConfig": {"authorizerUri": AUTHORIZER, "identityValidationExpression": "(a+)+b"}}

    async def test(world: World) -> None:
        assert (await world.post(ROOM, {"authorization": "aab"}))[0] == 200
        for bad in ("xaab", "aabx", "a" * 60):
            assert await world.post(ROOM, {"authorization": bad}) == NOT_AUTHORIZED
        assert len(world.functions.events) == 1

    run(test, config=config_of("AWS_LAMBDA", AWS_LAMBDA=provider))


def test_each_kind_of_authorization_is_told_by_what_is_shown() -> None:
    """An API that takes every kind tells them apart; any text that is no token is the authorizer's."""

    async def test(world: World) -> None:
        world.handle("onPublish")
        identities: list[Any] = []

        def answer(event: dict[str, Any]) -> Any:
            if "authorizationToken" in event:
                return {"isAuthorized": True, "handlerContext": {"team": "red"}}
            identities.append(event["identity"])
            return {"events": event["events"]}

        world.functions.answer = answer
        claims: dict[str, Any] = {"cognito:username": "ada.l", "cognito:groups": ["admin"]}
        bearer = token(world.clock, **claims)
        for shown in (world.auth, signed(), {"authorization": "custom"}, {"authorization": bearer}):
            assert (await world.post(ROOM, shown))[0] == 200
        key, signer, custom, user = identities
        assert key is None
        assert signer["userArn"] == "arn:aws:sts::123456789012:assumed-role/r/AK"
        assert custom == {"handlerContext": {"team": "red"}}
        assert (user["sub"], user["username"], user["groups"], user["issuer"]) == ("ada", "ada.l", ["admin"], ISSUER)

    run(test, config=config_of(*EVERY_KIND))


def test_a_namespace_s_modes_stand_before_the_api_s() -> None:
    """For publishing and for subscribing each on its own."""

    async def test(world: World) -> None:
        own = Namespace("own", publish=("AWS_IAM",))
        world.apis.put_namespace(world.api, own, is_new=True)
        publication = {"channel": "/own/a", "events": ["1"]}
        assert await world.post(publication) == NOT_AUTHORIZED
        assert (await world.post(publication, signed()))[0] == 200
        assert (await world.post(ROOM))[0] == 200
        assert await world.post(ROOM, signed()) == NOT_AUTHORIZED
        await world.subscriber("/own/a")

    run(test, config=config_of("API_KEY", "AWS_IAM", publish=("API_KEY",)))


def test_a_handler_is_told_of_the_events_and_makes_others_of_them() -> None:
    """The event of a direct handler; what it returns is broadcast in the order of publication."""

    async def test(world: World) -> None:
        world.handle("onPublish")
        client = await world.subscriber("/default/*")
        world.functions.answer = lambda event: {
            "events": [
                None,
                *({"id": each["id"], "payload": {"was": each["payload"]}} for each in event["events"][::-1]),
            ]
        }
        _, answer = await world.post(ROOM, {**world.auth, "x-trace": "7"})
        [event] = world.functions.events
        ids = [each["identifier"] for each in answer["successful"]]
        assert event == {
            "identity": None,
            "result": None,
            "request": {"headers": {**world.auth, "x-trace": "7"}, "domainName": None},
            "info": {
                "channel": {"path": "/default/room", "segments": ["default", "room"]},
                "channelNamespace": {"name": "default"},
                "operation": "PUBLISH",
            },
            "error": None,
            "prev": None,
            "stash": {},
            "outErrors": [],
            "events": [{"payload": {"a": 1}, "id": ids[0]}, {"payload": [2], "id": ids[1]}],
        }
        assert [each["event"] for each in client.heard()] == ['{"was":{"a":1}}', '{"was":[2]}']

    run(test)


def test_a_handler_s_errors_fail_event_by_event() -> None:
    """Such an event is not broadcast, and told as failed; one that is left out is not broadcast, and told as taken."""

    async def test(world: World) -> None:
        world.handle("onPublish")
        client = await world.subscriber("/default/*")
        world.functions.answer = lambda event: {
            "events": [{**event["events"][0], "error": "no"}, event["events"][2]],
        }
        _, answer = await world.post({"channel": "/default/a", "events": ["0", "1", "2"]})
        assert [(each["index"], each["errorMessage"]) for each in answer["failed"]] == [(0, "no")]
        assert [each["index"] for each in answer["successful"]] == [1, 2]
        assert [each["event"] for each in client.heard()] == ["2"]

    run(test)


@pytest.mark.parametrize(
    "answer",
    [
        {"error": "no"}, {"events": [{"id": "unknown"}]}, {"events": "x"}, {}, [], "x", b"{", ValueError("broken"),
        {"events": [7]}, {"events": [], "error": "no"},
    ],
)  # fmt: skip
def test_a_handler_that_fails_fails_the_publication(answer: Any) -> None:
    """403, and its words stay in the log; nobody hears anything."""

    async def test(world: World) -> None:
        world.handle("onPublish")
        client = await world.subscriber("/default/*")
        world.functions.answer = lambda _: answer
        expected = refusal("MessageProcessingError", "There was an error processing the message")
        assert await world.post(ROOM) == (403, expected)
        assert client.heard() == []

    run(test)


def test_an_event_id_twice_fails_the_publication() -> None:
    """Each id of the answer matches an incoming one, once."""

    async def test(world: World) -> None:
        world.handle("onPublish")
        world.functions.answer = lambda event: {"events": [event["events"][0]] * 2}
        assert (await world.post(ROOM))[0] == 403

    run(test)


@pytest.mark.parametrize("answer", [{"error": "no"}, ValueError("broken")])
def test_a_handler_in_event_mode_is_not_waited_for(answer: Any) -> None:
    """Whatever becomes of it, the events are broadcast as they are."""

    async def test(world: World) -> None:
        world.handle("onPublish", is_event=True)
        client = await world.subscriber("/default/*")
        world.functions.answer = lambda _: answer
        assert (await world.post(ROOM))[0] == 200
        assert len(world.functions.events) == 1
        assert [each["event"] for each in client.heard()] == ROOM["events"]

    run(test)


def test_an_event_that_a_handler_makes_too_large_is_missed_aloud() -> None:
    """Subscribers get a broadcast_error; the publisher is told of a success."""

    async def test(world: World) -> None:
        world.handle("onPublish")
        client = await world.subscriber("/default/*")
        world.functions.answer = lambda event: {"events": [{**event["events"][0], "payload": "x" * 245_760}]}
        assert (await world.post(ROOM))[0] == 200
        error = {"errorType": "MessageProcessingError", "message": "There was an error processing the message"}
        assert client.heard() == [{"type": "broadcast_error", "id": "s", "errors": [error]}]

    run(test)
