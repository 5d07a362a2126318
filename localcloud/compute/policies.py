"""The resource policies of functions: who besides the account's own principals may invoke them.

A function, each of its versions and each alias has a policy of its own, by its ARN: what may invoke the one may not
invoke the other. The ARN with $LATEST is the function's. Knows statements as AddPermission makes them; evaluation of
whole policy documents is IAM's.
Source: https://docs.aws.amazon.com/lambda/latest/api/API_AddPermission.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from localcloud.services.iam.policy import Document, parse_document
from localcloud.services.iam.wildcards import match_action, match_arn_like

__all__ = ["NO_POLICY_OF_LATEST", "FunctionPolicies", "Grant", "make_statement"]

NO_POLICY_OF_LATEST: Final = "We currently do not support adding policies for $LATEST."
_ACCOUNT: Final = re.compile(r"\d{12}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Grant:
    """One statement. `source_arn` may have wildcards; "" for any source.

    `url_auth_type`: for Function URLs with this AuthType only; `via_url`: for invocations through a URL only.
    """

    sid: str
    action: str
    principal: str
    source_arn: str = ""
    source_account: str = ""
    url_auth_type: str = ""
    via_url: bool = False


class FunctionPolicies:
    """Every grant, by function ARN."""

    def __init__(self) -> None:
        self._grants: dict[str, list[Grant]] = {}

    def add(self, function_arn: str, grant: Grant) -> None:
        """Allow more."""
        self._grants.setdefault(function_arn, []).append(grant)

    def remove(self, sid: str, *, function_arn: str = "") -> None:
        """Take away the statement of this id, where it is; only that of one ARN, if one is given."""
        for arn, grants in self._grants.items():
            if function_arn in {"", arn}:
                self._grants[arn] = [grant for grant in grants if grant.sid != sid]

    def forget(self, function_arn: str) -> None:
        """Take away every statement of a function, its versions and its aliases."""
        for arn in [arn for arn in self._grants if arn == function_arn or arn.startswith(f"{function_arn}:")]:
            del self._grants[arn]

    def of(self, function_arn: str) -> tuple[Grant, ...]:
        """The statements of one ARN."""
        return tuple(self._grants.get(_unqualified(function_arn), ()))

    def allows(self, function_arn: str, *, service: str, source_arn: str) -> bool:
        """Whether a service (`apigateway.amazonaws.com`) may invoke the function on behalf of `source_arn`."""
        return any(
            grant.principal in {service, "*"}
            and match_action(grant.action, "lambda:InvokeFunction")
            and not grant.via_url
            and (not grant.source_arn or match_arn_like(grant.source_arn, source_arn))
            and grant.source_account in {"", source_arn.split(":")[4]}
            for grant in self.of(function_arn)
        )

    def allows_anyone(self, function_arn: str) -> bool:
        """Whether everybody may invoke the function through a URL with AuthType NONE: both actions are needed.

        Source: https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html#urls-auth-none
        """
        public = [
            grant
            for grant in self.of(function_arn)
            if grant.principal == "*" and not grant.source_arn and not grant.source_account
        ]
        reaches = any(
            match_action(grant.action, "lambda:InvokeFunctionUrl") and grant.url_auth_type in {"", "NONE"}
            for grant in public
        )
        return reaches and any(match_action(grant.action, "lambda:InvokeFunction") for grant in public)

    def policy_of(self, function_arn: str) -> Document | None:
        """The policy as a document, None where nothing is granted."""
        grants = self.of(function_arn)
        if not grants:
            return None
        statements = [make_statement(grant, function_arn) for grant in grants]
        return parse_document({"Version": "2012-10-17", "Statement": statements}, name="default", resource_policy=True)


def _unqualified(function_arn: str) -> str:
    return function_arn.removesuffix(":$LATEST")


def make_statement(grant: Grant, function_arn: str) -> dict[str, Any]:
    """The statement as IAM reads it, and as AddPermission answers it."""
    kind = "Service" if grant.principal.endswith(".amazonaws.com") else "AWS"
    named = f"arn:aws:iam::{grant.principal}:root" if _ACCOUNT.fullmatch(grant.principal) else grant.principal
    statement: dict[str, Any] = {
        "Sid": grant.sid,
        "Effect": "Allow",
        "Principal": "*" if grant.principal == "*" else {kind: named},
        "Action": grant.action,
        "Resource": function_arn,
    }
    conditions: dict[str, Any] = {}
    if grant.source_arn:
        conditions["ArnLike"] = {"AWS:SourceArn": grant.source_arn}
    if grant.source_account:
        conditions["StringEquals"] = {"AWS:SourceAccount": grant.source_account}
    if grant.url_auth_type:
        conditions.setdefault("StringEquals", {})["lambda:FunctionUrlAuthType"] = grant.url_auth_type
    if grant.via_url:
        conditions["Bool"] = {"lambda:InvokedViaFunctionUrl": "true"}
    return statement | ({"Condition": conditions} if conditions else {})
