"""A stage of a REST API on fakes of what it leads to, and the repository's own API on the real SQS service."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from localcloud.clock import Clock, SystemClock
from localcloud.gateway.exchange import Stage
from localcloud.gateway.message import HttpRequest, HttpResponse
from localcloud.gateway.openapi import read_api
from localcloud.gateway.ports import FunctionReply
from localcloud.gateway.resources import gateway_handlers
from localcloud.gateway.rest import Backends, RestStage
from localcloud.gateway.server import Gateway
from localcloud.services.contract import WireRequest, WireResponse
from localcloud.services.sqs.model import Queue, Queues
from localcloud.services.sqs.wire import SqsService
from localcloud.template.handler import Physical, Resource
from localcloud.template.intrinsics import resolve
from localcloud.template.source import read_template
from localcloud.template.stack import Settled, Stack, prepare_stack, stack_context

ROOT = Path(__file__).resolve().parents[2]
REGION = "eu-central-1"
ACCOUNT = "123456789012"
FUNCTION = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/api"
GIVEN = {"TokenIssuer": "https://issuer", "TokenKeys": '{"keys":[]}'}


def allow(principal: str = "caller", resource: str = "*", **context: object) -> bytes:
    """What an authorizer answers to let a request pass."""
    statement = {"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": resource}
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    return json.dumps({"principalId": principal, "policyDocument": policy, "context": context}).encode()


@dataclass
class FakeFunctions:
    """Functions by name: bytes to answer, or something to call with the event."""

    replies: dict[str, bytes | FunctionReply | Callable[[Any], Any]] = field(default_factory=dict)
    events: list[tuple[str, Any]] = field(default_factory=list)
    asked: list[tuple[str, str]] = field(default_factory=list)
    permitted: bool = True

    async def invoke(
        self, function_arn: str, payload: bytes, *, trace_header: str, invocation_type: str = "RequestResponse"
    ) -> FunctionReply:
        """Answer as the name's reply says; an event is only noted."""
        assert trace_header.startswith("Root=1-")
        name = function_arn.removeprefix(FUNCTION)
        event = json.loads(payload)
        self.events.append((name, event))
        if invocation_type == "Event":
            return FunctionReply(b"")
        reply = self.replies[name]
        if callable(reply):
            reply = reply(event)
            if hasattr(reply, "__await__"):
                reply = await reply
        return reply if isinstance(reply, FunctionReply) else FunctionReply(reply)

    def may_invoke(self, function_arn: str, *, source_arn: str) -> bool:
        """Permit, and note who asked."""
        self.asked.append((function_arn.removeprefix(FUNCTION), source_arn))
        return self.permitted


class FakeRoles:
    """One role, whose sessions have one key."""

    def assume(self, role_arn: str) -> str:
        """The key, for the one role."""
        if role_arn != ROLE:
            raise LookupError(role_arn)
        return "ASIAROLE"


@dataclass
class Recorder:
    """A dispatch that notes requests and gives one answer."""

    answer: WireResponse = field(default_factory=lambda: WireResponse(200, b"{}"))
    requests: list[WireRequest] = field(default_factory=list)

    async def __call__(self, request: WireRequest) -> WireResponse:
        self.requests.append(request)
        return self.answer


def lambda_uri(name: str) -> str:
    """The integration URI of a function."""
    return f"arn:aws:apigateway:{REGION}:lambda:path/2015-03-31/functions/{FUNCTION}{name}/invocations"


def proxy(name: str = "work", **more: object) -> dict[str, Any]:
    """An operation that leads to a function."""
    integration = {"type": "aws_proxy", "httpMethod": "POST", "uri": lambda_uri(name)}
    return {"x-amazon-apigateway-integration": integration, **more}


def sqs(**more: object) -> dict[str, Any]:
    """An operation that leads to a queue."""
    integration = {
        "type": "aws",
        "httpMethod": "POST",
        "uri": f"arn:aws:apigateway:{REGION}:sqs:path/{ACCOUNT}/q",
        "credentials": ROLE,
        "responses": {"default": {"statusCode": "200"}},
        **more,
    }
    return {"x-amazon-apigateway-integration": integration}


def mock(**responses: object) -> dict[str, Any]:
    """An operation that answers itself, 200 by default."""
    templates = {"application/json": '{"statusCode": 200}'}
    answers = responses or {"default": {"statusCode": "200"}}
    return {"x-amazon-apigateway-integration": {"type": "mock", "requestTemplates": templates, "responses": answers}}


def make_stage(
    paths: Mapping[str, Any],
    *,
    functions: FakeFunctions | None = None,
    dispatch: Any = None,
    clock: Clock | None = None,
    stage: Stage | None = None,
    recorder: Any = None,
    **root: object,
) -> RestStage:
    """A deployed stage of an API with these paths."""
    body = {"openapi": "3.0.1", "info": {"title": "t", "version": "1"}, "paths": paths, **root}
    api = read_api(body, api_id="abc123", region=REGION, account_id=ACCOUNT)
    backends = Backends(functions or FakeFunctions(), dispatch or Recorder(), FakeRoles(), recorder)
    return RestStage(
        api, stage or Stage("v1", "dep123"), backends=backends, clock=clock or SystemClock(), random=random.Random(1)
    )


async def ask(
    target: RestStage, method: str, path: str, body: bytes = b"", *, query: str = "", **headers: str
) -> HttpResponse:
    """One request; headers in snake case."""
    sent = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return await target.handle(HttpRequest(method, path, query, sent, body))


@dataclass
class JobsApi:
    """The repository's API, deployed by the real handlers onto the real SQS service."""

    gateway: Gateway
    api_id: str
    functions: FakeFunctions
    queue: Queue
    requests: list[WireRequest]

    async def ask(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> HttpResponse:
        """One request to the deployed stage, as the HTTP front would hand it in."""
        request = HttpRequest(method, f"/{self.api_id}/v1{path}", "", tuple((headers or {}).items()), body)
        return await self.gateway.handle(request)


@cache
def _prepared() -> Stack:
    context = stack_context(ROOT, region=REGION)
    return prepare_stack(read_template(ROOT / "template.yaml"), context, Settled(parameters=GIVEN))


async def deploy_jobs_api(
    *, clock: Clock | None = None, alter: Callable[[dict[str, Any]], None] | None = None
) -> JobsApi:
    """Deploy `AWS::ApiGateway::*` of template.yaml; `alter` may change the resolved OpenAPI body."""
    clock = clock or SystemClock()
    context = stack_context(ROOT, region=REGION)
    stack = _prepared()
    queues = Queues(clock=clock, rng=random.Random(2))
    queue = queues.create("jobs", REGION, attributes={}, tags={})
    service = SqsService(queues)
    requests: list[WireRequest] = []

    async def dispatch(request: WireRequest) -> WireResponse:
        requests.append(request)
        return await service.handle(request)

    functions = FakeFunctions({"AuthorizeRequest": allow("caller"), "ReadJob": b'{"statusCode":200,"body":"{}"}'})
    gateway = Gateway(backends=Backends(functions, dispatch, FakeRoles()), clock=clock, random=random.Random(3))
    handlers = {handler.type: handler for handler in gateway_handlers(gateway)}
    physical: dict[str, Physical] = {
        "ApiRole": Physical("api", {"Arn": ROLE}),
        "JobsQueue": Physical("url", {"QueueName": "jobs"}),
        **{
            node.logical_id: Physical(node.logical_id, {"Arn": FUNCTION + node.logical_id})
            for node in stack.graph.nodes.values()
            if node.type == "AWS::Lambda::Function"
        },
    }
    scope = replace(stack.graph.scope, physical=physical)
    for node in stack.graph.nodes.values():
        if node.type in handlers:
            properties = resolve(copy.deepcopy(dict(node.properties)), scope, node.logical_id)
            if alter is not None and "Body" in properties:
                alter(properties["Body"])
            resource = Resource(node.logical_id, node.type, properties, context)
            physical[node.logical_id] = await handlers[node.type].create(resource)
    return JobsApi(gateway, physical["Api"].ref, functions, queue, requests)
