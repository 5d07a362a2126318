"""What an authorizer's policy says about one method.

Only `execute-api` statements can be in one. Conditions are evaluated as IAM's, over the keys that API Gateway has for
every type of authorization and that are known here: the date and the address of the caller. One over another key is
refused aloud, because leaving it out would change who may pass. A kept policy is judged anew for each request, so its
dates are held against that request's.
Sources: https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-control-access-policy-language-overview.html
and https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-resource-policies-aws-condition-keys.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Final, cast

from localcloud.services.iam.conditions import condition_holds, make_condition
from localcloud.services.iam.errors import MalformedPolicy
from localcloud.services.iam.wildcards import Context, match_text

__all__ = ["Malformed", "Verdict", "judge", "make_context"]

_ACTION: Final = "execute-api:Invoke"
_KEYS: Final = frozenset({"Effect", "Action", "NotAction", "Resource", "NotResource", "Sid", "Condition"})


class Malformed(ValueError):
    """A policy document that cannot be read."""


class Verdict(Enum):
    """The outcome, and how it came about."""

    ALLOWED = "allowed"
    DENIED = "denied"  # by a Deny
    NOT_ALLOWED = "not allowed"  # no Allow says so


def make_context(*, now_s: float, source_ip: str) -> Context:
    """The condition keys of a request at `now_s` (epoch seconds): those that are there for every type of caller."""
    now = datetime.fromtimestamp(now_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"aws:currenttime": (now,), "aws:epochtime": (str(int(now_s)),), "aws:sourceip": (source_ip,)}


def judge(document: object, method_arn: str, context: Context) -> Verdict:
    """The verdict on invoking `method_arn` in a request with these condition keys. Raises Malformed."""
    if not isinstance(document, Mapping):
        raise Malformed("policyDocument is not an object")
    statements = cast("Mapping[str, Any]", document).get("Statement")
    if isinstance(statements, Mapping):
        statements = [cast("Mapping[str, Any]", statements)]
    if not isinstance(statements, list):
        raise Malformed("policyDocument has no Statement")
    variables = cast("Mapping[str, Any]", document).get("Version") == "2012-10-17"
    verdict = Verdict.NOT_ALLOWED
    for statement in cast("list[object]", statements):
        effect = _effect_on(statement, method_arn, context, variables=variables)
        if effect == "Deny":
            return Verdict.DENIED
        if effect == "Allow":
            verdict = Verdict.ALLOWED
    return verdict


def _effect_on(statement: object, method_arn: str, context: Context, *, variables: bool) -> str:
    if not isinstance(statement, Mapping):
        raise Malformed("a statement is not an object")
    part = cast("Mapping[str, Any]", statement)
    for key in part:
        if key not in _KEYS:
            raise Malformed(f"a statement has {key}, which is not served here")
    effect = part.get("Effect")
    if effect not in {"Allow", "Deny"}:
        raise Malformed(f"Effect is {effect!r}")
    holds = _holds(part.get("Condition", {}), context, variables=variables)
    matches = _applies(part, "Action", _ACTION) and _applies(part, "Resource", method_arn)
    return str(effect) if matches and holds else ""


def _holds(block: object, context: Context, *, variables: bool) -> bool:
    """Whether every line of a Condition block holds; each is read, so that an unknown one is told whatever the rest."""
    if not isinstance(block, Mapping):
        raise Malformed("Condition is not an object")
    answers: list[bool] = []
    for operator, keys in cast("Mapping[str, Any]", block).items():
        if not isinstance(keys, Mapping):
            raise Malformed(f"Condition.{operator} is not an object")
        for key, values in cast("Mapping[str, Any]", keys).items():
            if key.lower() not in context:
                raise Malformed(f"Condition.{operator} is over {key}, which is not served here")
            try:
                condition = make_condition(operator, key, tuple(_texts(values, f"Condition.{operator}.{key}")))
            except MalformedPolicy as error:
                raise Malformed(str(error)) from error
            answers.append(condition_holds(condition, context, variables=variables))
    return all(answers)


def _applies(statement: Mapping[str, Any], key: str, value: str) -> bool:
    inverse = f"Not{key}"
    if (key in statement) == (inverse in statement):
        raise Malformed(f"a statement needs {key} or {inverse}")
    ignore_case = key == "Action"
    if key in statement:
        return any(_matches(each, value, ignore_case=ignore_case) for each in _texts(statement[key], key))
    return not any(_matches(each, value, ignore_case=ignore_case) for each in _texts(statement[inverse], inverse))


def _texts(value: object, key: str) -> Iterable[str]:
    values = cast("list[object]", value) if isinstance(value, list) else [value]
    for each in values:
        if not isinstance(each, str):
            raise Malformed(f"{key} is not a string")
        yield each


def _matches(pattern: str, value: str, *, ignore_case: bool) -> bool:
    return match_text(pattern.lower(), value.lower()) if ignore_case else match_text(pattern, value)
