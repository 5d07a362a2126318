"""Versions, aliases, settings of events, and what names an alias, as CloudFormation makes them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from localcloud.compute.code import CodeStore
from localcloud.compute.permission_resources import PermissionHandler
from localcloud.compute.policies import FunctionPolicies
from localcloud.compute.publishing import Publisher
from localcloud.compute.resource_parts import FunctionParts
from localcloud.compute.version_resources import version_handlers
from localcloud.compute.versions import Alias, AsyncSettings
from localcloud.gateway.function_url import FunctionUrl
from localcloud.gateway.function_url_resources import FunctionUrlHandler
from localcloud.template.errors import TemplateError
from localcloud.template.handler import Physical, Resource, StackContext
from tests.unit.lambda_setup import ARN, World, answer_version, spec, world

QUEUE = "arn:aws:sqs:us-east-1:123456789012:q"


class Urls:
    """Keeps the URLs that are added."""

    def __init__(self) -> None:
        self.added: list[FunctionUrl] = []

    def add(self, url: FunctionUrl) -> None:
        self.added.append(url)


@dataclass
class Stack:
    there: World
    folder: Path
    handlers: dict[str, Any]
    policies: FunctionPolicies
    urls: Urls

    @property
    def record(self) -> Any:
        return self.there.record

    def resource(self, kind: str, name: str, **properties: Any) -> Resource:
        context = StackContext("stack", "us-east-1", "123456789012", "aws", self.folder)
        return Resource(name, f"AWS::Lambda::{kind}", properties, context)

    async def make(self, kind: str, name: str = "It", **properties: Any) -> Physical:
        return await self.handlers[kind].create(self.resource(kind, name, **properties))

    async def unmake(self, kind: str, physical: Physical) -> None:
        await self.handlers[kind].delete(self.resource(kind, "It"), physical)

    async def version(self, **properties: Any) -> Physical:
        self.there.functions.add(spec(code_dir=self.folder, memory_mb=self.record.spec.memory_mb + 1))
        return await self.make("Version", FunctionName="f", **properties)


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncGenerator[Stack]:
    async with open_stack(tmp_path) as found:
        yield found


@asynccontextmanager
async def open_stack(folder: Path, *, allowed: bool = True) -> AsyncGenerator[Stack]:
    code = folder / "code"
    code.mkdir()
    (code / "app.py").write_text("x = 1\n")
    async with world(answer_version, spec(code_dir=code), init_s=0) as there:
        publisher = Publisher(CodeStore(folder / "cache"), clock=there.clock, rng=random.Random(1))
        parts = FunctionParts(
            functions=there.functions, publisher=publisher, may_do=lambda *_: allowed, clock=there.clock
        )
        policies, urls = FunctionPolicies(), Urls()
        url_list: Any = urls
        made: list[Any] = [
            *version_handlers(parts),
            PermissionHandler(there.functions, policies),
            FunctionUrlHandler(there.functions, url_list),
        ]
        handlers = {handler.type.rpartition(":")[2]: handler for handler in made}
        yield Stack(there, code, handlers, policies, urls)


async def test_a_version_is_of_the_code_as_it_is(stack: Stack) -> None:
    """Ref is its ARN, Version and FunctionArn its attributes; its description is the version's own."""
    made = await stack.make("Version", FunctionName=ARN, Description="first")
    assert (made.ref, made.attributes) == (f"{ARN}:1", {"Version": "1", "FunctionArn": f"{ARN}:1"})
    assert stack.record.describe("1").description == "first"
    assert stack.record.describe("1").code_dir != stack.folder
    with pytest.raises(TemplateError, match=r"A version for this Lambda function exists \( 1 \)"):
        await stack.make("Version", FunctionName="f")
    stack.record.aliases["other"] = Alias(name="other", version="1")
    await stack.unmake("Version", made)
    assert [each.version for each in stack.record.versions()] == ["$LATEST", "1"]
    stack.record.aliases.clear()
    await stack.unmake("Version", made)
    assert [each.version for each in stack.record.versions()] == ["$LATEST"]


async def test_an_alias_points_at_versions(stack: Stack) -> None:
    """Ref is its ARN; weights from a list; what CreateAlias refuses names the property."""
    await stack.version()
    await stack.version()
    weights = {"AdditionalVersionWeights": [{"FunctionVersion": "2", "FunctionWeight": "0.2"}]}
    made = await stack.make(
        "Alias", FunctionName="f", Name="live", FunctionVersion="1", Description="d", RoutingConfig=weights
    )
    assert (made.ref, made.attributes) == (f"{ARN}:live", {"AliasArn": f"{ARN}:live"})
    alias: Alias = stack.record.aliases["live"]
    assert (alias.version, dict(alias.weights), alias.description) == ("1", {"2": 0.2}, "d")
    with pytest.raises(TemplateError, match="Alias already exists"):
        await stack.make("Alias", FunctionName="f", Name="live", FunctionVersion="1")
    with pytest.raises(TemplateError, match=f"FunctionVersion.*Function not found: {ARN}:9"):
        await stack.make("Alias", FunctionName="f", Name="other", FunctionVersion="9")
    with pytest.raises(TemplateError, match="FunctionName"):
        await stack.make("Alias", FunctionName="gone", Name="other", FunctionVersion="1")
    await stack.unmake("Alias", made)
    assert stack.record.aliases == {}


async def test_sams_own_alias_follows_edited_code(stack: Stack) -> None:
    """The one that AutoPublishAlias makes, by its name; an alias of the template's own stays where it is."""
    stack.there.functions.add(spec(code_dir=stack.folder, logical_id="Greet"))
    await stack.version()
    stack.there.functions.add(spec(code_dir=stack.folder, logical_id="Greet"))
    made = await stack.make("Alias", "GreetAliaslive", FunctionName="f", Name="live", FunctionVersion="1")
    await stack.make("Alias", "Mine", FunctionName="f", Name="mine", FunctionVersion="1")
    assert stack.record.following == {"live"}
    await stack.unmake("Alias", made)
    assert stack.record.following == set()


async def test_provisioned_concurrency_starts_with_the_stack(stack: Stack) -> None:
    """Of a version or an alias, not of both; what the account has not is refused; it ends with the resource."""
    version = await stack.version(ProvisionedConcurrencyConfig={"ProvisionedConcurrentExecutions": "2"})
    await asyncio.sleep(0.01)
    assert [room.spec.initialization_type for room in stack.there.made] == ["provisioned-concurrency"] * 2
    config = {"ProvisionedConcurrencyConfig": {"ProvisionedConcurrentExecutions": 1}}
    with pytest.raises(TemplateError, match="on an already Provisioned version"):
        await stack.make("Alias", FunctionName="f", Name="live", FunctionVersion="1", **config)
    stack.record.aliases.clear()
    with pytest.raises(TemplateError, match=r"minimum value of \[100\]"):
        await stack.version(ProvisionedConcurrencyConfig={"ProvisionedConcurrentExecutions": 900})
    await stack.unmake("Version", version)
    await asyncio.sleep(0.01)
    assert [room.stopped for room in stack.there.made] == [True, True]


async def test_settings_of_events_are_of_a_qualifier(stack: Stack) -> None:
    """Of $LATEST, a version or an alias that is there; ranges and roles are checked; they go with the resource."""
    made = await stack.make(
        "EventInvokeConfig",
        FunctionName="f",
        Qualifier="$LATEST",
        MaximumRetryAttempts="0",
        MaximumEventAgeInSeconds=60,
        DestinationConfig={"OnFailure": {"Destination": QUEUE}},
    )
    settings: AsyncSettings = stack.record.settings["$LATEST"]
    assert (settings.max_retries, settings.max_age_s, settings.on_failure, settings.on_success) == (0, 60, QUEUE, "")
    for properties, said in (
        ({"Qualifier": "gone"}, f"Function not found: {ARN}:gone"),
        ({"Qualifier": "$LATEST", "MaximumRetryAttempts": 3}, "must be from 0 to 2"),
        ({"Qualifier": "$LATEST", "MaximumEventAgeInSeconds": 59}, "must be from 60 to 21600"),
        ({"Qualifier": "$LATEST", "DestinationConfig": {"OnSuccess": {"Destination": "arn:aws:s3:::b"}}}, "is invalid"),
    ):
        with pytest.raises(TemplateError, match=said.replace("$", r"\$")):
            await stack.make("EventInvokeConfig", FunctionName="f", **properties)
    await stack.unmake("EventInvokeConfig", made)
    assert stack.record.settings == {}


async def test_a_role_that_may_not_reach_a_destination_ends_the_deployment(tmp_path: Path) -> None:
    """As PutFunctionEventInvokeConfig says it."""
    async with open_stack(tmp_path, allowed=False) as stack:
        with pytest.raises(TemplateError, match="does not have permissions to call SendMessage on"):
            await stack.make(
                "EventInvokeConfig",
                FunctionName="f",
                Qualifier="$LATEST",
                DestinationConfig={"OnFailure": {"Destination": QUEUE}},
            )


async def test_a_permission_of_an_alias_is_not_the_functions(stack: Stack) -> None:
    """By the alias's ARN it may be invoked, by the function's it may not; $LATEST has no policy of its own."""
    await stack.version()
    await stack.make("Alias", FunctionName="f", Name="live", FunctionVersion="1")
    service = {"Action": "lambda:InvokeFunction", "Principal": "apigateway.amazonaws.com"}
    await stack.make("Permission", FunctionName=f"{ARN}:live", **service)
    source = "arn:aws:execute-api:us-east-1:123456789012:a/*"
    allows = [
        stack.policies.allows(arn, service="apigateway.amazonaws.com", source_arn=source)
        for arn in (f"{ARN}:live", ARN, f"{ARN}:1")
    ]
    assert allows == [True, False, False]
    with pytest.raises(TemplateError, match=r"adding policies for \$LATEST"):
        await stack.make("Permission", FunctionName=f"{ARN}:$LATEST", **service)
    with pytest.raises(TemplateError, match=f"Function not found: {ARN}:gone"):
        await stack.make("Permission", FunctionName=f"{ARN}:gone", **service)


async def test_a_url_is_of_an_alias(stack: Stack) -> None:
    """Qualifier names an alias, no version and not $LATEST; the URL invokes the alias's ARN."""
    await stack.version()
    await stack.make("Alias", FunctionName="f", Name="live", FunctionVersion="1")
    made = await stack.make("Url", TargetFunctionArn=ARN, AuthType="NONE", Qualifier="live")
    assert (made.ref, made.attributes["FunctionArn"]) == (f"{ARN}:live", f"{ARN}:live")
    assert [url.function_arn for url in stack.urls.added] == [f"{ARN}:live"]
    for qualifier, said in (
        ("1", "must be the name of an alias"),
        ("$LATEST", "alias"),
        ("gone", "Function not found"),
    ):
        with pytest.raises(TemplateError, match=said):
            await stack.make("Url", TargetFunctionArn=ARN, AuthType="NONE", Qualifier=qualifier)
