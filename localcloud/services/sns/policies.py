"""The access policy of a topic: its default, AddPermission's statements, what may be in one. Pure.

Sources: https://docs.aws.amazon.com/sns/latest/dg/sns-access-policy-language-api-permissions-reference.html
and https://docs.aws.amazon.com/sns/latest/api/API_AddPermission.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, Final, cast

from localcloud.services.contract import ACCOUNT_ID
from localcloud.services.iam.errors import MalformedPolicy
from localcloud.services.iam.policy import parse_document
from localcloud.services.sns.errors import invalid

__all__ = ["add_statement", "check_policy", "default_policy", "remove_statement"]

MAX_POLICY_BYTES: Final = 30 * 1024  # permissions reference, policy quotas, as the next
MAX_STATEMENTS: Final = 100
_DEFAULT_ACTIONS: Final = (
    "GetTopicAttributes",
    "SetTopicAttributes",
    "AddPermission",
    "RemovePermission",
    "DeleteTopic",
    "Subscribe",
    "ListSubscriptionsByTopic",
    "Publish",
)
_ACTIONS: Final = frozenset(
    (
        *_DEFAULT_ACTIONS,
        "GetDataProtectionPolicy",
        "ListTagsForResource",
        "PutDataProtectionPolicy",
        "Receive",  # of old policies; SNS still takes it
    )
)
_ACCOUNT: Final = re.compile(r"\d{12}")
_LABEL: Final = re.compile(r"[A-Za-z0-9_-]{1,80}")
_OUT_OF_SCOPE: Final = "Policy statement action out of service scope!"


def default_policy(topic_arn: str) -> str:
    """What a new topic has: its owner may do everything."""
    statement = {
        "Sid": "__default_statement_ID",
        "Effect": "Allow",
        "Principal": {"AWS": "*"},
        "Action": [f"SNS:{action}" for action in _DEFAULT_ACTIONS],
        "Resource": topic_arn,
        "Condition": {"StringEquals": {"AWS:SourceOwner": ACCOUNT_ID}},
    }
    return _write({"Version": "2008-10-17", "Id": "__default_policy_ID", "Statement": [statement]})


def check_policy(text: str) -> None:
    """Hold a policy against IAM's grammar and SNS's actions and quotas. Raises SnsError: InvalidParameter."""
    if len(text.encode()) > MAX_POLICY_BYTES:
        raise invalid(f"Policy Reason: a policy has at most {MAX_POLICY_BYTES} bytes")
    try:
        document = parse_document(text, name="Policy", resource_policy=True)
    except MalformedPolicy as error:
        raise invalid(f"Policy Error: {error}") from error
    if len(document.statements) > MAX_STATEMENTS:
        raise invalid(f"Policy Reason: a policy has at most {MAX_STATEMENTS} statements")
    actions = [action for statement in document.statements for action in statement.actions]
    if not all(action == "*" or action.lower().startswith("sns:") for action in actions):
        raise invalid(_OUT_OF_SCOPE)


def add_statement(policy: str, topic_arn: str, *, label: str, accounts: Sequence[str], actions: Sequence[str]) -> str:
    """The policy with one statement more. Raises SnsError: InvalidParameter."""
    if not _LABEL.fullmatch(label):
        raise invalid("Label")
    if not accounts or not all(_ACCOUNT.fullmatch(account) for account in accounts):
        raise invalid("AWSAccountId")
    if not actions or not _ACTIONS.issuperset(actions):
        raise invalid(_OUT_OF_SCOPE)
    document = _read(policy)
    if any(statement.get("Sid") == label for statement in document["Statement"]):
        raise invalid("Statement already exists")
    partition = topic_arn.split(":")[1]
    principals = [f"arn:{partition}:iam::{account}:root" for account in accounts]
    statement = {
        "Sid": label,
        "Effect": "Allow",
        "Principal": {"AWS": principals if len(principals) > 1 else principals[0]},
        "Action": [f"SNS:{action}" for action in actions] if len(actions) > 1 else f"SNS:{actions[0]}",
        "Resource": topic_arn,
    }
    written = _write({**document, "Statement": [*document["Statement"], statement]})
    check_policy(written)
    return written


def remove_statement(policy: str, label: str) -> str:
    """The policy without the statement of this label; "", which is the default, where no other is left.

    Raises SnsError: InvalidParameter where there is none.
    """
    document = _read(policy)
    kept = [statement for statement in document["Statement"] if statement.get("Sid") != label]
    if len(kept) == len(document["Statement"]):
        raise invalid("Label Reason: the policy has no statement of this label")
    return _write({**document, "Statement": kept}) if kept else ""


def _read(policy: str) -> dict[str, Any]:
    document = cast("dict[str, Any]", json.loads(policy))
    statements = document["Statement"]
    return document | {"Statement": statements if isinstance(statements, list) else [statements]}


def _write(document: dict[str, Any]) -> str:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))
