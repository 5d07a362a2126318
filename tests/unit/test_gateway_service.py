"""AWS service and mock integrations: mappings, templates, overrides, the choice of a response."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from localcloud.clock import run_virtual
from localcloud.gateway.exchange import Stage
from localcloud.gateway.message import HttpResponse
from localcloud.services.contract import WireRequest, WireResponse
from tests.unit.gateway_setup import Recorder, ask, make_stage, mock, sqs


async def _send(integration: dict[str, Any], recorder: Recorder, path: str = "/a/p", **more: Any) -> HttpResponse:
    stage = make_stage({"/a/{x}": {"post": integration}}, dispatch=recorder, stage=Stage("v1", "d", {"color": "red"}))
    body = more.pop("body", b'{"k":"v"}')
    return await ask(stage, "POST", path, body, **more)


async def test_the_request_to_the_service() -> None:
    """Service, Region, path, method, and the role's key."""
    recorder = Recorder()
    assert (await _send(sqs(), recorder)).status == 200
    (request,) = recorder.requests
    assert (request.service, request.region, request.method) == ("sqs", "eu-central-1", "POST")
    assert (request.path, request.query) == ("/123456789012/q", "")
    assert request.access_key == "ASIAROLE"
    assert request.body == b'{"k":"v"}'
    assert request.headers["accept"] == "application/json"


async def test_an_action_uri_becomes_the_action_parameter() -> None:
    """`sqs:action/SendMessage`."""
    recorder = Recorder()
    await _send(sqs(uri="arn:aws:apigateway:eu-central-1:sqs:action/SendMessage"), recorder)
    assert (recorder.requests[0].path, recorder.requests[0].query) == ("/", "Action=SendMessage")


async def test_parameters_are_mapped() -> None:
    """Static text, headers, query strings, path variables, context and stage variables; absent ones are left out."""
    recorder = Recorder()
    parameters = {
        "integration.request.header.Content-Type": "'text/x'",
        "integration.request.header.H": "method.request.header.my-header",
        "integration.request.header.None": "method.request.header.absent",
        "integration.request.querystring.q": "method.request.multivaluequerystring.q",
        "integration.request.querystring.one": "method.request.querystring.q",
        "integration.request.querystring.p": "method.request.path.x",
        "integration.request.querystring.c": "context.httpMethod",
        "integration.request.querystring.s": "stageVariables.color",
        "integration.request.querystring.b": "method.request.body.k",
    }
    await _send(sqs(requestParameters=parameters), recorder, query="q=1&q=2", My_Header="mine")
    (request,) = recorder.requests
    assert request.headers["content-type"] == "text/x"
    assert request.headers["h"] == "mine"
    assert "none" not in request.headers
    assert request.query == "q=1&q=2&one=2&p=p&c=POST&s=red&b=v"


async def test_a_path_variable_of_the_uri_is_encoded() -> None:
    """`{name}` in the URI takes `integration.request.path.name`."""
    recorder = Recorder()
    uri = "arn:aws:apigateway:eu-central-1:sqs:path/123456789012/{queue}"
    parameters = {"integration.request.path.queue": "method.request.path.x"}
    await _send(sqs(uri=uri, requestParameters=parameters), recorder, "/a/q%2Fr")
    assert recorder.requests[0].path == "/123456789012/q%2Fr"


async def test_a_template_may_override_the_request() -> None:
    """$context.requestOverride wins over mappings."""
    recorder = Recorder()
    template = (
        '#set($context.requestOverride.header.X = "over")'
        "#set($context.requestOverride.querystring.q = \"$input.path('$.k')\")body"
    )
    parameters = {"integration.request.header.X": "'mapped'"}
    await _send(sqs(requestTemplates={"application/json": template}, requestParameters=parameters), recorder)
    (request,) = recorder.requests
    assert (request.headers["x"], request.query, request.body) == ("over", "q=v", b"body")


TEMPLATES = [
    ("$input.body", '{"k":"v"}'),
    ("$input.json('$')", '{"k":"v"}'),
    ("$input.json('$.k')", '"v"'),
    ("$input.json('$.none')", '""'),
    ("$input.path('$.k')", "v"),
    ("$input.path('$')", "{k=v}"),
    ("$!input.path('$.none')|", "|"),
    ("#if($input.path('$.none'))y#{else}n#end", "y"),
    ("#if($input.path('$.none') == '')n#{else}y#end", "n"),
    ("$input.path('$.none')|", "|"),
    ("$context.nosuch|$context.authorizer.nosuch|$stageVariables.nosuch|", "|||"),
    ("$input.path('$').k", "v"),
    ("$input.params('x')", "p"),
    ("$input.params('q')", "2"),
    ("$input.params('My-Header')", "mine"),
    ("$input.params('none')|", "|"),
    ("$input.params().path.x", "p"),
    ("$input.params().querystring.get('q')", "2"),
    ("$input.params().header.get('My-Header')", "mine"),
    ("#foreach($t in $input.params().keySet())$t,#end", "path,querystring,header,"),
    ("$context.httpMethod $context.stage $context.resourcePath", "POST v1 /a/{x}"),
    ("$context.identity.sourceIp $context.identity.user|", "127.0.0.1 |"),
    ("$context.authorizer.principalId|", "|"),
    ("$context.apiId $context.accountId", "abc123 123456789012"),
    ("$stageVariables.color $stageVariables.get('color')", "red red"),
    ("${stageVariables.color}", "red"),
    ("$util.urlEncode('a b&c+d/é~*.-_')", "a+b%26c%2Bd%2F%C3%A9%7E*.-_"),
    ("$util.urlDecode('a+b%26%C3%A9')", "a b&é"),
    ("$util.base64Encode('é')", "w6k="),
    ("$util.base64Decode('w6k=')", "é"),
    ('$util.escapeJavaScript("a\'b")', "a\\'b"),
    ("$util.escapeJavaScript('\"/\\')", '\\"\\/\\\\'),
    ("$util.escapeJavaScript('é')", "\\u00E9"),
    ('$util.parseJson(\'{"a":[1,{"b":2}]}\').a[1].b', "2"),
    ("#set($j = $util.parseJson($input.body))$j.k", "v"),
]


@pytest.mark.parametrize(("template", "expected"), TEMPLATES)
async def test_variables_of_templates(template: str, expected: str) -> None:
    """$input, $context, $stageVariables and $util as the reference documents them."""
    recorder = Recorder()
    response = await _send(
        sqs(requestTemplates={"application/json": template}), recorder, query="q=1&q=2", My_Header="mine"
    )
    assert response.status == 200
    assert recorder.requests[0].body.decode() == expected


@pytest.mark.parametrize(
    "template",
    [
        "$input.nosuch",
        "$input.nosuch('x')",
        "$input.path('$[?(@.a)]')",
        "$util.nosuch('x')",
        "$util.parseJson('{')",
        "$util.base64Decode('!')",
        "$nosuch",
        "#set($context.nosuch.x = 1)",
    ],
)
async def test_a_template_that_names_what_is_not_there_is_500_and_sends_nothing(
    template: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The log names the reference and its line."""
    recorder = Recorder()
    assert (await _send(sqs(requestTemplates={"application/json": template}), recorder)).status == 500
    assert recorder.requests == []
    assert "mapping template: line 1" in caplog.text


@pytest.mark.parametrize(
    ("behaviour", "templates", "content_type", "status"),
    [
        ("never", {}, "application/json", 415),
        ("never", {"application/json": "x"}, "application/json", 200),
        ("never", {"application/json": "x"}, "text/plain", 415),
        ("when_no_templates", {}, "text/plain", 200),
        ("when_no_templates", {"application/json": "x"}, "text/plain", 415),
        ("when_no_match", {"application/json": "x"}, "text/plain", 200),
        ("WHEN_NO_MATCH", {"text/plain": "x"}, "text/plain; charset=utf-8", 200),
    ],
)
async def test_passthrough(behaviour: str, templates: dict[str, str], content_type: str, status: int) -> None:
    """What happens to a body whose content type has no template."""
    integration = sqs(passthroughBehavior=behaviour, requestTemplates=templates)
    assert (await _send(integration, Recorder(), Content_Type=content_type)).status == status


async def test_without_a_content_type_the_body_counts_as_json() -> None:
    """So the application/json template is used."""
    recorder = Recorder()
    await _send(sqs(requestTemplates={"application/json": "t"}), recorder)
    assert recorder.requests[0].body == b"t"


RESPONSES = {
    "default": {"statusCode": "200", "responseTemplates": {"application/json": "default"}},
    "4\\d{2}": {"statusCode": "400", "responseTemplates": {"application/json": "four"}},
    "50.": {"statusCode": "503"},
}


@pytest.mark.parametrize(
    ("status", "expected"),
    [(200, (200, b"default")), (404, (400, b"four")), (500, (503, b"{}")), (599, (200, b"default"))],
)
async def test_the_response_is_chosen_by_the_services_status(status: int, expected: tuple[int, bytes]) -> None:
    """A pattern matches the whole status; without a template the body passes through."""
    response = await _send(sqs(responses=RESPONSES), Recorder(WireResponse(status, b"{}")))
    assert (response.status, response.body) == expected


async def test_no_match_and_no_default_is_500() -> None:
    """API_CONFIGURATION_ERROR."""
    response = await _send(sqs(responses={"2..": {"statusCode": "200"}}), Recorder(WireResponse(404)))
    assert (response.status, json.loads(response.body)) == (500, {"message": "Internal server error"})


async def test_the_answer_is_mapped() -> None:
    """Headers from the service, its body, static text and overrides; others of the service stay behind."""
    responses = {
        "default": {
            "statusCode": "200",
            "responseParameters": {
                "method.response.header.A": "integration.response.header.x-served",
                "method.response.header.B": "integration.response.body.id",
                "method.response.header.C": "'static'",
                "method.response.header.D": "integration.response.header.absent",
                "method.response.header.E": "context.requestId",
            },
            "responseTemplates": {
                "application/json": "#set($context.responseOverride.status = 201)"
                '#set($context.responseOverride.header.C = "over")'
                '#set($context.responseOverride.header.New = "n")'
                "$input.path('$.id') $input.params('x')"
            },
        }
    }
    answer = WireResponse(200, b'{"id":"i1"}', {"X-Served": "s", "X-Hidden": "h"})
    response = await _send(sqs(responses=responses), Recorder(answer))
    assert (response.status, response.body) == (201, b"i1 p")
    headers = dict(response.headers)
    assert (headers["A"], headers["B"], headers["C"], headers["New"]) == ("s", "i1", "over", "n")
    assert headers["E"] == headers["x-amzn-RequestId"]
    assert not {"D", "X-Hidden"} & set(headers)


@pytest.mark.parametrize("status", ["'nope'", "99", "100", "'199'", "600", "true", "'" + "9" * 5000 + "'"])
async def test_an_override_that_is_no_status_is_left_out(status: str) -> None:
    """The mapped status stays."""
    template = {"application/json": f"#set($context.responseOverride.status = {status})x"}
    responses = {"default": {"statusCode": "202", "responseTemplates": template}}
    assert (await _send(sqs(responses=responses), Recorder())).status == 202


async def test_a_header_with_a_line_end_is_never_sent() -> None:
    """A template cannot split the response."""
    template = {"application/json": "#set($context.responseOverride.header.X = $input.params('q'))x"}
    responses = {"default": {"statusCode": "200", "responseTemplates": template}}
    response = await _send(sqs(responses=responses), Recorder(), query="q=a%0d%0aSet-Cookie:%20b")
    assert response.status == 500
    assert response.header("x") is None


async def test_the_response_template_follows_accept_else_json() -> None:
    """Else the first."""
    responses = {"default": {"statusCode": "200", "responseTemplates": {"text/x": "x", "application/json": "j"}}}
    assert (await _send(sqs(responses=responses), Recorder(), Accept="text/x")).body == b"x"
    assert (await _send(sqs(responses=responses), Recorder(), Accept="*/*")).body == b"j"


def test_a_slow_service_is_504() -> None:
    """timeoutInMillis counts."""

    async def main() -> int:
        async def slow(_: WireRequest) -> WireResponse:
            await asyncio.sleep(60)
            return WireResponse(200)

        stage = make_stage({"/a": {"post": sqs(timeoutInMillis=10_000)}}, dispatch=slow)
        response = await ask(stage, "POST", "/a")
        assert asyncio.get_running_loop().time() == pytest.approx(10.0)
        return response.status

    assert run_virtual(main) == 504


async def test_a_role_that_cannot_be_assumed_is_500() -> None:
    """Nothing is sent."""
    recorder = Recorder()
    assert (await _send(sqs(credentials="arn:aws:iam::1:role/other"), recorder)).status == 500
    assert recorder.requests == []


async def test_a_mock_answers_by_its_template() -> None:
    """The template's statusCode picks the response."""
    operation = mock(default={"statusCode": "200"}, **{"404": {"statusCode": "404"}})
    template = '{"statusCode": #if($input.params("q") == "no")404#{else}200#end}'
    operation["x-amazon-apigateway-integration"]["requestTemplates"] = {"application/json": template}
    stage = make_stage({"/a": {"get": operation}})
    assert (await ask(stage, "GET", "/a")).status == 200
    assert (await ask(stage, "GET", "/a", query="q=no")).status == 404


async def test_a_mock_without_a_status_is_500() -> None:
    """As API Gateway's own."""
    operation = mock()
    operation["x-amazon-apigateway-integration"]["requestTemplates"] = {"application/json": "{}"}
    assert (await ask(make_stage({"/a": {"get": operation}}), "GET", "/a")).status == 500
