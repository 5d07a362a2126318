"""The Condition element of IAM policies. Pure.

An operator that is not known raises: a condition is never passed over.
Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Final

from localcloud.services.iam.errors import MalformedPolicy
from localcloud.services.iam.wildcards import Context, fill_variables, match_arn_like, match_text

__all__ = ["Condition", "condition_holds", "make_condition"]

_Test = Callable[[str, str], bool]
"""Takes the policy's value and the request's value."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One line of a Condition block, parsed: `over` is "", "ForAllValues" or "ForAnyValue"."""

    test: str
    key: str
    values: tuple[str, ...]
    negated: bool = False
    if_exists: bool = False
    over: str = ""


def make_condition(operator: str, key: str, values: Sequence[str]) -> Condition:
    """Parse an operator such as `ForAnyValue:StringNotLikeIfExists`. Raises MalformedPolicy for one not known."""
    over, colon, bare = operator.partition(":")
    if not colon:
        over, bare = "", operator
    if_exists = bare.endswith("IfExists")
    name = bare.removesuffix("IfExists")
    positive = name.replace("Not", "", 1) if name in _NEGATED else name
    known = positive in _TESTS or (positive == "Null" and not over and not if_exists)
    if not known or over not in {"", "ForAllValues", "ForAnyValue"}:
        raise MalformedPolicy(f"the condition operator {operator} is not known")
    return Condition(
        test=positive,
        key=key.lower(),
        values=tuple(values),
        negated=name in _NEGATED,
        if_exists=if_exists,
        over=over,
    )


def condition_holds(condition: Condition, context: Context, *, variables: bool) -> bool:
    """Whether the condition holds for a request. `variables`: the policy's version knows policy variables."""
    present = context.get(condition.key)
    if condition.test == "Null":
        return any((value.lower() == "true") == (present is None) for value in condition.values)
    if not present:
        return _without_key(condition)
    wanted = condition.values
    if variables and condition.test.startswith(_WITH_VARIABLES):
        filled = [fill_variables(value, context) for value in wanted]
        wanted = tuple(value for value in filled if value is not None)
    test = _TESTS[condition.test]
    # one answer for each value of the request; a negated operator wants it to match none of the policy's values
    answers = [any(test(value, given) for value in wanted) is not condition.negated for given in present]
    if condition.over == "ForAllValues" or (condition.negated and not condition.over):
        return all(answers)
    return any(answers)


def _without_key(condition: Condition) -> bool:
    if condition.over:
        return condition.over == "ForAllValues" or condition.if_exists
    return condition.negated or condition.if_exists


def _literal(value: str) -> str:
    return value.replace("\ue000", "*").replace("\ue001", "?")


def _equals(value: str, given: str) -> bool:
    return _literal(value) == given


def _equals_ignoring_case(value: str, given: str) -> bool:
    return _literal(value).casefold() == given.casefold()


def _same_flag(value: str, given: str) -> bool:
    return value.lower() == given.lower()


def _in_network(value: str, given: str) -> bool:
    try:
        return ipaddress.ip_address(given) in ipaddress.ip_network(value, strict=False)
    except ValueError:
        return False


def _numeric(compare: Callable[[Decimal, Decimal], bool]) -> _Test:
    def test(value: str, given: str) -> bool:
        try:
            return compare(Decimal(given), Decimal(value))
        except InvalidOperation:
            return False

    return test


def _dated(compare: Callable[[Decimal, Decimal], bool]) -> _Test:
    def test(value: str, given: str) -> bool:
        left, right = _epoch_s(given), _epoch_s(value)
        return left is not None and right is not None and compare(left, right)

    return test


def _epoch_s(text: str) -> Decimal | None:
    """W3C ISO 8601 or epoch seconds."""
    try:
        return Decimal(text)
    except InvalidOperation:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return Decimal(str(moment.timestamp()))


_ORDER: Final[Mapping[str, Callable[[Decimal, Decimal], bool]]] = {
    "Equals": lambda given, value: given == value,
    "GreaterThan": lambda given, value: given > value,
    "GreaterThanEquals": lambda given, value: given >= value,
    "LessThan": lambda given, value: given < value,
    "LessThanEquals": lambda given, value: given <= value,
}

_TESTS: Final[Mapping[str, _Test]] = {
    "ArnEquals": match_arn_like,  # docs: "ArnEquals and ArnLike behave identically"
    "ArnLike": match_arn_like,
    "BinaryEquals": _equals,
    "Bool": _same_flag,
    "IpAddress": _in_network,
    "StringEquals": _equals,
    "StringEqualsIgnoreCase": _equals_ignoring_case,
    "StringLike": match_text,
    **{f"Numeric{name}": _numeric(compare) for name, compare in _ORDER.items()},
    **{f"Date{name}": _dated(compare) for name, compare in _ORDER.items()},
}

# reference_policies_variables.html, "Where you can use policy variables": with other operators they are plain text
_WITH_VARIABLES: Final = ("Arn", "String")

_NEGATED: Final = frozenset({
    "ArnNotEquals", "ArnNotLike", "DateNotEquals", "NotIpAddress", "NumericNotEquals", "StringNotEquals",
    "StringNotEqualsIgnoreCase", "StringNotLike",
})  # fmt: skip
