"""REST APIs of separate resources, made by the real handlers on fakes of what they lead to; a date that a test sets."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from localcloud.gateway.message import HttpRequest, HttpResponse
from localcloud.gateway.ports import HttpAnswer, HttpCall
from localcloud.gateway.resources import gateway_handlers
from localcloud.gateway.rest import Backends
from localcloud.gateway.server import Gateway
from localcloud.template.handler import Physical, Resource
from localcloud.template.stack import stack_context
from tests.unit.gateway_setup import REGION, FakeFunctions, FakeRoles, Recorder

CONTEXT = stack_context(Path(), region=REGION)


class Dial:
    """A Clock that is set by hand, epoch seconds."""

    def __init__(self, now_s: float = 1_800_000_000.0) -> None:
        self.now_s = now_s

    def time(self) -> float:
        """The date."""
        return self.now_s


@dataclass
class Network:
    """An HttpCaller that notes calls and gives one answer, or raises it."""

    answer: HttpAnswer | Exception = field(default_factory=lambda: HttpAnswer(200, (), b"{}"))
    calls: list[HttpCall] = field(default_factory=list)
    delay_s: float = 0.0

    async def __call__(self, call: HttpCall, *, limit_bytes: int) -> HttpAnswer:
        """As told."""
        assert limit_bytes == 10 * 1024 * 1024
        self.calls.append(call)
        await asyncio.sleep(self.delay_s)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Rest:
    """One API in the making, `self.api` its id, `self.root` its root resource."""

    def __init__(
        self, *, access: Any = None, tokens: Any = None, clock: Dial | None = None, telling: Any = None
    ) -> None:
        self.clock = clock or Dial()
        self.functions = FakeFunctions()
        self.aws = Recorder()
        self.network = Network()
        backends = Backends(self.functions, self.aws, FakeRoles(), access=access, tokens=tokens, http=self.network)
        backends = replace(backends, telling=telling)
        self.gateway = Gateway(backends=backends, clock=self.clock, random=random.Random(1))
        self.handlers = {each.type: each for each in gateway_handlers(self.gateway)}
        self.made: list[tuple[Resource, Physical]] = []
        self.api = self.root = ""

    async def make(self, kind: str, name: str = "", **properties: Any) -> str:
        """Make a resource of the API (`RestApiId` is filled in); gives its Ref."""
        handler = self.handlers[f"AWS::ApiGateway::{kind}"]
        given = {"RestApiId": self.api} if self.api and "RestApiId" in handler.properties else {}
        resource = Resource(name or f"{kind}{len(self.made)}", handler.type, {**given, **properties}, CONTEXT)
        physical = await handler.create(resource)
        self.made.append((resource, physical))
        if kind == "RestApi":
            self.api, self.root = physical.ref, physical.attributes["RootResourceId"]
        return physical.ref

    async def resource(self, part: str, parent: str = "") -> str:
        """A resource below `parent`, else below the root."""
        return await self.make("Resource", ParentId=parent or self.root, PathPart=part)

    async def method(self, resource: str, verb: str = "GET", **properties: Any) -> str:
        """A method, by default of a mock that answers 200."""
        given = {
            "ResourceId": resource,
            "HttpMethod": verb,
            "Integration": MOCK,
            "MethodResponses": [{"StatusCode": 200}],
        }
        return await self.make("Method", **{**given, **properties})

    async def deploy(self, stage: str = "v1", **properties: Any) -> None:
        """Serve what there is at a stage."""
        deployment = await self.make("Deployment")
        await self.make("Stage", StageName=stage, DeploymentId=deployment, **properties)

    async def undo(self) -> None:
        """Delete everything, the last first."""
        while self.made:
            resource, physical = self.made.pop()
            await self.handlers[resource.type].delete(resource, physical)

    async def ask(
        self, method: str, path: str, body: bytes = b"", *, query: str = "", stage: str = "v1", **headers: str
    ) -> HttpResponse:
        """A request; headers in snake case."""
        sent = tuple((name.replace("_", "-"), value) for name, value in headers.items())
        return await self.gateway.handle(HttpRequest(method, f"/{self.api}/{stage}{path}", query, sent, body))


MOCK = {
    "Type": "MOCK",
    "RequestTemplates": {"application/json": '{"statusCode": 200}'},
    "IntegrationResponses": [{"StatusCode": "200"}],
}


async def make_rest(**properties: Any) -> Rest:
    """An API without a body."""
    rest = Rest()
    await rest.make("RestApi", "Api", **{"Name": "parts", **properties})
    return rest
