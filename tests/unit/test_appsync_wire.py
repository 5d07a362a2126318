"""AppSync's control plane at the AWS port, as boto3 calls it; and publishing there with `AWS_ENDPOINT_URL`."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from localcloud.clock import SystemClock
from localcloud.gateway.appsync.http import EventsHttp
from localcloud.gateway.appsync.signed import SignedPublishing
from localcloud.identify import guess_service
from localcloud.services.appsync.model import EventApis
from localcloud.services.appsync.operations import ACTIONS
from localcloud.services.appsync.unserved import find_unserved
from localcloud.services.contract import Permission, WireRequest
from tests.unit.appsync_setup import World, run, signed
from tests.unit.appsync_wire_setup import REGION, ServiceClient

ARN = f"arn:aws:appsync:{REGION}:123456789012:apis/"
KEYS = {"authType": "API_KEY"}
IAM = {"authType": "AWS_IAM"}
CONFIG: dict[str, Any] = {
    "authProviders": [KEYS, IAM],
    "connectionAuthModes": [KEYS],
    "defaultPublishAuthModes": [IAM],
    "defaultSubscribeAuthModes": [KEYS, IAM],
}


@pytest.fixture
def appsync() -> Iterator[Any]:
    """A boto3 client of a service in this process."""
    served = ServiceClient()
    yield served.client
    served.close()


def error_of(call: Any, /, **values: Any) -> tuple[str, int, str]:
    """Code, status and message of a refusal."""
    with pytest.raises(ClientError) as caught:
        call(**values)
    answer = caught.value.response
    return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Message"]


def test_an_api_from_its_making_to_its_end(appsync: Any) -> None:
    """CreateApi, GetApi, UpdateApi, ListApis, DeleteApi."""
    made = appsync.create_api(name="events", ownerContact="me", eventConfig=CONFIG, tags={"a": "b"})["api"]
    api_id = made["apiId"]
    assert len(api_id) == 26
    assert made["apiArn"] == ARN + api_id
    assert made["dns"] == {
        "HTTP": f"{api_id}.appsync-api.{REGION}.amazonaws.com",
        "REALTIME": f"{api_id}.appsync-realtime-api.{REGION}.amazonaws.com",
    }
    assert (made["name"], made["ownerContact"], made["tags"]) == ("events", "me", {"a": "b"})
    assert made["eventConfig"] == CONFIG
    assert appsync.get_api(apiId=api_id)["api"] == made
    renamed = appsync.update_api(apiId=api_id, name="other")["api"]
    assert renamed == {**made, "name": "other"}
    assert appsync.list_apis()["apis"] == [renamed]
    appsync.delete_api(apiId=api_id)
    assert error_of(appsync.get_api, apiId=api_id)[:2] == ("NotFoundException", 404)
    assert error_of(appsync.delete_api, apiId=api_id)[:2] == ("NotFoundException", 404)
    assert appsync.list_apis()["apis"] == []


def test_an_api_without_a_configuration_takes_keys(appsync: Any) -> None:
    """For everything."""
    config = appsync.create_api(name="events")["api"]["eventConfig"]
    assert config == {name: [KEYS] for name in CONFIG}


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"name": "a/b"}, "1 validation error detected: Value 'a/b' at 'name' failed to satisfy constraint: Member"),
        ({"name": "x" * 51}, "length less than or equal to 50"),
        ({}, "Value null at 'name'"),
        ({"name": "a", "eventConfig": {}}, "4 validation errors detected: Value null at 'eventConfig.authProviders'"),
        ({"name": "a", "eventConfig": {**CONFIG, "authProviders": []}}, "one at least"),
        ({"name": "a", "eventConfig": {**CONFIG, "authProviders": [KEYS, KEYS]}}, "each authorization type once"),
        ({"name": "a", "eventConfig": {**CONFIG, "authProviders": [KEYS]}}, "AWS_IAM is not among"),
        ({"name": "a", "eventConfig": {**CONFIG, "connectionAuthModes": []}}, "one at least"),
        ({"name": "a", "eventConfig": {**CONFIG, "connectionAuthModes": [{"authType": "NONE"}]}}, "enum value set"),
        ({"name": "a", "eventConfig": {**CONFIG, "authProviders": [KEYS, {"authType": "AWS_LAMBDA"}]}}, "needs lambda"),
        (
            {"name": "a", "eventConfig": {**CONFIG, "logConfig": {"logLevel": "ALL", "cloudWatchLogsRoleArn": "r"}}},
            "Logs of Event APIs are not served by this local cloud.",
        ),
    ],
)
def test_what_makes_no_sense_is_a_bad_request(appsync: Any, values: dict[str, Any], says: str) -> None:
    """ValidationException for what the service model's constraints refuse, BadRequestException for the rest."""
    code, status, message = error_of(appsync.create_api, **values)
    is_constraint = "failed to satisfy constraint" in message
    assert (code, status) == ("ValidationException" if is_constraint else "BadRequestException", 400)
    assert says in message


def test_a_provider_s_expression_must_be_one(appsync: Any) -> None:
    """A client's id, or a token's form."""
    provider = {"authType": "OPENID_CONNECT", "openIDConnectConfig": {"issuer": "https://a", "clientId": "("}}
    modes = [{"authType": "OPENID_CONNECT"}]
    config = {**dict.fromkeys(CONFIG, modes), "authProviders": [provider]}
    code, _, message = error_of(appsync.create_api, name="a", eventConfig=config)
    assert code == "BadRequestException"
    assert message.startswith("clientId is not a regular expression")


def test_namespaces(appsync: Any) -> None:
    """Made, listed in pages, changed in what is given, removed."""
    api_id = appsync.create_api(name="events", eventConfig=CONFIG)["api"]["apiId"]
    made = appsync.create_channel_namespace(apiId=api_id, name="b", publishAuthModes=[IAM], tags={"k": "v"})
    about = made["channelNamespace"]
    assert about["channelNamespaceArn"] == f"{ARN}{api_id}/channelNamespace/b"
    assert (about["publishAuthModes"], about["tags"]) == ([IAM], {"k": "v"})
    assert "subscribeAuthModes" not in about
    assert error_of(appsync.create_channel_namespace, apiId=api_id, name="b")[:2] == ("ConflictException", 409)
    assert error_of(appsync.create_channel_namespace, apiId=api_id, name="-b")[0] == "ValidationException"
    changed = appsync.update_channel_namespace(apiId=api_id, name="b", subscribeAuthModes=[KEYS])["channelNamespace"]
    assert (changed["publishAuthModes"], changed["subscribeAuthModes"], changed["tags"]) == ([IAM], [KEYS], {"k": "v"})
    for name in ("a", "c"):
        appsync.create_channel_namespace(apiId=api_id, name=name)
    pages = appsync.get_paginator("list_channel_namespaces").paginate(apiId=api_id, PaginationConfig={"PageSize": 2})
    assert [[each["name"] for each in page["channelNamespaces"]] for page in pages] == [["a", "b"], ["c"]]
    appsync.delete_channel_namespace(apiId=api_id, name="b")
    missing = error_of(appsync.get_channel_namespace, apiId=api_id, name="b")
    assert missing == ("NotFoundException", 404, "Channel namespace b not found.")
    kept = {**CONFIG, "authProviders": [KEYS], "defaultPublishAuthModes": [KEYS], "defaultSubscribeAuthModes": [KEYS]}
    appsync.create_channel_namespace(apiId=api_id, name="d", publishAuthModes=[IAM])
    code, _, message = error_of(appsync.update_api, apiId=api_id, name="events", eventConfig=kept)
    assert (code, "namespace d uses" in message) == ("BadRequestException", True)


def test_handlers_are_direct(appsync: Any) -> None:
    """JavaScript is refused by name; a handler's data source is a function, and is kept while it is used."""
    api_id = appsync.create_api(name="events")["api"]["apiId"]
    direct = {"behavior": "DIRECT", "integration": {"dataSourceName": "fn"}}
    handlers = {"onPublish": direct}
    assert error_of(appsync.create_channel_namespace, apiId=api_id, name="a", handlerConfigs=handlers)[0] == (
        "BadRequestException"
    )
    source = {"name": "fn", "type": "AWS_LAMBDA", "serviceRoleArn": "r", "lambdaConfig": {"lambdaFunctionArn": "f"}}
    made = appsync.create_data_source(apiId=api_id, **source)["dataSource"]
    assert made == {**source, "dataSourceArn": f"{ARN}{api_id}/datasources/fn"}
    assert error_of(appsync.create_data_source, apiId=api_id, **source)[0] == "ConflictException"
    appsync.create_channel_namespace(apiId=api_id, name="a", handlerConfigs=handlers)
    told = appsync.get_channel_namespace(apiId=api_id, name="a")["channelNamespace"]["handlerConfigs"]
    asked = {"dataSourceName": "fn", "lambdaConfig": {"invokeType": "REQUEST_RESPONSE"}}
    assert told == {"onPublish": {"behavior": "DIRECT", "integration": asked}}
    kept = appsync.update_channel_namespace(apiId=api_id, name="a", publishAuthModes=[KEYS])["channelNamespace"]
    assert (kept["handlerConfigs"], kept["publishAuthModes"]) == (told, [KEYS])
    assert error_of(appsync.delete_data_source, apiId=api_id, name="fn")[2] == (
        "Data source fn is used by channel namespace a."
    )
    code = {"onPublish": {**direct, "behavior": "CODE"}}
    for values in ({"codeHandlers": "export"}, {"handlerConfigs": code}):
        message = error_of(appsync.create_channel_namespace, apiId=api_id, name="b", **values)[2]
        assert message.startswith("Handlers in JavaScript (")
    tables = {"name": "t", "type": "AMAZON_DYNAMODB"}
    message = error_of(appsync.create_data_source, apiId=api_id, **tables)[2]
    assert message == "Data sources of the type AMAZON_DYNAMODB are not served by this local cloud."
    appsync.create_data_source(apiId=api_id, name="none", type="NONE")
    assert [each["name"] for each in appsync.list_data_sources(apiId=api_id)["dataSources"]] == ["fn", "none"]
    none = {"onPublish": {"behavior": "DIRECT", "integration": {"dataSourceName": "none"}}}
    refused = error_of(appsync.create_channel_namespace, apiId=api_id, name="b", handlerConfigs=none)[2]
    assert refused == "Data source none is no function: a DIRECT handler needs one."


def test_keys(appsync: Any) -> None:
    """Seven days unless told, on the hour, between one day and 365; sixty days later forgotten."""
    now = int(SystemClock().time())
    api_id = appsync.create_api(name="events")["api"]["apiId"]
    key = appsync.create_api_key(apiId=api_id, description="d")["apiKey"]
    assert key["id"].startswith("da2-")
    assert 0 <= now + 7 * 86_400 - key["expires"] <= 3600
    assert (key["expires"] % 3600, key["deletes"] - key["expires"]) == (0, 60 * 86_400)
    longer = appsync.update_api_key(apiId=api_id, id=key["id"], expires=now + 30 * 86_400)["apiKey"]
    assert (longer["expires"] > key["expires"], longer["description"]) == (True, "d")
    for days in (0.5, 366):
        code, status, _ = error_of(appsync.create_api_key, apiId=api_id, expires=int(now + days * 86_400))
        assert (code, status) == ("ApiKeyValidityOutOfBoundsException", 400)
    assert appsync.list_api_keys(apiId=api_id)["apiKeys"] == [longer]
    appsync.delete_api_key(apiId=api_id, id=key["id"])
    assert error_of(appsync.delete_api_key, apiId=api_id, id=key["id"])[0] == "NotFoundException"


def test_quotas(appsync: Any) -> None:
    """Fifty APIs of a Region, fifty namespaces and keys of an API."""
    api_id = appsync.create_api(name="events")["api"]["apiId"]
    for number in range(50):
        appsync.create_channel_namespace(apiId=api_id, name=f"n{number}")
        appsync.create_api_key(apiId=api_id)
    for _ in range(49):
        appsync.create_api(name="events")
    assert error_of(appsync.create_channel_namespace, apiId=api_id, name="more")[:2] == (
        "ServiceQuotaExceededException",
        402,
    )
    assert error_of(appsync.create_api_key, apiId=api_id)[0] == "ApiKeyLimitExceededException"
    assert error_of(appsync.create_api, name="more")[0] == "ServiceQuotaExceededException"


def test_tags_and_pages(appsync: Any) -> None:
    """Of APIs; a page's token that nobody was given is refused."""
    arn = appsync.create_api(name="events", tags={"a": "1"})["api"]["apiArn"]
    appsync.tag_resource(resourceArn=arn, tags={"b": "2"})
    appsync.untag_resource(resourceArn=arn, tagKeys=["a"])
    assert appsync.list_tags_for_resource(resourceArn=arn)["tags"] == {"b": "2"}
    assert error_of(appsync.list_apis, nextToken="é")[0] == "BadRequestException"
    assert error_of(appsync.list_apis, maxResults=26)[0] == "ValidationException"


def test_graphql_is_refused_by_name(appsync: Any) -> None:
    """Every operation of the service model is served, or named."""
    code, status, message = error_of(appsync.create_graphql_api, name="a", authenticationType="API_KEY")
    assert (code, status) == ("BadRequestException", 400)
    assert message == "CreateGraphqlApi is not served by this local cloud."
    model = appsync.meta.service_model
    for name in model.operation_names:
        http = model.operation_model(name).http
        path = http["requestUri"].partition("?")[0].replace("{", "").replace("}", "")
        assert (name in ACTIONS) != (find_unserved(http["method"], path) == name)


def wire(method: str, path: str, body: bytes = b"", **headers: str) -> WireRequest:
    return WireRequest("appsync", REGION, method, path, "", headers, body, "AK", "r")


def test_what_iam_is_asked_for() -> None:
    """The API's ARN, a namespace's for what is done to it, `*` where there is none; nothing of the data plane."""
    apis = EventApis(clock=SystemClock(), rng=random.Random(1))
    service = SignedPublishing(apis, EventsHttp(None))  # type: ignore[arg-type] - it is not asked
    for request, expected in (
        (wire("POST", "/v2/apis"), Permission("appsync:CreateApi", "*")),
        (wire("GET", "/v2/apis/x"), Permission("appsync:GetApi", f"{ARN}x")),
        (
            wire("DELETE", "/v2/apis/x/channelNamespaces/n"),
            Permission("appsync:DeleteChannelNamespace", f"{ARN}x/channelNamespace/n"),
        ),
        (wire("GET", f"/v1/tags/{ARN.replace('/', '%2F')}x"), Permission("appsync:ListTagsForResource", f"{ARN}x")),
    ):
        assert service.permissions(request) == (expected,)
    for request in (wire("POST", "/event"), wire("GET", "/nothing"), wire("POST", "/v1/apis")):
        assert service.permissions(request) == ()


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"name":7}'])
def test_a_body_of_another_form_is_told_so(body: bytes) -> None:
    """SerializationException, as every service here says it."""

    async def test(world: World) -> None:
        answer = await SignedPublishing(world.apis, world.http).handle(wire("POST", "/v2/apis", body))
        assert (answer.status, answer.headers["x-amzn-errortype"]) == (400, "SerializationException")

    run(test)


def test_publishing_at_the_aws_port() -> None:
    """Under `/<api id>/event`, the API's host name, or `/event`: then the namespace says which API is meant."""

    async def test(world: World) -> None:
        service = SignedPublishing(world.apis, world.http)
        body = json.dumps({"channel": "/default/a", "events": ["1"]}).encode()
        for path, host in (
            ("/event", "127.0.0.1:4600"),
            (f"/{world.api.id}/event", "127.0.0.1:4600"),
            ("/event", world.api.http_domain),
        ):
            request = wire("POST", path, body, host=host, **{"x-api-key": world.key})
            assert service.takes_unsigned(request)
            assert guess_service(request.headers, path) == "appsync"
            assert (await service.handle(request)).status == 200
        for path in ("/v2/apis", "/default/event", "/event/a"):
            assert not service.takes_unsigned(wire("POST", path, host="127.0.0.1:4600"))
        missing = await service.handle(wire("POST", "/event", body.replace(b"default", b"other"), **signed()))
        assert isinstance(missing.body, bytes)
        assert "no Event API has the channel namespace other" in missing.body.decode()
        other = world.apis.create("more", REGION, config=world.api.config)
        other.namespaces["default"] = world.api.namespaces["default"]
        several = await service.handle(wire("POST", "/event", body, **{"x-api-key": world.key}))
        assert several.status == 400
        assert isinstance(several.body, bytes)
        assert "several Event APIs have the channel namespace default" in several.body.decode()

    run(test)
