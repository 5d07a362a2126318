"""What an authorizer's policy says about one method.

Only `execute-api` statements can be in one: Action, Resource and Condition-free Allow or Deny. A condition is refused
aloud (Unsupported), because leaving it out would change who may pass.
Source: https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-control-access-policy-language-overview.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any, Final, cast

from localcloud.services.iam.wildcards import match_text

__all__ = ["Malformed", "Verdict", "judge"]

_ACTION: Final = "execute-api:Invoke"
_KEYS: Final = frozenset({"Effect", "Action", "NotAction", "Resource", "NotResource", "Sid"})


class Malformed(ValueError):
    """A policy document that cannot be read."""


class Verdict(Enum):
    """The outcome, and how it came about."""

    ALLOWED = "allowed"
    DENIED = "denied"  # by a Deny
    NOT_ALLOWED = "not allowed"  # no Allow says so


def judge(document: object, method_arn: str) -> Verdict:
    """The verdict on invoking `method_arn`. Raises Malformed."""
    if not isinstance(document, Mapping):
        raise Malformed("policyDocument is not an object")
    statements = cast("Mapping[str, Any]", document).get("Statement")
    if isinstance(statements, Mapping):
        statements = [cast("Mapping[str, Any]", statements)]
    if not isinstance(statements, list):
        raise Malformed("policyDocument has no Statement")
    verdict = Verdict.NOT_ALLOWED
    for statement in cast("list[object]", statements):
        effect = _effect_on(statement, method_arn)
        if effect == "Deny":
            return Verdict.DENIED
        if effect == "Allow":
            verdict = Verdict.ALLOWED
    return verdict


def _effect_on(statement: object, method_arn: str) -> str:
    if not isinstance(statement, Mapping):
        raise Malformed("a statement is not an object")
    part = cast("Mapping[str, Any]", statement)
    for key in part:
        if key not in _KEYS:
            raise Malformed(f"a statement has {key}, which is not served here")
    effect = part.get("Effect")
    if effect not in {"Allow", "Deny"}:
        raise Malformed(f"Effect is {effect!r}")
    matches = _applies(part, "Action", _ACTION) and _applies(part, "Resource", method_arn)
    return str(effect) if matches else ""


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
