"""REST APIs written as separate resources: what they mean, and what API Gateway refuses of them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from localcloud.services.contract import WireResponse
from localcloud.template.errors import TemplateError
from localcloud.template.handler import Support
from tests.unit.gateway_setup import ACCOUNT, REGION, ROLE, allow, lambda_uri
from tests.unit.rest_setup import MOCK, Rest, make_rest

AWS_PROXY = {"Type": "AWS_PROXY", "IntegrationHttpMethod": "POST", "Uri": lambda_uri("work")}


def sqs(**more: Any) -> dict[str, Any]:
    """An integration with a queue, as a Method has it."""
    return {
        "Type": "AWS",
        "IntegrationHttpMethod": "POST",
        "Uri": f"arn:aws:apigateway:{REGION}:sqs:path/{ACCOUNT}/q",
        "Credentials": ROLE,
        "IntegrationResponses": [{"StatusCode": 200}],
        **more,
    }


async def test_resources_nest_and_lead_to_functions() -> None:
    """`/jobs/{id}/{rest+}`: path variables in the event, the resource's path and its id in the context."""
    rest = await make_rest()
    job = await rest.resource("{id}", await rest.resource("jobs"))
    deep = await rest.resource("{rest+}", job)
    await rest.method(job, "GET", Integration=AWS_PROXY, OperationName="ReadJob")
    await rest.method(deep, "ANY", Integration=AWS_PROXY)
    await rest.method(rest.root)
    await rest.deploy()
    rest.functions.replies["work"] = b'{"statusCode":200,"body":"ok"}'
    assert (await rest.ask("GET", "/jobs/7")).body == b"ok"
    assert (await rest.ask("PUT", "/jobs/7/a/b")).body == b"ok"
    assert (await rest.ask("GET", "/")).status == 200
    assert (await rest.ask("PUT", "/jobs/7")).status == 403
    first, second = (event for _, event in rest.functions.events)
    assert (first["resource"], first["pathParameters"]) == ("/jobs/{id}", {"id": "7"})
    assert first["requestContext"]["resourceId"] == job
    assert first["requestContext"]["operationName"] == "ReadJob"
    assert second["pathParameters"] == {"id": "7", "rest": "a/b"}


async def test_both_ways_of_writing_stand_in_one_api() -> None:
    """A body and a resource of its own below the same root."""
    rest = Rest()
    mock = {"type": "mock", "requestTemplates": {"application/json": '{"statusCode": 200}'}}
    operation = {"x-amazon-apigateway-integration": {**mock, "responses": {"default": {"statusCode": "200"}}}}
    body = {"openapi": "3.0.1", "info": {"title": "t", "version": "1"}, "paths": {"/a": {"get": operation}}}
    await rest.make("RestApi", "Api", Body=body)
    await rest.method(await rest.resource("b"))
    await rest.deploy()
    assert [(await rest.ask("GET", path)).status for path in ("/a", "/b", "/c")] == [200, 200, 403]


async def test_what_a_cache_would_keep_means_nothing_without_one() -> None:
    """In both ways of writing; a stage with a cache is refused by the ledger."""
    rest = await make_rest()
    cached = {"CacheNamespace": "n", "CacheKeyParameters": ["method.request.querystring.q"]}
    await rest.method(rest.root, Integration={**MOCK, **cached})
    await rest.deploy()
    assert (await rest.ask("GET", "/")).status == 200
    stage = rest.handlers["AWS::ApiGateway::Stage"].properties
    assert stage["CacheClusterEnabled"].values == (False,)


async def test_service_integrations_map_requests_and_answers() -> None:
    """Parameters, templates, a selection pattern and declared headers, as in an OpenAPI body."""
    rest = await make_rest()
    integration = sqs(
        RequestParameters={"integration.request.header.Content-Type": "'application/x-www-form-urlencoded'"},
        RequestTemplates={"application/json": "Action=SendMessage&MessageBody=$util.urlEncode($input.body)"},
        PassthroughBehavior="NEVER",
        TimeoutInMillis="5000",
        IntegrationResponses=[
            {
                "StatusCode": 202,
                "ResponseTemplates": {"application/json": '{"id":"$context.requestId"}'},
                "ResponseParameters": {"method.response.header.X-Kind": "'queued'"},
            },
            {"StatusCode": "502", "SelectionPattern": "[45]\\d\\d"},
        ],
    )
    responses = [
        {"StatusCode": 202, "ResponseParameters": {"method.response.header.X-Kind": True}},
        {"StatusCode": 502},
    ]
    await rest.method(rest.root, "POST", Integration=integration, MethodResponses=responses)
    await rest.deploy()
    accepted = await rest.ask("POST", "/", b'{"a":1}')
    assert (accepted.status, accepted.header("x-kind")) == (202, "queued")
    assert rest.aws.requests[0].body == b"Action=SendMessage&MessageBody=%7B%22a%22%3A1%7D"
    assert rest.aws.requests[0].headers["content-type"] == "application/x-www-form-urlencoded"
    assert (await rest.ask("POST", "/", b"x", content_type="text/plain")).status == 415
    rest.aws.answer = type(rest.aws.answer)(503, b"no")
    assert (await rest.ask("POST", "/", b"{}")).status == 502


async def test_models_and_validators_judge_requests() -> None:
    """A model may refer to another by its address; required parameters are named."""
    rest = await make_rest()
    await rest.make(
        "Model", Name="Item", Schema={"type": "object", "required": ["sku"]}, ContentType="application/json"
    )
    reference = f"https://apigateway.amazonaws.com/restapis/{rest.api}/models/Item"
    order = {
        "$schema": "http://json-schema.org/draft-04/schema#",
        "properties": {"items": {"items": {"$ref": reference}}},
    }
    await rest.make("Model", Name="Order", Schema=json.dumps(order), ContentType="application/json")
    validator = await rest.make("RequestValidator", ValidateRequestBody=True, ValidateRequestParameters="true")
    await rest.method(
        rest.root,
        "POST",
        RequestModels={"application/json": "Order"},
        RequestParameters={"method.request.querystring.page": True, "method.request.header.X-Free": False},
        RequestValidatorId=validator,
    )
    for part, name in (("{id}", "id"), ("other", "id")):
        required = {f"method.request.path.{name}": True}
        await rest.method(await rest.resource(part), RequestParameters=required, RequestValidatorId=validator)
    await rest.deploy()
    assert (await rest.ask("GET", "/7")).status == 200
    assert (await rest.ask("GET", "/other")).body == b'{"message":"Missing required request parameters: [id]"}'
    missing = await rest.ask("POST", "/", b"{}")
    assert missing.body == b'{"message":"Missing required request parameters: [page]"}'
    wrong = await rest.ask("POST", "/", b'{"items":[{}]}', query="page=1")
    assert (wrong.status, wrong.body) == (400, b'{"message":"Invalid request body"}')
    assert (await rest.ask("POST", "/", b'{"items":[{"sku":1}]}', query="page=1")).status == 200


async def test_models_refer_to_one_another_through_others() -> None:
    """Three deep; one that is not there is refused."""
    rest = await make_rest()

    def reference(name: str) -> dict[str, Any]:
        return {"$ref": f"https://apigateway.amazonaws.com/restapis/{rest.api}/models/{name}"}

    await rest.make("Model", Name="Leaf", Schema={"type": "integer"})
    await rest.make("Model", Name="Branch", Schema={"properties": {"leaf": reference("Leaf")}})
    await rest.make("Model", Name="Tree", Schema={"properties": {"branch": reference("Branch")}})
    validator = await rest.make("RequestValidator", ValidateRequestBody=True)
    await rest.method(
        rest.root, "POST", RequestModels={"application/json": "Tree"}, RequestValidatorId=validator, Integration=MOCK
    )
    await rest.deploy()
    assert (await rest.ask("POST", "/", b'{"branch":{"leaf":1}}')).status == 200
    assert (await rest.ask("POST", "/", b'{"branch":{"leaf":"x"}}')).status == 400
    with pytest.raises(TemplateError, match="leads nowhere"):
        await rest.make("Model", Name="Lost", Schema=reference("None"))


async def test_an_authorizer_must_be_of_the_methods_type() -> None:
    """A user pool is no CUSTOM authorizer, a function no user pool."""
    rest = await make_rest()
    source = "method.request.header.A"
    function = await rest.make(
        "Authorizer", Name="f", Type="TOKEN", AuthorizerUri=lambda_uri("x"), IdentitySource=source
    )
    arn = f"arn:aws:cognito-idp:{REGION}:{ACCOUNT}:userpool/{REGION}_x"
    pool = await rest.make("Authorizer", Name="p", Type="COGNITO_USER_POOLS", ProviderARNs=[arn], IdentitySource=source)
    for kind, authorizer in (("CUSTOM", pool), ("COGNITO_USER_POOLS", function)):
        with pytest.raises(TemplateError, match="Invalid authorizer ID"):
            await rest.method(rest.root, AuthorizationType=kind, AuthorizerId=authorizer)
    with pytest.raises(TemplateError, match="must be unique"):
        await rest.make("Authorizer", Name="p", Type="TOKEN", AuthorizerUri=lambda_uri("x"), IdentitySource=source)


async def test_the_models_that_every_api_has_need_no_resource() -> None:
    """`Empty` takes everything."""
    rest = await make_rest()
    validator = await rest.make("RequestValidator", ValidateRequestBody=True)
    await rest.method(rest.root, "POST", RequestModels={"application/json": "Empty"}, RequestValidatorId=validator)
    await rest.deploy()
    assert (await rest.ask("POST", "/", b"[]")).status == 200


async def test_a_default_model_is_for_content_types_without_their_own() -> None:
    """`$default`; without it such a body is not looked at."""
    rest = await make_rest()
    await rest.make("Model", Name="Strict", Schema={"required": ["a"]})
    validator = await rest.make("RequestValidator", ValidateRequestBody=True)
    for part, models in (("a", {"$default": "Strict"}), ("b", {"application/json": "Strict"})):
        resource = await rest.resource(part)
        await rest.method(resource, "POST", RequestModels=models, RequestValidatorId=validator, Integration=SILENT)
    await rest.deploy()
    statuses = [(await rest.ask("POST", path, b"{}", content_type="text/x")).status for path in ("/a", "/b")]
    assert statuses == [400, 200]


SILENT = {**MOCK, "RequestTemplates": {"text/x": '{"statusCode": 200}'}}


async def test_gateway_responses_are_customised_until_they_are_deleted() -> None:
    """Status, headers and template of one type."""
    rest = await make_rest()
    await rest.method(rest.root)
    await rest.make(
        "GatewayResponse",
        ResponseType="MISSING_AUTHENTICATION_TOKEN",
        StatusCode=404,
        ResponseParameters={"gatewayresponse.header.X-Why": "'nowhere'"},
        ResponseTemplates={"application/json": '{"lost":$context.error.messageString}'},
    )
    await rest.deploy()
    answer = await rest.ask("GET", "/none")
    assert (answer.status, answer.header("x-why")) == (404, "nowhere")
    assert answer.body == b'{"lost":"Missing Authentication Token"}'


@pytest.mark.parametrize("kind", ["TOKEN", "REQUEST"])
async def test_functions_authorize(kind: str) -> None:
    """Either type, with its own identity source; the method sees who was let in."""
    rest = await make_rest()
    source = "method.request.header.Auth" if kind == "TOKEN" else "method.request.querystring.auth"
    authorizer = await rest.make(
        "Authorizer", Name="a", Type=kind, AuthorizerUri=lambda_uri("auth"), IdentitySource=source
    )
    await rest.method(rest.root, Integration=AWS_PROXY, AuthorizationType="CUSTOM", AuthorizerId=authorizer)
    await rest.deploy()
    rest.functions.replies = {"auth": allow("me", tier="gold"), "work": b'{"statusCode":200}'}
    assert (await rest.ask("GET", "/")).status == 401
    sent = {"Auth": "t"} if kind == "TOKEN" else {}
    assert (await rest.ask("GET", "/", query="auth=t", **sent)).status == 200
    assert rest.functions.events[0][1]["type"] == kind
    context = rest.functions.events[-1][1]["requestContext"]["authorizer"]
    assert (context["principalId"], context["tier"]) == ("me", "gold")
    assert (f"arn:aws:execute-api:{REGION}:{ACCOUNT}:{rest.api}/authorizers/{authorizer}") in dict(
        each[::-1] for each in rest.functions.asked
    )


async def test_an_authorizer_may_be_invoked_as_a_role() -> None:
    """`AuthorizerCredentials` goes through the Lambda API and asks no policy of the function."""
    rest = await make_rest()
    authorizer = await rest.make(
        "Authorizer",
        Name="a",
        Type="TOKEN",
        AuthorizerUri=lambda_uri("auth"),
        AuthorizerCredentials=ROLE,
        IdentitySource="method.request.header.Auth",
    )
    await rest.method(rest.root, AuthorizationType="CUSTOM", AuthorizerId=authorizer)
    await rest.deploy()
    rest.functions.permitted = False
    rest.aws.answer = WireResponse(200, allow("me"))
    assert [(await rest.ask("GET", "/", Auth="t")).status for _ in range(2)] == [200, 200]
    (request,) = rest.aws.requests  # the second answer was kept
    assert (request.service, request.access_key) == ("lambda", "ASIAROLE")
    assert json.loads(request.body)["authorizationToken"] == "t"


async def test_a_functions_address_may_have_two_slashes() -> None:
    """`lambda:path//2015-03-31/...`, as API Gateway's own exports have it."""
    rest = await make_rest()
    doubled = lambda_uri("work").replace("lambda:path/", "lambda:path//")
    source = "method.request.header.Auth"
    authorizer = await rest.make("Authorizer", Name="a", Type="TOKEN", AuthorizerUri=doubled, IdentitySource=source)
    await rest.method(
        rest.root, Integration={**AWS_PROXY, "Uri": doubled}, AuthorizationType="CUSTOM", AuthorizerId=authorizer
    )
    await rest.deploy()
    rest.functions.replies["work"] = lambda event: allow() if "authorizationToken" in event else b'{"statusCode":201}'
    assert (await rest.ask("GET", "/", Auth="t")).status == 201


async def test_a_deployment_holds_what_was_there() -> None:
    """A method that comes later is served by the next deployment only."""
    rest = await make_rest()
    await rest.method(rest.root)
    await rest.deploy("v1")
    await rest.method(await rest.resource("later"))
    assert (await rest.ask("GET", "/later")).status == 403
    await rest.deploy("v2")
    assert (await rest.ask("GET", "/later", stage="v2")).status == 200
    assert (await rest.ask("GET", "/later")).status == 403


async def test_what_is_deleted_can_be_made_again() -> None:
    """Every part forgets itself; after all of them the API is gone."""
    rest = await make_rest()
    for _ in range(2):
        resource = await rest.resource("a")
        await rest.make("Model", Name="M", Schema={})
        validator = await rest.make("RequestValidator")
        authorizer = await rest.make(
            "Authorizer",
            Name="a",
            Type="TOKEN",
            AuthorizerUri=lambda_uri("x"),
            IdentitySource="method.request.header.A",
        )
        await rest.make("GatewayResponse", ResponseType="THROTTLED")
        await rest.method(
            resource,
            AuthorizationType="CUSTOM",
            AuthorizerId=authorizer,
            RequestValidatorId=validator,
            RequestModels={"application/json": "M"},
        )
        await rest.deploy()
        kept = rest.made[:1]
        rest.made = rest.made[1:]
        await rest.undo()
        rest.made = kept
        assert rest.gateway.paths() == []
    await rest.undo()
    with pytest.raises(TemplateError, match="is no API of this stack"):
        await rest.resource("a")


DECLARED = [{"StatusCode": 200, "ResponseParameters": {"method.response.header.A": True}}]
REFUSED: list[tuple[str, dict[str, Any], str, str]] = [
    ("Resource", {"PathPart": "a b"}, "PathPart", "only allow a-zA-Z0-9"),
    ("Resource", {"PathPart": "{x"}, "PathPart", "only allow a-zA-Z0-9"),
    ("Resource", {"PathPart": "taken"}, "PathPart", "already has this name"),
    ("Resource", {"PathPart": "{other}"}, "PathPart", "variable"),
    ("Resource", {"ParentId": "nope"}, "ParentId", "no resource of the API"),
    ("Resource", {"ParentId": "greedy"}, "PathPart", "greedy path variable"),
    ("Model", {"Name": "a-b", "Schema": {}}, "Name", "alphanumeric"),
    ("Model", {"Schema": "{"}, "Schema", "no JSON"),
    ("Model", {"Schema": {"type": "strnig"}}, "Schema", "draft 4"),
    ("Model", {"Schema": {"$ref": "https://elsewhere/x"}}, "Schema", "out of the document"),
    ("GatewayResponse", {"ResponseType": "NOPE"}, "ResponseType", "not a gateway response type"),
    ("GatewayResponse", {"ResponseType": "THROTTLED", "StatusCode": 99}, "StatusCode", "200 to 599"),
    ("Authorizer", {"Type": "JWT"}, "Type", "no type of authorizer"),
    ("Authorizer", {"Type": "TOKEN", "AuthorizerUri": "x"}, "AuthorizerUri", "not a Lambda invocation"),
    ("Authorizer", {"Type": "TOKEN", "AuthorizerUri": lambda_uri("x")}, "IdentitySource", "not a header"),
    ("Method", {"HttpMethod": "FETCH"}, "HttpMethod", "must be one of"),
    ("Method", {"HttpMethod": "GET"}, "HttpMethod", "Method already exists"),
    ("Method", {"ResourceId": "nope"}, "ResourceId", "no resource of the API"),
    ("Method", {"Integration": None}, "Integration", "No integration defined"),
    ("Method", {"AuthorizationType": "CUSTOM"}, "AuthorizerId", "required|requires"),
    ("Method", {"AuthorizerId": "x"}, "AuthorizerId", "not for AuthorizationType NONE"),
    ("Method", {"AuthorizationScopes": ["a"]}, "AuthorizationScopes", "Cognito"),
    ("Method", {"RequestValidatorId": "x"}, "RequestValidatorId", "Invalid Request Validator"),
    ("Method", {"RequestModels": {"application/json": "X"}}, "RequestModels.application/json", "Invalid model"),
    ("Method", {"RequestParameters": {"header.x": True}}, "RequestParameters.header.x", "Invalid mapping"),
    (
        "Method",
        {"Integration": {**MOCK, "IntegrationResponses": [{"StatusCode": 200}, {"StatusCode": 200}]}},
        "Integration.IntegrationResponses[1].SelectionPattern",
        "stands twice",
    ),
    (
        "Method",
        {
            "Integration": {
                **MOCK,
                "IntegrationResponses": [{"StatusCode": 200}, {"StatusCode": 200, "SelectionPattern": "x"}],
            }
        },
        "Integration.IntegrationResponses[1].StatusCode",
        "one response for a status",
    ),
    ("Method", {"MethodResponses": []}, "Integration.IntegrationResponses[0].StatusCode", "Invalid Response status"),
    (
        "Method",
        {
            "MethodResponses": DECLARED,
            "Integration": {
                **MOCK,
                "IntegrationResponses": [
                    {"StatusCode": 200, "ResponseParameters": {"method.response.header.B": "'x'"}},
                ],
            },
        },
        "Integration.IntegrationResponses[0].ResponseParameters",
        "does not declare it",
    ),
    (
        "Method",
        {"Integration": {**AWS_PROXY, "IntegrationHttpMethod": "GET"}},
        "Integration.IntegrationHttpMethod",
        "POST",
    ),
    ("Method", {"Integration": sqs(TimeoutInMillis=1)}, "Integration.TimeoutInMillis", "must be 50"),
    (
        "Method",
        {"Integration": sqs(RequestTemplates={"application/json": "#if("})},
        "Integration.RequestTemplates.application/json",
        "line 1",
    ),
    ("Method", {"Integration": sqs(Uri="arn:aws:apigateway:eu-central-1:sqs:x")}, "Integration.Uri", "AWS service"),
]


@pytest.mark.parametrize(("kind", "changes", "where", "words"), REFUSED)
async def test_what_makes_no_sense_is_refused_with_its_property(
    kind: str, changes: dict[str, Any], where: str, words: str
) -> None:
    """The deployer names the resource, the property and, where it has one, API Gateway's own sentence."""
    rest = await make_rest()
    await rest.method(rest.root)
    await rest.resource("taken")
    await rest.resource("{name}")
    greedy = await rest.resource("{all+}", await rest.resource("sub"))
    given: dict[str, dict[str, Any]] = {
        "Resource": {"ParentId": rest.root, "PathPart": "a"},
        "Model": {"Name": "M", "ContentType": "application/json"},
        "GatewayResponse": {},
        "Authorizer": {"Name": "a"},
        "Method": {
            "ResourceId": rest.root,
            "HttpMethod": "POST",
            "Integration": MOCK,
            "MethodResponses": [{"StatusCode": 200}],
        },
    }
    changed = {name: greedy if value == "greedy" else value for name, value in changes.items()}
    with pytest.raises(TemplateError, match=words) as caught:
        await rest.make(kind, "R", **{**given[kind], **changed})
    assert caught.value.where == f"R.Properties.{where}"


async def test_a_deployment_of_nothing_is_refused() -> None:
    """API Gateway's own words, and what to do."""
    rest = await make_rest()
    await rest.resource("a")
    with pytest.raises(TemplateError, match="doesn't contain any methods"):
        await rest.make("Deployment")


async def test_a_deployment_may_make_its_stage_itself() -> None:
    """`StageDescription` has the stage's settings; its throttles are for every method without one of its own."""
    rest = await make_rest()
    settings = [{"ResourcePath": "/~1b", "HttpMethod": "GET", "ThrottlingBurstLimit": 2}]
    for part in ("a", "b"):
        await rest.method(await rest.resource(part), Integration=AWS_PROXY)
    rest.functions.replies["work"] = b'{"statusCode":200}'
    described = {
        "Variables": {"v": "1"},
        "ThrottlingBurstLimit": 1,
        "ThrottlingRateLimit": 1,
        "MethodSettings": settings,
    }
    await rest.make("Deployment", StageName="v1", StageDescription=described)
    assert [(await rest.ask("GET", "/a")).status for _ in range(2)] == [200, 429]
    assert [(await rest.ask("GET", "/b")).status for _ in range(3)] == [200, 200, 429]
    assert rest.functions.events[0][1]["stageVariables"] == {"v": "1"}
    with pytest.raises(TemplateError, match="stage name is not"):
        await rest.make("Deployment", StageDescription=described)
    await rest.undo()
    assert rest.gateway.paths() == []


async def test_documentation_is_taken_and_says_so() -> None:
    """Parts and versions are known to be words only; their API must be there."""
    rest = await make_rest()
    await rest.make("DocumentationPart", Location={"Type": "API"}, Properties="{}")
    await rest.make("DocumentationVersion", DocumentationVersion="1")
    kept, rest.api = rest.api, "none"
    with pytest.raises(TemplateError, match="no API of this stack"):
        await rest.make("DocumentationVersion", DocumentationVersion="2")
    rest.api = kept
    assert rest.handlers["AWS::ApiGateway::DocumentationPart"].support.support is Support.PARTIAL
