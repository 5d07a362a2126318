"""A WebSocket API deployed by the real handlers, on fakes of what it leads to and a wire that remembers."""

from __future__ import annotations

import asyncio
import copy
import json
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from localcloud.clock import LoopClock
from localcloud.gateway.message import HttpRequest
from localcloud.gateway.rest import Backends
from localcloud.gateway.telling import Telling
from localcloud.gateway.v2_resources import v2_handlers
from localcloud.gateway.websocket.connection import Connection
from localcloud.gateway.websocket.gateway import Accepted, Refused, WebSocketGateway
from localcloud.gateway.websocket.management import ManagementService
from localcloud.gateway.websocket.resources import WebSocketApis
from localcloud.services.contract import WireRequest, WireResponse
from localcloud.services.sqs.model import Queue, Queues
from localcloud.services.sqs.wire import SqsService
from localcloud.template.handler import Physical, Resource
from localcloud.template.intrinsics import resolve
from localcloud.template.source import read_template
from localcloud.template.stack import Settled, Stack, prepare_stack, stack_context
from localcloud.traces.recorder import Recorder as TraceRecorder
from tests.unit.gateway_setup import ACCOUNT, FUNCTION, REGION, ROLE, FakeFunctions, FakeRoles, allow

OK = b'{"statusCode":200}'
HEAD = "Transform: AWS::Serverless-2016-10-31\nResources:\n"
FUNCTIONS = "".join(
    f"  {name}:\n    Type: AWS::Serverless::Function\n"
    "    Properties: {Runtime: python3.13, Handler: index.handler, InlineCode: 'handler = None'}\n"
    for name in ("Serve", "Check")
)
SOCKET = r"""
  Socket:
    Type: AWS::Serverless::WebSocketApi
    Properties:
      Name: socket
      StageName: v1
      StageVariables: {colour: red}
      RouteSelectionExpression: $request.body.action
      Auth: {AuthType: CUSTOM, AuthArn: !GetAtt Check.Arn, IdentitySource: [route.request.querystring.token]}
      Routes:
        $connect: {FunctionArn: !GetAtt Serve.Arn}
        $disconnect: {FunctionArn: !GetAtt Serve.Arn}
        $default: {FunctionArn: !GetAtt Serve.Arn}
        ask: {FunctionArn: !GetAtt Serve.Arn, RouteResponseSelectionExpression: $default}
        quick: {FunctionArn: !GetAtt Serve.Arn, IntegrationTimeout: 50}
  AskAnswers:
    Type: AWS::ApiGatewayV2::RouteResponse
    Properties: {ApiId: !Ref Socket, RouteId: !Ref SocketAskRoute, RouteResponseKey: $default}
  JobIntegration:
    Type: AWS::ApiGatewayV2::Integration
    Properties:
      ApiId: !Ref Socket
      ConnectionType: INTERNET
      CredentialsArn: arn:aws:iam::123456789012:role/api
      IntegrationMethod: POST
      IntegrationType: AWS
      IntegrationUri: !Sub arn:aws:apigateway:${AWS::Region}:sqs:path/${AWS::AccountId}/jobs
      PassthroughBehavior: NEVER
      RequestParameters: {integration.request.header.Content-Type: "'application/x-www-form-urlencoded'"}
      RequestTemplates:
        $default: >-
          Action=SendMessage&MessageBody=$util.urlEncode($input.body)&MessageAttribute.1.Name=connection&MessageAttribute.1.Value.DataType=String&MessageAttribute.1.Value.StringValue=$util.urlEncode($context.connectionId)
      TemplateSelectionExpression: \$default
  JobRoute:
    Type: AWS::ApiGatewayV2::Route
    Properties: {ApiId: !Ref Socket, RouteKey: job, Target: !Sub "integrations/${JobIntegration}"}
  EchoIntegration:
    Type: AWS::ApiGatewayV2::Integration
    Properties:
      ApiId: !Ref Socket
      IntegrationType: MOCK
      RequestTemplates: {$default: '{"statusCode": 200}', "201": '{"statusCode": 201}'}
      TemplateSelectionExpression: ${request.body.status}
  EchoDefault:
    Type: AWS::ApiGatewayV2::IntegrationResponse
    Properties:
      ApiId: !Ref Socket
      IntegrationId: !Ref EchoIntegration
      IntegrationResponseKey: $default
      ResponseTemplates:
        $default: at $context.connectionId by $context.authorizer.principalId $stageVariables.colour
  EchoCreated:
    Type: AWS::ApiGatewayV2::IntegrationResponse
    Properties:
      ApiId: !Ref Socket
      IntegrationId: !Ref EchoIntegration
      IntegrationResponseKey: /201/
      ResponseTemplates: {$default: 'created $context.routeKey'}
  EchoRoute:
    Type: AWS::ApiGatewayV2::Route
    Properties:
      ApiId: !Ref Socket
      RouteKey: echo
      RouteResponseSelectionExpression: $default
      Target: !Sub "integrations/${EchoIntegration}"
  EchoAnswers:
    Type: AWS::ApiGatewayV2::RouteResponse
    Properties: {ApiId: !Ref Socket, RouteId: !Ref EchoRoute, RouteResponseKey: $default}
"""


class FakeWire:
    """A client's socket that takes everything, unless `stuck`; frames are read back with a reader of its own."""

    def __init__(self) -> None:
        self.sent = bytearray()
        self.stuck = 0
        self.log: list[str] = []

    def write(self, data: bytes) -> None:
        """Remember."""
        self.sent += data

    def buffered_bytes(self) -> int:
        """What `stuck` says."""
        return self.stuck

    def finish(self) -> None:
        """Note it."""
        self.log.append("finish")

    def close(self) -> None:
        """Note it."""
        self.log.append("close")

    def abort(self) -> None:
        """Note it."""
        self.log.append("abort")

    def frames(self) -> list[tuple[int, bool, bytes]]:
        """Opcode, finality and payload of everything sent since the last call."""
        found, data = [], bytes(self.sent)
        self.sent.clear()
        while data:
            size, at = data[1], 2
            if size > 125:
                at = 4 if size == 126 else 10
                size = int.from_bytes(data[2:at], "big")
            found.append((data[0] & 15, bool(data[0] & 128), data[at : at + size]))
            data = data[at + size :]
        return found

    def texts(self) -> list[str]:
        """The text messages sent since the last call."""
        return [payload.decode() for opcode, _, payload in self.frames() if opcode == 1]


def client_frame(opcode: int, payload: bytes, *, final: bool = True, key: bytes = b"\x01\x02\x03\x04") -> bytes:
    """A frame as a client sends it."""
    size = len(payload)
    head = bytes([opcode | (128 if final else 0)])
    if size < 126:
        head += bytes([128 | size])
    elif size < 65536:
        head += bytes([128 | 126]) + size.to_bytes(2, "big")
    else:
        head += bytes([128 | 127]) + size.to_bytes(8, "big")
    return head + key + bytes(byte ^ key[index % 4] for index, byte in enumerate(payload))


def text_frame(text: str) -> bytes:
    """A whole text message of a client."""
    return client_frame(1, text.encode())


@dataclass
class World:
    """A deployed API and what it leads to."""

    gateway: WebSocketGateway
    management: ManagementService
    functions: FakeFunctions
    queue: Queue
    physical: dict[str, Physical]
    handlers: dict[str, Any]
    resources: dict[str, Resource]
    recorder: TraceRecorder
    service_answer: list[WireResponse] = field(default_factory=list)
    requests: list[WireRequest] = field(default_factory=list)

    @property
    def api_id(self) -> str:
        """The API's id."""
        return self.physical["Socket"].ref

    async def shake(self, *, stage: str = "v1", query: str = "token=t", **headers: str) -> Accepted | Refused:
        """A handshake; headers in snake case."""
        sent = tuple((name.replace("_", "-"), value) for name, value in headers.items())
        return await self.gateway.connect(
            self.api_id, stage, HttpRequest("GET", f"/{self.api_id}/{stage}", query, sent, b"")
        )

    async def open(self, **headers: str) -> tuple[Connection, FakeWire]:
        """An open connection."""
        accepted = await self.shake(**headers)
        assert isinstance(accepted, Accepted), accepted
        wire = FakeWire()
        accepted.connection.open(wire)
        return accepted.connection, wire

    async def say(self, connection: Connection, wire: FakeWire, message: Any) -> list[str]:
        """Send a message (JSON unless text) and give what has come back once everything settled."""
        connection.receive(text_frame(message if isinstance(message, str) else json.dumps(message)))
        await asyncio.sleep(0.001)
        return wire.texts()

    def events(self, name: str = "Serve") -> list[Any]:
        """What a function got."""
        return [event for each, event in self.functions.events if each == name]

    async def manage(self, method: str, path: str, body: bytes = b"", *, host: str = "") -> WireResponse:
        """One request to the management API."""
        return await self.management.handle(wire_request(method, path, body, host=host))


def wire_request(method: str, path: str, body: bytes = b"", *, host: str = "") -> WireRequest:
    """A request as the front hands it in."""
    return WireRequest("execute-api", REGION, method, path, "", {"host": host} if host else {}, body, "AKIA", "req")


@cache
def _prepared(template: str) -> Stack:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "template.yaml"
        path.write_text(template)
        return prepare_stack(read_template(path), stack_context(Path(folder), region=REGION), Settled())


@asynccontextmanager
async def open_world(
    resources: str = FUNCTIONS + SOCKET,
    *,
    alter: Callable[[dict[str, Any], str], None] | None = None,
    telling: Telling | None = None,
) -> AsyncIterator[World]:
    """Deploy `AWS::ApiGatewayV2::*` of the resources; `alter` may change properties, by logical id."""
    stack = _prepared(HEAD + resources)
    clock = LoopClock(asyncio.get_running_loop())
    queues = Queues(clock=clock, rng=random.Random(2))
    sqs = SqsService(queues)
    functions = FakeFunctions({"Serve": OK, "Check": allow("ann", team="blue")})
    async with asyncio.TaskGroup() as group:
        answers: list[WireResponse] = []
        requests: list[WireRequest] = []

        async def dispatch(request: WireRequest) -> WireResponse:
            requests.append(request)
            return answers.pop() if answers else await sqs.handle(request)

        recorder = TraceRecorder(clock=clock, rng=random.Random(5))
        backends = Backends(functions, dispatch, FakeRoles(), recorder, telling=telling)
        gateway = WebSocketGateway(backends, group=group, clock=clock, random=random.Random(3))
        handlers = {handler.type: handler for handler in v2_handlers(WebSocketApis(gateway))}
        physical = {name: Physical(name, {"Arn": FUNCTION + name}) for name in ("Serve", "Check")}
        made: dict[str, Resource] = {}
        for node in stack.graph.nodes.values():
            if node.type in handlers:
                scope = replace(stack.graph.scope, physical=physical)
                properties = resolve(copy.deepcopy(dict(node.properties)), scope, node.logical_id)
                if alter is not None:
                    alter(properties, node.logical_id)
                made[node.logical_id] = Resource(node.logical_id, node.type, properties, stack.graph.scope.context)
                physical[node.logical_id] = await handlers[node.type].create(made[node.logical_id])
        queue = queues.create("jobs", REGION, attributes={}, tags={})
        management = ManagementService(gateway)
        try:
            yield World(gateway, management, functions, queue, physical, handlers, made, recorder, answers, requests)
        finally:
            gateway.close()


__all__ = [
    "ACCOUNT", "FUNCTION", "FUNCTIONS", "HEAD", "OK", "REGION", "ROLE", "SOCKET", "FakeWire", "World", "client_frame",
    "open_world", "text_frame", "wire_request",
]  # fmt: skip
