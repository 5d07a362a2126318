"""HTTP APIs as templates make them: bodies, separate resources, quick create, stages, CORS, names; what is refused."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from localcloud.gateway.message import HttpRequest
from localcloud.gateway.ports import HttpAnswer
from localcloud.template.errors import TemplateError
from localcloud.template.handler import Resource, StackContext
from tests.unit.http_api_setup import FUNCTION, ISSUER, World, function, in_world

NOT_FOUND = b'{"message":"Not Found"}'
HTTP_API = {"Name": "t", "ProtocolType": "HTTP"}
JWT: dict[str, Any] = {
    "AuthorizerType": "JWT",
    "Name": "j",
    "IdentitySource": ["$request.header.Authorization"],
    "JwtConfiguration": {"Issuer": ISSUER, "Audience": ["app"]},
}


# ---- how APIs come to be


def test_ref_and_attributes_are_cloudformations() -> None:
    """Ids of the lengths that API Gateway has, and the endpoint over https."""

    async def run(world: World) -> None:
        await world.make("Api", "Api", **HTTP_API)
        await world.make("Integration", "Call", IntegrationType="AWS_PROXY", IntegrationUri=f"{FUNCTION}Work")
        await world.make("Authorizer", "J", **JWT)
        endpoint = f"https://{world.api_id}.execute-api.eu-central-1.amazonaws.com"
        assert world.made["Api"][1].attributes == {"ApiId": world.api_id, "ApiEndpoint": endpoint}
        call, authorizer = world.made["Call"][1], world.made["J"][1]
        assert (len(world.api_id), call.attributes) == (10, {"IntegrationId": call.ref})
        assert authorizer.attributes == {"AuthorizerId": authorizer.ref}

    in_world(run)


@pytest.mark.parametrize(
    ("target", "path", "expected"),
    [(f"{FUNCTION}Work", "/x/y", b"done"), ("https://back.example", "/", b"back")],
)
def test_quick_create_needs_no_more_than_a_target(target: str, path: str, expected: bytes) -> None:
    """A function in format 2.0 or an address, behind `$default`, at a stage that has no part of the path."""

    async def run(world: World) -> None:
        await world.make("Api", **HTTP_API, Target=target)
        answer = await world.ask("GET", path)
        assert (answer.status, answer.body) == (200, expected)
        if world.functions.events:
            assert (world.event["version"], world.event["routeKey"]) == ("2.0", "$default")

    in_world(run)


@pytest.mark.parametrize("written", ["2.0", 2.0, 2, Decimal("2.0")])
def test_a_format_may_be_written_without_quotes(written: object) -> None:
    """As templates are read, a number then; SAM itself writes an authorizer's so."""

    async def run(world: World) -> None:
        await world.make_open()
        authorizer = {"AuthorizerType": "REQUEST", "AuthorizerUri": f"{FUNCTION}Check", "EnableSimpleResponses": True}
        made = await world.make("Authorizer", **{"Name": "c", "AuthorizerPayloadFormatVersion": written} | authorizer)
        work = {"IntegrationType": "AWS_PROXY", "IntegrationUri": f"{FUNCTION}Work", "PayloadFormatVersion": written}
        await world.make_route("GET /a", work, AuthorizationType="CUSTOM", AuthorizerId=made)
        world.functions.replies["Check"] = b'{"isAuthorized": true}'
        assert (await world.ask("GET", "/a")).status == 200
        assert [event["version"] for _, event in world.functions.events] == ["2.0", "2.0"]

    in_world(run)


def test_quick_create_may_name_its_route() -> None:
    """Then nothing else is there."""

    async def run(world: World) -> None:
        await world.make("Api", **HTTP_API, Target=f"{FUNCTION}Work", RouteKey="GET /a")
        assert [(await world.ask("GET", path)).status for path in ("/a", "/b")] == [200, 404]

    in_world(run)


def test_a_body_may_name_integrations_that_it_shares() -> None:
    """By reference into its components."""

    async def run(world: World) -> None:
        shared = {"x-amazon-apigateway-integrations": {"one": function()["x-amazon-apigateway-integration"]}}
        operation = {"x-amazon-apigateway-integration": {"$ref": "#/components/x-amazon-apigateway-integrations/one"}}
        await world.make_body({"/a": {"get": operation}}, components=shared)
        assert (await world.ask("GET", "/a")).status == 200

    in_world(run)


def test_a_route_may_be_open_though_others_are_not() -> None:
    """As SAM writes `Authorizer: NONE`; the root's security is for operations that have none of their own."""

    async def run(world: World) -> None:
        authorizer = {"type": "jwt", "identitySource": "$request.header.a"}
        authorizer |= {"jwtConfiguration": {"issuer": ISSUER, "audience": ["app"]}}
        schemes = {"securitySchemes": {"J": {"type": "oauth2", "x-amazon-apigateway-authorizer": authorizer}}}
        paths = {"/open": {"get": function(security=[{"NONE": []}])}, "/shut": {"get": function()}}
        await world.make_body(paths, components=schemes, security=[{"J": []}])
        assert [(await world.ask("GET", path)).status for path in ("/open", "/shut")] == [200, 401]

    in_world(run)


def test_the_address_itself_is_its_root() -> None:
    """With a slash at the end or without."""

    async def run(world: World) -> None:
        await world.make_body({"/": {"get": function()}})
        assert [(await world.ask("GET", path)).status for path in ("", "/")] == [200, 200]
        assert world.event["rawPath"] == "/"

    in_world(run)


def test_a_body_may_be_a_file(tmp_path: Path) -> None:
    """As SAM's DefinitionUri leaves it; its title is the API's name."""

    async def run(world: World) -> None:
        body = {"openapi": "3.0.3", "info": {"title": "filed"}, "paths": {"$default": {_ANY: function()}}}
        (tmp_path / "api.yaml").write_text(json.dumps(body))
        context = StackContext("stack", "eu-central-1", "123456789012", "aws", tmp_path)
        resource = Resource("Api", "AWS::ApiGatewayV2::Api", {"BodyS3Location": "api.yaml"}, context)
        world.api_id = (await world.handlers[resource.type].create(resource)).ref
        await world.make("Stage", StageName="$default", AutoDeploy=True)
        assert (await world.ask("PUT", "/any/where")).status == 200

    in_world(run)


_ANY = "x-amazon-apigateway-any-method"


def test_a_deployment_holds_the_api_as_it_was() -> None:
    """A stage with AutoDeploy shows every route, one without a deployment none."""

    async def run(world: World) -> None:
        await world.make("Api", **HTTP_API)
        await world.make_route("GET /first")
        deployment = await world.make("Deployment", StageName="made")
        await world.make_route("GET /second")
        await world.make("Stage", StageName="$default", AutoDeploy=True)
        await world.make("Stage", StageName="held", DeploymentId=deployment)
        await world.make("Stage", StageName="empty")
        paths = ["/first", "/second", "/held/first", "/held/second", "/made/first", "/empty/first"]
        assert [(await world.ask("GET", path)).status for path in paths] == [200, 200, 200, 404, 200, 404]

    in_world(run)


def test_stages_have_variables_and_hosts() -> None:
    """A named stage is the first part of the path, also under the API's own host name; `$default` takes the rest."""

    async def run(world: World) -> None:
        await world.make("Api", **HTTP_API)
        await world.make_route("ANY /{p+}")
        await world.make("Stage", StageName="v1", AutoDeploy=True, StageVariables={"a": "b"})
        await world.make("Stage", StageName="$default", AutoDeploy=True)
        host = f"{world.api_id}.execute-api.eu-central-1.amazonaws.com"
        seen: list[tuple[str, str, Any]] = []
        for path, at in (("/v1/x", ""), ("/v1/x", host), ("/x", ""), ("/x", host), ("/$default/x", "")):
            await world.ask("GET", path, host=at)
            event = world.event
            seen.append((event["requestContext"]["stage"], event["rawPath"], event.get("stageVariables")))
        named, plain = ("v1", "/v1/x", {"a": "b"}), ("$default", "/x", None)
        assert seen == [named, named, plain, plain, ("$default", "/$default/x", None)]

    in_world(run)


def test_what_is_not_there_is_not_found() -> None:
    """No route, no stage, an API whose own endpoint is off: always the same words."""

    async def run(world: World) -> None:
        await world.make("Api", **HTTP_API)
        answers = [await world.ask("GET", "/")]
        await world.make_route("GET /a")
        await world.make("Stage", StageName="v1", AutoDeploy=True)
        answers += [await world.ask("POST", "/v1/a"), await world.ask("GET", "/v1/b"), await world.ask("GET", "/a")]
        world.api_id = await world.make("Api", "Shut", **HTTP_API, DisableExecuteApiEndpoint=True)
        await world.make("Stage", StageName="$default", AutoDeploy=True)
        await world.make_route("GET /a")
        answers.append(await world.ask("GET", "/a"))
        assert [(answer.status, answer.body) for answer in answers] == [(404, NOT_FOUND)] * 5

    in_world(run)


def test_routes_are_throttled_each_by_its_own_setting() -> None:
    """429 when the burst is used up, until the rate has filled it again."""

    async def run(world: World) -> None:
        await world.make("Api", **HTTP_API)
        await world.make_route("GET /a")
        await world.make_route("GET /b")
        await world.make(
            "Stage",
            StageName="$default",
            AutoDeploy=True,
            DefaultRouteSettings={"ThrottlingBurstLimit": 1, "ThrottlingRateLimit": 1},
            RouteSettings={"GET /b": {"ThrottlingBurstLimit": 2, "ThrottlingRateLimit": 2}},
        )
        first = [(await world.ask("GET", path)).status for path in ("/a", "/a", "/b", "/b", "/b")]
        refused = await world.ask("GET", "/a")
        await asyncio.sleep(1)
        later = [(await world.ask("GET", path)).status for path in ("/a", "/a", "/b", "/b", "/b")]
        assert (first, later) == ([200, 429, 200, 200, 429], [200, 429, 200, 200, 429])
        assert refused.body == b'{"message":"Too Many Requests"}'

    in_world(run)


def test_everything_is_taken_away() -> None:
    """In the reverse order, until the API's id leads nowhere."""

    async def run(world: World) -> None:
        await world.make("Api", **HTTP_API)
        authorizer = await world.make("Authorizer", **JWT)
        route = {"AuthorizationType": "JWT", "AuthorizerId": authorizer}
        await world.make_route("GET /a", **route)
        await world.make("Deployment", StageName="made")
        await world.make("Stage", StageName="v1", AutoDeploy=True)
        assert (await world.ask("GET", "/v1/a")).status == 401
        for resource, physical in reversed(world.made.values()):
            await world.handlers[resource.type].delete(resource, physical)
        assert [(await world.ask("GET", path)).status for path in ("/v1/a", "/made/a")] == [403, 403]

    in_world(run)


# ---- CORS

CORS: dict[str, Any] = {
    "AllowOrigins": ["https://a.example", "http://*"],
    "AllowMethods": ["GET", "PUT"],
    "AllowHeaders": ["x-a"],
    "ExposeHeaders": ["x-b"],
    "MaxAge": 60,
    "AllowCredentials": True,
}


def cors_headers(answer: Any) -> dict[str, str]:
    return {name: value for name, value in answer.headers if name.startswith("access-control-") or name == "vary"}


@pytest.mark.parametrize("origin", ["https://a.example", "http://b.example"])
def test_a_preflight_is_answered_by_the_api(origin: str) -> None:
    """204 with what is allowed, though no route has OPTIONS, and nothing is called."""

    async def run(world: World) -> None:
        await world.make_open(CorsConfiguration=CORS)
        await world.make_route("GET /a")
        answer = await world.ask("OPTIONS", "/a", origin=origin, access_control_request_method="GET")
        assert (answer.status, answer.body, world.functions.events) == (204, b"", [])
        assert cors_headers(answer) == {
            "access-control-allow-origin": origin,
            "vary": "Origin",
            "access-control-allow-credentials": "true",
            "access-control-allow-methods": "GET,PUT",
            "access-control-allow-headers": "x-a",
            "access-control-max-age": "60",
        }

    in_world(run)


def test_an_origin_that_is_not_allowed_gets_no_cors_headers() -> None:
    """Neither to a preflight nor to a request, which is answered all the same."""

    async def run(world: World) -> None:
        await world.make_open(CorsConfiguration=CORS)
        await world.make_route("GET /a")
        asked = await world.ask("OPTIONS", "/a", origin="https://b.example", access_control_request_method="GET")
        answer = await world.ask("GET", "/a", origin="https://b.example")
        assert [(each.status, cors_headers(each)) for each in (asked, answer)] == [(204, {}), (200, {})]

    in_world(run)


def test_the_apis_cors_headers_take_the_place_of_the_functions() -> None:
    """Of errors too; without a configuration the function's pass."""

    async def run(world: World) -> None:
        reply = {"statusCode": 200, "headers": {"access-control-allow-origin": "x", "access-control-max-age": "1"}}
        world.functions.replies["Work"] = json.dumps(reply).encode()
        await world.make_open()
        await world.make_route("GET /a")
        passed = await world.ask("GET", "/a", origin="https://a.example")
        assert cors_headers(passed) == {"access-control-allow-origin": "x", "access-control-max-age": "1"}
        world.api_id = ""
        await world.make_open(CorsConfiguration=CORS)
        await world.make_route("GET /a")
        for path in ("/a", "/none"):
            answer = await world.ask("GET", path, origin="https://a.example")
            assert cors_headers(answer) == {
                "access-control-allow-origin": "https://a.example",
                "vary": "Origin",
                "access-control-allow-credentials": "true",
                "access-control-expose-headers": "x-b",
            }

    in_world(run)


def test_a_body_may_have_the_configuration_and_any_origin() -> None:
    """`*` is sent as it is."""

    async def run(world: World) -> None:
        cors = {"allowOrigins": ["*"], "allowMethods": ["*"]}
        await world.make_body({"/a": {"get": function()}}, **{"x-amazon-apigateway-cors": cors})
        answer = await world.ask("OPTIONS", "/b", origin="null", access_control_request_method="GET")
        expected = {"access-control-allow-origin": "*", "access-control-allow-methods": "*"}
        assert (answer.status, cors_headers(answer)) == (204, expected)

    in_world(run)


def test_a_preflight_to_a_route_with_an_authorizer_is_authorized() -> None:
    """So `$default` with one needs an OPTIONS route without, which then answers from the configuration."""

    async def run(world: World) -> None:
        await world.make_open(CorsConfiguration=CORS)
        authorizer = await world.make("Authorizer", **JWT)
        await world.make_route("$default", AuthorizationType="JWT", AuthorizerId=authorizer)
        sent = {"origin": "https://a.example", "access_control_request_method": "GET"}
        assert (await world.ask("OPTIONS", "/a", **sent)).status == 401
        await world.make_route("OPTIONS /{proxy+}")
        assert (await world.ask("OPTIONS", "/a", **sent)).status == 204

    in_world(run)


def test_without_a_configuration_options_is_a_method_like_any_other() -> None:
    """Its route is asked, or none is found."""

    async def run(world: World) -> None:
        await world.make_open()
        await world.make_route("OPTIONS /a")
        sent = {"origin": "https://a.example", "access_control_request_method": "GET"}
        assert [(await world.ask("OPTIONS", path, **sent)).status for path in ("/a", "/b")] == [200, 404]

    in_world(run)


# ---- custom names


def test_an_api_is_served_under_a_custom_name() -> None:
    """The longest key counts; the function sees the name, and the whole path behind the stage."""

    async def run(world: World) -> None:
        await world.make("Api", **HTTP_API, DisableExecuteApiEndpoint=True)
        await world.make_route("GET /{p+}")
        stage = await world.make("Stage", StageName="v1", AutoDeploy=True)
        name = await world.make("DomainName", DomainName="api.example.com", DomainNameConfigurations=[{}])
        for key in ("shop", "shop/new"):
            mapping = {"DomainName": name, "Stage": stage, "ApiMappingKey": key}
            made = await world.make("ApiMapping", key.replace("/", ""), **mapping)
            assert world.made[key.replace("/", "")][1].attributes == {"ApiMappingId": made}
        seen: list[Any] = []
        for path in ("/shop/a", "/shop/new/a", "/shop/newer"):
            assert (await world.ask("GET", path, host="API.example.com:4601")).status == 200
            context = world.event["requestContext"]
            seen.append((world.event["rawPath"], world.event["pathParameters"]["p"]))
            assert (context["domainName"], context["domainPrefix"]) == ("api.example.com", "api")
        assert seen == [("/v1/shop/a", "a"), ("/v1/shop/new/a", "a"), ("/v1/shop/newer", "newer")]
        assert (await world.ask("GET", "/other", host="api.example.com")).status == 403

    in_world(run)


@pytest.mark.parametrize(
    ("changed", "where"),
    [
        ({"DomainName": "other.example.com"}, "DomainName"),
        ({"ApiMappingKey": "a//b"}, "ApiMappingKey"),
        ({"ApiMappingKey": "taken"}, "ApiMappingKey"),
        ({"ApiId": "none"}, "ApiId"),
    ],
)
def test_a_mapping_that_makes_no_sense_is_refused(changed: dict[str, str], where: str) -> None:
    """By its property."""

    async def run(world: World) -> None:
        await world.make_open()
        await world.make("DomainName", DomainName="api.example.com")
        mapping = {"DomainName": "api.example.com", "Stage": "$default"}
        await world.make("ApiMapping", **mapping, ApiMappingKey="taken")
        with pytest.raises(TemplateError) as caught:
            await world.make("ApiMapping", "Bad", **(mapping | changed))
        assert caught.value.where == f"Bad.Properties.{where}"

    in_world(run)


def test_an_answer_of_an_address_keeps_its_cookies_apart() -> None:
    """Headers pass as they are, but for the connection's own."""

    async def run(world: World) -> None:
        headers = (("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("Transfer-Encoding", "chunked"))
        world.network.answer = HttpAnswer(302, headers, b"")
        await world.make("Api", **HTTP_API, Target="https://back.example")
        answer = await world.send(HttpRequest("GET", "/", "", (), b""))
        assert (answer.status, answer.headers[:-1]) == (302, headers[:2])

    in_world(run)
