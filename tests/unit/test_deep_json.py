"""JSON nested deeper than any reader can follow is the sender's fault at every edge, never a failure of ours."""

from __future__ import annotations

import base64
import json
import random

import pytest

from localcloud.clock import SystemClock, run_virtual
from localcloud.compute.runtime_api import Call, RuntimeApi
from localcloud.compute.sqs_event import read_failures
from localcloud.gateway.function_url_event import read_reply
from localcloud.json_text import MAX_DEPTH, MalformedJson, parse_json
from localcloud.models.scripted import ScriptedEngine
from localcloud.services.bedrock.wire import BedrockService
from localcloud.services.contract import Service, WireRequest
from localcloud.services.dynamodb.wire import DynamoService
from localcloud.services.iam.policy import MalformedPolicy, parse_document
from localcloud.services.lambda_.errors import LambdaError
from localcloud.services.lambda_.wire import read_client_context
from localcloud.services.sqs.model import Queues
from localcloud.services.sqs.wire import SqsService
from tests.unit.gateway_setup import FakeFunctions, ask, deploy_jobs_api, make_stage, proxy, sqs
from tests.unit.websocket_setup import FUNCTIONS, SOCKET, open_world

DEPTHS = (MAX_DEPTH + 1, 900, 15_000)  # past the limit, past what Python recurses in two steps, past its stack
deep = pytest.mark.parametrize("depth", DEPTHS)


def nested(depth: int, *, key: str = "") -> bytes:
    """`depth` containers, the outermost with the member `key` where that is named."""
    inner = b"[" * (depth - 1) + b"]" * (depth - 1)
    return b'{"%s":%s}' % (key.encode(), inner) if key else b"[" + inner + b"]"


def test_the_limit_is_where_it_says() -> None:
    """That many containers are read, one more is not; brackets in a text are none."""
    parse_json(nested(MAX_DEPTH))
    parse_json(json.dumps(["[{" * MAX_DEPTH]))
    with pytest.raises(MalformedJson, match="Nested too deeply"):
        parse_json(nested(MAX_DEPTH + 1))


SERVICES: list[tuple[Service, str, str]] = [
    (SqsService(Queues(clock=SystemClock(), rng=random.Random(1))), "/", "AmazonSQS.SendMessage"),
    (DynamoService(SystemClock(), randomness=random.Random(1)), "/", "DynamoDB_20120810.PutItem"),
    (BedrockService(ScriptedEngine(None)), "/model/amazon.nova-micro-v1%3A0/converse", ""),
]


@deep
@pytest.mark.parametrize(("service", "path", "target"), SERVICES, ids=[each.name for each, _, _ in SERVICES])
def test_an_aws_api_refuses_it(service: Service, path: str, target: str, depth: int) -> None:
    """400, from IAM's check and from the action, in a list or in a member that the action knows."""
    for key in ("", "MessageBody", "Item", "messages"):
        request = WireRequest(
            service.name, "us-east-1", "POST", path, "", {"x-amz-target": target}, nested(depth, key=key), "AK", "r"
        )
        service.permissions(request)
        assert run_virtual(lambda request=request: service.handle(request)).status == 400


@deep
def test_a_client_context_of_the_lambda_api_is_refused(depth: int) -> None:
    """The header is JSON too: 400 with its limit."""
    context = base64.b64encode(nested(depth, key="custom")).decode()
    with pytest.raises(LambdaError, match="Client context must be") as caught:
        read_client_context(context)
    assert caught.value.status == 400


@deep
def test_attributes_of_queues_and_policies_are_refused(depth: int) -> None:
    """A policy inside a member's text is parsed apart."""
    with pytest.raises(MalformedPolicy, match="is no JSON"):
        parse_document(nested(depth, key="Statement").decode())
    queues = SqsService(Queues(clock=SystemClock(), rng=random.Random(1)))
    for name in ("Policy", "RedrivePolicy", "RedriveAllowPolicy"):
        body = {"QueueName": "q", "Attributes": {name: nested(depth, key="a").decode()}}
        headers = {"x-amz-target": "AmazonSQS.CreateQueue"}
        request = WireRequest("sqs", "us-east-1", "POST", "/", "", headers, json.dumps(body).encode(), "A", "r")
        response = run_virtual(lambda request=request: queues.handle(request))
        too_long = name == "Policy" and depth > 10_000  # past a policy's length, which is told first
        assert response.status == (403 if too_long else 400)


@deep
async def test_what_a_function_answers_is_the_functions_fault(depth: int) -> None:
    """502 where a proxy reply is that, 500 for an authorizer as for any answer that is none; a batch fails whole."""
    for reply in (nested(depth), nested(depth, key="statusCode")):
        stage = make_stage({"/a": {"get": proxy()}}, functions=FakeFunctions({"work": reply}))
        assert (await ask(stage, "GET", "/a")).status == 502
    api = await deploy_jobs_api()
    api.functions.replies["AuthorizeRequest"] = nested(depth, key="principalId")
    assert (await api.ask("GET", "/jobs/x", headers={"Authorization": "Bearer t"})).status == 500
    assert read_failures(nested(depth, key="batchItemFailures"), ["m"]) == {"m"}
    assert read_reply(nested(depth, key="statusCode")).status == 200  # no reply that can be read: the body itself


@deep
async def test_a_runtimes_error_is_taken_as_it_is(depth: int) -> None:
    """Its type is unknown, and the invocation ends."""
    api = RuntimeApi()
    reply = api.call(Call("POST", "/2018-06-01/runtime/init/error", {}, nested(depth, key="errorType")))
    failed = await api.ready
    assert reply is not None
    assert failed is not None
    assert (reply.status, failed.error_type) == (202, "Runtime.Unknown")


@deep
async def test_a_body_for_a_mapping_template_counts_as_no_json(depth: int) -> None:
    """`$input` gives its text, and nothing at its paths."""
    templates = {"application/json": "$input.json('$.a')$input.path('$')"}
    stage = make_stage({"/a": {"post": sqs(requestTemplates=templates)}})
    for body in (nested(depth), nested(depth, key="a")):
        assert (await ask(stage, "POST", "/a", body)).status == 200


@deep
async def test_a_websocket_message_selects_the_default_route(depth: int) -> None:
    """A message that is no JSON has no action."""
    async with open_world(FUNCTIONS + SOCKET) as world:
        connection, wire = await world.open()
        assert await world.say(connection, wire, nested(depth, key="action").decode()) == []
        assert world.events()[-1]["requestContext"]["routeKey"] == "$default"
