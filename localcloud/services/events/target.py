"""A target of a rule: what PutTargets takes and refuses, and what is given to it. Pure.

Source: https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_Target.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from localcloud.json_text import MalformedJson
from localcloud.services.contract import ACCOUNT_ID
from localcloud.services.events.envelope import Event
from localcloud.services.events.errors import EventsError, not_served, validation
from localcloud.services.events.json_paths import MISSING, JsonPath, parse_path
from localcloud.services.events.json_values import decode, encode
from localcloud.services.events.transform import BadTemplate, RuleName, Transformer

__all__ = ["SERVICES", "RetryPolicy", "Target", "check_dead_letters", "read_target"]

MAX_RETRIES: Final = 185  # RetryPolicy: the default and the most
MAX_AGE_S: Final = 86_400  # RetryPolicy: the default and the most
SERVICES: Final = ("events", "kinesis", "lambda", "sns", "sqs", "states")
_NEED_ROLE: Final = frozenset({"events", "kinesis", "states"})
_KINDS: Final = {"events": "event-bus/", "states": "stateMachine:"}  # what of these services may be a target
_BLOCKS: Final[Mapping[str, frozenset[str]]] = {  # which services a block of parameters is for; SqsParameters: any
    "AppSyncParameters": frozenset({"appsync"}),
    "BatchParameters": frozenset({"batch"}),
    "EcsParameters": frozenset({"ecs"}),
    "HttpParameters": frozenset({"events", "execute-api"}),
    "KinesisParameters": frozenset({"kinesis"}),
    "RedshiftDataParameters": frozenset({"redshift", "redshift-serverless"}),
    "RunCommandParameters": frozenset({"ssm"}),
    "SageMakerPipelineParameters": frozenset({"sagemaker"}),
}
_ARN: Final = re.compile(
    r"arn:(?P<partition>[\w-]+):(?P<service>[\w-]+):(?P<region>[\w-]*):(?P<account>\d*):(?P<rest>.+)"
)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """`attempts` 0 to 185 after the first one, within `age_s` 60 to 86400 seconds."""

    attempts: int = MAX_RETRIES
    age_s: int = MAX_AGE_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A target. `source`: as it was put, for those who ask. Of the three forms of input at most one is given."""

    target_id: str
    arn: str
    service: str
    region: str
    source: Mapping[str, Any]
    role_arn: str = ""
    constant: str | None = None
    path: JsonPath | None = None
    transformer: Transformer | None = None
    key_path: JsonPath | None = None
    group_id: str = ""
    retry: RetryPolicy = RetryPolicy()
    dead_letter_arn: str = ""

    def make_body(self, event: Event, rule: RuleName) -> str:
        """What the target is given of an event: JSON, as a rule. Raises InputTooLarge."""
        if self.constant is not None:
            return self.constant
        if self.transformer is not None:
            return self.transformer.fill(event, rule)
        if self.path is not None:
            found = self.path.find(event.read_fields())
            return encode(None if found is MISSING else found)
        return event.text

    def partition_key(self, event: Event) -> str:
        """The key of a Kinesis record: what lies at the path, else the event's id."""
        found = MISSING if self.key_path is None else self.key_path.find(event.read_fields())
        if found is MISSING or found is None:
            return event.event_id
        return found if isinstance(found, str) else encode(found)


def read_target(source: Mapping[str, Any], rule_region: str) -> Target:
    """The target in `source`, which has the shape that the API gives it. Raises EventsError."""
    target_id, arn = source["Id"], source["Arn"]
    service, region = _check_arn(arn, rule_region)
    _check_blocks(source, service)
    role_arn = source.get("RoleArn", "")
    if service in _NEED_ROLE and not role_arn:
        raise validation(f"RoleArn is required for target {arn}.")
    group_id = source.get("SqsParameters", {}).get("MessageGroupId", "")
    if service == "sqs" and arn.endswith(".fifo") and not group_id:
        raise validation(f"Parameter(s) SqsParameters must be specified for target: {target_id}.")
    forms = [name for name in ("Input", "InputPath", "InputTransformer") if name in source]
    if len(forms) > 1:
        raise validation(f"Only one of Input, InputPath, or InputTransformer must be provided for target {target_id}.")
    if forms and service == "events":
        raise not_served(f"{forms[0]} of targets that are event buses is")
    dead_letter_arn = source.get("DeadLetterConfig", {}).get("Arn", "")
    check_dead_letters(dead_letter_arn, rule_region)
    key_path = source.get("KinesisParameters", {}).get("PartitionKeyPath")
    return Target(
        target_id=target_id,
        arn=arn,
        service=service,
        region=region,
        source=source,
        role_arn=role_arn,
        constant=_read_constant(source),
        path=_read_path(source["InputPath"], target_id) if "InputPath" in source else None,
        transformer=_read_transformer(source),
        key_path=None if key_path is None else _read_path(key_path, target_id),
        group_id=group_id,
        retry=_read_retry(source.get("RetryPolicy", {})),
        dead_letter_arn=dead_letter_arn,
    )


def check_dead_letters(arn: str, region: str) -> None:
    """Hold the ARN of a dead-letter queue against the rules; "" for none is fine. Raises EventsError."""
    if not arn:
        return
    found = _ARN.fullmatch(arn)
    if found is None:
        raise validation(f"Parameter {arn} is not valid. Reason: Provided Arn is not in correct format.")
    if found["service"] != "sqs":
        raise validation(f"{found['service']} is not supported as a dead letter resource.")
    if arn.endswith(".fifo"):
        raise validation("SQS FIFO is not supported by Dead Letter Queues.")
    if found["region"] != region or found["account"] != ACCOUNT_ID:
        raise validation(f"Parameter {arn} is not valid. Reason: A dead letter queue must be in the rule's Region.")


def _check_arn(arn: str, rule_region: str) -> tuple[str, str]:
    """Service and Region of a target that is served."""
    found = _ARN.fullmatch(arn)
    if found is None:
        raise validation(f"Parameter {arn} is not valid. Reason: Provided Arn is not in correct format.")
    service, region = found["service"], found["region"]
    if service not in SERVICES or not found["rest"].startswith(_KINDS.get(service, "")):
        raise not_served(f"Targets such as {arn} are")
    if found["account"] != ACCOUNT_ID:
        reason = "Adding cross-account target is not permitted."
        raise EventsError("AccessDeniedException", f"Access to the resource {arn} is denied. Reason: {reason}")
    if region != rule_region and service != "events":
        raise validation(f"Parameter {arn} is not valid. Reason: The target must be in the rule's Region.")
    return service, region


def _check_blocks(source: Mapping[str, Any], service: str) -> None:
    for name, services in _BLOCKS.items():
        if name in source and service not in services:
            raise validation(f"Parameter(s) {name} not supported for target: {source['Id']}.")
        if name in source and name != "KinesisParameters":
            raise not_served(f"{name} of targets are")


def _read_constant(source: Mapping[str, Any]) -> str | None:
    text: str | None = source.get("Input")
    if text is not None:
        try:
            decode(text)
        except MalformedJson as error:
            raise validation(f"JSON syntax error in input for target {source['Id']}: {error}") from error
    return text


def _read_path(text: str, target_id: str) -> JsonPath:
    path = parse_path(text)
    if path is None:
        raise validation(f"InputPath for target {target_id} is invalid.")
    return path


def _read_transformer(source: Mapping[str, Any]) -> Transformer | None:
    given = source.get("InputTransformer")
    if given is None:
        return None
    target_id = source["Id"]
    paths = {name: _read_path(text, target_id) for name, text in given.get("InputPathsMap", {}).items()}
    try:
        return Transformer(given["InputTemplate"], paths)
    except BadTemplate as error:
        raise validation(error.describe(target_id)) from error


def _read_retry(given: Mapping[str, Any]) -> RetryPolicy:
    return RetryPolicy(given.get("MaximumRetryAttempts", MAX_RETRIES), given.get("MaximumEventAgeInSeconds", MAX_AGE_S))
