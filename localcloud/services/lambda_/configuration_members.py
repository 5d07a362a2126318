"""The configuration of a function in CreateFunction and UpdateFunctionConfiguration: what is given, and what may be.

Raises Lambda's own refusals. Source: https://docs.aws.amazon.com/lambda/latest/api/API_UpdateFunctionConfiguration.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from localcloud.compute.async_settings import check_dead_letters
from localcloud.compute.function import LogFormat
from localcloud.compute.variables import RESERVED_VARIABLES
from localcloud.services.lambda_.api import ApiParts
from localcloud.services.lambda_.errors import bad_constraint, refused
from localcloud.services.lambda_.members import Members

__all__ = ["CONFIGURATION", "RUNTIMES", "read_changes"]

RUNTIMES: Final = tuple(f"python3.{minor}" for minor in range(9, 16))
MAX_VARIABLES_BYTES: Final = 4096  # gettingstarted-limits: environment variables, in all
MAX_LAYERS: Final = 5  # gettingstarted-limits: function layers
_ROLE: Final = re.compile(r"arn:(aws[a-zA-Z-]*)?:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+", re.ASCII)
_HANDLER: Final = re.compile(r"[^\s]{1,128}")
_VARIABLE: Final = re.compile(r"[a-zA-Z]([a-zA-Z0-9_])+", re.ASCII)
_LEVELS: Final = ("", "TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")
_UNABLE: Final = "Lambda was unable to configure your environment variables because the environment variables you have"
CONFIGURATION: Final = frozenset({
    "DeadLetterConfig", "Description", "Environment", "EphemeralStorage", "Handler", "Layers", "LoggingConfig",
    "MemorySize", "Role", "Runtime", "SnapStart", "Timeout", "TracingConfig",
})  # fmt: skip
"""Members that are served."""
UNSERVED: Final[Mapping[str, str]] = {
    "CapacityProviderConfig": "managed instances are not served by this local cloud",
    "DurableConfig": "durable functions are not served by this local cloud",
    "FileSystemConfigs": "EFS is not served by this local cloud",
    "ImageConfig": "container images are not served by this local cloud",
    "KMSKeyArn": "variables are not encrypted by this local cloud",
    "TenancyConfig": "tenant isolation is not served by this local cloud",
    "VpcConfig": "networks are not served by this local cloud",
}
_READERS: Final[Mapping[str, Callable[[Members], dict[str, Any]]]] = {
    "Description": lambda members: {"description": members.text("Description", longest=256)},
    "Environment": lambda members: {"environment": _read_variables(members)},
    "Handler": lambda members: {"handler": members.matching("Handler", _HANDLER)},
    "LoggingConfig": lambda members: _read_logging(members.inside("LoggingConfig")),
    "MemorySize": lambda members: {"memory_mb": members.integer("MemorySize", 128, 10240)},
    "Runtime": lambda members: {"runtime": _read_runtime(members)},
    "Timeout": lambda members: {"timeout_s": members.integer("Timeout", 1, 900)},
    "TracingConfig": lambda members: {"tracing": _read_tracing(members)},
}


def read_changes(members: Members, api: ApiParts, *, role_arn: str = "") -> dict[str, Any]:
    """Fields of FunctionSpec by what is given of them; `role_arn` is what the function has where none is given."""
    members.refuse(CONFIGURATION, UNSERVED)
    changes: dict[str, Any] = {}
    for name, read in _READERS.items():
        if name in members:
            changes |= read(members)
    _check_storage(members)
    _check_snap_start(members)
    if "Role" in members:
        changes["role_arn"] = members.matching("Role", _ROLE)
        if not api.may_assume(changes["role_arn"]):
            raise refused("The role defined for the function cannot be assumed by Lambda.")
    if "DeadLetterConfig" in members:
        arn = members.inside("DeadLetterConfig").text("TargetArn")
        role = changes.get("role_arn", role_arn)
        changes["dead_letter_arn"] = check_dead_letters(arn, role, api.own.may_do)
    if "Layers" in members:
        changes |= _read_layers(members.texts("Layers"), api)
    return changes


def _read_variables(members: Members) -> dict[str, str]:
    variables = members.inside("Environment").text_map("Variables")
    for name in variables:
        if not _VARIABLE.fullmatch(name):
            constraint = (
                "Map keys must satisfy constraint: [Member must satisfy regular expression pattern: "
                f"{_VARIABLE.pattern}, Member must not be null]"
            )
            raise bad_constraint("environment.variables", "{" + name + "=***}", constraint)
    taken = sorted(RESERVED_VARIABLES & set(variables))
    if taken:
        raise refused(
            f"{_UNABLE} provided contains reserved keys that are currently not supported for modification. Reserved "
            f"keys used in this request: {', '.join(taken)}"
        )
    if any("\0" in value for value in variables.values()):
        raise refused(f"{_UNABLE} provided contain a NUL character")
    if sum(len(name.encode()) + len(value.encode()) for name, value in variables.items()) > MAX_VARIABLES_BYTES:
        measured = json.dumps(variables, separators=(",", ":"))[:MAX_VARIABLES_BYTES]
        raise refused(f"{_UNABLE} provided exceeded the 4KB limit. String measured: {measured}")
    return variables


def _read_runtime(members: Members) -> str:
    runtime = members.text("Runtime")
    if runtime not in RUNTIMES:
        constraint = f"Member must satisfy enum value set: [{', '.join(RUNTIMES)}]: only Python functions run here"
        raise refused(f"Value {runtime} at 'runtime' failed to satisfy constraint: {constraint}")
    return runtime


def _read_tracing(members: Members) -> bool:
    return members.inside("TracingConfig").choice("Mode", ("Active", "PassThrough"), "PassThrough") == "Active"


def _read_logging(inside: Members) -> dict[str, Any]:
    log_format = LogFormat(inside.choice("LogFormat", ("Text", "JSON"), "Text"))
    level = inside.choice("ApplicationLogLevel", _LEVELS, "")
    if inside.choice("SystemLogLevel", ("", "DEBUG", "INFO", "WARN"), "INFO") not in {"", "INFO"}:
        raise refused("LoggingConfig.SystemLogLevel: Lambda's own events are written at level INFO here")
    if level and log_format is LogFormat.TEXT:
        raise refused("LoggingConfig.ApplicationLogLevel needs LogFormat JSON")
    default = "INFO" if log_format is LogFormat.JSON else ""
    group = inside.text("LogGroup", longest=512)
    return {"log_format": log_format, "log_level": level or default} | ({"log_group": group} if group else {})


def _check_storage(members: Members) -> None:
    size = members.inside("EphemeralStorage").integer("Size", 512, 10240)
    if size not in {None, 512}:
        raise refused("EphemeralStorage: the size of temporary files is not held by this local cloud")


def _check_snap_start(members: Members) -> None:
    if members.inside("SnapStart").choice("ApplyOn", ("PublishedVersions", "None"), "None") != "None":
        raise refused("SnapStart is not served by this local cloud")


def _read_layers(arns: tuple[str, ...], api: ApiParts) -> dict[str, Any]:
    if len(arns) > MAX_LAYERS:
        raise refused("Cannot reference more than 5 layers.")
    names = [arn.rpartition(":")[0] for arn in arns]
    for at, arn in enumerate(arns):
        first = names.index(names[at])
        if first != at:
            raise refused(
                "Two different versions of the same layer are not allowed to be referenced in the same function. "
                f"{arns[first]} and {arn} are versions of the same layer."
            )
    found = [api.layers.get(arn) for arn in arns]
    for arn, layer in zip(arns, found, strict=True):
        if layer is None:
            raise refused(f"Layer version {arn} does not exist.")
    return {"layer_arns": arns, "layer_dirs": tuple(layer.folder for layer in found if layer is not None)}
