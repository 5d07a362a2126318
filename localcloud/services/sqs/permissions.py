"""The access policy of a queue: what may be in one, and the statements of AddPermission. Pure; policies are text.

A queue without a policy is its account's alone. The first permission makes one, the last takes it away again.
Sources: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_AddPermission.html
and https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-policies.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, Final, cast

from localcloud.json_text import parse_json
from localcloud.services.iam.errors import MalformedPolicy
from localcloud.services.iam.policy import Document, parse_document
from localcloud.services.sqs.errors import SqsError, invalid_value

__all__ = ["add_statement", "check_policy", "remove_statement"]

MAX_POLICY_BYTES: Final = 8_192  # quotas-policies, as those that follow
MAX_STATEMENTS: Final = 20
MAX_PRINCIPALS: Final = 50
MAX_CONDITIONS: Final = 10
MAX_ACTIONS: Final = 7  # of a statement
_EVERY: Final = "*"
_SHARED: Final = frozenset(  # API_AddPermission: "the name of any action or *"
    (
        _EVERY,
        "ChangeMessageVisibility",
        "DeleteMessage",
        "GetQueueAttributes",
        "GetQueueUrl",
        "ListDeadLetterSourceQueues",
        "PurgeQueue",
        "ReceiveMessage",
        "SendMessage",
    )
)
_OWNERS: Final = frozenset(  # each one's page: "Cross-account permissions don't apply to this action."
    (
        "AddPermission",
        "CancelMessageMoveTask",
        "CreateQueue",
        "DeleteQueue",
        "ListMessageMoveTasks",
        "ListQueueTags",
        "ListQueues",
        "RemovePermission",
        "SetQueueAttributes",
        "StartMessageMoveTask",
        "TagQueue",
        "UntagQueue",
    )
)
_ACCOUNT: Final = re.compile(r"[0-9]{12}")
_LABEL: Final = re.compile(r"[A-Za-z0-9_-]{1,80}")  # API_AddPermission


def check_policy(text: str) -> None:
    """Hold a policy against IAM's grammar and SQS's quotas. Raises SqsError: InvalidAttributeValue, OverLimit."""
    if len(text.encode(errors="surrogatepass")) > MAX_POLICY_BYTES:
        raise SqsError("OverLimit", "Submitted policy is over max allowed size.")
    try:
        document = parse_document(text, resource_policy=True)
    except MalformedPolicy as error:
        raise SqsError("InvalidAttributeValue", "Invalid value for the parameter Policy.") from error
    _check_quotas(document)


def add_statement(policy: str, queue_arn: str, *, label: str, accounts: Sequence[str], actions: Sequence[str]) -> str:
    """The policy ("" for none) with one statement more.

    Raises SqsError: InvalidParameterValue, OverLimit.
    """
    if not _LABEL.fullmatch(label):
        raise _bad_label(label, "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length.")
    if len(actions) > MAX_ACTIONS:
        raise _too_many(len(actions), "Actions", MAX_ACTIONS)
    for action in actions:
        _check_action(action)
    unknown = [account for account in accounts if not _ACCOUNT.fullmatch(account)]
    if unknown or not accounts:
        shown = ", ".join(unknown)
        raise invalid_value(f"Value [{shown}] for parameter PrincipalId is invalid. Reason: Unable to verify.")
    document = _read(policy, queue_arn)
    statements = document["Statement"]
    if any(statement.get("Sid") == label for statement in statements):
        raise _bad_label(label, "Already exists.")
    if len(statements) >= MAX_STATEMENTS:
        raise _too_many(len(statements) + 1, "Statements", MAX_STATEMENTS)
    partition = queue_arn.split(":")[1]
    statement = {
        "Sid": label,
        "Effect": "Allow",
        "Principal": {"AWS": _one_or_all([f"arn:{partition}:iam::{account}:root" for account in accounts])},
        "Action": _one_or_all([f"SQS:{action}" for action in actions]),
        "Resource": queue_arn,
    }
    return _write({**document, "Statement": [*statements, statement]})


def remove_statement(policy: str, queue_arn: str, label: str) -> str:
    """The policy without the statement of this label; "", which is none, where no other is left.

    Raises SqsError: InvalidParameterValue where there is none of this label.
    """
    document = _read(policy, queue_arn)
    kept = [statement for statement in document["Statement"] if statement.get("Sid") != label]
    if len(kept) == len(document["Statement"]):
        raise _bad_label(label, "can't find label on existing policy." if policy else "can't find label.")
    return _write({**document, "Statement": kept}) if kept else ""


def _check_action(action: str) -> None:
    if action in _SHARED:
        return
    reason = "Please refer to the appropriate WSDL for a list of valid actions."
    if action in _OWNERS:
        reason = "Only the queue owner is allowed to invoke this action."
    raise invalid_value(f"Value SQS:{action} for parameter ActionName is invalid. Reason: {reason}")


def _check_quotas(document: Document) -> None:
    statements = document.statements
    most = max(len(statement.actions) for statement in statements)
    if most > MAX_ACTIONS:
        raise SqsError(
            "OverLimit",
            f"{most} actions were found in a statement from the submitted policy, max allowed is {MAX_ACTIONS}.",
        )
    if len(statements) > MAX_STATEMENTS:
        raise _too_many(len(statements), "Statements", MAX_STATEMENTS)
    principals = sum(len(statement.principals) for statement in statements)
    if principals > MAX_PRINCIPALS:
        raise _too_many(principals, "Principals", MAX_PRINCIPALS)
    conditions = sum(len(statement.conditions) for statement in statements)
    if conditions > MAX_CONDITIONS:
        raise _too_many(conditions, "Conditions", MAX_CONDITIONS)


def _read(policy: str, queue_arn: str) -> dict[str, Any]:
    if not policy:
        return {"Version": "2008-10-17", "Id": f"{queue_arn}/SQSDefaultPolicy", "Statement": []}
    document = cast("dict[str, Any]", parse_json(policy))  # check_policy has passed it
    statements = document["Statement"]
    return {**document, "Statement": statements if isinstance(statements, list) else [statements]}


def _write(document: dict[str, Any]) -> str:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


def _one_or_all(values: list[str]) -> str | list[str]:
    return values if len(values) > 1 else values[0]


def _bad_label(label: str, reason: str) -> SqsError:
    return invalid_value(f"Value {label} for parameter Label is invalid. Reason: {reason}")


def _too_many(count: int, what: str, most: int) -> SqsError:
    return SqsError("OverLimit", f"{count} {what} were found, maximum allowed is {most}.")
