"""Where methods of REST APIs lead: functions with templates, HTTP endpoints, services by path and by action."""

from __future__ import annotations

import json
from typing import Any

import pytest

from localcloud.clock import run_virtual
from localcloud.gateway.exchange import Stage
from localcloud.gateway.ports import FunctionReply, HttpAnswer, HttpFailed, Identity
from localcloud.services.contract import WireResponse
from localcloud.services.iam.policy import Decision, Outcome
from tests.unit.gateway_setup import ACCOUNT, FUNCTION, REGION, ROLE, ask, lambda_uri, make_stage, proxy, sqs
from tests.unit.rest_setup import Rest, make_rest

FUNCTION_BY_TEMPLATE = {"Type": "AWS", "IntegrationHttpMethod": "POST", "Uri": lambda_uri("work")}


async def _one(
    integration: dict[str, Any], part: str = "", *, responses: tuple[int, ...] = (200,), **stage: Any
) -> Rest:
    """An API whose one resource has an ANY method with this integration."""
    rest = await make_rest()
    resource = await rest.resource(part) if part else rest.root
    declared = [{"StatusCode": status} for status in responses]
    await rest.method(resource, "ANY", Integration=integration, MethodResponses=declared)
    await rest.deploy(**stage)
    return rest


# ---- functions


async def test_a_function_gets_what_the_template_makes_and_its_answer_is_mapped() -> None:
    """No proxy event: the template's text is the payload, the returned value the body."""
    rest = await _one(
        {
            **FUNCTION_BY_TEMPLATE,
            "RequestTemplates": {"application/json": '{"who":"$input.params(\'who\')"}'},
            "IntegrationResponses": [
                {"StatusCode": 200, "ResponseTemplates": {"application/json": "$input.json('$.greeting')"}}
            ],
        }
    )
    rest.functions.replies["work"] = lambda event: json.dumps({"greeting": f"hi {event['who']}"}).encode()
    assert (await rest.ask("GET", "/", query="who=me")).body == b'"hi me"'


FAILURES = [("NotFound: x", 404), ("boom", 500), ("Malformed: y", 200)]


@pytest.mark.parametrize(("message", "status"), FAILURES)
async def test_a_selection_pattern_is_held_against_the_error_message(message: str, status: int) -> None:
    """A function that failed chooses the status by its words, the default is for every other."""
    answers = [
        {"StatusCode": 200},
        {"StatusCode": 404, "SelectionPattern": "NotFound: .*"},
        {"StatusCode": 500, "SelectionPattern": "boom"},
    ]
    rest = await _one({**FUNCTION_BY_TEMPLATE, "IntegrationResponses": answers}, responses=(200, 404, 500))
    payload = json.dumps({"errorMessage": message}).encode()
    rest.functions.replies["work"] = FunctionReply(payload, "Unhandled")
    answer = await rest.ask("POST", "/", b"{}")
    assert (answer.status, answer.body) == (status, payload)


async def test_a_function_that_returned_is_held_against_no_pattern() -> None:
    """Not even where the value looks like an error."""
    answers = [{"StatusCode": 200}, {"StatusCode": 500, "SelectionPattern": ".+"}]
    rest = await _one({**FUNCTION_BY_TEMPLATE, "IntegrationResponses": answers}, responses=(200, 500))
    rest.functions.replies["work"] = b'{"errorMessage":"x"}'
    assert (await rest.ask("POST", "/", b"{}")).status == 200


async def test_a_function_is_invoked_as_an_event_where_the_header_says_so() -> None:
    """`X-Amz-Invocation-Type: Event` is mapped to the integration."""
    parameters = {"integration.request.header.X-Amz-Invocation-Type": "'Event'"}
    rest = await _one(
        {**FUNCTION_BY_TEMPLATE, "RequestParameters": parameters, "IntegrationResponses": [{"StatusCode": 202}]},
        responses=(202,),
    )
    answer = await rest.ask("POST", "/", b'{"a":1}')
    assert (answer.status, answer.body) == (202, b"")
    assert rest.functions.events == [("work", {"a": 1})]


async def test_a_role_invokes_through_the_lambda_api() -> None:
    """`Credentials` asks no policy of the function; a refusal is a 500."""
    for kind in ("AWS", "AWS_PROXY"):
        integration = {**FUNCTION_BY_TEMPLATE, "Type": kind, "Credentials": ROLE}
        rest = await _one({**integration, "IntegrationResponses": [{"StatusCode": 200}]})
        rest.functions.permitted = False
        rest.aws.answer = WireResponse(200, b'{"statusCode":201}')
        assert (await rest.ask("POST", "/", b"{}")).status == (201 if kind == "AWS_PROXY" else 200)
        (request,) = rest.aws.requests
        assert (request.service, request.access_key, request.method) == ("lambda", "ASIAROLE", "POST")
        assert request.path == f"/2015-03-31/functions/{(FUNCTION + 'work').replace(':', '%3A')}/invocations"
        rest.aws.answer = WireResponse(403, b"{}")
        assert (await rest.ask("POST", "/", b"{}")).status == 500


async def test_a_stage_variable_names_the_function() -> None:
    """`function:${stageVariables.fn}` is another function at every stage."""
    uri = lambda_uri("${stageVariables.fn}")
    rest = await _one({**FUNCTION_BY_TEMPLATE, "Type": "AWS_PROXY", "Uri": uri}, Variables={"fn": "blue"})
    rest.functions.replies["blue"] = b'{"statusCode":200}'
    assert (await rest.ask("GET", "/")).status == 200
    assert rest.functions.events[0][0] == "blue"


# ---- HTTP

HTTP = {"IntegrationHttpMethod": "ANY", "Uri": "http://backend.test:81/base/{proxy}"}
MAPPED = {"integration.request.path.proxy": "method.request.path.proxy"}


async def test_an_http_proxy_passes_the_request_on_and_the_answer_back() -> None:
    """Method, path with its slashes, query string, headers and body; hop-by-hop headers stay behind."""
    rest = await _one({**HTTP, "Type": "HTTP_PROXY", "RequestParameters": MAPPED}, "{proxy+}")
    theirs = (("X-Amzn-RequestId", "theirs"), ("X-Amzn-Trace-Id", "theirs"))
    rest.network.answer = HttpAnswer(
        418,
        (
            ("X-A", "1"),
            ("X-A", "2"),
            ("Connection", "close"),
            ("Keep-Alive", "timeout=5"),
            ("Content-Length", "1"),
            ("Date", "today"),
            ("Content-Type", "x/y"),
            *theirs,
        ),
        b"\xff",
    )
    answer = await rest.ask("PATCH", "/a/b%20c", b"\x00\x01", query="q=1&q=%C3%A9", X_Mine="m", TE="trailers")
    (call,) = rest.network.calls
    assert (call.method, call.url, call.body) == (
        "PATCH",
        "http://backend.test:81/base/a/b%20c?q=1&q=%C3%A9",
        b"\x00\x01",
    )
    sent = {name.lower(): value for name, value in call.headers}
    assert (sent["x-mine"], sent["x-amzn-apigateway-api-id"], sent["x-forwarded-for"]) == ("m", rest.api, "127.0.0.1")
    assert {"te", "host", "content-length"} & set(sent) == set()
    assert (answer.status, answer.body) == (418, b"\xff")
    assert [value for name, value in answer.headers if name == "X-A"] == ["1", "2"]
    assert [value for name, value in answer.headers if name.lower() == "x-amzn-trace-id"] == [sent["x-amzn-trace-id"]]
    assert answer.header("x-amzn-remapped-x-amzn-requestid") == "theirs"
    remapped = [answer.header(f"x-amzn-remapped-{name}") for name in ("connection", "date", "content-length")]
    assert (answer.header("connection"), answer.header("keep-alive"), remapped) == (None, None, ["close", "today", "1"])


async def test_an_http_integration_sends_what_is_mapped_and_maps_what_comes() -> None:
    """A template's body, mapped headers and query, a stage variable in the address, a pattern on the status."""
    rest = await _one(
        {
            "Type": "HTTP",
            "IntegrationHttpMethod": "PUT",
            "Uri": "https://${stageVariables.host}/v?fixed=1",
            "RequestParameters": {
                "integration.request.header.X-To": "method.request.header.x-from",
                "integration.request.querystring.page": "method.request.querystring.p",
            },
            "RequestTemplates": {"application/json": '{"wrapped":$input.body}'},
            "IntegrationResponses": [
                {"StatusCode": 200, "ResponseTemplates": {"application/json": "<$input.path('$.a')>"}},
                {"StatusCode": 404, "SelectionPattern": "40[34]"},
            ],
        },
        responses=(200, 404),
        Variables={"host": "backend.test"},
    )
    rest.network.answer = HttpAnswer(201, (), b'{"a":7}')
    answer = await rest.ask("POST", "/", b"[1]", query="p=2&other=3", X_From="me", X_Not="n")
    assert (answer.status, answer.body) == (200, b"<7>")
    (call,) = rest.network.calls
    assert (call.method, call.url) == ("PUT", "https://backend.test/v?fixed=1&page=2")
    assert call.body == b'{"wrapped":[1]}'
    sent = dict(call.headers)
    assert (sent["x-to"], sent["user-agent"]) == ("me", f"AmazonAPIGateway_{rest.api}")
    assert "x-not" not in sent
    rest.network.answer = HttpAnswer(403, (), b"no")
    assert (await rest.ask("POST", "/", b"[1]")).status == 404


async def test_an_endpoint_that_cannot_be_reached_is_504() -> None:
    """In API Gateway's own words; a variable that is not mapped is the API's fault."""
    rest = await _one({**HTTP, "Type": "HTTP_PROXY", "RequestParameters": MAPPED}, "{proxy+}")
    rest.network.answer = HttpFailed("refused")
    answer = await rest.ask("GET", "/a")
    assert (answer.status, answer.body) == (504, b'{"message":"Network error communicating with endpoint"}')
    rest = await _one({**HTTP, "Type": "HTTP_PROXY"}, "{proxy+}")
    assert (await rest.ask("GET", "/a")).status == 500
    assert rest.network.calls == []


def test_an_endpoint_that_takes_too_long_is_504() -> None:
    """After the integration's own time-out."""

    async def check() -> None:
        rest = await _one(
            {**HTTP, "Type": "HTTP_PROXY", "RequestParameters": MAPPED, "TimeoutInMillis": 50}, "{proxy+}"
        )

        rest.network.delay_s = 60
        answer = await rest.ask("GET", "/a")
        assert (answer.status, answer.body) == (504, b'{"message":"Endpoint request timed out"}')

    run_virtual(check)


# ---- services

ACTIONS = [
    ("sqs", "SendMessage", "", "application/json", "Action=SendMessage"),
    ("sns", "Publish", "", "application/json", "Action=Publish"),
    ("dynamodb", "PutItem", "DynamoDB_20120810.PutItem", "application/x-amz-json-1.0", ""),
    ("states", "StartExecution", "AWSStepFunctions.StartExecution", "application/x-amz-json-1.0", ""),
    ("states", "StartSyncExecution", "AWSStepFunctions.StartSyncExecution", "application/x-amz-json-1.0", ""),
    ("events", "PutEvents", "AWSEvents.PutEvents", "application/x-amz-json-1.1", ""),
    ("ssm", "GetParameter", "AmazonSSM.GetParameter", "application/x-amz-json-1.1", ""),
    ("kms", "Encrypt", "TrentService.Encrypt", "application/x-amz-json-1.1", ""),
    ("logs", "PutLogEvents", "Logs_20140328.PutLogEvents", "application/x-amz-json-1.1", ""),
    ("secretsmanager", "GetSecretValue", "secretsmanager.GetSecretValue", "application/x-amz-json-1.1", ""),
    (
        "cognito-idp",
        "InitiateAuth",
        "AWSCognitoIdentityProviderService.InitiateAuth",
        "application/x-amz-json-1.1",
        "",
    ),
    ("kinesis", "PutRecord", "Kinesis_20131202.PutRecord", "application/x-amz-json-1.1", ""),
]


@pytest.mark.parametrize(("service", "action", "target", "content_type", "query"), ACTIONS)
async def test_an_action_is_named_as_its_service_wants_it(
    service: str, action: str, target: str, content_type: str, query: str
) -> None:
    """In the query string, or in the target header with the protocol's content type."""
    operation = sqs(uri=f"arn:aws:apigateway:{REGION}:{service}:action/{action}")
    rest = await make_rest()
    stage = make_stage({"/a": {"post": operation}}, dispatch=rest.aws)
    assert (await ask(stage, "POST", "/a", b"{}")).status == 200
    (request,) = rest.aws.requests
    assert (request.service, request.path, request.query) == (service, "/", query)
    assert (request.target, request.headers["content-type"]) == (target, content_type)


async def test_the_target_header_may_be_mapped_instead() -> None:
    """`events:path//` with headers of one's own, as many templates have it."""
    rest = await make_rest()
    parameters = {
        "integration.request.header.X-Amz-Target": "'AWSEvents.PutEvents'",
        "integration.request.header.Content-Type": "'application/x-amz-json-1.1'",
    }
    operation = sqs(uri=f"arn:aws:apigateway:{REGION}:events:path//", requestParameters=parameters)
    await ask(make_stage({"/a": {"post": operation}}, dispatch=rest.aws), "POST", "/a", b"{}")
    (request,) = rest.aws.requests
    assert (request.path, request.target) == ("/", "AWSEvents.PutEvents")
    assert request.headers["content-type"] == "application/x-amz-json-1.1"


async def test_bodies_are_mapped_whole_and_in_part() -> None:
    """As the text that came, and a part as JSON; what is no JSON, or not there, gives no parameter."""
    rest = await make_rest()
    parameters = {
        "integration.request.header.whole": "method.request.body",
        "integration.request.header.part": "method.request.body.a.b",
        "integration.request.header.map": "method.request.body.a",
        "integration.request.header.none": "method.request.body.x",
    }
    mapped = {
        "method.response.header.W": "integration.response.body",
        "method.response.header.P": "integration.response.body.n",
    }
    operation = sqs(
        requestParameters=parameters, responses={"default": {"statusCode": "200", "responseParameters": mapped}}
    )
    stage = make_stage({"/a": {"post": operation}}, dispatch=rest.aws)
    rest.aws.answer = WireResponse(200, b'{ "n": 1}')
    answer = await ask(stage, "POST", "/a", b'{"a": {"b": 1}}')
    sent = rest.aws.requests[0].headers
    assert (sent["whole"], sent["part"], sent["map"]) == ('{"a": {"b": 1}}', "1", '{"b":1}')
    assert "none" not in sent
    assert (answer.header("w"), answer.header("p")) == ('{ "n": 1}', "1")
    rest.aws.answer = WireResponse(200, b"plain")
    answer = await ask(stage, "POST", "/a", b"plain")
    assert (answer.header("w"), answer.header("p")) == ("plain", None)
    assert rest.aws.requests[1].headers["whole"] == "plain"


async def test_objects_of_s3_are_addressed_by_path() -> None:
    """`s3:path/{bucket}/{key}`: bytes in and out, with headers of the object."""
    rest = await make_rest()
    operation = sqs(
        uri=f"arn:aws:apigateway:{REGION}:s3:path/{{bucket}}/{{key}}",
        httpMethod="PUT",
        requestParameters={
            "integration.request.path.bucket": "'files'",
            "integration.request.path.key": "method.request.path.key",
            "integration.request.header.Content-Type": "method.request.header.Content-Type",
        },
        responses={
            "default": {
                "statusCode": "200",
                "responseParameters": {"method.response.header.ETag": "integration.response.header.ETag"},
            }
        },
    )
    binary = {"x-amazon-apigateway-binary-media-types": ["image/*"]}
    stage = make_stage({"/{key+}": {"put": operation}}, dispatch=rest.aws, **binary)
    rest.aws.answer = WireResponse(200, b"\xff", {"ETag": '"e"', "Content-Type": "image/png"})
    answer = await ask(stage, "PUT", "/a/b.png", b"\x89\x00", content_type="image/png", accept="image/png")
    (request,) = rest.aws.requests
    assert (request.service, request.path, request.body) == ("s3", "/files/a%2Fb.png", b"\x89\x00")
    assert request.headers["content-type"] == "image/png"
    assert (answer.body, answer.header("etag")) == (b"\xff", '"e"')


async def test_a_service_is_asked_with_the_methods_own_verb_where_any_is_written() -> None:
    """`httpMethod: ANY` passes it on; a GET has no body."""
    rest = await make_rest()
    operation = sqs(httpMethod="ANY", uri=f"arn:aws:apigateway:{REGION}:s3:path/files/a")
    stage = make_stage({"/a": {"x-amazon-apigateway-any-method": operation}}, dispatch=rest.aws)
    for verb in ("PUT", "GET"):
        assert (await ask(stage, verb, "/a", b"x")).status == 200
    assert [(request.method, request.body) for request in rest.aws.requests] == [("PUT", b"x"), ("GET", b"")]


async def test_an_answer_of_more_than_10_mb_is_refused() -> None:
    """Whole or in chunks."""

    async def chunks() -> Any:
        for _ in range(11):
            yield bytes(1024 * 1024)

    for body in (bytes(10 * 1024 * 1024 + 1), chunks()):
        rest = await make_rest()
        rest.aws.answer = WireResponse(200, body)
        assert (await ask(make_stage({"/a": {"post": sqs()}}, dispatch=rest.aws), "POST", "/a", b"{}")).status == 504


async def test_overrides_set_every_place_of_a_request() -> None:
    """Header, query string (several values too) and path, over what is mapped."""
    rest = await make_rest()
    template = (
        "#set($context.requestOverride.header.X-One = 'h')#set($context.requestOverride.querystring.q = ['1','2'])"
        "#set($context.requestOverride.path.name = 'p')$input.body"
    )
    operation = sqs(
        uri=f"arn:aws:apigateway:{REGION}:sqs:path/{ACCOUNT}/{{name}}",
        requestParameters={
            "integration.request.path.name": "'mapped'",
            "integration.request.header.x-one": "'mapped'",
        },
        requestTemplates={"application/json": template},
    )
    stage = make_stage({"/a": {"post": operation}}, dispatch=rest.aws, stage=Stage("v1", "d"))
    assert (await ask(stage, "POST", "/a", b"{}")).status == 200
    (request,) = rest.aws.requests
    assert (request.path, request.query, request.headers["x-one"]) == (f"/{ACCOUNT}/p", "q=1&q=2", "h")


async def test_a_proxy_with_credentials_is_read_from_a_body_too() -> None:
    """The same reader serves both ways of writing."""
    rest = await make_rest()
    operation = proxy()
    operation["x-amazon-apigateway-integration"]["credentials"] = ROLE
    rest.aws.answer = WireResponse(200, b'{"statusCode":204}')
    assert (await ask(make_stage({"/a": {"get": operation}}, dispatch=rest.aws), "GET", "/a")).status == 204


@pytest.mark.parametrize("template", ['{"statusCode": 201}', "{ statusCode: 201 }", "{'a':1,'statusCode':'201'}"])
async def test_a_mocks_status_may_stand_without_quotes(template: str) -> None:
    """As generators of templates write it."""
    answers = [{"StatusCode": 200}, {"StatusCode": 201, "SelectionPattern": "201"}]
    mock = {"Type": "MOCK", "RequestTemplates": {"application/json": template}, "IntegrationResponses": answers}
    assert (await (await _one(mock, responses=(200, 201))).ask("GET", "/")).status == 201


@pytest.mark.parametrize("template", ["", "{}", "{x: 201}", "{status: {statusCode: 201}}", '{"statusCode": "x"}'])
async def test_a_mock_without_a_status_is_a_500(template: str) -> None:
    """The API is configured so."""
    mock = {
        "Type": "MOCK",
        "RequestTemplates": {"application/json": template},
        "IntegrationResponses": [{"StatusCode": 200}],
    }
    assert (await (await _one(mock)).ask("GET", "/")).status == 500


async def test_the_callers_own_credentials_invoke() -> None:
    """`arn:aws:iam::*:user/*`, as SAM writes it for AWS_IAM: the key of who signed, or a 500 where nobody did."""
    everybody = "arn:aws:iam::*:user/*"
    rest = Rest(access=Anybody())
    await rest.make("RestApi", "Api", Name="n")
    for part, kind in (("signed", "AWS_IAM"), ("open", "NONE")):
        integration = {**FUNCTION_BY_TEMPLATE, "Type": "AWS_PROXY", "Credentials": everybody}
        await rest.method(await rest.resource(part), Integration=integration, AuthorizationType=kind)
    await rest.deploy()
    rest.aws.answer = WireResponse(200, b'{"statusCode":200}')
    scope = f"AKIDCALLER/20270101/{REGION}/execute-api/aws4_request"
    signed = {"Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"}
    assert (await rest.ask("GET", "/signed", **signed)).status == 200
    assert [request.access_key for request in rest.aws.requests] == ["AKIDCALLER"]
    assert (await rest.ask("GET", "/open", **signed)).status == 500


class Anybody:
    """An IAM that lets everybody in."""

    def identify(self, access_key: str) -> Identity:
        """By the key."""
        return Identity(access_key, ACCOUNT, "arn", "id")

    def decide(self, access_key: str, method_arn: str, *, policy: Any, source_ip: str) -> Decision:
        """Yes."""
        assert (access_key, policy, source_ip) == ("AKIDCALLER", None, "127.0.0.1")
        return Decision(Outcome.ALLOWED, method_arn)
