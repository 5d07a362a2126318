"""CloudFormation's Lambda functions and layers: `AWS::Lambda::Function`, `AWS::Lambda::LayerVersion`.

Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-lambda-function.html
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from localcloud.clock import Clock
from localcloud.compute.ahead import run_side_by_side
from localcloud.compute.async_settings import check_dead_letters
from localcloud.compute.concurrency import check_reserve
from localcloud.compute.dependencies import Builder, FunctionCode
from localcloud.compute.function import FunctionSpec, LogFormat
from localcloud.compute.inline import inline_folder
from localcloud.compute.interpreters import Interpreter
from localcloud.compute.layers import Layers, LayerVersion
from localcloud.compute.recursion import MODES, TERMINATE
from localcloud.compute.resource_parts import FunctionParts, naming
from localcloud.compute.runtimes import Runtimes
from localcloud.compute.variables import RESERVED_VARIABLES
from localcloud.template.handler import Physical, RefusedHandler, Resource, Support, Supported
from localcloud.template.properties import Properties, read_properties
from sluiceway.errors import Misconfigured

__all__ = ["FunctionHandler", "LayerHandler", "refused_handlers"]

RUNTIMES: Final = tuple(f"python3.{minor}" for minor in range(9, 16))
MAX_NAME_CHARS: Final = 64  # CreateFunction: FunctionName
_NAME: Final = re.compile(rf"[a-zA-Z0-9_-]{{1,{MAX_NAME_CHARS}}}")  # the same; an ARN would be taken there too
_VARIABLE: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9_]+")  # CreateFunction: Environment
MAX_VARIABLES_BYTES: Final = 4096  # gettingstarted-limits: environment variables, in all
_DEFAULT_RUNTIME: Final = "python3.13"
_NOT_HERE: Final = {
    "AWS::Lambda::CodeSigningConfig": "code signing is not served here",
    "AWS::Lambda::LayerVersionPermission": "layers of other accounts are not served here",
    "AWS::Lambda::CapacityProvider": "managed instances are not served here",
}


def _refused(reason: str) -> Supported:
    return Supported(Support.REFUSED, reason)


def _partial(reason: str) -> Supported:
    return Supported(Support.PARTIAL, reason)


def _function_table(runtimes: Runtimes) -> dict[str, Supported]:
    def differs(runtime: str) -> str:
        return runtimes.choose(runtime).difference

    return {
        "Architectures": _partial("functions run on this machine's own architecture"),
        "Code": Supported(),
        "CodeSigningConfigArn": _refused("code signing is not served here"),
        "DeadLetterConfig": Supported(),
        "Description": Supported(),
        "Environment": Supported(),
        "EphemeralStorage": _partial("temporary files lie in this machine's own folder, their size is not held"),
        "FileSystemConfigs": _refused("EFS is not served here"),
        "FunctionName": Supported(),
        "Handler": Supported(),
        "ImageConfig": _refused("container images are not served here"),
        "KmsKeyArn": _partial("recorded; variables are not encrypted here"),
        "Layers": Supported(),
        "LoggingConfig": Supported(),
        "LoggingConfig.SystemLogLevel": Supported(
            reason="Lambda's own events are written at level INFO here", values=("INFO",)
        ),
        "MemorySize": _partial("held and reported where the system tells (Linux); CPU is not limited"),
        "PackageType": Supported(reason="container images are not served here", values=("Zip",)),
        "RecursiveLoop": Supported(values=MODES),
        "ReservedConcurrentExecutions": Supported(),
        "Role": Supported(),
        "Runtime": Supported(reason="only Python functions run here", values=RUNTIMES, differs=differs),
        "RuntimeManagementConfig": _partial("the runtime is this machine's"),
        "SnapStart": _refused("SnapStart is not served here"),
        "Tags": Supported(),
        "Timeout": Supported(),
        "TracingConfig": _partial("trace headers are made and passed on; segments are not kept"),
        "VpcConfig": _refused("networks are not served here"),
    }


class LayerHandler:
    """`AWS::Lambda::LayerVersion`. Ref is the version's ARN; its folder is what Lambda would unpack into /opt."""

    type: str = "AWS::Lambda::LayerVersion"
    support: Supported = Supported()
    properties: Mapping[str, Supported] = {
        "CompatibleArchitectures": _partial("layers are built for this machine's own architecture"),
        "CompatibleRuntimes": Supported(),
        "Content": Supported(),
        "Description": Supported(),
        "LayerName": Supported(),
        "LicenseInfo": Supported(),
    }

    def __init__(self, builder: Builder, runtimes: Runtimes, *, layers: Layers, clock: Clock) -> None:
        self._builder = builder
        self._runtimes = runtimes
        self._layers = layers
        self._clock = clock

    async def create(self, resource: Resource) -> Physical:
        """Build the layer. Raises TemplateError where it cannot be built."""
        read, context = read_properties(resource), resource.context
        name = read.text("LayerName", resource.logical_id)
        content = read.values.get("Content")
        if not isinstance(content, str):
            raise read.error("Content", "must be a folder beside the template: archives in S3 are not served here")
        origin = str(resource.metadata.get("SamResourceId") or resource.logical_id)
        method = str(resource.metadata.get("BuildMethod") or "")
        runtime = next(iter(read.texts("CompatibleRuntimes")), _DEFAULT_RUNTIME)
        try:
            interpreter = (await asyncio.to_thread(self._runtimes.choose, runtime)).interpreter
            folder = await asyncio.to_thread(self._builder.build_layer, origin, content, interpreter, method=method)
        except Misconfigured as error:
            raise read.error("Content", str(error)) from error
        version = LayerVersion(
            name=name,
            arn=f"arn:{context.partition}:lambda:{context.region}:{context.account_id}:layer:{name}",
            version=self._layers.next_version(name),
            folder=folder,
            description=read.text("Description", ""),
            license_info=read.text("LicenseInfo", ""),
            runtimes=tuple(read.texts("CompatibleRuntimes")),
            architectures=tuple(read.texts("CompatibleArchitectures")),
            made_s=self._clock.time(),
        )
        self._layers.add(version)
        return Physical(version.version_arn, {"LayerVersionArn": version.version_arn})

    async def delete(self, resource: Resource, physical: Physical) -> None:  # noqa: ARG002 - the handlers' contract
        """Forget the layer; its build stays in the cache."""
        self._layers.remove(physical.ref)


class FunctionHandler:
    """`AWS::Lambda::Function`. Ref is the name; attribute Arn. The ledger tells where its own runtime differs here.

    `localise`: what an environment variable's value is here, for addresses of APIs of the same stack.
    """

    type: str = "AWS::Lambda::Function"
    support: Supported = Supported()

    def __init__(
        self,
        parts: FunctionParts,
        *,
        layers: Layers,
        builder: Builder,
        runtimes: Runtimes,
        localise: Callable[[str], str] = str,
    ) -> None:
        self.properties: Mapping[str, Supported] = _function_table(runtimes)
        self._localise = localise
        self._parts = parts
        self._layers = layers
        self._builder = builder
        self._runtimes = runtimes

    async def create(self, resource: Resource) -> Physical:
        """Build its code and register it. Raises TemplateError for what CreateFunction would refuse."""
        read, context = read_properties(resource), resource.context
        name = read.text("FunctionName", f"{context.stack_name}-{resource.logical_id}"[:MAX_NAME_CHARS])
        if not _NAME.fullmatch(name):
            raise read.error("FunctionName", f"must be 1 to {MAX_NAME_CHARS} letters, digits, - and _, is {name!r}")
        arn = f"arn:{context.partition}:lambda:{context.region}:{context.account_id}:function:{name}"
        runtime = read.choice("Runtime", RUNTIMES)
        origin = str(resource.metadata.get("SamResourceId") or resource.logical_id)
        try:
            managed = await self._runtimes.get(runtime)
            code = await asyncio.to_thread(self._build, read, origin, managed.interpreter)
        except Misconfigured as error:
            raise read.error("Code", str(error)) from error
        spec = FunctionSpec(
            name=name,
            arn=arn,
            handler=read.text("Handler"),
            code_dir=code.task_root,
            dependency_dirs=code.dependency_dirs,
            layer_dirs=tuple(self._layer_dirs(read)),
            layer_arns=tuple(read.texts("Layers")),
            runtime=runtime,
            environment={name: self._localise(value) for name, value in _variables(read).items()},
            timeout_s=read.integer("Timeout", 3, low=1, high=900),
            memory_mb=read.integer("MemorySize", 128, low=128, high=10240),
            architecture=next(iter(read.texts("Architectures")), "x86_64"),
            role_arn=read.text("Role"),
            tracing=_traces(read),
            reserved_concurrency=self._reserved(read),
            description=read.text("Description", ""),
            logical_id=resource.logical_id,
            tags=read.tags(),
            dead_letter_arn=self._dead_letters(read),
            modified_s=self._parts.clock.time(),
            revision_id=self._parts.publisher.new_revision(),
            **_logging(read.nested("LoggingConfig")),
        )
        self._parts.functions.add(spec)
        self._parts.functions.records[name].recursive_loop = read.choice("RecursiveLoop", MODES, default=TERMINATE)
        return Physical(name, {"Arn": arn})

    async def delete(self, resource: Resource, physical: Physical) -> None:  # noqa: ARG002 - the handlers' contract
        """Stop its environments and forget it."""
        await self._parts.functions.remove(physical.ref)

    async def look_ahead(self, resources: Sequence[Resource]) -> None:
        """Install what the functions of a stack require, side by side. Raises TemplateError."""
        known = [each for each in resources if isinstance(each.properties.get("Code"), str)]
        await run_side_by_side(
            [each for each in known if each.properties.get("Runtime") in RUNTIMES], self._install_ahead, place="Code"
        )

    def _install_ahead(self, resource: Resource) -> None:
        origin = str(resource.metadata.get("SamResourceId") or resource.logical_id)
        interpreter = self._runtimes.choose(str(resource.properties["Runtime"])).interpreter
        self._builder.install_ahead(origin, str(resource.properties["Code"]), interpreter)

    def _build(self, read: Properties, origin: str, interpreter: Interpreter) -> FunctionCode:
        code = read.values.get("Code")
        if isinstance(code, str):
            return self._builder.build_function(origin, code, interpreter)
        inline = read.nested("Code").text("ZipFile", "")
        if not inline:
            raise read.error("Code", "must be a folder beside the template: archives in S3 are not served here")
        return FunctionCode(inline_folder(inline, self._builder.cache_dir))

    def _dead_letters(self, read: Properties) -> str:
        nested = read.nested("DeadLetterConfig")
        with naming(nested, "TargetArn"):
            return check_dead_letters(nested.text("TargetArn", ""), read.text("Role"), self._parts.may_do)

    def _reserved(self, read: Properties) -> int | None:
        if "ReservedConcurrentExecutions" not in read:
            return None
        reserved = read.integer("ReservedConcurrentExecutions", low=0)
        with naming(read, "ReservedConcurrentExecutions"):
            check_reserve(None, reserved, self._parts.functions.records.values())
        return reserved

    def _layer_dirs(self, read: Properties) -> list[Path]:
        found: list[Path] = []
        for index, arn in enumerate(read.texts("Layers")):
            layer = self._layers.get(arn)
            if layer is None:
                raise read.error(f"Layers[{index}]", f"{arn} is not a layer of this stack; others are not served here")
            found.append(layer.folder)
        return found


def refused_handlers() -> tuple[RefusedHandler, ...]:
    """A handler for each type of Lambda's that is not here."""
    return tuple(RefusedHandler(name, reason) for name, reason in _NOT_HERE.items())


def _variables(read: Properties) -> dict[str, str]:
    nested = read.nested("Environment")
    variables = nested.text_map("Variables")
    for variable, value in variables.items():
        if not _VARIABLE.fullmatch(variable):
            raise nested.error("Variables", f"{variable!r} must be letters, digits and _, at least two, a letter first")
        if "\0" in value:
            raise nested.error(f"Variables.{variable}", "must not hold a NUL character")
    reserved = sorted(RESERVED_VARIABLES & set(variables))
    if reserved:
        raise nested.error("Variables", f"Lambda reserves {', '.join(reserved)}")
    size = sum(len(name.encode()) + len(value.encode()) for name, value in variables.items())
    if size > MAX_VARIABLES_BYTES:
        raise nested.error("Variables", f"must be at most 4 KB in all, are {size} bytes")
    return variables


def _traces(read: Properties) -> bool:
    return read.nested("TracingConfig").choice("Mode", ("Active", "PassThrough"), "PassThrough") == "Active"


def _logging(read: Properties) -> dict[str, Any]:
    levels = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")
    log_format = LogFormat(read.choice("LogFormat", ("Text", "JSON"), "Text"))
    level = read.choice("ApplicationLogLevel", ("", *levels), "")
    if level and log_format is LogFormat.TEXT:
        raise read.error("ApplicationLogLevel", "needs LogFormat JSON")
    default_level = "INFO" if log_format is LogFormat.JSON else ""
    return {"log_group": read.text("LogGroup", ""), "log_format": log_format, "log_level": level or default_level}
