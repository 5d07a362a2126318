"""What a schedule calls: an operation of a service with a role, and what it is called with.

A templated target names a resource, whose service says which operation that is; a universal one names any operation of
any service. Pure, but for AWS's own models, which are loaded with the first universal target.
Sources: https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-targets-templated.html and
https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-targets-universal.html
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from localcloud.json_text import MalformedJson, parse_json
from localcloud.services.scheduler.errors import not_served, validation
from localcloud.services.states.task_resource import BadResource, TaskResource

__all__ = ["SERVED", "Target", "queue_call", "read_target"]

MAX_INPUT_BYTES: Final = 256 * 1024  # scheduler quotas: "maximum size of the target's payload"
DEFAULT_ATTEMPTS: Final = 185  # API_RetryPolicy
DEFAULT_AGE_S: Final = 86_400  # likewise
SERVED: Final = frozenset(
    {
        "appsync", "bedrock", "cloudformation", "cognito-idp", "dynamodb", "events", "glue", "iam", "kinesis", "kms",
        "lambda", "logs", "monitoring", "pipes", "route53", "s3", "scheduler", "secretsmanager", "sns", "sqs", "ssm",
        "states", "sts",
    }
)  # fmt: skip
"""Signing names of the services that universal targets may call here."""
_READ_ONLY: Final = (
    "get", "describe", "list", "poll", "receive", "search", "scan", "query", "select", "read", "lookup", "discover",
    "validate", "batchGet", "batchDescribe", "batchRead", "transactGet", "adminGet", "adminList", "testMigration",
    "retrieve", "testConnection", "translateDocument", "isAuthorized", "invokeModel",
)  # fmt: skip
_UNIVERSAL: Final = re.compile(
    r"arn:aws(?:-[a-z]+)?:scheduler:::aws-sdk:(?P<service>[a-z0-9]+):(?P<action>[a-z][a-zA-Z0-9]*)", re.ASCII
)
_ARN: Final = re.compile(
    r"arn:aws(?:-[a-z]+)?:(?P<service>[a-z0-9-]+):[a-z0-9-]+:\d{12}:(?P<rest>[\w./:$-]+)", re.ASCII
)
_RESOURCES: Final[Mapping[str, tuple[str, str]]] = {  # service in the ARN: its operation, and what the ARN ends like
    "events": ("putEvents", r"event-bus/.+"),
    "kinesis": ("putRecord", r"stream/.+"),
    "lambda": ("invoke", r"function:.+"),
    "sns": ("publish", r"[\w-]+(\.fifo)?"),
    "sqs": ("sendMessage", r"[\w-]+(\.fifo)?"),
    "states": ("startExecution", r"stateMachine:.+"),
}
_ELSEWHERE: Final = frozenset({"codebuild", "codepipeline", "ecs", "firehose", "inspector", "sagemaker"})
_OF_JSON: Final = frozenset({"events", "lambda", "states"})  # API_Target: their input must be well-formed JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One target. `text`: its Input, None where the default notification is sent. `age_s`: of retries, in seconds."""

    arn: str
    role_arn: str
    call: TaskResource
    text: str | None
    settings: Mapping[str, Any]
    attempts: int = DEFAULT_ATTEMPTS
    age_s: int = DEFAULT_AGE_S
    dead_letter_arn: str = ""

    @property
    def is_universal(self) -> bool:
        """Whether the input is the whole request."""
        return ":scheduler:::aws-sdk:" in self.arn

    def arguments(self, text: str) -> Any:
        """The request for an input, in PascalCase. Raises MalformedJson where it must be JSON and is none."""
        if self.is_universal:
            return parse_json(text)
        return _ARGUMENTS[self.call.service](self, text)


def read_target(values: Mapping[str, Any]) -> Target:
    """The target of a request that has its shape. Raises SchedulerError."""
    arn: str = values["Arn"]
    text: str | None = values.get("Input")
    policy: Mapping[str, int] = values.get("RetryPolicy", {})
    target = Target(
        arn=arn,
        role_arn=values["RoleArn"],
        call=_read_universal(arn) if ":scheduler:::" in arn else _read_templated(arn),
        text=text,
        settings=values,
        attempts=policy.get("MaximumRetryAttempts", DEFAULT_ATTEMPTS),
        age_s=policy.get("MaximumEventAgeInSeconds", DEFAULT_AGE_S),
        dead_letter_arn=values.get("DeadLetterConfig", {}).get("Arn", ""),
    )
    if text is not None:
        _check_input(target, text)
    _check_settings(target)
    return target


def _read_templated(arn: str) -> TaskResource:
    found = _ARN.fullmatch(arn)
    if found is None:
        raise validation("Provided Arn is not in correct format.")
    service = found["service"]
    if service in _ELSEWHERE:
        raise not_served(f"Targets of {service} are")
    action, form = _RESOURCES.get(service, ("", ""))
    if not action:
        raise validation(f"{service} is not supported as a templated target.")
    if not re.fullmatch(form, found["rest"]):
        raise validation("Provided Arn is not in correct format.")
    return TaskResource(arn, "sdk", service, action)


def _read_universal(arn: str) -> TaskResource:
    found = _UNIVERSAL.fullmatch(arn)
    if found is None:
        raise validation("Provided Arn is not in correct format.")
    service, action = found["service"], found["action"]
    if action.startswith(_READ_ONLY):
        raise validation(f"The action {action} of {service} is read-only, and not supported as a target.")
    from localcloud.services.states import sdk  # noqa: PLC0415 - loads botocore's models; most schedules need none

    resource = TaskResource(arn, "sdk", service, action)
    try:
        sdk.check_action(resource)
    except BadResource as error:
        raise validation(f"{action} is no action of {service}.") from error
    if sdk.signing_name(resource) not in SERVED:
        raise not_served(f"Targets of {service} are")
    return resource


def _check_input(target: Target, text: str) -> None:
    if len(text.encode()) > MAX_INPUT_BYTES:
        raise validation(f"Input must be at most {MAX_INPUT_BYTES} bytes long.")
    if not target.is_universal and target.call.service not in _OF_JSON:
        return
    try:
        value = parse_json(text)
    except MalformedJson as error:
        raise validation("Input must be a well-formed JSON.") from error
    if target.is_universal and not isinstance(value, dict):
        raise validation("Input of a universal target must be a JSON object.")


def _check_settings(target: Target) -> None:
    """A block belongs to one service's targets, which may need it."""
    service = "" if target.is_universal else target.call.service
    for owner, block in (("events", "EventBridgeParameters"), ("kinesis", "KinesisParameters")):
        if owner == service and block not in target.settings:
            raise validation(f"{block} must be specified for this target.")
        if owner != service and block in target.settings:
            raise validation(f"{block} is not supported for this target.")
    group = target.settings.get("SqsParameters", {}).get("MessageGroupId", "")
    is_fifo = service == "sqs" and target.arn.endswith(".fifo")
    if is_fifo and not group:
        raise validation("SqsParameters with a MessageGroupId must be specified for a FIFO queue.")
    if "SqsParameters" in target.settings and service != "sqs":
        raise validation("SqsParameters is not supported for this target.")


# ---------------------------------------------------------------- requests


def queue_call(arn: str) -> tuple[TaskResource, dict[str, Any]]:
    """SendMessage, and the part of its request that names the queue of an ARN."""
    _, _, _, region, account, name = arn.split(":", 5)
    return TaskResource(arn, "sdk", "sqs", "sendMessage"), {
        "QueueUrl": f"https://sqs.{region}.amazonaws.com/{account}/{name}"
    }


def _send_message(target: Target, text: str) -> dict[str, Any]:
    group = target.settings.get("SqsParameters", {}).get("MessageGroupId", "")
    return {**queue_call(target.arn)[1], "MessageBody": text, **({"MessageGroupId": group} if group else {})}


def _put_events(target: Target, text: str) -> dict[str, Any]:
    bus: Mapping[str, str] = target.settings["EventBridgeParameters"]
    entry = {"Detail": text, "DetailType": bus["DetailType"], "Source": bus["Source"], "EventBusName": target.arn}
    return {"Entries": [entry]}


def _put_record(target: Target, text: str) -> dict[str, Any]:
    key = cast("str", target.settings["KinesisParameters"]["PartitionKey"])
    return {"StreamARN": target.arn, "Data": text, "PartitionKey": key}


_ARGUMENTS: Final[Mapping[str, Callable[[Target, str], dict[str, Any]]]] = {
    "events": _put_events,
    "kinesis": _put_record,
    "lambda": lambda target, text: {"FunctionName": target.arn, "InvocationType": "Event", "Payload": text},
    "sns": lambda target, text: {"TopicArn": target.arn, "Message": text},
    "sqs": _send_message,
    "states": lambda target, text: {"StateMachineArn": target.arn, "Input": text},
}
