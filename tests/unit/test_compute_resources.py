"""CloudFormation's functions, layers, permissions, mappings and log groups, without starting a process."""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from localcloud.clock import LoopClock
from localcloud.compute.code import CodeStore
from localcloud.compute.dependencies import Builder
from localcloud.compute.function import LogFormat
from localcloud.compute.functions import Functions
from localcloud.compute.interpreters import InterpreterChoice, find_interpreter
from localcloud.compute.layers import Layers
from localcloud.compute.mappings.resources import EventSourceMappingHandler
from localcloud.compute.permission_resources import PermissionHandler
from localcloud.compute.policies import FunctionPolicies
from localcloud.compute.publishing import Publisher
from localcloud.compute.resource_parts import FunctionParts
from localcloud.compute.resources import FunctionHandler, LayerHandler, refused_handlers
from localcloud.compute.runtimes import ManagedRuntime
from localcloud.services.logs.model import Logs
from localcloud.services.logs.resources import LogGroupHandler
from localcloud.template.errors import TemplateError
from localcloud.template.handler import Physical, Resource, StackContext, Support

ROLE = "arn:aws:iam::123456789012:role/r"


class NoRuntimes:
    """Interpreters as they are, runtimes that nobody installs."""

    def choose(self, runtime: str) -> InterpreterChoice:
        return find_interpreter(runtime, environ=os.environ)

    async def get(self, runtime: str) -> ManagedRuntime:
        interpreter = self.choose(runtime).interpreter
        return ManagedRuntime(interpreter.executable, Path(), interpreter)


@dataclass
class World:
    base: Path
    functions: Functions
    function: FunctionHandler
    layer: LayerHandler
    permission: PermissionHandler
    policies: FunctionPolicies
    layers: Layers
    allowed: set[str]

    def resource(self, handler: Any, name: str = "Thing", metadata: Any = None, **properties: Any) -> Resource:
        context = StackContext("stack", "us-east-1", "123456789012", "aws", self.base)
        return Resource(name, handler.type, properties, context, metadata or {})

    async def make(self, handler: Any, name: str = "Thing", metadata: Any = None, **properties: Any) -> Physical:
        return await handler.create(self.resource(handler, name, metadata, **properties))

    async def make_function(self, name: str = "Thing", **properties: Any) -> Physical:
        basic = {"Code": "code", "Handler": "app.handler", "Runtime": "python3.11", "Role": ROLE}
        return await self.make(self.function, name, **(basic | properties))


@asynccontextmanager
async def world(base: Path) -> AsyncGenerator[World]:
    (base / "code").mkdir(exist_ok=True)
    clock = LoopClock(asyncio.get_running_loop())
    rng = random.Random(1)
    builder = Builder(cache_dir=base / "cache", base=base, environ=dict(os.environ), progress=lambda _: None)
    runtimes: Any = NoRuntimes()
    async with asyncio.TaskGroup() as group:
        functions = Functions(
            lambda spec: pytest.fail(f"{spec.name} was started"),
            group=group,
            clock=clock,
            logs=Logs(clock=clock),
            rng=rng,
        )
        layers = Layers()
        layer = LayerHandler(builder, runtimes, layers=layers, clock=clock)
        policies = FunctionPolicies()
        publisher = Publisher(CodeStore(base / "cache"), clock=clock, rng=rng)
        allowed = {"sqs:SendMessage"}
        parts = FunctionParts(
            functions=functions, publisher=publisher, may_do=lambda _, action, __: action in allowed, clock=clock
        )
        yield World(
            base,
            functions,
            FunctionHandler(parts, layers=layers, builder=builder, runtimes=runtimes, localise=localise),
            layer,
            PermissionHandler(functions, policies),
            policies,
            layers,
            allowed,
        )
        await functions.close()


def localise(value: str) -> str:
    return value.replace("https://there", "http://here")


async def test_addresses_in_variables_are_those_of_here(tmp_path: Path) -> None:
    """As the function sees them, and as the API tells them."""
    async with world(tmp_path) as there:
        made = await there.make_function(Environment={"Variables": {"API_URL": "https://there/x", "NAME": "there"}})
        assert there.functions.get(made.ref).environment == {"API_URL": "http://here/x", "NAME": "there"}


async def test_a_function_with_everything(tmp_path: Path) -> None:
    """Each property reaches the function; Ref is the name and Arn the attribute."""
    async with world(tmp_path) as there:
        made = await there.make_function(
            Timeout="60",
            MemorySize="512",
            Description="d",
            Environment={"Variables": {"ONE": 1, "TWO": True}},
            TracingConfig={"Mode": "Active"},
            LoggingConfig={"LogFormat": "JSON", "LogGroup": "/g"},
            Architectures=["arm64"],
            ReservedConcurrentExecutions=5,
            Tags=[{"Key": "k", "Value": "v"}],
        )
        spec = there.functions.get(made.ref)
    assert made.ref == "stack-Thing"
    assert made.attributes == {"Arn": "arn:aws:lambda:us-east-1:123456789012:function:stack-Thing"}
    assert (spec.timeout_s, spec.memory_mb, spec.tracing, spec.reserved_concurrency) == (60, 512, True, 5)
    assert spec.environment == {"ONE": "1", "TWO": "true"}
    assert (spec.log_format, spec.group, spec.log_level) == (LogFormat.JSON, "/g", "INFO")
    assert (spec.code_dir, spec.role_arn, spec.tags) == (tmp_path / "code", ROLE, {"k": "v"})


async def test_the_defaults_of_a_function(tmp_path: Path) -> None:
    """Three seconds, 128 MB, text logs in the group of its own name."""
    async with world(tmp_path) as there:
        made = await there.make_function(FunctionName="mine")
        spec = there.functions.get("mine")
        assert (made.ref, spec.timeout_s, spec.memory_mb, spec.group) == ("mine", 3, 128, "/aws/lambda/mine")
        assert (spec.log_format, spec.log_level, spec.tracing) == (LogFormat.TEXT, "", False)
        await there.function.delete(there.resource(there.function), made)
        assert there.functions.list() == ()


@pytest.mark.parametrize(
    ("properties", "where", "what"),
    [
        ({"Code": "nowhere"}, "Code", "is not a folder"),
        ({"Code": {"S3Bucket": "b", "S3Key": "k"}}, "Code", "archives in S3"),
        ({"Runtime": "nodejs22.x"}, "Runtime", "must be one of"),
        ({"Timeout": 901}, "Timeout", "from 1 to 900"),
        ({"MemorySize": 64}, "MemorySize", "from 128 to 10240"),
        ({"Environment": {"Variables": {"AWS_REGION": "x"}}}, "Environment.Variables", "Lambda reserves AWS_REGION"),
        ({"Environment": {"Variables": {"LONG": "x" * 5000}}}, "Environment.Variables", "at most 4 KB"),
        ({"Environment": {"Variables": {"A=B": "x"}}}, "Environment.Variables", "'A=B' must be letters"),
        ({"Environment": {"Variables": {"NUL": "a\0b"}}}, "Environment.Variables.NUL", "NUL character"),
        ({"FunctionName": "../x"}, "FunctionName", "must be 1 to 64 letters"),
        ({"Layers": ["arn:aws:lambda:us-east-1:1:layer:l:1"]}, "Layers[0]", "not a layer of this stack"),
        ({"LoggingConfig": {"LogFormat": "XML"}}, "LoggingConfig.LogFormat", "must be one of"),
        ({"LoggingConfig": {"ApplicationLogLevel": "INFO"}}, "ApplicationLogLevel", "needs LogFormat JSON"),
        ({"TracingConfig": {"Mode": "On"}}, "TracingConfig.Mode", "must be one of"),
        ({"Role": None}, "Role", "is required"),
    ],
)
async def test_what_create_function_refuses(tmp_path: Path, properties: dict[str, Any], where: str, what: str) -> None:
    """Errors name the resource and the property."""
    async with world(tmp_path) as there:
        with pytest.raises(TemplateError) as refused:
            await there.make_function(**properties)
    assert "Thing.Properties" in refused.value.where
    assert where in refused.value.where
    assert what in refused.value.detail


async def test_inline_code(tmp_path: Path) -> None:
    """ZipFile is index.py in a folder of its own."""
    async with world(tmp_path) as there:
        await there.make_function(Code={"ZipFile": "x = 1\n"}, Handler="index.handler")
        spec = there.functions.get("stack-Thing")
        assert (spec.code_dir / "index.py").read_text() == "x = 1\n"


async def test_dead_letters_go_where_the_role_may_send_them(tmp_path: Path) -> None:
    """DeadLetterConfig of a queue or a topic; what CreateFunction refuses names the property, and nothing is made."""
    async with world(tmp_path) as there:
        queue = "arn:aws:sqs:us-east-1:123456789012:q"
        made = await there.make_function(DeadLetterConfig={"TargetArn": queue})
        assert there.functions.get(made.ref).dead_letter_arn == queue
        assert there.functions.get(made.ref).revision_id
        with pytest.raises(TemplateError, match=r"DeadLetterConfig\.TargetArn.*only standard SQS queues"):
            await there.make_function("Other", DeadLetterConfig={"TargetArn": f"{queue}.fifo"})
        there.allowed.clear()
        said = "does not have permissions to call SendMessage on SQS"
        with pytest.raises(TemplateError, match=said):
            await there.make_function("Other", DeadLetterConfig={"TargetArn": queue})
        assert [spec.logical_id for spec in there.functions.list()] == ["Thing"]


async def test_reserves_leave_a_hundred_to_the_others(tmp_path: Path) -> None:
    """As PutFunctionConcurrency has it; the function is not made."""
    async with world(tmp_path) as there:
        await there.make_function("One", ReservedConcurrentExecutions=500)
        with pytest.raises(TemplateError, match=r"ReservedConcurrentExecutions.*below its minimum value of \[100\]"):
            await there.make_function("Two", ReservedConcurrentExecutions=401)
        await there.make_function("Three", ReservedConcurrentExecutions=400)
        assert [spec.logical_id for spec in there.functions.list()] == ["One", "Three"]


async def test_a_layer_without_build_is_its_folder(tmp_path: Path) -> None:
    """Ref is the version's ARN; functions find the folder by it."""
    (tmp_path / "layer").mkdir()
    async with world(tmp_path) as there:
        made = await there.make(there.layer, "L", Content="layer", LayerName="name", CompatibleRuntimes=["python3.11"])
        assert made.ref == "arn:aws:lambda:us-east-1:123456789012:layer:name:1"
        await there.make_function(Layers=[made.ref])
        assert there.functions.get("stack-Thing").layer_dirs == (tmp_path / "layer",)
        await there.layer.delete(there.resource(there.layer), made)
        assert there.layers.get(made.ref) is None


async def test_a_layer_with_a_makefile_is_built_under_its_own_name(tmp_path: Path) -> None:
    """The recipe's target has the name in the SAM template, not that of the translated one."""
    folder = tmp_path / "layer"
    folder.mkdir()
    recipe = "build-Mine:\n\tmkdir -p $(ARTIFACTS_DIR)/python && cp code.py $(ARTIFACTS_DIR)/python/\n"
    (folder / "Makefile").write_text(recipe)
    (folder / "code.py").write_text("x = 1\n")
    metadata = {"BuildMethod": "makefile", "SamResourceId": "Mine"}
    async with world(tmp_path) as there:
        made = await there.make(
            there.layer, "Mine0123456789", metadata, Content="layer", CompatibleRuntimes=["python3.11"]
        )
        built = there.layers.get(made.ref)
    assert built is not None
    assert (built.folder / "python" / "code.py").read_text() == "x = 1\n"


async def test_a_recipe_that_fails_says_how(tmp_path: Path) -> None:
    """The end of make's output is in the error."""
    (tmp_path / "layer").mkdir()
    (tmp_path / "layer" / "Makefile").write_text("build-L:\n\techo the reason >&2; exit 3\n")
    async with world(tmp_path) as there:
        with pytest.raises(TemplateError, match="the reason"):
            await there.make(there.layer, "L", {"BuildMethod": "makefile"}, Content="layer")


async def test_a_build_method_that_is_not_served(tmp_path: Path) -> None:
    """Rust, go and the rest: by name."""
    (tmp_path / "layer").mkdir()
    async with world(tmp_path) as there:
        with pytest.raises(TemplateError, match="BuildMethod 'rust-cargolambda' is not served here"):
            await there.make(there.layer, "L", {"BuildMethod": "rust-cargolambda"}, Content="layer")


async def test_a_permission_is_a_grant_of_the_function(tmp_path: Path) -> None:
    """By name or ARN; gone when deleted; refused where there is no such function."""
    async with world(tmp_path) as there:
        made = await there.make_function()
        arn = made.attributes["Arn"]
        granted = await there.make(
            there.permission,
            "P",
            FunctionName=arn,
            Action="lambda:InvokeFunction",
            Principal="apigateway.amazonaws.com",
            SourceArn="arn:aws:execute-api:us-east-1:123456789012:a/*",
        )
        source = "arn:aws:execute-api:us-east-1:123456789012:a/v1/GET/jobs"
        assert there.policies.allows(arn, service="apigateway.amazonaws.com", source_arn=source)
        await there.permission.delete(there.resource(there.permission), granted)
        assert not there.policies.allows(arn, service="apigateway.amazonaws.com", source_arn=source)
        with pytest.raises(TemplateError, match="Function not found"):
            await there.make(there.permission, "Q", FunctionName="none", Action="lambda:*", Principal="x")


async def test_a_log_group_keeps_its_retention() -> None:
    """Declared with retention; a retention that CloudWatch does not have is refused."""
    logs = Logs(clock=LoopClock(asyncio.get_running_loop()))
    handler = LogGroupHandler(logs)
    context = StackContext("stack", "us-east-1", "123456789012", "aws", Path())
    good = Resource("G", handler.type, {"LogGroupName": "/g", "RetentionInDays": "14"}, context)
    made = await handler.create(good)
    assert made.ref == "/g"
    assert made.attributes == {"Arn": "arn:aws:logs:us-east-1:123456789012:log-group:/g:*"}
    assert [(group.name, group.retention_days) for group in logs.groups()] == [("/g", 14)]
    with pytest.raises(TemplateError, match="RetentionInDays"):
        await handler.create(Resource("H", handler.type, {"RetentionInDays": 8}, context))
    with pytest.raises(TemplateError, match="LogGroupName"):
        await handler.create(Resource("H", handler.type, {"LogGroupName": "a b"}, context))
    await handler.delete(good, made)
    assert logs.groups() == ()


def test_every_refusal_gives_its_reason() -> None:
    """Refused types and properties say why."""
    tables = [FunctionHandler.create, *refused_handlers()]
    assert all(handler.support.support is Support.REFUSED and handler.support.reason for handler in refused_handlers())
    entries = [*LayerHandler.properties.values(), *EventSourceMappingHandler.properties.values()]
    assert all(entry.reason for entry in entries if entry.support is not Support.SERVED)
    assert tables


def test_events_are_kept_in_order_and_heard() -> None:
    """The log model: streams, since, listeners that stop."""

    class Clock:
        now = 0.0

        def time(self) -> float:
            return self.now

    clock = Clock()
    logs = Logs(clock=clock)
    heard: list[str] = []
    stop = logs.listen(lambda event: heard.append(event.message))
    logs.append("/g", "a", "one")
    clock.now = 2.0
    logs.append("/g", "b", "two")
    stop()
    logs.append("/g", "a", "three", timestamp_ms=3000)
    assert [event.message for event in logs.events("/g")] == ["one", "two", "three"]
    assert [event.message for event in logs.events("/g", stream="a", since_ms=1)] == ["three"]
    assert heard == ["one", "two"]
    assert json.dumps(heard)


class OldPythonIsMissing(NoRuntimes):
    """A machine that has every Python but 3.9."""

    def choose(self, runtime: str) -> InterpreterChoice:
        own = find_interpreter("python3.11", environ=os.environ).interpreter
        return InterpreterChoice(own, "python3.9 is not on this machine" if runtime == "python3.9" else "")


def test_a_functions_runtime_differs_only_where_it_is_not_here() -> None:
    """The ledger's word on Runtime is about the runtime that a function names, not about another function's."""
    runtimes: Any = OldPythonIsMissing()
    nothing: Any = None
    handler = FunctionHandler(nothing, layers=nothing, builder=nothing, runtimes=runtimes)
    differs = handler.properties["Runtime"].differs
    assert differs is not None
    assert [differs("python3.9"), differs("python3.13")] == ["python3.9 is not on this machine", ""]
