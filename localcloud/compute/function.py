"""What a function is to the local cloud: its configuration, resolved; and how callers may name it.

Knows no process and no wire.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Final

__all__ = ["LATEST", "ON_DEMAND", "PROVISIONED", "FunctionSpec", "LogFormat", "Reference", "parse_reference"]

LATEST: Final = "$LATEST"
ON_DEMAND: Final = "on-demand"  # configuration-envvars: AWS_LAMBDA_INITIALIZATION_TYPE
PROVISIONED: Final = "provisioned-concurrency"  # the same

# The pattern of FunctionName in the Lambda API: name, partial ARN or ARN, each with a qualifier.
# Source: https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
_REFERENCE: Final = re.compile(
    r"(?:arn:aws[a-zA-Z-]*:lambda:(?P<region>[a-z]{2}(?:-[a-z]+)+-\d):)?"
    r"(?:(?P<account>\d{12}):)?(?:function:)?(?P<name>[a-zA-Z0-9-_]{1,64})(?::(?P<qualifier>\$LATEST|[a-zA-Z0-9-_]{1,128}))?"
)


class LogFormat(Enum):
    """How Lambda writes its own lines, and what the runtime is told."""

    TEXT = "Text"
    JSON = "JSON"


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionSpec:
    """One function.

    `code_dir` is the task root. `dependency_dirs` are added to the import path after it (what a build would have copied
    into the task root), `layer_dirs` are layer roots in template order (each is what Lambda unpacks into /opt).
    `timeout_s` 1-900, `memory_mb` 128-10240. `reserved_concurrency` None: none.
    `arn` is the function's own, whatever the `version`: a number as text, or $LATEST. `initialization_type`: what its
    environments say they were started for. `code_sha256` (base64) and `code_size` are "" and 0 until they are measured.
    """

    name: str
    arn: str
    handler: str
    code_dir: Path
    runtime: str = "python3.13"
    dependency_dirs: tuple[Path, ...] = ()
    layer_dirs: tuple[Path, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    timeout_s: int = 3
    memory_mb: int = 128
    architecture: str = "x86_64"
    role_arn: str = ""
    tracing: bool = False
    log_group: str = ""
    log_format: LogFormat = LogFormat.TEXT
    log_level: str = ""
    reserved_concurrency: int | None = None
    description: str = ""
    logical_id: str = ""
    layer_arns: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    modified_s: float = 0.0
    version: str = LATEST
    initialization_type: str = ON_DEMAND
    dead_letter_arn: str = ""
    code_sha256: str = ""
    code_size: int = 0
    revision_id: str = ""

    @property
    def version_arn(self) -> str:
        """The ARN with the version in it, $LATEST too."""
        return f"{self.arn}:{self.version}"

    @property
    def group(self) -> str:
        """The log group: the one configured, else `/aws/lambda/<name>`."""
        return self.log_group or f"/aws/lambda/{self.name}"

    @property
    def region(self) -> str:
        """The Region in the ARN."""
        return self.arn.split(":")[3]


@dataclass(frozen=True, slots=True)
class Reference:
    """A function as a caller named it. Region and account "" where not said; `qualifier` "" for $LATEST."""

    name: str
    qualifier: str = ""
    region: str = ""
    account: str = ""


def parse_reference(text: str) -> Reference | None:
    """Read a function name, partial ARN or ARN; None where it is none of them."""
    found = _REFERENCE.fullmatch(text)
    if found is None:
        return None
    part = found.groupdict(default="")
    return Reference(part["name"], part["qualifier"], part["region"], part["account"])
