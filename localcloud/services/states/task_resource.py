"""What a Task's Resource names: a function, an optimised integration, or an action of an AWS SDK. Pure.

Source: https://docs.aws.amazon.com/step-functions/latest/dg/integrate-services.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

__all__ = ["ACTIVITY", "BadResource", "TaskResource", "parse_resource"]

ACTIVITY: Final = "activity"
WAIT: Final = ".waitForTaskToken"
_ACTIVITY: Final = re.compile(r"arn:aws[a-zA-Z-]*:states:[a-z0-9-]+:\d{12}:activity:[^:\s]{1,80}")
_FUNCTION: Final = re.compile(
    r"arn:aws[a-zA-Z-]*:lambda:[a-z0-9-]+:\d{12}:function:[a-zA-Z0-9-_]{1,140}(:(\$LATEST|[a-zA-Z0-9-_]+))?"
)
_INTEGRATION: Final = re.compile(
    r"arn:aws[a-zA-Z-]*:states:[a-z0-9-]*:(?:\d{12})?:(?P<service>[a-z0-9-]+):(?P<action>\w+)(?P<pattern>\.[\w:]+)?"
)
_SDK: Final = re.compile(
    r"arn:aws[a-zA-Z-]*:states:[a-z0-9-]*:(?:\d{12})?:aws-sdk:(?P<service>[a-z0-9]+):(?P<action>\w+)(?P<pattern>\.\w+)?"
)
_OPTIMISED: Final[Mapping[tuple[str, str], frozenset[str]]] = {
    ("dynamodb", "deleteItem"): frozenset({""}),
    ("dynamodb", "getItem"): frozenset({""}),
    ("dynamodb", "putItem"): frozenset({""}),
    ("dynamodb", "updateItem"): frozenset({""}),
    ("events", "putEvents"): frozenset({"", WAIT}),
    ("lambda", "invoke"): frozenset({"", WAIT}),
    ("sns", "publish"): frozenset({"", WAIT}),
    ("sqs", "sendMessage"): frozenset({"", WAIT}),
    ("states", "startExecution"): frozenset({"", ".sync", ".sync:2", WAIT}),
}
_ELSEWHERE: Final = frozenset(
    {
        "apigateway", "athena", "batch", "bedrock", "codebuild", "databrew", "ecs", "eks", "elasticmapreduce",
        "emr-containers", "emr-serverless", "glue", "http", "mediaconvert", "sagemaker",
    }
)  # fmt: skip


class BadResource(ValueError):
    """The text is no resource of a Task; the message says why, and `code` whose the refusal is."""

    def __init__(self, message: str, *, code: str = "SCHEMA_VALIDATION_FAILED") -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class TaskResource:
    """`kind`: "activity", "function", "optimised", "sdk". `pattern`: "", ".sync", ".sync:2" or ".waitForTaskToken"."""

    arn: str
    kind: str
    service: str
    action: str
    pattern: str = ""

    @property
    def waits(self) -> bool:
        """Whether somebody has to give the task's token back."""
        return self.pattern == WAIT

    @property
    def shown_type(self) -> str:
        """The resourceType of history events."""
        return f"aws-sdk:{self.service}" if self.kind == "sdk" else self.service

    @property
    def shown_name(self) -> str:
        """The resource of history events."""
        return f"{self.action}{self.pattern}"


def parse_resource(text: str) -> TaskResource:
    """The resource in `text`. Raises BadResource."""
    if _FUNCTION.fullmatch(text):
        return TaskResource(text, "function", "lambda", "invoke")
    if _ACTIVITY.fullmatch(text):
        return TaskResource(text, ACTIVITY, ACTIVITY, text.rpartition(":")[2])
    if found := _SDK.fullmatch(text):
        pattern = found["pattern"] or ""
        if pattern not in {"", WAIT}:
            raise BadResource(f"The resource provided {text} is not recognized. The value is not a valid resource ARN")
        return TaskResource(text, "sdk", found["service"], found["action"], pattern)
    found = _INTEGRATION.fullmatch(text)
    if found is None:
        raise BadResource("Value is not a valid resource ARN")
    service, action, pattern = found["service"], found["action"], found["pattern"] or ""
    if service in _ELSEWHERE:
        raise BadResource(f"The integration {service}:{action} is not served by this local cloud", code="NOT_SERVED")
    patterns = _OPTIMISED.get((service, action))
    if patterns is None or pattern not in patterns:
        raise BadResource(f"The resource provided {text} is not recognized. The value is not a valid resource ARN")
    return TaskResource(text, "optimised", service, action, pattern)
